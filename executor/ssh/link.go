package ssh

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// assumedSessions is how many channels a server is taken to grant until it says
// otherwise: OpenSSH's default MaxSessions. More are tried one at a time.
const assumedSessions = 10

// link is one authenticated SSH connection of a place.
type link struct {
	place    *place
	jump     *place // held for as long as the link lives; nil without a jump host
	client   *xssh.Client
	net      *wire
	boot     atomic.Pointer[string] // the host's boot id, once it was told on this link
	serverID string
	took     time.Duration // dial to authenticated

	// Under place.mu. busy slots are those given out until the server has
	// closed the channel; active ones are channels it has confirmed.
	busy, active int
	ready        int // sessions among the busy ones whose shell stands by
	limit        int
	hard         bool // limit was found out or set, not assumed
	trying       bool // one session beyond an assumed limit is being tried
	freed        time.Time
	proven       bool // the server has granted a session before

	dead  chan struct{} // closed when the connection is over
	once  sync.Once
	cause atomic.Pointer[error]
	crew  crew // what belongs to the link: start's goroutine waits for it
}

func newLink(p *place, client *xssh.Client, w *wire, took time.Duration) *link {
	l := &link{place: p, client: client, net: w, took: took, limit: assumedSessions, dead: make(chan struct{})}
	l.serverID = string(client.ServerVersion())
	over := l.stopWriters
	w.over.Store(&over)
	if w.broken() && w.over.Swap(nil) != nil {
		l.stopWriters()
	}
	if p.set.MaxSessions > 0 {
		l.limit, l.hard = p.set.MaxSessions, true
	}
	return l
}

// start watches over the link until it ends and all that belongs to it has.
func (l *link) start() {
	l.crew.Go(l.keepalive)
	l.place.t.crew.Go(func() {
		err := l.client.Wait()
		l.end(err)
		l.crew.Wait()
	})
}

// stopWriters lets x/crypto/ssh meet its first failed write, about which it says nothing to
// the one who wrote, before it lets go of its channels: one opened in between would wait for ever.
func (l *link) stopWriters() {
	l.end(l.net.reason()) // at once: who connects now gets another; and a write that is under way must not hold us up
	met := make(chan struct{})
	l.spawn(func() {
		_, _, _ = l.client.SendRequest("keepalive@openssh.com", false, nil)
		close(met)
	})
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-met:
	case <-timer.C:
	}
}

// end closes the link; the first reason counts. It never blocks.
func (l *link) end(why error) {
	l.once.Do(func() {
		if !errors.Is(why, errIdle) && !errors.Is(why, errClosed) {
			l.place.acks().mayHaveLeft()
		}
		why = lost(why)
		l.cause.Store(&why)
		close(l.dead)
		l.net.Close()
		l.place.drop(l)
		l.place.t.total.Add(-1)
		if l.jump != nil {
			l.jump.release()
		}
	})
}

func (l *link) broken() bool {
	select {
	case <-l.dead:
		return true
	default:
		return l.net.broken()
	}
}

// why is the reason of the end.
func (l *link) why() error {
	if p := l.cause.Load(); p != nil {
		return *p
	}
	return lost(l.net.reason())
}

// room is how many more sessions may be opened. One slot of a known limit is
// kept for what is urgent: to kill a command must be possible when all else is taken.
func (l *link) room(urgent bool) int {
	limit := l.limit
	if l.hard && limit > 1 && !urgent {
		limit--
	}
	if n := limit - l.busy; n > 0 {
		return n
	}
	if !l.hard && !l.trying && l.ready == 0 {
		return 1
	}
	return 0
}

func (l *link) take() {
	if l.busy >= l.limit {
		l.trying = true
	}
	l.busy++
}

// granted notes that the server confirmed a channel.
func (l *link) granted() {
	p := l.place
	p.mu.Lock()
	defer p.mu.Unlock()
	l.active++
	l.proven = true
	l.trying = false
	l.limit = max(l.limit, l.active)
	p.pump()
}

// closed gives back the slot of a session that the server has closed.
func (l *link) closed(s *session) {
	l.place.mu.Lock()
	l.place.gone(s)
	l.place.mu.Unlock()
	l.free(true)
}

// free gives a slot back; confirmed tells whether the server had granted it.
func (l *link) free(confirmed bool) {
	p := l.place
	p.mu.Lock()
	defer p.mu.Unlock()
	l.busy--
	l.trying = false
	if confirmed {
		l.active--
	}
	l.freed = time.Now()
	p.used = l.freed
	p.pump()
}

// refused learns from a channel that the server did not open. It reports
// whether to try again at once (a slot frees a moment after its channel closed),
// or to wait for a slot, or that the server grants none at all.
func (l *link) refused(attempt int) refusal {
	p := l.place
	p.mu.Lock()
	defer p.mu.Unlock()
	// With no channel open the server must grant one soon, unless it never does:
	// one closed a moment ago, or another's consent is on its way to us.
	if l.active == 0 && (l.proven || l.busy > 1) && attempt < 40 {
		return tryAgain
	}
	if l.active > 0 && time.Since(l.freed) < 100*time.Millisecond && attempt < 4 {
		return tryAgain
	}
	l.busy--
	l.trying = false
	if l.active == 0 {
		p.pump()
		return never
	}
	l.limit, l.hard = l.active, true
	p.pump()
	return waitForSlot
}

type refusal int

const (
	tryAgain refusal = iota
	waitForSlot
	never
)
