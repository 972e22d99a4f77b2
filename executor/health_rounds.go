package executor

import (
	"math/rand/v2"
	"time"

	"github.com/sourcegraph/conc/pool"

	"tfw/inventory"
)

const (
	firstRound = time.Minute    // a host is asked within it after a start, or after it came into the inventory
	factsEvery = 24 * time.Hour // how old facts become before a background probe brings new ones
)

// keepProbing asks every host about once a period how it fares, until the end of the
// background. Each host has a time of its own, drawn anew each time, so that a
// thousand hosts are not asked at once; so many at a time as ProbeParallel says, and nothing queues up behind them.
func (e *Executor) keepProbing() {
	asking := pool.New().WithMaxGoroutines(e.cfg.ProbeParallel)
	defer asking.Wait()
	due := map[string]time.Time{}
	for {
		hosts, wait := e.dueHosts(due, time.Now())
		for _, h := range hosts {
			if e.background.Err() != nil {
				return
			}
			asking.Go(func() { e.probeQuietly(h) }) // waits while all are at work
		}
		if !sleep(e.background, wait) {
			return
		}
	}
}

// dueHosts gives the hosts whose time has come, in random order, and how long to
// sleep until the next. Retired hosts are left alone.
func (e *Executor) dueHosts(due map[string]time.Time, at time.Time) (hosts []*inventory.Host, wait time.Duration) {
	every := e.cfg.ProbeEvery
	wait = min(every, 10*time.Second) // to look for new hosts
	there := make(map[string]bool, len(due))
	for _, h := range e.inventory(Local("tfwd")).Hosts() {
		if h.State == inventory.Retired {
			continue
		}
		there[h.Name] = true
		next, known := due[h.Name]
		switch {
		case !known:
			next = at.Add(rand.N(min(every, firstRound)))
		case !next.After(at):
			hosts = append(hosts, h)
			next = at.Add(every*3/4 + rand.N(every/2+1))
		}
		due[h.Name] = next
		wait = min(wait, next.Sub(at))
	}
	for name := range due {
		if !there[name] {
			delete(due, name)
		}
	}
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	return hosts, max(wait, min(every/10, time.Second))
}

// probeQuietly asks one host and stores what it found. Failures of the store are told in the log.
func (e *Executor) probeQuietly(h *inventory.Host) {
	var before healthRecord
	_ = e.view(e.background, func(tx Tx) error {
		_, err := get(tx, tableHealth, h.Name, &before)
		return err
	})
	found := e.probe(e.background, h, time.Since(before.FactsAt) > factsEvery)
	if e.background.Err() != nil {
		return // what was found is that we stopped asking
	}
	if err := e.storeHealth(e.background, []*inventory.Host{h}, []healthRecord{found}); err != nil && e.background.Err() == nil {
		e.log.Error("cannot store how a host fares", "host", h.Name, "error", err)
	}
	if found.Reachable != before.Reachable && !before.Probed.IsZero() {
		e.log.Info("a host changed its reach", "host", h.Name, "reachable", found.Reachable, "problem", found.Problem)
	}
}
