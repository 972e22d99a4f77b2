package plan

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"sort"
	"time"

	"tfw/executor"
)

// Event is one thing that happened in a test plan: a plan, step, cell or case that changed, or
// output. The one of type "end" is the last.
type Event struct {
	Type    string           `json:"type"`           // plan, step, cell, case, output or end
	Step    string           `json:"step,omitempty"` // within nested plans "outer/inner"; of a nested plan the step that it is
	Cell    string           `json:"cell,omitempty"`
	Host    string           `json:"host,omitempty"`
	State   executor.State   `json:"state,omitempty"`
	Verdict executor.Verdict `json:"verdict,omitempty"`
	Reason  string           `json:"reason,omitempty"`
	Plan    *Brief           `json:"testplan,omitempty"` // of plan and end
	Now     *StepState       `json:"now,omitempty"`      // of step: as it stands, without its cells
	Hosts   []string         `json:"hosts,omitempty"`    // of step: the hosts of its role
	Entry   *executor.Entry  `json:"-"`                  // of output
}

// Follower tells what happens in a test plan and those within it, from how it stands at the
// beginning to its end. Output of a cell comes before the cell's end. Nothing is kept but a cursor for each
// run under way. Not safe for concurrent use.
type Follower struct {
	e      *Engine
	p      executor.Principal
	after  uint64
	output bool

	plans map[string]*followed // by the steps around them, "" for the one asked for
	runs  map[executor.RunID]*followedRun
	held  []heldEvent // ends that wait for the output before them
	news  []Event     // found by a look that was cut short
	said  []Event     // and the output
	ended bool
	read  time.Time // when plans were last read
}

// heldEvent waits until the runs are read to their end.
type heldEvent struct {
	event Event
	runs  []executor.RunID
}

type followed struct {
	id    string
	bell  <-chan struct{}
	head  Brief
	steps map[int]StepState // as they were told, by their place in the plan
	done  bool
}

type followedRun struct {
	id         executor.RunID
	step, cell string
	after      uint64
	bell       <-chan struct{}
	dirty      bool            // there may be more to read
	last       bool            // its cell has ended: nothing is said after what is there
	passed     map[string]bool // hosts that were told to have
	looked     time.Time       // when its hosts were looked at last
	owed       bool            // it rang since
}

const (
	followEvery = 100 * time.Millisecond // at most so often the plans are read
	followBytes = 1 << 20                // of output in one go, about
	hostsEvery  = 500 * time.Millisecond // at most so often it is looked which hosts of a run have passed
)

// Follow begins to follow a test plan. Output entries with a Seq up to after are left out; with output false all of them are.
func (e *Engine) Follow(ctx context.Context, p executor.Principal, id string, after uint64, output bool) (*Follower, error) {
	t, err := e.TestPlan(ctx, p, id)
	if err != nil {
		return nil, err
	}
	return &Follower{e: e, p: p, after: after, output: output, plans: map[string]*followed{"": {id: t.ID}}, runs: map[executor.RunID]*followedRun{}}, nil
}

