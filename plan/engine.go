package plan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sourcegraph/conc"

	"tfw/executor"
	"tfw/inventory"
	"tfw/plugins"
)

// Config is what an [Engine] is made of. All but Log are required.
type Config struct {
	Executor  *executor.Executor
	Store     executor.Store
	Plugins   *plugins.Registry
	Inventory func() *inventory.Inventory
	Log       *slog.Logger
}

// Engine drives test plans on top of the executor. Safe for concurrent use.
type Engine struct {
	cfg Config

	mu       sync.Mutex
	walks    map[string]*walking
	draining bool
	most     int // test plans of one user that are not done

	background context.Context
	end        context.CancelFunc
	work       conc.WaitGroup
}

// New makes an engine. Call [Engine.Recover] before the first Submit and after the executor's.
func New(cfg Config) *Engine {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: cfg, walks: map[string]*walking{}, most: maxUndone}
	e.background, e.end = context.WithCancel(context.Background())
	return e
}

// Submission asks for a test plan to be run.
type Submission struct {
	File           string            `json:"file,omitempty"`  // its name, for messages
	Plan           string            `json:"plan"`            // the text, YAML or JSON
	Files          map[string]string `json:"files,omitempty"` // plans that "uses: plan:FILE" names
	Parameters     map[string]any    `json:"parameters,omitempty"`
	IdempotencyKey string            `json:"-"`

	parent string
	depth  int
	kept   map[string]kept
	bound  map[string][]string
	resume string
}

// Check reads a plan and checks it against the methods and hosts there are. The
// error is [Problems], or wraps executor.ErrBadRequest. No host is touched.
func (e *Engine) Check(p executor.Principal, s Submission) (*Plan, error) {
	if s.File == "" {
		s.File = "plan"
	}
	w := World{Plugins: e.cfg.Plugins, Files: map[string][]byte{}}
	w.Inventory, w.Facts = e.cfg.Executor.Snapshot(p)
	for name, text := range s.Files {
		w.Files[name] = []byte(text)
	}
	return ParseAndCheck(s.File, []byte(s.Plan), w, s.Parameters)
}

// Submit checks a plan, stores it and starts it. With an IdempotencyKey seen before the first test plan is returned.
func (e *Engine) Submit(ctx context.Context, p executor.Principal, s Submission) (*TestPlan, error) {
	if !p.May(executor.Operator) {
		return nil, fmt.Errorf("%s may not run test plans: %w (needs the role operator)", p.Name, executor.ErrForbidden)
	}
	if err := s.checkKey(); err != nil {
		return nil, err
	}
	known, err := e.replayed(ctx, p, s)
	if err != nil {
		return nil, err
	}
	if known != "" {
		return e.TestPlan(ctx, p, known)
	}
	if err := e.room(p, s); err != nil {
		return nil, err
	}
	parsed, err := e.Check(p, s)
	if err != nil {
		return nil, err
	}
	params, err := parsed.accept(s.Parameters, false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", executor.ErrBadRequest, err)
	}
	if err := parsed.maySecrets(e.cfg.Executor, p, params); err != nil {
		return nil, err
	}
	r := record{File: s.File, Text: s.Plan, Files: s.Files, Principal: p, Kept: s.kept, Depth: s.depth, TestPlan: TestPlan{
		ID: executor.NewID(), Name: parsed.Name, State: executor.Queued, Parameters: params, Created: e.cfg.Executor.Now(), By: p.Name,
		ResumeOf: s.resume, Parent: s.parent, Hosts: s.bound,
	}}
	known, err = e.create(ctx, p, s, &r, parsed)
	if err != nil {
		return nil, err
	}
	if known != "" {
		return e.TestPlan(ctx, p, known)
	}
	if err := e.begin(r, parsed); err != nil {
		return nil, err
	}
	return e.TestPlan(ctx, p, r.ID)
}

// create stores the test plan, or gives the one that the key made before.
func (e *Engine) create(ctx context.Context, p executor.Principal, s Submission, r *record, parsed *Plan) (known string, err error) {
	err = e.cfg.Store.Update(ctx, func(tx executor.Tx) error {
		known = ""
		if s.IdempotencyKey != "" {
			if known, err = keyed(tx, p, s); err != nil || known != "" {
				return err
			}
			if err := put(tx, tableKeys, p.Name+"\x00"+s.IdempotencyKey, keyRecord{r.ID, s.print()}); err != nil {
				return err
			}
		}
		seq, err := tx.Next(tableOrder)
		if err != nil {
			return err
		}
		r.Seq = seq
		for i, step := range parsed.all() {
			if err := put(tx, tableSteps, stepKey(r.ID, i), parsed.queued(step)); err != nil {
				return err
			}
		}
		if r.Parent == "" {
			if err := tx.Put(tableNames, nameKey(r.Name, seq), []byte(r.ID)); err != nil {
				return err
			}
		}
		entry := executor.AuditEntry{Action: "testplan", Object: r.ID, Outcome: "queued", Detail: r.Name}
		if r.ResumeOf != "" {
			entry.Detail += ", resumes " + r.ResumeOf
		}
		return errors.Join(e.cfg.Executor.Record(tx, p, entry), r.save(tx), r.index(tx), tx.Put(tableOrder, placeOf(seq), []byte(r.ID)), tx.Put(tableOpen, r.ID, []byte("{}")))
	})
	return known, err
}

