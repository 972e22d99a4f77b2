package ssh

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"tfw/executor"
)

// stage follows how far a dial has come, so that a time-out can say what it waited for.
type stage struct {
	set  *settings
	now  atomic.Pointer[string]
	wire atomic.Pointer[wire]
	end  time.Time // of the connect timeout, which begins with the first handshake; the dialling goroutine's own
}

// begin bounds a handshake. The time waited for a turn among many hosts does not
// count, what a server drops and is tried again does.
func (s *stage) begin(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.end.IsZero() {
		s.end = time.Now().Add(s.set.ConnectTimeout)
	}
	return context.WithDeadline(ctx, s.end)
}

// over tells whether the connect timeout has passed.
func (s *stage) over() bool { return !s.end.IsZero() && time.Now().After(s.end) }

func (s *stage) at(what string) { s.now.Store(&what) }

const (
	atWaiting   = "waiting for a free place to dial"
	atFull      = "waiting for a free place in the pool"
	atJump      = "reaching its jump host"
	atDial      = "opening the TCP connection"
	atHandshake = "exchanging keys"
	atAuth      = "authenticating"
)

func (s *stage) String() string {
	p := s.now.Load()
	if p == nil {
		return "starting"
	}
	if w := s.wire.Load(); *p == atHandshake && w != nil && !w.banner.whole.Load() {
		return "waiting for its SSH banner"
	}
	return *p
}

// timeout is the error for a dial that was given up for why.
func (s *stage) timeout(why error) error {
	if !errors.Is(why, context.DeadlineExceeded) {
		return because(executor.ErrUnreachable, "", "given up while %s: %w", s, why)
	}
	hint := map[string]string{
		"waiting for its SSH banner": "is that sshd, and is its machine alive?",
		atDial:                       "is the machine on, is the address right, does a firewall drop packets?",
		atFull:                       "every connection of the pool is in use: raise its maximum",
		atWaiting:                    "many hosts are being dialled: raise the connect timeout",
	}[s.String()]
	return because(executor.ErrUnreachable, hint, "no answer from %s in time, %s: %w", s.set.addr(), s, why)
}
