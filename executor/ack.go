package executor

import (
	"context"
	"time"

	"github.com/sourcegraph/conc/pool"

	"tfw/inventory"
)

// unacked is a command whose end is stored and that its host may still remember.
type unacked struct {
	ID       CommandID         `json:"id"`
	As       *changedUser      `json:"as,omitempty"`
	Settings string            `json:"settings"`
	Jumps    map[string]string `json:"jumps,omitempty"`
	At       time.Time         `json:"at"`
}

const (
	sweepEvery = time.Minute
	// ackedIn is how long the transport may take to pass an acknowledgement on: it
	// does so with the host's next command or its own sweep.
	ackedIn = 3 * time.Minute
	// forgetAfter is when a host that cannot be reached is left with its
	// leftovers: the host's own sweep by age removes them.
	forgetAfter = 30 * 24 * time.Hour
)

// acknowledge tells the transport which commands are stored, each with the user that it was run as,
// and remembers that it was told.
func (e *Executor) acknowledge(conn Conn, host *inventory.Host, all []unacked) {
	as := map[changedUser][]CommandID{}
	for _, u := range all {
		if u.As == nil {
			u.As = &changedUser{}
		}
		as[*u.As] = append(as[*u.As], u.ID)
	}
	for user, ids := range as {
		var become *BecomeAs
		if user != (changedUser{}) {
			var err error
			if become, err = e.become(&user, host); err != nil {
				e.log.Warn("a host is not told what is stored", "host", host.Name, "error", err) // its own sweep by age removes it
				continue
			}
		}
		conn.Acknowledge(become, ids...)
		e.acknowledged(ids)
	}
}

// acknowledged remembers which ids the transport was told of by this process.
func (e *Executor) acknowledged(ids []CommandID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.told == nil {
		e.told = map[string]time.Time{}
	}
	for _, id := range ids {
		e.told[id.String()] = time.Now()
	}
}

// sweep tells hosts again of the commands that were stored when no one could tell
// them, and forgets those that they were told of.
func (e *Executor) sweep() {
	for first := true; ; first = false {
		wait := sweepEvery
		if first {
			wait = time.Second // what the process before could not tell
		}
		if !sleep(e.background, wait) {
			return
		}
		if err := e.sweepOnce(e.background); err != nil && e.background.Err() == nil {
			e.log.Warn("cannot sweep acknowledgements", "error", err)
		}
		e.lookForStrays(e.background)
	}
}

func (e *Executor) sweepOnce(ctx context.Context) error {
	var done []string
	untold := map[string][]unacked{}
	err := e.view(ctx, func(tx Tx) error {
		done, untold = nil, map[string][]unacked{}
		return rangePrefix(tx, tableUnacked, "", func(key string, u unacked) error {
			switch at, told := e.toldAt(key); {
			case told && time.Since(at) > ackedIn, time.Since(u.At) > forgetAfter:
				done = append(done, key)
			case !told && time.Since(u.At) > time.Second:
				untold[u.Settings] = append(untold[u.Settings], u)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	callers := pool.New().WithMaxGoroutines(16) // hosts that do not answer hold up no others
	for key, all := range untold {
		callers.Go(func() {
			if err := e.tell(ctx, key, all); err != nil {
				e.log.Debug("host not told yet what is stored", "host", all[0].ID.Host, "error", err)
			}
		})
	}
	callers.Wait()
	return e.forget(ctx, done)
}

func (e *Executor) toldAt(key string) (time.Time, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, ok := e.told[key]
	return at, ok
}

// tell connects to a host only to pass acknowledgements on.
func (e *Executor) tell(ctx context.Context, key string, all []unacked) error {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	host, conn, err := e.reach(ctx, key, all[0].Jumps)
	if err != nil {
		return err
	}
	defer conn.Release()
	e.acknowledge(conn, host, all)
	e.met(all)
	return nil
}

// reach connects to a host as a run had found it.
func (e *Executor) reach(ctx context.Context, settings string, jumps map[string]string) (*inventory.Host, Conn, error) {
	a := &active{hosts: map[string]*inventory.Host{}}
	var host *inventory.Host
	err := e.view(ctx, func(tx Tx) (err error) {
		if host, _, err = storedHost(tx, settings); err != nil {
			return err
		}
		for name, jump := range jumps {
			if a.hosts[name], _, err = storedHost(tx, jump); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	conn, err := e.cfg.Transport.Connect(ctx, host, a.via)
	return host, conn, err
}

func (e *Executor) forget(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	err := e.store.Update(ctx, func(tx Tx) error {
		for _, key := range keys {
			if err := tx.Delete(tableUnacked, key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, key := range keys {
		delete(e.told, key)
	}
	return nil
}
