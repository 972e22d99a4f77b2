package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// runCell runs one cell with its retries and gives its verdict.
func (x *stepWalk) runCell(ctx context.Context, c cell) executor.Verdict {
	if k, ok := x.w.r.Kept[x.s.Name+"/"+c.key]; ok {
		return x.keep(c, k)
	}
	groups := [][]*inventory.Host{c.hosts}
	if x.s.perHost() {
		groups = nil
		for _, h := range c.hosts {
			groups = append(groups, []*inventory.Host{h})
		}
	}
	worst := executor.Verdict("")
	done := make(chan executor.Verdict, len(groups))
	for _, g := range groups { // each of them is waited for below
		go func() { done <- x.attempts(ctx, c, g) }()
	}
	for range groups {
		worst = executor.Worst(worst, <-done)
	}
	x.cellVerdict(c.key, worst)
	return worst
}

// keptFrom says why a step passed without running.
func (w *walking) keptFrom() string { return "passed already in " + w.r.ResumeOf }

// keep takes over what passed in the plan that is resumed.
func (x *stepWalk) keep(c cell, k kept) executor.Verdict {
	for host, res := range k.Results {
		x.result(c.key, res, k.Of[host], true)
		x.hostOver(host, executor.Passed, false)
	}
	x.mu.Lock()
	i := slices.Index(x.order, c.key)
	x.state.Cells[i].Runs, x.state.Cells[i].Kept = k.Runs, true
	x.mu.Unlock()
	x.cellVerdict(c.key, executor.Passed)
	return executor.Passed
}

func (x *stepWalk) cellVerdict(key string, v executor.Verdict) {
	x.mu.Lock()
	i := slices.Index(x.order, key)
	x.state.Cells[i].Verdict = executor.Worst(x.state.Cells[i].Verdict, v)
	x.mu.Unlock()
	if !x.w.draining() {
		x.store()
	}
}

// result notes how a cell ended on a host, for now: an attempt after this one replaces it.
func (x *stepWalk) result(cell string, r executor.HostResult, run executor.RunID, kept bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	place := cell + "\x00" + r.Host
	x.did[place] = did{run: run, tries: x.did[place].tries + 1, kept: kept}
	if x.results[cell] == nil {
		x.results[cell] = map[string]executor.HostResult{}
	}
	x.results[cell][r.Host] = r
	x.state.Cells[slices.Index(x.order, cell)].Hosts[r.Host] = r.Verdict
}

// attempts runs a cell on hosts, and again on those that may be retried.
func (x *stepWalk) attempts(ctx context.Context, c cell, hosts []*inventory.Host) executor.Verdict {
	final := executor.Verdict("")
	settle := func(r executor.HostResult, run executor.RunID) {
		final = executor.Worst(final, r.Verdict)
		x.result(c.key, r, run, false)
		x.hostOver(r.Host, r.Verdict, false)
	}
	for attempt := 1; ; attempt++ {
		run, err := x.submit(ctx, c, hosts, attempt)
		if x.w.draining() {
			return final
		}
		if err != nil {
			for _, h := range hosts {
				settle(notRun(ctx, h, err), "")
			}
			return final
		}
		again := x.again(ctx, c, run, attempt)
		for _, r := range run.Hosts {
			if slices.ContainsFunc(again, func(h *inventory.Host) bool { return h.Name == r.Host }) {
				x.result(c.key, r, run.ID, false)
			} else {
				settle(r, run.ID)
			}
		}
		if len(again) == 0 {
			return final
		}
		hosts = again
		x.pause(ctx, x.s.Retry.delay(attempt)-x.w.e.cfg.Executor.Since(run.Finished))
	}
}

// again gives the hosts for the attempt after this one. When the step is to end there is none, but for one that was begun
// before a restart.
func (x *stepWalk) again(ctx context.Context, c cell, run *executor.Run, attempt int) (hosts []*inventory.Host) {
	for _, r := range run.Hosts {
		if h, ok := x.w.inv.Host(r.Host); ok && attempt <= x.s.Retry.Limit && slices.Contains(x.s.Retry.On, r.Verdict) {
			hosts = append(hosts, h)
		}
	}
	if ctx.Err() == nil || len(hosts) == 0 {
		return hosts
	}
	req, err := x.request(c, hosts, attempt+1)
	if err != nil {
		return nil
	}
	if known, err := x.w.e.cfg.Executor.Begun(context.Background(), x.w.r.Principal, req); err != nil || known == "" {
		return nil
	}
	return hosts
}

