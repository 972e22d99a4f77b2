package executor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// unswallowed gives the method's error, or what the method must not turn into
// something else: the run's own end, and a replay that went another way.
func (r *remote) unswallowed(err error) error {
	var stop *stopError
	switch {
	case r.broken != nil:
		return r.broken
	case r.stopped != nil && !errors.As(err, &stop):
		return r.stopped
	case r.next < len(r.p.ops) && r.a.ctx.Err() == nil: // a run that was stopped may end early
		r.broken = fmt.Errorf("%w: operation %d was a %s and is not asked for any more (see docs/plugins.md)", ErrNotDeterministic, r.next, r.p.ops[r.next].Kind)
		return r.broken
	}
	return err
}

// abandoned lists the commands that an earlier process began and that the
// replayed method did not come back to: they may still run.
func (r *remote) abandoned() (ordinals []int) {
	for i := range r.p.ops {
		if op := &r.p.ops[i]; op.Kind == "run" && !op.Begun.IsZero() && !op.Ended {
			ordinals = append(ordinals, i)
		}
	}
	return ordinals
}

// abandon kills them and says so in the log. It is
// false when the executor drains: the next process does it.
func (r *remote) abandon(ordinals []int) bool {
	for _, i := range ordinals {
		x := &execution{r: r, op: &r.p.ops[i], ordinal: i, id: CommandID{r.a.run.ID, r.p.host.Name, i}}
		ctx, done := context.WithTimeout(r.e.background, x.grace()+30*time.Second)
		become, err := r.e.become(x.op.As, r.p.host)
		var report KillReport
		if err == nil {
			report, err = x.kill(ctx, DurableCommand{Become: become}, x.grace())
		}
		done()
		switch {
		case r.e.background.Err() != nil:
			return false
		case err != nil:
			r.event(fmt.Sprintf("command %d is followed no more and could not be killed: %s", i, reason(err)))
		default:
			r.event(fmt.Sprintf("command %d is followed no more: %s", i, report))
		}
	}
	return true
}
