package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/conc/pool"

	"tfw/executor"
	"tfw/inventory"
)

// stepWalk is one step of a test plan on its way.
type stepWalk struct {
	w     *walking
	s     *Step
	index int
	over  chan struct{} // closed when it has ended

	mu      sync.Mutex
	state   StepState
	results map[string]map[string]executor.HostResult // cell -> host -> last attempt
	order   []string                                  // cells in their order
	did     map[string]did                            // by cell NUL host, how it came to its result
	outputs any                                       // of a nested plan
	begun   bool                                      // in an earlier process
	ended   time.Time                                 // in an earlier process
	fast    bool                                      // a cell did not pass, and the others were cancelled for it (fail_fast)
	hosts   map[string]*hostWalk
}

// hostWalk tells per-host steps that this step is over on one host.
type hostWalk struct {
	over    chan struct{}
	left    int // cells that have not ended there
	verdict executor.Verdict
	why     string // it never ran there
}

func newStepWalk(w *walking, s *Step, index int) *stepWalk {
	x := &stepWalk{w: w, s: s, index: index, over: make(chan struct{}), results: map[string]map[string]executor.HostResult{}, hosts: map[string]*hostWalk{}, did: map[string]did{},
		state: w.plan.queued(s)}
	if index < len(w.r.Steps) {
		x.recall(w.r.Steps[index])
	}
	return x
}

// recall takes over what an earlier process stored of the step: when it began, its runs, and when it ended.
// Verdicts are worked out anew, from the same runs.
func (x *stepWalk) recall(before StepState) {
	if x.begun = !before.Started.IsZero(); x.begun {
		x.state.State, x.state.Started = executor.Running, before.Started
	}
	if before.State == executor.Done {
		x.ended, x.state.Reason = before.Finished, before.Reason
	}
	for _, c := range before.Cells {
		x.order = append(x.order, c.Cell)
		x.state.Cells = append(x.state.Cells, CellState{Cell: c.Cell, Runs: c.Runs, Hosts: map[string]executor.Verdict{}, Plan: c.Plan})
	}
}

// walk waits for what the step needs, decides whether it runs, and runs it.
func (x *stepWalk) walk(ctx context.Context) {
	hosts := x.w.bound(x.s.On)
	if x.s.PerHost && x.s.Nested == "" {
		x.walkPerHost(ctx, hosts)
		return
	}
	if !x.await(ctx, nil) {
		return
	}
	ctx, done, why := x.enter(ctx, nil)
	if ctx == nil {
		x.end(executor.Skipped, why)
		return
	}
	defer done()
	x.perform(ctx, hosts)
}

// enter decides whether the step runs, and gives the context for that, or nil and why not. What an earlier process decided
// stays so: a step that had begun before the plan was to end meets its runs again, and ends them.
func (x *stepWalk) enter(ctx context.Context, h *inventory.Host) (of context.Context, done func(), why string) {
	if !x.ended.IsZero() && !x.begun {
		return nil, nil, x.state.Reason
	}
	run, why := x.decide(ctx, h)
	if !run && x.begun && ctx.Err() != nil {
		if began, _ := x.decide(context.Background(), h); began {
			return ctx, func() {}, ""
		}
	}
	if !run {
		return nil, nil, why
	}
	of, done = x.w.late(ctx)
	return of, done, ""
}

func (w *walking) bound(role string) []*inventory.Host {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.roles[role]
}

// await waits until every step it needs is over, on one host where that can be told. It reports false when the engine drains.
func (x *stepWalk) await(ctx context.Context, h *inventory.Host) bool {
	for _, name := range x.s.deps {
		dep := x.w.steps[name]
		over := dep.over
		if h != nil && dep.s.On == x.s.On {
			over = dep.onHost(h.Name).over
		}
		select {
		case <-over:
		case <-x.w.e.background.Done():
			return false
		}
	}
	return !x.w.draining()
}

// onHost gives the step's state on one host; it may be asked for before the step began.
func (x *stepWalk) onHost(name string) *hostWalk {
	x.mu.Lock()
	defer x.mu.Unlock()
	h := x.hosts[name]
	if h == nil {
		h = &hostWalk{over: make(chan struct{}), left: -1}
		x.hosts[name] = h
		select {
		case <-x.over: // it ended without that host
			h.verdict = x.state.Verdict
			close(h.over)
		default:
		}
	}
	return h
}

