package executor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// connect gives the assignment's connection. Without anything under way on the
// host the first refusal counts; with something under way (away says since when) it keeps
// trying until lost-after is over: the command goes on without us.
func (r *remote) connect(ctx context.Context, away time.Time) error {
	if r.conn != nil {
		return nil
	}
	wait := 100 * time.Millisecond
	for {
		err := r.dial(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if away.IsZero() || errors.Is(err, ErrHostKey) {
			return err
		}
		if patience := r.lostAfter(); time.Since(away) >= patience {
			return &outOfReachError{after: patience.String(), err: err}
		}
		r.troubled(err)
		if !sleep(ctx, wait/2+rand.N(wait)) {
			return ctx.Err()
		}
		wait = min(2*wait, 15*time.Second)
	}
}

// troubled tells the tester why the host cannot be reached, once for each reason.
func (r *remote) troubled(err error) {
	if code := codeOf(err); code != r.trouble {
		r.trouble = code
		r.event(fmt.Sprintf("out of reach, trying again for up to %s: %s", r.lostAfter(), reason(err)))
	}
}

func (r *remote) dial(ctx context.Context) error {
	if limit := time.Duration(r.a.options().ConnectTimeout); limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, limit, fmt.Errorf("no connection within %s", limit))
		defer stop()
	}
	conn, err := r.e.cfg.Transport.Connect(ctx, r.p.host, r.a.via)
	if err != nil {
		return err
	}
	r.conn, r.reached = conn, true
	return nil
}

func (r *remote) lostAfter() time.Duration {
	if d := time.Duration(r.a.options().LostAfter); d > 0 {
		return d
	}
	return r.e.cfg.LostAfter
}

// sleep waits for d and reports whether ctx is still on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
