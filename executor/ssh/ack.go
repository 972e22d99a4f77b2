package ssh

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tfw/executor"
)

const (
	// ackBatch ids are worth the one rm that forgets them. Seldom is better: for five seconds after
	// files were deleted ext4 is slow to make new ones in their place.
	ackBatch = 64
	// ackMost ids go with one command; the rest waits for the next.
	ackMost = 128
	// sweepEvery is how often what no command took along is swept.
	sweepEvery = time.Minute
	// sweepTimeout bounds one sweep of one host.
	sweepTimeout = 20 * time.Second
)

// acks is what a place is yet to forget. It lives in the place's memo.
type acks struct {
	mu     sync.Mutex
	ended  map[string]executor.Offsets // sizes by id, from the end to the acknowledgement
	queue  map[spoolKey][]string       // words for sweep.sh: "id out err"
	become map[spoolKey]*executor.BecomeAs
	aged   map[spoolKey]time.Time
	broken bool // a connection broke, or a controller before this one: shells may have been killed before they could stand by
}

type acksKey struct{}

func (p *place) acks() *acks {
	return p.memo.getOrPut(acksKey{}, &acks{
		ended: map[string]executor.Offsets{}, queue: map[spoolKey][]string{},
		become: map[spoolKey]*executor.BecomeAs{}, aged: map[spoolKey]time.Time{}, broken: true,
	}).(*acks)
}

// ended remembers the end of a command until it is acknowledged.
func (c *conn) ended(cmd executor.DurableCommand, end executor.End) {
	a := c.place.acks()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.ended) < 100_000 { // beyond, the tombstone lacks the sizes: no harm
		a.ended[cmd.ID.String()] = end.Sizes
	}
}

// Acknowledge implements executor.Conn.
func (c *conn) Acknowledge(become *executor.BecomeAs, ids ...executor.CommandID) {
	c.t.sweeping.Do(func() { c.t.crew.Go(c.t.sweeper) })
	a := c.place.acks()
	a.mu.Lock()
	defer a.mu.Unlock()
	key := keyOf(become)
	if become != nil {
		a.become[key] = become
	}
	for _, id := range ids {
		name, err := idText(id)
		if err != nil {
			continue // it was never started
		}
		e, ok := a.ended[name]
		delete(a.ended, name)
		words := name + " - -"
		if ok {
			words = fmt.Sprintf("%s %d %d", name, e.Stdout, e.Stderr)
		}
		a.queue[key] = append(a.queue[key], words)
	}
}

// take gives what is queued for a user of the host, if it is enough to be worth it.
func (a *acks) take(key spoolKey, least int) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.queue[key]
	if len(q) == 0 || len(q) < least {
		return nil
	}
	n := min(len(q), ackMost)
	some := slices.Clone(q[:n])
	if a.queue[key] = slices.Delete(q, 0, n); len(a.queue[key]) == 0 {
		delete(a.queue, key)
	}
	return some
}

func (a *acks) putBack(key spoolKey, words []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue[key] = append(a.queue[key], words...)
}

// acksText gives the text by which a launch, when all is said, forgets others that ended. Should it
// not come to it, they stay on the host until they are too old.
func acksText(some []string) string {
	if some == nil {
		return ""
	}
	return stateText + sweepText + "t_sweep " + strings.Join(some, " ") + "\n"
}

// sweep does what is queued for the place, one exec for each user and batch.
func (c *conn) sweep(ctx context.Context) error {
	a := c.place.acks()
	a.mu.Lock()
	var keys []spoolKey
	for k := range a.queue {
		keys = append(keys, k)
	}
	broken := a.broken
	a.broken = false
	a.mu.Unlock()
	if len(keys) == 0 && broken { // for what those left, though there is nothing to forget
		err := c.sweepSome(ctx, spoolKey{}, nil)
		if err != nil {
			a.mayHaveLeft()
		}
		return err
	}
	for _, key := range keys {
		for {
			some := a.take(key, 1)
			if some == nil {
				break
			}
			if err := c.sweepSome(ctx, key, some); err != nil {
				a.putBack(key, some)
				return err
			}
		}
	}
	return nil
}

func (c *conn) sweepSome(ctx context.Context, key spoolKey, some []string) error {
	a := c.place.acks()
	a.mu.Lock()
	b := a.become[key]
	old := time.Since(a.aged[key]) > 24*time.Hour
	a.mu.Unlock()
	body := stateText + sweepText + "umask 077\nt_sweep " + strings.Join(some, " ") + "\nt_say swept\n"
	if old {
		body += ageText
	}
	if _, err := c.ask(ctx, b, text{body: body}, false); err != nil {
		return err
	}
	if old {
		a.mu.Lock()
		a.aged[key] = time.Now()
		a.mu.Unlock()
	}
	return nil
}
