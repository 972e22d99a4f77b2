package ssh

import (
	"context"
	"errors"
	"slices"
	"time"
)

// A shell that has ended a command stands by on its session for the next one, which then costs no
// channel, no login and no reading of our script. It has one command at a time; who finds none opens a session,
// or where no more are to be had waits for one, or for a shell that has ended its command: a busy host logs nobody in anew.
const (
	// standbyMost is how many stand by for one place, and how many commands are just being started on it at a time.
	standbyMost = 4
	// standbyAge is how old a login may grow: what a new one would find otherwise, beyond
	// what launch.sh looks at itself, is found then at the latest.
	standbyAge = time.Minute
)

// standby takes a shell that stands by, nil when there is none.
func (p *place) standby(ctx context.Context) *session {
	for {
		p.mu.Lock()
		n := len(p.ready) - 1
		if n < 0 {
			p.mu.Unlock()
			return nil
		}
		s := p.ready[n] // the one used last: the others grow old and go
		p.ready = p.ready[:n]
		s.link.ready--
		p.mu.Unlock()
		if s.alive() && time.Since(s.began) < standbyAge {
			s.bind(ctx)
			return s
		}
		s.Close()
	}
}

// shell gives a session for a command's block: one whose shell has ended another (again), or one newly opened.
// It is the command's turn to start until leave, which is to be called unless there was an error.
func (p *place) shell(ctx context.Context, req request) (s *session, again bool, leave func(), err error) {
	for {
		leave, err := p.start(ctx)
		if err != nil {
			return nil, false, nil, err
		}
		if s := p.standby(ctx); s != nil {
			return s, true, leave, nil
		}
		stayed := false
		got, err := p.wait(ctx, &waiter{shell: true, stays: func() { leave(); stayed = true }})
		if err != nil {
			leave()
			return nil, false, nil, err
		}
		if stayed {
			if leave, err = p.start(ctx); err != nil {
				p.giveBack(got)
				return nil, false, nil, err
			}
		}
		if s, again, err := got.use(ctx, req); !errors.Is(err, errWaitForSlot) {
			if err != nil {
				leave()
			}
			return s, again, leave, err
		}
		leave()
	}
}

// use makes a session of the slot; errWaitForSlot tells to wait for another.
func (got slot) use(ctx context.Context, req request) (s *session, again bool, err error) {
	switch {
	case got.session == nil:
		s, err := got.link.open(ctx, req)
		return s, false, err
	case got.session.alive():
		got.session.bind(ctx)
		return got.session, true, nil
	}
	got.session.Close()
	return nil, false, errWaitForSlot
}

// keep lets the session's shell stand by, or go on with the command of who waits; false when it is not wanted or of no use.
func (p *place) keep(s *session) bool {
	if p.t.opt.StandbyIdle < 0 || time.Since(s.began) >= standbyAge || !s.unbind() || !s.alive() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.gone || len(p.waiting) > 0 && !p.waiting[0].shell {
		return false
	}
	s.out.rest, s.err.rest = nil, nil
	if len(p.waiting) > 0 {
		p.serve(slot{session: s})
		return true
	}
	if len(p.ready) >= standbyMost {
		return false
	}
	s.idle = time.Now()
	p.ready = append(p.ready, s)
	s.link.ready++
	s.link.freed, p.used = s.idle, s.idle
	return true
}

// gone takes a session out that the server has closed. Called with p.mu held.
func (p *place) gone(s *session) {
	s.gone = true
	if i := slices.Index(p.ready, s); i >= 0 {
		p.ready = slices.Delete(p.ready, i, i+1)
		s.link.ready--
	}
	if s.leaving {
		p.leaving--
	}
}

// leaveTime is how long a shell may take to go until those who wait for its slot look elsewhere.
const leaveTime = time.Second

// retire sends shells away that have stood by for longest, for their slots are wanted;
// false when that is not enough. Called with p.mu held.
func (p *place) retire() bool {
	if n := min(len(p.ready), len(p.waiting)-p.leaving); n > 0 {
		p.sendAway(n)
		p.left = time.Now()
		p.pumpLater(leaveTime + time.Millisecond)
	}
	return p.leaving >= len(p.waiting) && time.Since(p.left) < leaveTime
}

// sendAway closes the first n that stand by. Called with p.mu held.
func (p *place) sendAway(n int) {
	for _, s := range p.ready[:n] {
		s.link.ready--
		s.leaving = true
		p.leaving++
		s.shut()
	}
	p.ready = slices.Delete(p.ready, 0, n)
}

// sendAwayOf closes those that stand by on the links. Called with p.mu held.
func (p *place) sendAwayOf(links []*link) {
	there := func(s *session) int {
		if slices.Contains(links, s.link) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(p.ready, func(a, b *session) int { return there(a) - there(b) })
	n := 0
	for n < len(p.ready) && there(p.ready[n]) == 0 {
		n++
	}
	p.sendAway(n)
}

// dismiss sends all away that stand by.
func (p *place) dismiss() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sendAway(len(p.ready))
}

// expire sends those away that have stood by since before.
func (p *place) expire(before time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.ready) && p.ready[n].idle.Before(before) {
		n++
	}
	p.sendAway(n)
}
