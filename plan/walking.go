package plan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

	"tfw/executor"
	"tfw/inventory"
)

// walking is one test plan on its way through its graph. Walking the same plan
// again after a restart meets the same runs: every submit has its key.
type walking struct {
	e    *Engine
	plan *Plan
	inv  *inventory.Inventory
	done chan struct{}

	by     string // who started it
	within bool   // another
	bytes  int    // of its text, files and parameters

	ctx    context.Context // of the steps; ends with a *stopped or errDrain
	cancel context.CancelCauseFunc

	mu    sync.Mutex // guards what follows
	r     record
	roles map[string][]*inventory.Host
	steps map[string]*stepWalk
	slots chan struct{} // bounds steps at a time; nil: no bound
}

// stopped is why a test plan ends before its time.
type stopped struct {
	verdict executor.Verdict
	reason  string // of a step, run or plan within: told to who sees only that one
	whole   string // of the test plan; "" is reason
}

func (s *stopped) Error() string { return s.reason }

var errDrain = errors.New("the controller is shutting down")

func newWalk(e *Engine, r record, p *Plan) *walking {
	w := &walking{e: e, plan: p, r: r, done: make(chan struct{}), steps: map[string]*stepWalk{},
		by: r.By, within: r.Parent != "", bytes: sizeOf(r.Text, r.Files, r.Parameters)}
	w.inv, _ = e.cfg.Executor.Snapshot(r.Principal)
	w.ctx, w.cancel = context.WithCancelCause(context.Background())
	for i, s := range p.all() {
		w.steps[s.Name] = newStepWalk(w, s, i)
	}
	if p.Parallel > 0 {
		w.slots = make(chan struct{}, p.Parallel)
	}
	return w
}

// principal is who started the test plan, as the policy bounds it now, after a restart too.
func (w *walking) principal() executor.Principal { return w.e.cfg.Executor.Bounded(w.r.Principal) }

func (w *walking) stop(v executor.Verdict, reason string) {
	w.cancel(&stopped{verdict: v, reason: reason})
}

// cancelled ends the test plan for somebody: "ann: board on fire". As with runs, why is told with the whole only: it may
// be about any of its hosts.
func (w *walking) cancelled(by string) {
	who, _, _ := strings.Cut(by, ": ")
	w.cancel(&stopped{executor.Cancelled, "cancelled by " + who, "cancelled by " + by})
}

// run walks the graph, then what a failure asks for, then what always runs.
func (w *walking) run() {
	defer w.cancel(nil)
	stopDrain := context.AfterFunc(w.e.background, func() { w.cancel(errDrain) })
	defer stopDrain()
	if w.r.Cancel != "" {
		w.cancelled(w.r.Cancel)
	}
	if !w.start() {
		return
	}
	defer w.clock()()
	w.group(w.ctx, w.plan.Steps)
	if w.draining() {
		return
	}
	after, done := w.after()
	defer done()
	if w.verdict(w.plan.Steps) != executor.Passed {
		w.group(after, w.plan.OnFailure)
	} else {
		w.skip(w.plan.OnFailure, "every step passed")
	}
	w.group(after, w.plan.Finally)
	if !w.draining() {
		w.finish()
	}
}

// after is the context of on_failure and finally: a cancel does not end it.
func (w *walking) after() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := context.AfterFunc(w.e.background, func() { cancel(errDrain) })
	return ctx, func() { stop(); cancel(nil) }
}

// late gives a step that runs although the plan is being ended a context of its own; others keep theirs.
func (w *walking) late(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return w.after()
}

func (w *walking) draining() bool { return w.e.background.Err() != nil }

// clock ends the plan when its time is over, counted from its first start.
func (w *walking) clock() (stop func()) {
	if w.plan.Timeout == 0 {
		return func() {}
	}
	t := time.AfterFunc(w.plan.Timeout-w.e.cfg.Executor.Since(w.r.Started), func() {
		w.stop(executor.TimedOut, fmt.Sprintf("the test plan took longer than %s", w.plan.Timeout))
	})
	return func() { t.Stop() }
}

// start binds the roles and marks the plan as running. It reports whether there is anything to walk.
func (w *walking) start() bool {
	err := w.bind()
	if w.draining() {
		return false
	}
	var s *stopped
	if errors.As(err, &s) { // while it waited
		w.end(s.verdict, orElse(s.whole, s.reason))
		return false
	}
	if err != nil {
		w.end(executor.Errored, executor.OnRecord(err))
		return false
	}
	return w.save(func(r *record) {
		if r.Started.IsZero() {
			r.Started = w.e.cfg.Executor.Now()
		}
		r.State, r.Waiting = executor.Running, ""
	}) == nil
}

// save changes the record and stores it, with what comes of that, for as long as that takes.
func (w *walking) save(change func(*record), also ...func(record, executor.Tx) error) error {
	w.mu.Lock()
	change(&w.r)
	r := w.r
	w.mu.Unlock()
	return w.persist(func(tx executor.Tx) error {
		now, err := load(tx, r.ID)
		if err != nil {
			return err
		}
		r.Cancel = now.Cancel // set by Cancel, never by us
		err = r.save(tx)
		for _, fn := range also {
			err = errors.Join(err, fn(r, tx))
		}
		return err
	})
}