// decide tells whether the step runs, and why not.
func (x *stepWalk) decide(ctx context.Context, h *inventory.Host) (run bool, why string) {
	failed, cancelled := "", context.Cause(ctx) != nil
	for _, name := range x.s.deps {
		dep := x.w.steps[name]
		if v := dep.verdictFor(x, h); v != executor.Passed && !dep.s.AllowFailure && failed == "" {
			failed = name + " " + spoken(v)
		}
	}
	if x.s.When == nil {
		return failed == "" && !cancelled, orElse(failed, x.w.cause(ctx))
	}
	sc := x.w.scope(x.s, nil, h)
	sc["success"] = func() bool { return failed == "" && !cancelled }
	sc["failure"] = func() bool { return x.broken(h, map[view]bool{}) }
	sc["always"] = func() bool { return true }
	sc["cancelled"] = func() bool { return cancelled }
	ok, err := x.s.When.truth(sc)
	switch {
	case err != nil:
		return false, err.Error()
	case !ok:
		return false, "when: " + x.s.When.text
	case cancelled && !x.s.When.calls["always"] && !x.s.When.calls["cancelled"]:
		return false, x.w.cause(ctx)
	case failed != "" && !x.s.When.decides():
		return false, failed
	}
	return true, ""
}

// verdictFor is the step's verdict as a step behind it sees it: of its own host, where both go host by host.
func (x *stepWalk) verdictFor(behind *stepWalk, h *inventory.Host) executor.Verdict {
	if h != nil && x.s.On == behind.s.On {
		return x.verdictOn(h.Name)
	}
	v, _ := x.outcome()
	return v
}

// view is a step as another sees it: on one host, or whole.
type view struct {
	step   *stepWalk
	onHost bool
}

// broken reports whether anything that the step needs failed: a step that it needs, or one
// because of which such a step was skipped.
func (x *stepWalk) broken(h *inventory.Host, seen map[view]bool) bool {
	for _, name := range x.s.deps {
		dep := x.w.steps[name]
		look := view{dep, h != nil && dep.s.On == x.s.On}
		if dep.s.AllowFailure || seen[look] {
			continue
		}
		seen[look] = true
		v := dep.verdictFor(x, h)
		if v != executor.Passed && v != executor.Skipped || v == executor.Skipped && dep.broken(h, seen) {
			return true
		}
	}
	return false
}

func orElse(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}

func (w *walking) cause(ctx context.Context) string {
	if err := context.Cause(ctx); err != nil {
		return err.Error()
	}
	return ""
}

// walkPerHost lets every host go its own way.
func (x *stepWalk) walkPerHost(ctx context.Context, hosts []*inventory.Host) {
	p := pool.New()
	var mu sync.Mutex
	ran, skipped := false, ""
	for _, h := range hosts {
		p.Go(func() {
			if !x.await(ctx, h) {
				return
			}
			ctx, done, why := x.enter(ctx, h)
			mu.Lock()
			if ctx != nil {
				ran = true
			} else {
				skipped = why
			}
			mu.Unlock()
			if ctx == nil {
				x.absent([]*inventory.Host{h}, "skipped: "+why)
				x.passOver(h.Name, why)
				return
			}
			defer done()
			x.begin()
			x.runCells(ctx, []*inventory.Host{h})
		})
	}
	p.Wait()
	if x.w.draining() {
		return
	}
	if !ran {
		x.end(executor.Skipped, orElse(skipped, "no host got as far"))
		return
	}
	x.conclude(ctx)
}

// perform runs every cell of the step.
func (x *stepWalk) perform(ctx context.Context, hosts []*inventory.Host) {
	if slots := x.w.slots; slots != nil {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
		}
	}
	x.begin()
	if x.s.Nested != "" {
		x.nested(ctx)
		return
	}
	x.runCells(ctx, hosts)
	if !x.w.draining() {
		x.conclude(ctx)
	}
}

