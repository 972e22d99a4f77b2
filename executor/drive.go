package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sourcegraph/conc/pool"
)

// begin gives the run its goroutine. The run was stored before.
func (e *Executor) begin(a *active) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.draining {
		return fmt.Errorf("run %s stays queued: %w (the next tfwd takes it up)", a.run.ID, ErrDraining)
	}
	e.active[a.run.ID] = a
	e.unended.add(a, 1)
	slot := e.slots.join(a) // in the order of the calls
	e.work.Go(func() { e.drive(a, slot) })
	return nil
}

// drive takes a run from queued to done, or lets go of it when the executor drains.
func (e *Executor) drive(a *active, slot *turn) {
	defer close(a.done)
	defer func() {
		e.mu.Lock()
		delete(e.active, a.run.ID)
		e.unended.add(a, -1)
		e.mu.Unlock()
		a.cancel(nil)
	}()
	defer e.slots.leave(slot)
	if !e.queue(a, slot) {
		return
	}
	if e.start(a) != nil {
		return
	}
	stopClock := e.limit(a)
	e.fanOut(a)
	stopClock()
	if a.complete() {
		e.finish(a)
	}
}

// queue waits for a slot. A run that was cancelled in the queue goes on without one, to end every host with a result:
// nothing of it is on a host. What an earlier process began is to be ended there, and is first in line.
func (e *Executor) queue(a *active, slot *turn) bool {
	select {
	case <-slot.come:
		return true
	default:
	}
	select {
	case <-slot.come:
		return true
	case <-a.ctx.Done():
		if errors.Is(context.Cause(a.ctx), errDrain) {
			return false
		}
		if !slot.begun {
			return true
		}
		select {
		case <-slot.come:
			return true
		case <-e.background.Done():
			return false
		}
	}
}

// start marks the run as running.
func (e *Executor) start(a *active) error {
	if a.run.Started.IsZero() {
		a.mu.Lock()
		a.run.State, a.run.Started = Running, e.now()
		a.mu.Unlock()
	}
	return e.persist(a, func(tx Tx) error { return a.store(tx) })
}

// store writes the run's record. A cancel that came between the run's making and
// its first write by us is on record only: it is taken over, never written away.
func (a *active) store(tx Tx) error {
	var before runRecord
	_, _ = get(tx, tableRuns, string(a.run.ID), &before) // what cannot be read is written anew
	a.mu.Lock()
	missed := before.Cancel != "" && a.run.Cancel == ""
	if missed {
		a.run.Cancel = before.Cancel
	}
	a.mu.Unlock()
	if missed {
		a.cancel(cancelled(before.Cancel))
	}
	return put(tx, tableRuns, string(a.run.ID), a.record())
}

// limit ends the run's context when its time is over, counted from its first start.
func (e *Executor) limit(a *active) (stop func()) {
	limit := time.Duration(a.options().Timeout)
	if limit == 0 {
		return func() {}
	}
	t := time.AfterFunc(limit-e.Since(a.run.Started), func() {
		a.cancel(&stopError{verdict: TimedOut, code: "run_timeout", reason: fmt.Sprintf("the run took longer than %s", limit)})
	})
	return func() { t.Stop() }
}

// fanOut works through the hosts in batches; each batch is one scoped pool.
func (e *Executor) fanOut(a *active) {
	e.recount(a)
	rest := a.parts
	width := a.options().Parallel
	orElse(&width, e.cfg.Parallel)
	for _, size := range a.limits.batches(len(rest)) {
		batch := rest[:size]
		rest = rest[size:]
		p := pool.New().WithMaxGoroutines(min(width, size))
		for _, part := range batch {
			if part.result.Verdict == "" { // not ended under an earlier process
				p.Go(func() { e.assign(a, part) })
			}
		}
		p.Wait()
		a.judge(batch)
	}
}

// recount takes in what ended under an earlier process before any host is begun:
// what fail_fast and max_fail had decided holds after a restart too.
func (e *Executor) recount(a *active) {
	for _, p := range a.parts {
		if p.result.Verdict != "" {
			e.count(a, p)
		}
	}
}

// count adds a host's end to the run's.
func (e *Executor) count(a *active, p *part) {
	if a.ended(p.result.Verdict) {
		a.cancel(&stopError{verdict: Cancelled, code: "fail_fast",
			reason: "another host did not pass (fail_fast)", whole: p.host.Name + " did not pass (fail_fast)"})
	}
}

// complete reports whether every host has its result. It has not when the executor drains.
func (a *active) complete() bool {
	for _, p := range a.parts {
		if p.result.Verdict == "" {
			return false
		}
	}
	return true
}

// judge stops a rolling run after a batch in which no host passed: going on would break the others too.
func (a *active) judge(batch []*part) {
	if len(a.limits.serial) == 0 || a.limits.maxFail != nil {
		return
	}
	for _, p := range batch {
		if p.result.Verdict == Passed || p.result.Verdict == Skipped {
			return
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.halt == "" {
		a.halt = "not started: no host of the batch before passed (serial)"
	}
}

// finish stores the run's end.
func (e *Executor) finish(a *active) {
	a.mu.Lock()
	a.run.State, a.run.Finished = Done, e.now()
	if a.run.Reason == "" {
		a.run.Reason = stopReason(a.ctx)
	}
	a.mu.Unlock()
	err := e.persist(a, func(tx Tx) error {
		tx.Ring(TopicRuns)
		rec := a.record()
		return errors.Join(tx.Delete(tableOpen, string(rec.ID)), a.store(tx), fileAway(tx, rec, a.names()), e.auditEnd(tx, rec, a.names()))
	})
	if err == nil {
		e.log.Info("run done", "run", a.run.ID, "verdict", a.run.Verdict)
	}
}

// persist writes what must not be lost, for as long as it takes: a full disk
// holds the run up, it does not lose its end. Only draining gives up: the next process goes on from what is stored.
func (e *Executor) persist(a *active, fn func(tx Tx) error) error {
	wait := 100 * time.Millisecond
	for {
		err := e.store.Update(context.WithoutCancel(a.ctx), func(tx Tx) error {
			tx.Ring(string(a.run.ID))
			return fn(tx)
		})
		if err == nil {
			return nil
		}
		e.log.Error("cannot store the progress of a run, trying again", "run", a.run.ID, "error", err)
		select {
		case <-time.After(wait):
			wait = min(2*wait, 10*time.Second)
		case <-e.background.Done():
			return err
		}
	}
}