func (w *walking) persist(fn func(executor.Tx) error) error {
	wait := 100 * time.Millisecond
	for {
		err := w.e.cfg.Store.Update(context.Background(), fn)
		if err == nil {
			return nil
		}
		w.e.cfg.Log.Error("cannot store the progress of a test plan, trying again", "testplan", w.r.ID, "error", err)
		select {
		case <-time.After(wait):
			wait = min(2*wait, 10*time.Second)
		case <-w.e.background.Done():
			return err
		}
	}
}

// group walks steps side by side, each when what it needs is over.
func (w *walking) group(ctx context.Context, steps []*Step) {
	var wg conc.WaitGroup
	for _, s := range steps {
		wg.Go(func() { w.steps[s.Name].walk(ctx) })
	}
	wg.Wait()
}

func (w *walking) skip(steps []*Step, why string) {
	for _, s := range steps {
		w.steps[s.Name].end(executor.Skipped, why)
	}
}

// verdict is the worst of the steps that are not allowed to fail; nothing but skipped steps is passed.
func (w *walking) verdict(steps []*Step) executor.Verdict {
	worst := executor.Passed
	for _, s := range steps {
		if v, _ := w.steps[s.Name].outcome(); !s.AllowFailure {
			worst = executor.Worst(worst, v)
		}
	}
	return worst
}

// finish works out the verdict and the outputs.
func (w *walking) finish() {
	verdict := executor.Worst(w.verdict(w.plan.Steps), w.verdict(w.plan.Finally))
	reason := ""
	var s *stopped
	if errors.As(context.Cause(w.ctx), &s) {
		verdict, reason = executor.Worst(verdict, s.verdict), orElse(s.whole, s.reason)
	}
	outputs := map[string]any{}
	for _, o := range w.plan.outputs {
		v, err := render(o.value, w.scope(nil, nil, nil))
		if err != nil && verdict == executor.Passed {
			verdict, reason = executor.Errored, fmt.Sprintf("output %s: %v", o.name, err)
		}
		if err == nil {
			outputs[o.name] = v
		}
	}
	w.mu.Lock()
	w.r.Outputs = outputs
	w.mu.Unlock()
	w.end(verdict, reason)
}

// end stores the test plan's end and gives the hosts back.
func (w *walking) end(v executor.Verdict, reason string) {
	w.release()
	w.mu.Lock()
	w.r.State, w.r.Verdict, w.r.Reason, w.r.Waiting, w.r.Finished = executor.Done, v, reason, "", w.e.cfg.Executor.Now()
	r := w.r
	w.mu.Unlock()
	for _, s := range w.plan.all() { // every step has an end, whatever happened
		if v, _ := w.steps[s.Name].outcome(); v == "" {
			w.steps[s.Name].end(executor.Skipped, "the test plan ended before it")
		}
	}
	w.adjourn()
	err := w.persist(func(tx executor.Tx) error {
		if err := tx.Delete(tableOpen, r.ID); err != nil {
			return err
		}
		now, err := load(tx, r.ID)
		if err != nil {
			return err
		}
		r.Cancel = now.Cancel
		by := executor.Principal{Name: r.By, Token: r.Principal.Token, Source: "testplan " + r.ID, Request: r.Principal.Request}
		ended := executor.AuditEntry{Action: "testplan.end", Object: r.ID, Hosts: concerned(tx, now), Outcome: string(v), Detail: reason}
		return errors.Join(w.e.cfg.Executor.Record(tx, by, ended), r.save(tx))
	})
	if err == nil {
		w.e.cfg.Log.Info("test plan done", "testplan", r.ID, "verdict", v)
	}
}

// scope is what expressions of a step see.
func (w *walking) scope(s *Step, values map[string]any, h *inventory.Host) scope {
	w.mu.Lock()
	defer w.mu.Unlock()
	steps := map[string]any{}
	for name, sw := range w.steps {
		switch {
		case s != nil && !s.refs[name]:
		case s != nil && s.PerHost && h != nil && sw.s.On == s.On:
			steps[name] = sw.seenOn(h.Name)
		default:
			steps[name] = sw.seen()
		}
	}
	hosts := map[string]any{}
	for role, bound := range w.roles {
		all := make([]any, len(bound))
		for i, b := range bound {
			all[i] = hostScope(b)
		}
		hosts[role] = all
	}
	sc := scope{"params": w.plan.shown(w.r.Parameters), "steps": steps, "hosts": hosts, "env": anyMap(w.plan.Env),
		"now": func() time.Time { return w.r.Created }, // the same at every walk
		"run": map[string]any{"id": w.r.ID, "name": w.r.Name, "by": w.r.By}}
	if values != nil {
		sc["matrix"] = values
	}
	if h != nil {
		sc["host"] = hostScope(h)
	}
	return sc
}