func (x *stepWalk) begin() {
	x.mu.Lock()
	first := x.state.Started.IsZero()
	if first {
		x.state.State, x.state.Started = executor.Running, x.w.e.cfg.Executor.Now()
	}
	x.mu.Unlock()
	if first {
		x.store()
	}
}

// maxWidth is how many cells of a step go side by side: more would only lie in the queue.
const maxWidth = 1000

// runCells runs the cells over hosts side by side, and one run a host where
// parameters differ from host to host.
func (x *stepWalk) runCells(ctx context.Context, hosts []*inventory.Host) {
	ctx, stop := x.budget(ctx)
	defer stop()
	cells := x.s.cells(hosts)
	for _, h := range hosts {
		n := 0
		for _, c := range cells {
			if slices.Contains(c.hosts, h) {
				n++
			}
		}
		x.expect(h.Name, n)
	}
	x.remember(cells)
	width := min(len(cells), maxWidth)
	if x.s.Matrix != nil && x.s.Matrix.MaxParallel > 0 {
		width = x.s.Matrix.MaxParallel
	}
	if x.s.Sync != "" {
		width = 1 // the steps of a sync go through their cells in one order
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	p := pool.New().WithMaxGoroutines(max(1, width))
	for _, c := range cells {
		p.Go(func() {
			v := x.runCell(ctx, c)
			if v != executor.Passed && v != executor.Skipped && x.s.Matrix != nil && x.s.Matrix.FailFast && ctx.Err() == nil {
				x.mu.Lock()
				x.fast = true
				x.mu.Unlock()
				fail(&stopped{verdict: executor.Cancelled, reason: "another cell did not pass (fail_fast)"})
			}
		})
	}
	p.Wait()
}

// budget bounds the step by its own time, from its first start; retries share it.
func (x *stepWalk) budget(ctx context.Context) (context.Context, func()) {
	if x.s.Timeout == 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	x.mu.Lock()
	started := x.state.Started
	x.mu.Unlock()
	t := time.AfterFunc(x.s.Timeout-x.w.e.cfg.Executor.Since(started), func() {
		cancel(&stopped{verdict: executor.TimedOut, reason: fmt.Sprintf("step %s took longer than %s", x.s.Name, x.s.Timeout)})
	})
	return ctx, func() { t.Stop(); cancel(nil) }
}

func (x *stepWalk) remember(cells []cell) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range cells {
		if !slices.Contains(x.order, c.key) {
			x.order = append(x.order, c.key)
			x.state.Cells = append(x.state.Cells, CellState{Cell: c.key, Hosts: map[string]executor.Verdict{}})
		}
	}
}

// expect says how many cells end on a host before the step is over there.
func (x *stepWalk) expect(host string, cells int) {
	h := x.onHost(host)
	x.mu.Lock()
	h.left = cells
	x.mu.Unlock()
	if cells == 0 {
		x.hostOver(host, executor.Skipped, true)
	}
}

// hostOver counts a cell's end on a host; the last one, or all at once, ends the step there.
func (x *stepWalk) hostOver(host string, v executor.Verdict, all bool) {
	h := x.onHost(host)
	x.mu.Lock()
	defer x.mu.Unlock()
	if h.verdict == "" || !x.fast || v != executor.Cancelled {
		h.verdict = executor.Worst(h.verdict, v)
	}
	if h.left--; h.left <= 0 || all {
		select {
		case <-h.over:
		default:
			close(h.over)
		}
	}
}

// passOver ends the step on a host where it does not run.
func (x *stepWalk) passOver(host, why string) {
	h := x.onHost(host)
	x.mu.Lock()
	h.why = orElse(why, "skipped")
	x.mu.Unlock()
	x.hostOver(host, executor.Skipped, true)
}

func (x *stepWalk) verdictOn(host string) executor.Verdict {
	x.mu.Lock()
	defer x.mu.Unlock()
	if h := x.hosts[host]; h != nil {
		return h.verdict
	}
	return x.state.Verdict
}

