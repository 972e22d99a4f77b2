package ssh

import (
	"context"
	"slices"
	"sync"
	"time"
)

// place is what the pool keeps for one way of reaching a host: its links, those
// who wait for a session, and what is remembered of the host.
type place struct {
	t      *Transport
	set    *settings
	memo   memo
	starts chan struct{} // one for each command that is just being started

	mu      sync.Mutex
	links   []*link
	waiting []*waiter
	ready   []*session // whose shells stand by, the one used last at the end
	leaving int        // of those, sent away and not gone yet
	left    time.Time  // when one was last sent away for its slot
	flight  *flight    // the dial under way
	users   int
	used    time.Time // when the last user left
	noGrow  time.Time // after a further link could not be had, none is tried before this
	given   time.Time // when a slot or a shell was last handed on
	looking bool      // somebody looks again soon whether one was
	young   int       // sessions whose commands may be over in a moment
}

// waiter waits for a session slot.
type waiter struct {
	ch     chan slot
	urgent bool
	shell  bool // or for a session whose shell has ended its command
	since  time.Time
	stays  func() // called when it is not served at once
}

// slot is what a waiter is handed: the link to open a session on, or a session that is
// open. Neither means that no link is left.
type slot struct {
	link    *link
	session *session
}

func newPlace(t *Transport, s *settings) *place {
	return &place{t: t, set: s, used: time.Now(), starts: make(chan struct{}, standbyMost)}
}

func (p *place) hold() {
	p.mu.Lock()
	p.users++
	p.mu.Unlock()
}

func (p *place) release() {
	p.mu.Lock()
	p.users--
	p.used = time.Now()
	p.mu.Unlock()
}

func (p *place) count() (links, sessions int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		sessions += l.busy - l.ready
	}
	return len(p.links), sessions
}

// live gives the first link, nil when there is none.
func (p *place) live() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.links) == 0 {
		return nil
	}
	return p.links[0]
}

// acquire waits for a session slot on any link of the place. Urgent ones go
// first and may use the spare slot. The slot goes back with [place.free].
func (p *place) acquire(ctx context.Context, urgent bool) (*link, error) {
	got, err := p.wait(ctx, &waiter{urgent: urgent})
	return got.link, err
}

// wait waits for what the waiter wants.
func (p *place) wait(ctx context.Context, w *waiter) (slot, error) {
	w.ch, w.since = make(chan slot, 1), time.Now()
	p.mu.Lock()
	if len(p.links) == 0 {
		p.mu.Unlock()
		return slot{}, lost(nil)
	}
	if w.urgent {
		p.waiting = slices.Insert(p.waiting, 0, w)
	} else {
		p.waiting = append(p.waiting, w)
	}
	p.pump()
	p.mu.Unlock()

	if w.stays != nil && len(w.ch) == 0 {
		w.stays()
	}
	select {
	case got := <-w.ch:
		if got == (slot{}) {
			return got, lost(nil)
		}
		return got, nil
	case <-ctx.Done():
		p.forget(w)
		return slot{}, context.Cause(ctx)
	}
}

// forget takes a waiter back that gave up, with the slot it may just have been handed.
func (p *place) forget(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		return
	}
	p.handBack(<-w.ch)
}

// giveBack takes back what a waiter was handed and does not use.
func (p *place) giveBack(got slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handBack(got)
}

// handBack is giveBack, called with p.mu held.
func (p *place) handBack(got slot) {
	if got.session != nil {
		got.session.shut()
	}
	if l := got.link; l != nil {
		l.busy--
		l.trying = false
		p.pump()
	}
}

// pump hands slots to those who wait, and asks for a further link when there
// are more of them than slots. Called with p.mu held after every change.
func (p *place) pump() {
	for len(p.waiting) > 0 {
		w := p.waiting[0]
		l := p.roomiest(w.urgent)
		if l == nil {
			if !p.retire() {
				p.grow()
			}
			return
		}
		l.take()
		p.serve(slot{link: l})
	}
}

// serve hands the first who waits what it waits for. Called with p.mu held.
func (p *place) serve(what slot) {
	w := p.waiting[0]
	p.waiting = p.waiting[1:]
	p.given = time.Now()
	w.ch <- what
}

// launches counts the commands that may be over in a moment.
func (p *place) launches(by int) {
	p.t.launching.Add(int64(by))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.young += by; by < 0 {
		p.pump() // where all sessions last, who waits needs a further link
	}
}

// roomiest gives the link with most free slots, nil when none has any.
func (p *place) roomiest(urgent bool) *link {
	var best *link
	most := 0
	for _, l := range p.links {
		if n := l.room(urgent); n > most {
			best, most = l, n
		}
	}
	return best
}

// drop takes a link out that broke; who waits is told when it was the last.
func (p *place) drop(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.links, l)
	if i < 0 {
		return
	}
	p.links = slices.Delete(p.links, i, i+1)
	if len(p.links) > 0 {
		p.pump()
		return
	}
	for _, w := range p.waiting {
		w.ch <- slot{}
	}
	p.waiting = nil
}

// breakAll ends every link and the dial under way.
func (p *place) breakAll(why error) {
	p.mu.Lock()
	links := slices.Clone(p.links)
	if p.flight != nil {
		p.flight.cancel()
	}
	p.mu.Unlock()
	for _, l := range links {
		l.end(why)
	}
}