// queued is how a step begins.
func (p *Plan) queued(s *Step) StepState {
	state := StepState{Name: s.Name, Uses: s.uses(), On: s.On, State: executor.Queued, After: s.deps}
	switch {
	case slices.Contains(p.OnFailure, s):
		state.Part = "on_failure"
	case slices.Contains(p.Finally, s):
		state.Part = "finally"
	}
	return state
}

func (s *Step) uses() string {
	if s.Nested != "" {
		return "plan:" + s.Nested
	}
	return s.Plugin + "." + s.Method
}

// Recover takes up the test plans that an earlier process left unfinished.
func (e *Engine) Recover(ctx context.Context) error {
	if err := e.indexPlans(ctx); err != nil {
		return fmt.Errorf("index of test plans: %w", err)
	}
	var open []record
	err := e.cfg.Store.View(ctx, func(tx executor.Tx) error {
		open = nil
		var ids []string
		if err := tx.Range(tableOpen, "", false, func(id string, _ []byte) bool { ids = append(ids, id); return true }); err != nil {
			return err
		}
		for _, id := range ids {
			r, err := load(tx, id)
			if err != nil {
				return err
			}
			open = append(open, r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("unfinished test plans: %w", err)
	}
	for _, r := range open {
		parsed, err := Parse(r.File, []byte(r.Text))
		if err != nil { // an older tfw read it: this one cannot
			r.State, r.Verdict, r.Reason, r.Finished = executor.Done, executor.Errored, "cannot be taken up: "+err.Error(), e.cfg.Executor.Now()
			if err := e.cfg.Store.Update(ctx, func(tx executor.Tx) error { return errors.Join(tx.Delete(tableOpen, r.ID), r.save(tx)) }); err != nil {
				return err
			}
			continue
		}
		if err := e.begin(r, parsed); err != nil {
			return err
		}
	}
	return nil
}

// begin gives the test plan its goroutine.
func (e *Engine) begin(r record, parsed *Plan) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.draining {
		return fmt.Errorf("test plan %s stays queued: %w", r.ID, executor.ErrDraining)
	}
	w := newWalk(e, r, parsed)
	e.walks[r.ID] = w
	e.work.Go(func() {
		defer func() {
			e.mu.Lock()
			delete(e.walks, r.ID)
			e.mu.Unlock()
			close(w.done)
		}()
		w.run()
	})
	return nil
}

// Drain lets go of every test plan; the next process's Recover takes them up. Drain it before the executor.
func (e *Engine) Drain(ctx context.Context) error {
	e.mu.Lock()
	e.draining = true
	e.mu.Unlock()
	e.end()
	done := make(chan struct{})
	go func() { defer close(done); e.work.Wait() }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain test plans: %w", ctx.Err())
	}
}

// TestPlan gives a test plan as it stands. id may be a unique prefix or "last".
func (e *Engine) TestPlan(ctx context.Context, p executor.Principal, id string) (*TestPlan, error) {
	r, err := e.record(ctx, p, id)
	if err != nil {
		return nil, err
	}
	return &r.TestPlan, e.hideRuns(ctx, p, &r.TestPlan)
}

func (e *Engine) record(ctx context.Context, p executor.Principal, id string) (r record, err error) {
	err = e.cfg.Store.View(ctx, func(tx executor.Tx) error {
		r, err = e.find(tx, p, id)
		return err
	})
	return r, err
}

// find resolves what a person may call a test plan. Another's must not make a prefix ambiguous, nor take time.
func (e *Engine) find(tx executor.Tx, p executor.Principal, id string) (record, error) {
	if id == "last" {
		return e.last(tx, p)
	}
	prefixes, table := []string{""}, tablePlans
	if p.Groups != nil {
		prefixes, table = e.whose(p), tableFound
	}
	begin, err := executor.Begin(tx, table, prefixes, id)
	var found []record
	for _, id := range begin {
		r, wrong := load(tx, id)
		err = errors.Join(err, wrong)
		if seen, ok := e.reduce(tx, p, r); ok {
			found = append(found, seen)
		}
	}
	switch {
	case err != nil:
		return record{}, err
	case len(found) == 0:
		return record{}, fmt.Errorf("test plan %q: %w (see: tfwctl plan list)", id, executor.ErrNotFound)
	case len(found) > 1:
		return record{}, fmt.Errorf("test plan %q: more than one begins so: %w (give more of the id)", id, executor.ErrBadRequest)
	}
	return found[0], nil
}

// last gives the newest test plan that the principal started.
func (e *Engine) last(tx executor.Tx, p executor.Principal) (last record, err error) {
	err = e.walkSeen(tx, p, []string{byPrefix(p.Name)}, "", false, "", func(_ string, r record) bool {
		if r.Parent == "" {
			last = r
		}
		return last.ID == ""
	})
	if last.ID == "" && err == nil {
		err = fmt.Errorf("test plan %q: %w (see: tfwctl plan list)", "last", executor.ErrNotFound)
	}
	return last, err
}

// TestPlans gives a page of test plans, newest first or oldest first, and the marker of the next page, "" at the end. With
// a name only those of that name which are no part of another. limit is 50 when it is not from 1 to 1000.
func (e *Engine) TestPlans(ctx context.Context, p executor.Principal, name string, oldest bool, limit int, marker string) (all []TestPlan, next string, err error) {
	if limit <= 0 || limit > 1000 {
		limit = 50
	}
	err = e.cfg.Store.View(ctx, func(tx executor.Tx) error {
		all, next = []TestPlan{}, ""
		at, err := e.place(tx, p, marker)
		if err != nil {
			return err
		}
		return e.walkPlans(tx, p, name, oldest, at, func(place string, r record) bool {
			if len(all) == limit {
				if next = place; p.Groups != nil {
					next = r.ID
				}
				return false
			}
			all = append(all, r.TestPlan)
			return true
		})
	})
	for i := range all {
		err = errors.Join(err, e.hideRuns(ctx, p, &all[i]))
	}
	return all, next, err
}

// place is where the page of a marker begins. As with runs, places are not for principals of some groups.
func (e *Engine) place(tx executor.Tx, p executor.Principal, marker string) (string, error) {
	_, wrong := strconv.ParseUint(marker, 16, 64)
	if p.Groups == nil && wrong == nil && len(marker) == len(placeOf(0)) || marker == "" {
		return marker, nil
	}
	r, err := e.find(tx, p, marker)
	if err != nil || p.Groups == nil || r.ID != marker {
		return "", fmt.Errorf("marker %q: %w", marker, executor.ErrBadMarker)
	}
	return placeOf(r.Seq), nil
}

// newest calls fn for the test plans that the principal sees, newest first from the place on, while it gives true.
func (e *Engine) newest(tx executor.Tx, p executor.Principal, name, place string, fn func(place string, r record) bool) error {
	return e.walkPlans(tx, p, name, false, place, fn)
}

// walkPlans is newest in either direction.
func (e *Engine) walkPlans(tx executor.Tx, p executor.Principal, name string, oldest bool, place string, fn func(place string, r record) bool) error {
	if p.Groups != nil {
		return e.walkSeen(tx, p, e.whose(p), name, oldest, place, fn)
	}
	table, prefix := tableOrder, ""
	if name != "" {
		table, prefix = tableNames, name+"\x00"
	}
	return e.walkPlaces(tx, p, table, []string{prefix}, oldest, place, fn)
}

// Open gives the ids of the test plans that are not done: a restart walks them again, and needs their runs on record.
func (e *Engine) Open(ctx context.Context) (ids map[string]bool, err error) {
	err = e.cfg.Store.View(ctx, func(tx executor.Tx) error {
		ids = map[string]bool{}
		return tx.Range(tableOpen, "", false, func(id string, _ []byte) bool { ids[id] = true; return true })
	})
	return ids, err
}

// Idle reports whether no test plan is on its way in this process.
func (e *Engine) Idle() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.walks) == 0
}

