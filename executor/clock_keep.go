package executor

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

const (
	tableClock = "clock" // "state" -> clockState
	keyClock   = "state"

	clockLooked = 10 * time.Second // how often the clock is looked at when nobody asks
	clockStored = 10 * time.Minute // how often what is known of it is stored
)

// Now is the time by the controller's clock, as it is shown and stored: the wall clock's, but for a
// while after that was set back.
func (e *Executor) Now() time.Time { return e.clock.now() }

func (e *Executor) now() time.Time { return e.clock.now() }

// Since is how much time has passed since a moment told by [Executor.Now], whatever was done to the clock meanwhile.
func (e *Executor) Since(t time.Time) time.Duration { return e.clock.since(t) }

// ClockDoubt says why the wall clock is not trusted now, "" when it is: it jumped, and nobody has put it
// right or left it so for a day. Until then nothing may be dropped for its age.
func (e *Executor) ClockDoubt() string { return e.clock.doubted() }

// byAge is how old something must be to be dropped: 0, for ever, while the clock is not trusted.
func (e *Executor) byAge(age time.Duration) time.Duration {
	if e.clock.doubted() != "" {
		return 0
	}
	return age
}

// recoverClock compares the clock with what is on record, before anything is done by it.
func (e *Executor) recoverClock(ctx context.Context) error {
	var s clockState
	var newest time.Time
	err := e.view(ctx, func(tx Tx) error {
		s, newest = clockState{}, time.Time{}
		if _, err := get(tx, tableClock, keyClock, &s); err != nil {
			return err
		}
		return tx.Range(tableAudit, "", true, func(_ string, raw []byte) bool {
			var a AuditEntry
			if json.Unmarshal(raw, &a) == nil {
				newest = a.Time
			}
			return false
		})
	})
	if err != nil {
		return err
	}
	e.clock.resume(s, newest)
	e.desk.mu.Lock()
	e.desk.moved, e.desk.movedStored = s.Moved, s.Moved
	e.desk.mu.Unlock()
	e.clockNews(ctx)
	return nil
}

// keepClock looks at the clock, so that a jump is noticed before much is done by it.
func (e *Executor) keepClock() {
	tick := time.NewTicker(clockLooked)
	defer tick.Stop()
	known := e.clock.leaps()
	var stored time.Time
	for {
		select {
		case <-tick.C:
		case <-e.background.Done():
			if !stored.IsZero() { // a command of a moment does not pay for it
				e.storeClock(context.WithoutCancel(e.background), nil)
			}
			return
		}
		if leaps := e.clock.leaps(); leaps != known {
			known = leaps
			e.desk.mu.Lock()
			e.desk.wake() // what was agreed on moves along
			e.desk.mu.Unlock()
		}
		if e.clockNews(e.background) {
			stored = time.Now()
		} else if time.Since(stored) > clockStored {
			stored = time.Now()
			e.storeClock(e.background, nil)
		}
	}
}

// clockNews tells what happened to the clock, for the operator and on record.
func (e *Executor) clockNews(ctx context.Context) bool {
	say := e.clock.news()
	for _, text := range say {
		e.log.Warn(text)
	}
	if len(say) > 0 {
		e.storeClock(ctx, say)
	}
	return len(say) > 0
}

func (e *Executor) storeClock(ctx context.Context, say []string) {
	e.desk.mu.Lock()
	moved := e.desk.movedStored
	e.desk.mu.Unlock()
	err := e.store.Update(ctx, func(tx Tx) error {
		err := put(tx, tableClock, keyClock, e.clock.state(moved))
		for _, text := range say {
			err = errors.Join(err, e.audit(tx, Principal{Name: "tfwd", Source: "clock"}, AuditEntry{Action: "clock", Outcome: "jumped", Detail: text}))
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		e.log.Error("cannot store what is known of the clock", "error", err)
	}
}
