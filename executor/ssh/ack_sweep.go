package ssh

import (
	"context"
	"sync"
	"time"

	"tfw/inventory"
)

// closeSweep bounds the sweeping at [Transport.Close]. What is not done then stays on its host until it is too old.
const closeSweep = 2 * time.Second

// sweeper forgets once a minute what no command took along.
func (t *Transport) sweeper() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.sweepAll(t.ctx, sweepTimeout, true)
		case <-t.ctx.Done():
			return
		}
	}
}

// sweepAll sweeps the hosts that there is a connection to, and with dial those whose
// connection broke before they were told. A failure is for the next time.
func (t *Transport) sweepAll(ctx context.Context, limit time.Duration, dial bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var wg sync.WaitGroup
	few := make(chan struct{}, 16)
	for _, p := range t.allPlaces() {
		if !p.acks().any(dial && p.live() != nil) || p.live() == nil && !dial {
			continue
		}
		few <- struct{}{}
		wg.Go(func() {
			defer func() { <-few }()
			c := &conn{t: t, place: p, inv: &inventory.Host{Name: p.set.name}}
			err := p.connect(ctx)
			if err == nil {
				err = c.sweep(ctx)
			}
			if err != nil && ctx.Err() == nil {
				t.opt.Logger.Debug("acknowledged commands could not be forgotten yet", "host", p.set.name, "error", err)
			}
		})
	}
	wg.Wait()
}

// any reports whether there is something to sweep, leftovers of broken connections too when they are asked for.
func (a *acks) any(leftovers bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.queue) > 0 || leftovers && a.broken
}

// mayHaveLeft notes that shells on the host may have been killed.
func (a *acks) mayHaveLeft() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken = true
}