// notRun is the result of a host whose run could not be submitted.
func notRun(ctx context.Context, h *inventory.Host, err error) executor.HostResult {
	r := executor.HostResult{Host: h.Name, Verdict: executor.Errored, Reason: executor.OnRecord(err)}
	var s *stopped
	if errors.As(context.Cause(ctx), &s) {
		r.Verdict, r.Reason = s.verdict, s.reason
	}
	return r
}

// delay before the attempt after this one.
func (t Retry) delay(attempt int) time.Duration {
	d := float64(t.Backoff) * math.Pow(t.Factor, float64(attempt-1))
	if t.Max > 0 {
		d = min(d, float64(t.Max))
	}
	return time.Duration(min(d, float64(24*time.Hour)))
}

func (x *stepWalk) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-x.w.e.background.Done():
	}
}

// crowdedPause is how often a cell asks again whether its user may have another run.
const crowdedPause = 2 * time.Second

// submit runs one attempt to its end. The key makes a walk after a restart meet the same run.
func (x *stepWalk) submit(ctx context.Context, c cell, hosts []*inventory.Host, attempt int) (*executor.Run, error) {
	req, err := x.request(c, hosts, attempt)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // what was begun before a restart is met again, and cancelled by follow; nothing else begins now
		if known, err := x.w.e.cfg.Executor.Begun(context.Background(), x.w.r.Principal, req); err != nil || known == "" {
			return nil, errors.Join(err, context.Cause(ctx))
		}
	}
	run, err := x.w.e.cfg.Executor.Submit(context.Background(), x.w.principal(), req)
	for errors.Is(err, executor.ErrTooMany) && ctx.Err() == nil && !x.w.draining() { // some are to end first
		x.pause(ctx, crowdedPause)
		run, err = x.w.e.cfg.Executor.Submit(context.Background(), x.w.principal(), req)
	}
	if err != nil {
		return nil, err
	}
	x.note(c.key, run.ID)
	return x.follow(ctx, run)
}

func (x *stepWalk) request(c cell, hosts []*inventory.Host, attempt int) (executor.Request, error) {
	var only *inventory.Host
	if len(hosts) == 1 {
		only = hosts[0]
	}
	with, err := render(x.s.With, x.w.scope(x.s, c.values, only))
	if err != nil {
		return executor.Request{}, fmt.Errorf("with: %w", err)
	}
	if with == nil {
		with = map[string]any{}
	}
	raw, err := json.Marshal(with)
	if err != nil {
		return executor.Request{}, fmt.Errorf("with: %w", err)
	}
	meeting, err := x.meet(c.key)
	if err != nil {
		return executor.Request{}, err
	}
	names := strings.Join(namesOf(hosts), ",")
	key := fmt.Sprintf("testplan/%s/%s/%s/%s/%d", x.w.r.ID, x.s.Name, c.key, names, attempt)
	return executor.Request{Plugin: x.s.Plugin, Method: x.s.Method, Parameters: raw, Target: names,
		Options: executor.Options{Parallel: x.width(hosts), Serial: x.s.Serial, MaxFail: x.s.MaxFail, SilenceTimeout: executor.Duration(x.s.Silence), Lease: x.w.r.Lease},
		Plan:    x.w.r.ID, Step: x.s.Name, Meeting: meeting, IdempotencyKey: key}, nil
}

// width is how many hosts go side by side: all, where they wait for one another.
func (x *stepWalk) width(hosts []*inventory.Host) int {
	if x.s.Sync == "" {
		return 0
	}
	return len(hosts)
}

func (x *stepWalk) note(cell string, id executor.RunID) {
	x.mu.Lock()
	c := &x.state.Cells[slices.Index(x.order, cell)]
	if !slices.Contains(c.Runs, id) {
		c.Runs = append(c.Runs, id)
	}
	x.mu.Unlock()
	x.store()
}

// follow waits for the run's end. When the step is stopped the run is cancelled,
// and its end, with the proof, is waited for all the same.
func (x *stepWalk) follow(ctx context.Context, run *executor.Run) (*executor.Run, error) {
	ex, p, whole := x.w.e.cfg.Executor, x.w.r.Principal, executor.Local("tfw") // the engine sees its run to its end on every host, whoever has it by now
	wait, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(x.w.e.background, stop)()
	done, err := ex.Wait(wait, whole, string(run.ID))
	if err == nil || x.w.draining() {
		return done, err
	}
	var s *stopped
	if !errors.As(context.Cause(ctx), &s) {
		return done, err
	}
	if _, err := ex.Cancel(context.Background(), p, string(run.ID), s.reason); err != nil && !errors.Is(err, executor.ErrConflict) {
		return done, err
	}
	done, err = ex.Wait(x.w.e.background, whole, string(run.ID))
	if err != nil {
		return done, err
	}
	for i := range done.Hosts {
		if done.Hosts[i].Verdict == executor.Cancelled {
			done.Hosts[i].Verdict = s.verdict
			done.Hosts[i].Reason = s.reason + strings.TrimPrefix(done.Hosts[i].Reason, "cancelled by "+p.Name)
		}
	}
	return done, nil
}