// Cancel asks a test plan to end: its runs are cancelled with proof, then its finally steps run.
func (e *Engine) Cancel(ctx context.Context, p executor.Principal, id, reason string) (*TestPlan, error) {
	if !p.May(executor.Operator) {
		return nil, fmt.Errorf("%s may not cancel test plans: %w", p.Name, executor.ErrForbidden)
	}
	r, err := e.record(ctx, p, id)
	if err != nil {
		return nil, err
	}
	if r.veil != nil && !p.Was(r.Principal) {
		return nil, fmt.Errorf("test plan %s is %s's: %w (they or an admin can do it)", r.ID, r.By, executor.ErrForbidden)
	}
	by := strings.TrimSuffix(p.Name+": "+reason, ": ")
	err = e.cfg.Store.Update(ctx, func(tx executor.Tx) error {
		now, err := load(tx, r.ID)
		switch {
		case err != nil:
			return err
		case now.State == executor.Done:
			if seen, ok := e.reduce(tx, p, now); ok {
				now = seen
			}
			return fmt.Errorf("test plan %s is done (%s): %w", r.ID, spoken(now.Verdict), executor.ErrConflict)
		case now.Cancel != "":
			return nil
		}
		now.Cancel = by
		return errors.Join(e.cfg.Executor.Record(tx, p, executor.AuditEntry{Action: "testplan.cancel", Object: r.ID, Hosts: concerned(tx, now), Outcome: "asked", Detail: by}), now.save(tx))
	})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	w := e.walks[r.ID]
	e.mu.Unlock()
	if w != nil {
		w.cancelled(by)
	}
	return e.TestPlan(ctx, p, r.ID)
}