// conclude makes the step's verdict of its cells.
func (x *stepWalk) conclude(ctx context.Context) {
	worst := executor.Verdict("")
	x.mu.Lock()
	for i := range x.state.Cells {
		if v := x.state.Cells[i].Verdict; !x.fast || v != executor.Cancelled { // those that fail_fast ended say nothing
			worst = executor.Worst(worst, v)
		}
	}
	reason := whyOf(worst, x.order, x.results)
	if worst != executor.Skipped { // hosts that were not begun for it, see max_fail
		reason = joined(reason, whyOf(executor.Skipped, x.order, x.results))
	}
	x.mu.Unlock()
	if worst == executor.Passed && x.allKept() {
		reason = x.w.keptFrom()
	}
	var s *stopped
	if errors.As(context.Cause(ctx), &s) && worst == s.verdict {
		reason = s.reason
	}
	if worst == "" {
		worst, reason = executor.Skipped, "the matrix leaves no cell for its hosts"
	}
	x.end(worst, reason)
}

// maxReasons bounds the different reasons that a step tells.
const maxReasons = 2

// whyOf tells why hosts ended with the verdict, those alike together: "dut[01-03]: exit status 1; dut04: exit status 3".
func whyOf(v executor.Verdict, cells []string, results map[string]map[string]executor.HostResult) string {
	hosts, order := map[string][]string{}, []string{}
	for _, cell := range cells {
		for _, host := range keysOf(results[cell]) {
			r := results[cell][host]
			if r.Verdict != v || r.Reason == "" || slices.Contains(hosts[r.Reason], host) {
				continue
			}
			if hosts[r.Reason] == nil {
				order = append(order, r.Reason)
			}
			hosts[r.Reason] = append(hosts[r.Reason], host)
		}
	}
	var parts []string
	for i, why := range order {
		if i == maxReasons {
			parts = append(parts, fmt.Sprintf("and %d more reasons", len(order)-i))
			break
		}
		parts = append(parts, inventory.Fold(hosts[why])+": "+why)
	}
	return strings.Join(parts, "; ")
}

// joined puts what there is of two reasons behind one another.
func joined(a, b string) string { return strings.Trim(a+"; "+b, "; ") }

// allKept reports whether nothing of the step ran: every cell is of the plan that is resumed.
func (x *stepWalk) allKept() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, key := range x.order {
		if _, kept := x.w.r.Kept[x.s.Name+"/"+key]; !kept {
			return false
		}
	}
	return len(x.order) > 0
}

// end stores the step's end and lets the others know.
func (x *stepWalk) end(v executor.Verdict, reason string) {
	x.mu.Lock()
	if x.state.Verdict != "" {
		x.mu.Unlock()
		return
	}
	x.state.State, x.state.Verdict, x.state.Reason, x.state.Finished = executor.Done, v, reason, x.ended
	if x.ended.IsZero() {
		x.state.Finished = x.w.e.cfg.Executor.Now()
	}
	x.mu.Unlock()
	x.absent(x.w.bound(x.s.On), strings.TrimSuffix(spoken(v)+": "+reason, ": "))
	x.store()
	x.mu.Lock()
	defer x.mu.Unlock()
	close(x.over)
	for _, h := range x.hosts {
		select {
		case <-h.over:
		default:
			h.verdict = executor.Worst(h.verdict, v)
			close(h.over)
		}
	}
}

func (x *stepWalk) outcome() (executor.Verdict, string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.state.Verdict, x.state.Reason
}

// store writes the step's state. That of one that had ended stays, until it is worked out anew.
func (x *stepWalk) store() {
	x.mu.Lock()
	state := x.state
	if state.State != executor.Done && !x.ended.IsZero() {
		x.mu.Unlock()
		return
	}
	state.Cells = slices.Clone(x.state.Cells)
	for i := range state.Cells {
		hosts := make(map[string]executor.Verdict, len(state.Cells[i].Hosts))
		for k, v := range state.Cells[i].Hosts {
			hosts[k] = v
		}
		state.Cells[i].Hosts = hosts
	}
	var rows []Row
	if state.State == executor.Done {
		rows = x.rows()
	}
	x.mu.Unlock()
	key := stepKey(x.w.r.ID, x.index)
	_ = x.w.persist(func(tx executor.Tx) error { // it gives up only when the engine drains
		tx.Ring(Topic(x.w.r.ID))
		return errors.Join(put(tx, tableSteps, key, state), putRows(tx, key, rows))
	})
}
