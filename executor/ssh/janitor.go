package ssh

import (
	"errors"
	"slices"
	"time"
)

var errIdle = errors.New("idle")

// janitor closes connections that nobody uses any more, and keeps the pool within its bound.
func (t *Transport) janitor() {
	every := time.NewTicker(min(t.opt.IdleTimeout/2, 15*time.Second))
	defer every.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return
		case now := <-every.C:
			t.sweep(now)
		}
	}
}

// sweep closes what was unused for the idle time and forgets places that are empty and unused.
func (t *Transport) sweep(now time.Time) {
	for _, p := range t.allPlaces() {
		for _, l := range p.idle(now.Add(-t.opt.IdleTimeout)) {
			l.end(errIdle)
		}
	}
}

// idle gives links without sessions: all of them when no user is left since
// before, else those beyond the first that freed their last session before.
func (p *place) idle(before time.Time) []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	var idle []*link
	for i, l := range p.links {
		if l.busy == 0 && l.freed.Before(before) && p.used.Before(before) && (p.users == 0 || i > 0) {
			idle = append(idle, l)
		}
	}
	return slices.Clip(idle)
}
