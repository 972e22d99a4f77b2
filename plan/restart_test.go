package plan_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"tfw/executor"
	"tfw/plan"
)

// steps is a Store that remembers what is written of steps.
type steps struct {
	executor.Store
	mu      sync.Mutex
	written []plan.StepState
}

func (s *steps) Update(ctx context.Context, fn func(executor.Tx) error) error {
	return s.Store.Update(ctx, func(tx executor.Tx) error { return fn(stepsTx{tx, s}) })
}

type stepsTx struct {
	executor.Tx
	s *steps
}

func (tx stepsTx) Put(table, key string, value []byte) error {
	if table == "plans.steps" {
		var state plan.StepState
		if err := json.Unmarshal(value, &state); err != nil {
			return err
		}
		tx.s.mu.Lock()
		tx.s.written = append(tx.s.written, state)
		tx.s.mu.Unlock()
	}
	return tx.Tx.Put(table, key, value)
}

// A restart is no news of a step: what had ended before stays ended, as it did and when it did, and what was under way
// stays so - also in a test plan that is to end, whose runs are cancelled then and not forgotten.
func TestRestartIsNoNewsOfSteps(t *testing.T) {
	l := newLab(t)
	l.hosts.broken["say a"] = 1
	p := l.submit(head+"  a: {uses: work.do, on: d, retry: {limit: 1, on: [failed]}, with: {do: say a}}\n  s: {uses: work.do, on: d, when: cancelled(), with: {do: say s}}\n"+
		"  b: {uses: work.do, on: d, needs: [a], with: {do: hang}}\n  c: {uses: work.do, on: d, per_host: true, needs: [a], with: {do: hang}}\n"+
		"  z: {uses: work.do, on: d, needs: [b], when: always(), with: {do: say z}}\n", nil)
	l.untilStarted("hang", 4)
	before, err := l.TestPlan(t.Context(), me, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	l.drain()
	if _, err := l.Cancel(t.Context(), me, p.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	s := &steps{Store: l.store}
	l.start(s)
	after := l.wait(p)
	for i, step := range after.Steps {
		if was := before.Steps[i]; was.State == executor.Done && !step.Finished.Equal(was.Finished) {
			t.Errorf("step %s ended at %s, now at %s", step.Name, was.Finished, step.Finished)
		}
	}
	for _, state := range s.written {
		if was := state.Name == "b" || state.Name == "c" || state.Name == "z"; state.State != executor.Done && !(was && state.State == executor.Running) {
			t.Errorf("step %s is told as %s again", state.Name, state.State)
		}
	}
	if verdicts(after) != "a=passed s=skipped b=cancelled c=cancelled z=passed" {
		t.Error(verdicts(after), reasons(after))
	}
	runs, _, err := l.ex.Runs(t.Context(), me, executor.RunFilter{State: executor.Running})
	if err != nil || len(runs) > 0 {
		t.Errorf("%d runs go on: %v", len(runs), err)
	}
}

// A cancel that the controller did not live to see through takes no hosts after the restart: it never had any.
func TestCancelledWhileItWaitedThenKilled(t *testing.T) {
	l := newLab(t)
	lease, err := l.ex.Lease(t.Context(), executor.Local("somebody"), executor.LeaseRequest{Target: "duts", For: executor.Duration(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	p := l.submit(head+"  a: {uses: work.do, on: d, with: {do: say a}}\nfinally:\n  f: {uses: work.do, on: d, with: {do: say f}}\n", nil)
	l.drain()
	if _, err := l.Cancel(t.Context(), me, p.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	if err := l.ex.Release(t.Context(), executor.Local("somebody"), lease.ID, ""); err != nil {
		t.Fatal(err)
	}
	l.start(l.store)
	if got := l.wait(p); got.Verdict != executor.Cancelled || len(got.Hosts) > 0 || len(l.hosts.log) > 0 {
		t.Errorf("%s on %v: %s; %v", got.Verdict, got.Hosts, reasons(got), l.hosts.log)
	}
}

// Runs of a test plan that is under way stay on record, however old: a restart meets them in place of running them again.
func TestPrunedWhileItRuns(t *testing.T) {
	l := newLab(t)
	p := l.submit(head+"  a: {uses: work.do, on: d, with: {do: say a}}\n  b: {uses: work.do, on: d, needs: [a], with: {do: hang}}\n", nil)
	l.untilStarted("hang", 2)
	open, err := l.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := l.ex.Prune(t.Context(), time.Nanosecond, 0, open); err != nil || gone.Runs != 0 {
		t.Errorf("%d runs are gone: %v", gone.Runs, err)
	}
	l.drain()
	l.start(l.store)
	if _, err := l.Cancel(t.Context(), me, p.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	got := l.wait(p)
	if n := strings.Count(strings.Join(l.hosts.log, "\n"), "say a"); n != 2 {
		t.Errorf("step a ran %d times on 2 hosts", n)
	}
	if open, err = l.Open(t.Context()); err != nil || len(open) > 0 {
		t.Error(open, err)
	}
	if gone, err := l.ex.Prune(t.Context(), time.Nanosecond, 0, open); err != nil || gone.Runs != 2 {
		t.Errorf("%d runs are gone: %v", gone.Runs, err)
	}
	_, err = l.Resume(t.Context(), me, got.ID)
	if want := "test plan " + got.ID + " cannot be resumed: the runs of step a are not on record any more"; !errors.Is(err, executor.ErrConflict) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("resume: %v", err)
	}
}