// seen is what expressions see of a step.
func (x *stepWalk) seen() map[string]any {
	x.mu.Lock()
	defer x.mu.Unlock()
	hosts := map[string]any{}
	outputs := x.outputs
	for _, key := range x.order {
		for name, r := range x.results[key] {
			var out any
			if len(r.Outputs) > 0 {
				_ = json.Unmarshal(r.Outputs, &out) // written by a method's encoder
			}
			one := map[string]any{"verdict": string(r.Verdict), "reason": r.Reason, "outputs": out}
			if r.ExitCode != nil {
				one["exit_code"] = *r.ExitCode
			}
			hosts[name] = one
		}
	}
	if outputs == nil { // of the first host, by name, that passed
		for _, name := range keysOf(hosts) {
			h := hosts[name].(map[string]any)
			if outputs == nil && h["verdict"] == string(executor.Passed) {
				outputs = h["outputs"]
			}
		}
	}
	return map[string]any{"verdict": string(x.state.Verdict), "reason": x.state.Reason, "outputs": outputs, "hosts": hosts}
}

// seenOn is what a step that goes host by host sees of one on the same hosts: its own host's part.
func (x *stepWalk) seenOn(host string) map[string]any {
	all := x.seen()
	all["verdict"] = string(x.verdictOn(host))
	all["outputs"] = nil
	if one, ok := all["hosts"].(map[string]any)[host].(map[string]any); ok {
		all["outputs"], all["reason"] = one["outputs"], one["reason"]
	}
	return all
}

// nested runs another plan as the step.
func (x *stepWalk) nested(ctx context.Context) {
	if k, ok := x.w.r.Kept[x.s.Name+"/"]; ok {
		x.mu.Lock()
		x.outputs = any(k.Outputs)
		x.state.Cells = []CellState{{Plan: k.Plan, Verdict: executor.Passed}}
		x.mu.Unlock()
		x.end(executor.Passed, x.w.keptFrom())
		return
	}
	with, err := render(x.s.With, x.w.scope(x.s, nil, nil))
	params, _ := with.(map[string]any)
	var child *TestPlan
	e, p := x.w.e, x.w.principal()
	if err == nil && x.w.r.Depth+1 > maxNesting {
		err = fmt.Errorf("plans are nested deeper than %d", maxNesting)
	}
	if err == nil {
		child, err = e.Submit(context.Background(), p, Submission{File: x.s.Nested, Plan: x.w.r.Files[x.s.Nested], Files: x.w.r.Files, Parameters: params,
			IdempotencyKey: "testplan/" + x.w.r.ID + "/" + x.s.Name, parent: x.w.r.ID, depth: x.w.r.Depth + 1})
	}
	if err != nil {
		x.end(executor.Errored, err.Error())
		return
	}
	x.mu.Lock()
	x.state.Cells = []CellState{{Plan: child.ID}}
	x.mu.Unlock()
	x.store()
	ctx, stop := x.budget(ctx)
	defer stop()
	x.awaitNested(ctx, child.ID)
}

func (x *stepWalk) awaitNested(ctx context.Context, id string) {
	e, p := x.w.e, x.w.r.Principal
	wait, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(e.background, stop)()
	done, err := e.Wait(wait, p, id)
	if err != nil && !x.w.draining() {
		if _, err = e.Cancel(context.Background(), p, id, x.w.cause(ctx)); err == nil || errors.Is(err, executor.ErrConflict) {
			done, err = e.Wait(e.background, p, id)
		}
	}
	if x.w.draining() {
		return
	}
	if err != nil {
		x.end(executor.Errored, err.Error())
		return
	}
	x.mu.Lock()
	var s *stopped
	verdict, reason := done.Verdict, done.Reason
	if errors.As(context.Cause(ctx), &s) && verdict == executor.Cancelled {
		verdict, reason = s.verdict, s.reason
	}
	x.outputs = any(done.Outputs)
	x.state.Cells[0].Verdict = verdict
	x.mu.Unlock()
	x.end(verdict, reason)
}
