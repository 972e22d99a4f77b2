package ssh

import (
	"context"
	"errors"
	"time"
)

var errIdle = errors.New("idle")

// janitor closes connections that nobody uses any more, and keeps the pool within its bound.
func (t *Transport) janitor() {
	every := time.NewTicker(min(t.opt.IdleTimeout/2, max(t.opt.StandbyIdle, 100*time.Millisecond), 15*time.Second))
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
		p.expire(now.Add(-t.opt.StandbyIdle))
		for _, l := range p.takeIdle(now.Add(-t.opt.IdleTimeout)) {
			l.end(errIdle)
		}
	}
	t.forget(now.Add(-t.opt.IdleTimeout))
}

// reserve counts one more connection, for which the one unused for longest gives
// way when the pool is full. It waits while all are in use.
func (t *Transport) reserve(ctx context.Context) error {
	for {
		n := t.total.Load()
		if n < int64(t.opt.MaxConnections) {
			if t.total.CompareAndSwap(n, n+1) {
				return nil
			}
			continue
		}
		if t.evict() {
			continue
		}
		timer := time.NewTimer(20 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// evict ends the links of the place that was unused for longest; false when all are used.
func (t *Transport) evict() bool {
	var oldest *place
	var since time.Time
	for _, p := range t.allPlaces() {
		if used, idle := p.unused(); idle && (oldest == nil || used.Before(since)) {
			oldest, since = p, used
		}
	}
	if oldest == nil {
		return false
	}
	for _, l := range oldest.takeIdle(time.Now()) { // none, where somebody came for them meanwhile
		l.end(errIdle)
	}
	return true
}

// unused tells since when nobody holds the place, whose links could be closed.
func (p *place) unused() (since time.Time, yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users > 0 || len(p.links) == 0 {
		return time.Time{}, false
	}
	for _, l := range p.links {
		if l.busy > l.ready {
			return time.Time{}, false
		}
	}
	return p.used, true
}

// forget takes places out that hold nothing and were not used for long.
func (t *Transport) forget(before time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, p := range t.places {
		p.mu.Lock()
		empty := p.users == 0 && len(p.links) == 0 && p.flight == nil && p.used.Before(before)
		p.mu.Unlock()
		if empty {
			delete(t.places, key)
		}
	}
}

// takeIdle takes links without sessions out of the place, to be ended: all of them when no user is left since
// before, else those beyond the first that freed their last session before. Whoever comes now opens a link of its own in
// place of losing one that is ended under its hands.
func (p *place) takeIdle(before time.Time) (idle []*link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var kept []*link
	for i, l := range p.links {
		if l.busy == l.ready && l.freed.Before(before) && p.used.Before(before) && (p.users == 0 || i > 0) {
			idle = append(idle, l)
		} else {
			kept = append(kept, l)
		}
	}
	p.links = kept
	p.sendAwayOf(idle)
	return idle
}