// Wait returns the test plan once it is done, or as it stands when ctx ends, with ctx's error.
func (e *Engine) Wait(ctx context.Context, p executor.Principal, id string) (*TestPlan, error) {
	t, err := e.TestPlan(context.WithoutCancel(ctx), p, id)
	if err != nil || t.State == executor.Done {
		return t, err
	}
	for id = t.ID; ; {
		bell := e.Changed(id)
		if e.over(id) {
			return e.TestPlan(context.WithoutCancel(ctx), p, id)
		}
		select {
		case <-bell:
		case <-ctx.Done():
			t, err := e.TestPlan(context.WithoutCancel(ctx), p, id)
			return t, errors.Join(err, ctx.Err())
		}
	}
}

// over reports whether the test plan is done, or not there any more, without reading its steps.
func (e *Engine) over(id string) (over bool) {
	err := e.cfg.Store.View(context.Background(), func(tx executor.Tx) error {
		_, open := tx.Get(tableOpen, id)
		over = !open
		return nil
	})
	return over || err != nil
}

// Changed gives a channel that is closed at the next change of the test plan with this full id.
func (e *Engine) Changed(id string) <-chan struct{} { return e.cfg.Store.Changed(Topic(id)) }

// nothingLeft reports whether all of a test plan that is done passed, or was not meant to run. One that ended before its
// time has skipped what it did not get to.
func (r record) nothingLeft() bool {
	return r.Verdict == executor.Passed && !slices.ContainsFunc(r.Steps, func(s StepState) bool { return s.Verdict != executor.Passed && s.Verdict != executor.Skipped })
}

// Resume runs again what did not pass of a test plan that is done, on the same
// hosts: cells of steps that passed keep their results. What is done after a failure and in the end is done again.
func (e *Engine) Resume(ctx context.Context, p executor.Principal, id string) (*TestPlan, error) {
	if !p.May(executor.Operator) {
		return nil, fmt.Errorf("%s may not resume test plans: %w (needs the role operator)", p.Name, executor.ErrForbidden)
	}
	r, err := e.record(ctx, p, id)
	if err != nil {
		return nil, err
	}
	if r.veil != nil {
		return nil, fmt.Errorf("test plan %s: %w: it cannot be resumed by who sees only a part of it", r.ID, executor.ErrForbidden)
	}
	if r.State != executor.Done {
		return nil, fmt.Errorf("test plan %s is not done yet: %w", r.ID, executor.ErrConflict)
	}
	if r.nothingLeft() {
		return nil, fmt.Errorf("test plan %s: every step passed, there is nothing to run again: %w", r.ID, executor.ErrConflict)
	}
	s := Submission{File: r.File, Plan: r.Text, Files: r.Files, Parameters: r.Parameters, kept: map[string]kept{}, bound: r.Hosts, resume: r.ID}
	for _, step := range r.Steps {
		for _, c := range step.Cells {
			if step.Part != "" || c.Verdict != executor.Passed || len(c.Runs) == 0 && c.Plan == "" {
				continue
			}
			k := kept{Results: map[string]executor.HostResult{}, Runs: c.Runs, Of: map[string]executor.RunID{}, Plan: c.Plan}
			if c.Plan != "" {
				inner, err := e.TestPlan(ctx, r.Principal, c.Plan)
				if err != nil {
					return nil, fmt.Errorf("step %s: %w", step.Name, err)
				}
				k.Outputs = inner.Outputs
			}
			for _, runID := range c.Runs {
				run, err := e.cfg.Executor.Run(ctx, r.Principal, string(runID))
				if errors.Is(err, executor.ErrNotFound) {
					return nil, fmt.Errorf("test plan %s cannot be resumed: the runs of step %s are not on record any more (run the plan anew): %w", r.ID, step.Name, executor.ErrConflict)
				}
				if err != nil {
					return nil, err
				}
				for _, res := range run.Hosts {
					k.Results[res.Host], k.Of[res.Host] = res, runID
				}
			}
			s.kept[step.Name+"/"+c.Cell] = k
		}
	}
	return e.Submit(ctx, p, s)
}