// Next waits for events and gives them; none after the end. When ctx ends first it gives ctx's error, and may be called again.
func (f *Follower) Next(ctx context.Context) ([]Event, error) {
	for !f.ended {
		events, err := f.look(ctx)
		if err != nil || len(events) > 0 {
			return events, err
		}
		if err := f.sleep(ctx); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// look reads what rang.
func (f *Follower) look(ctx context.Context) (events []Event, err error) {
	for _, within := range keysOf(f.plans) { // what is found before an error is for the next call
		if err := f.lookAt(ctx, within, &f.news); err != nil {
			return nil, err
		}
	}
	more, err := f.readLogs(ctx, &f.said)
	if err != nil {
		return nil, err
	}
	f.letGo(&f.news)
	events = inOrder(f.news, f.said)
	f.news, f.said = nil, nil
	top := f.plans[""]
	if top.done && !more && len(f.held) == 0 && f.allDone() {
		f.ended = true
		head := top.head
		events = append(events, Event{Type: "end", State: head.State, Verdict: head.Verdict, Plan: &head})
	}
	return events, nil
}

func (f *Follower) allDone() bool {
	for _, p := range f.plans {
		if !p.done {
			return false
		}
	}
	return true
}

// lookAt tells what is new about one plan, and of those that begin within it.
func (f *Follower) lookAt(ctx context.Context, within string, events *[]Event) error {
	p := f.plans[within]
	if p.done || p.bell != nil && !rung(p.bell) {
		return nil
	}
	if wait := followEvery - time.Since(f.read); p.bell != nil && wait > 0 { // changes in quick succession come together
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ctx = context.WithoutCancel(ctx) // half a look would lose the bell
	p.bell = f.e.Changed(p.id)       // before looking
	t, err := f.e.TestPlan(ctx, f.p, p.id)
	if err != nil {
		p.bell = nil
		return err
	}
	f.read = time.Now()
	head := t.Brief()
	if p.head != head && !(within == "" && head.State == executor.Done) { // the end of the whole has an event of its own
		shown := head
		*events = append(*events, Event{Type: "plan", Step: trimSlash(within), State: head.State, Verdict: head.Verdict, Reason: t.Reason, Plan: &shown})
	}
	p.head = head
	if p.steps == nil {
		p.steps = map[int]StepState{}
	}
	for _, s := range t.Steps {
		if err := f.step(ctx, t, within, p.steps[s.index], s, events); err != nil {
			return err
		}
		p.steps[s.index] = s
	}
	p.done = head.State == executor.Done
	return nil
}

func trimSlash(within string) string {
	if within == "" {
		return ""
	}
	return within[:len(within)-1]
}

func rung(bell <-chan struct{}) bool {
	select {
	case <-bell:
		return true
	default:
		return false
	}
}

// step tells what is new about a step. Ends are held back until the output before them is out.
func (f *Follower) step(ctx context.Context, t *TestPlan, within string, before, now StepState, events *[]Event) error {
	name := within + now.Name
	var runs []executor.RunID
	if now.State != executor.Done && before.State != now.State {
		*events = append(*events, f.stepEvent(t, name, now))
	}
	if now.State == executor.Done && before.State != executor.Running && before.State != executor.Done && !now.Started.IsZero() { // it was quicker than we looked
		begun := now
		begun.State, begun.Verdict, begun.Reason, begun.Finished = executor.Running, "", "", time.Time{}
		*events = append(*events, f.stepEvent(t, name, begun))
	}
	for _, c := range now.Cells {
		var was CellState
		if i := slices.IndexFunc(before.Cells, func(b CellState) bool { return b.index == c.index }); i >= 0 { // some come to be seen later
			was = before.Cells[i]
		}
		runs = append(runs, c.Runs...)
		if err := f.cell(ctx, within, name, was, c, events); err != nil {
			return err
		}
	}
	if now.State == executor.Done && before.State != executor.Done {
		f.hold(f.stepEvent(t, name, now), runs)
	}
	return nil
}

func (f *Follower) stepEvent(t *TestPlan, name string, now StepState) Event {
	shown := now
	shown.Cells = nil
	return Event{Type: "step", Step: name, State: now.State, Verdict: now.Verdict, Reason: now.Reason, Now: &shown, Hosts: t.Hosts[now.On]}
}

func (f *Follower) cell(ctx context.Context, within, step string, was, now CellState, events *[]Event) error {
	ended := now.Verdict != ""
	for _, id := range now.Runs {
		if f.runs[id] == nil && f.output && was.Verdict == "" && !now.Kept {
			f.runs[id] = &followedRun{id: id, step: step, cell: now.Cell, after: f.after, dirty: true, looked: time.Now()}
		}
		if r := f.runs[id]; r != nil && ended && !r.last {
			r.last, r.dirty = true, true
		}
	}
	if now.Plan != "" && f.plans[step+"/"] == nil {
		f.plans[step+"/"] = &followed{id: now.Plan}
		if err := f.lookAt(ctx, step+"/", events); errors.Is(err, executor.ErrNotFound) {
			delete(f.plans, step+"/")
		} else if err != nil {
			return err
		}
	}
	for _, host := range keysOf(now.Hosts) {
		if v := now.Hosts[host]; v != was.Hosts[host] && !(v == executor.Passed && f.toldPassed(now.Runs, host)) {
			f.hold(Event{Type: "case", Step: step, Cell: now.Cell, Host: host, Verdict: now.Hosts[host]}, now.Runs)
		}
	}
	switch {
	case ended && was.Verdict == "":
		f.hold(Event{Type: "cell", Step: step, Cell: now.Cell, State: executor.Done, Verdict: now.Verdict}, now.Runs)
	case was.Runs == nil && was.Hosts == nil && was.Plan == "" && !ended:
		*events = append(*events, Event{Type: "cell", Step: step, Cell: now.Cell, State: executor.Running})
	}
	return nil
}

// toldPassed reports whether it was told already that the host passed in one of the runs.
func (f *Follower) toldPassed(runs []executor.RunID, host string) bool {
	return slices.ContainsFunc(runs, func(id executor.RunID) bool { return f.runs[id] != nil && f.runs[id].passed[host] })
}

// progress tells which hosts of a run under way have passed. How the others ended is told with their cell: they may be tried again.
func (f *Follower) progress(ctx context.Context, r *followedRun) error {
	if r.owed = !r.last && time.Since(r.looked) < hostsEvery; r.owed || r.last {
		return nil
	}
	r.looked = time.Now()
	run, err := f.e.cfg.Executor.Run(ctx, f.p, string(r.id))
	if errors.Is(err, executor.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, res := range run.Hosts {
		if res.Verdict == executor.Passed && !r.passed[res.Host] {
			if r.passed == nil {
				r.passed = map[string]bool{}
			}
			r.passed[res.Host] = true
			f.hold(Event{Type: "case", Step: r.step, Cell: r.cell, Host: res.Host, Verdict: res.Verdict}, []executor.RunID{r.id})
		}
	}
	return nil
}

func (f *Follower) hold(e Event, runs []executor.RunID) {
	var open []executor.RunID
	for _, id := range runs {
		if r := f.runs[id]; r != nil {
			r.dirty = true // look once more: what led to this was said before it
			open = append(open, id)
		}
	}
	f.held = append(f.held, heldEvent{e, open})
}

// letGo tells the ends whose output is out.
func (f *Follower) letGo(events *[]Event) {
	f.held = slices.DeleteFunc(f.held, func(h heldEvent) bool {
		for _, id := range h.runs {
			if r := f.runs[id]; r != nil && r.dirty {
				return false
			}
		}
		*events = append(*events, h.event)
		return true
	})
	maps.DeleteFunc(f.runs, func(_ executor.RunID, r *followedRun) bool { return r.last && !r.dirty && r.bell == nil })
}

// readLogs reads what is new in the runs that rang, and reports whether there is more right now.
func (f *Follower) readLogs(ctx context.Context, events *[]Event) (more bool, err error) {
	var due []*followedRun
	for _, r := range f.runs {
		if r.dirty || r.bell != nil && rung(r.bell) || r.owed && time.Since(r.looked) >= hostsEvery {
			due = append(due, r)
		}
	}
	var entries []executor.Entry
	for _, r := range due {
		r.bell, r.dirty = f.e.cfg.Executor.Changed(r.id), true // before looking
		page, failed := f.e.cfg.Executor.Log(context.WithoutCancel(ctx), f.p, executor.LogQuery{Run: r.id, After: r.after, Bytes: max(4<<10, followBytes/len(due))})
		if failed != nil && !errors.Is(failed, executor.ErrNotFound) {
			err = failed
			break
		}
		r.after, r.dirty = max(r.after, page.Next), page.More
		entries = append(entries, page.Entries...)
		more = more || page.More
		if r.last && !r.dirty {
			r.bell = nil // done with it
		}
		if failed := f.progress(context.WithoutCancel(ctx), r); failed != nil {
			err = failed
			break
		}
	}
	sort.SliceStable(entries, func(a, b int) bool { return entries[a].Seq < entries[b].Seq })
	for i := range entries {
		r := f.runs[entries[i].Run]
		*events = append(*events, Event{Type: "output", Step: r.step, Cell: r.cell, Host: entries[i].Host, Entry: &entries[i]})
	}
	return more, err
}

// sleep waits for the next bell.
func (f *Follower) sleep(ctx context.Context) error {
	cases := []reflect.SelectCase{{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())}}
	add := func(bell <-chan struct{}) {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(bell)})
	}
	for _, p := range f.plans {
		if !p.done {
			add(p.bell)
		}
	}
	owed := false
	for _, r := range f.runs {
		if r.dirty {
			return nil
		}
		if r.bell != nil {
			add(r.bell)
		}
		owed = owed || r.owed
	}
	if owed {
		soon := time.NewTimer(hostsEvery)
		defer soon.Stop()
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(soon.C)})
	}
	if chosen, _, _ := reflect.Select(cases); chosen == 0 {
		return ctx.Err()
	}
	return nil
}
