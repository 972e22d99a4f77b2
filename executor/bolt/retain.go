package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// minLimit is the smallest size at which shards are closed because of a Retain.
const minLimit = 1 << 20

// Retain implements [executor.Store]. From then on shards are closed at an eighth of
// size, so that keeping within it gives up little at a time.
func (s *Store) Retain(ctx context.Context, age time.Duration, size int64) (dropped []string, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.retaining.Lock()
	defer s.retaining.Unlock()
	if size > 0 {
		s.shards.limit.Store(min(s.shards.limit.Load(), max(minLimit, size/8)))
	}
	for range 2 { // closed shards first; then, if it must be, also what was the active one
		more, err := s.retainClosed(ctx, age, size)
		dropped = append(dropped, more...)
		if err != nil || !s.shards.activeExceeds(age, size) {
			return dropped, err
		}
		if err := s.order(ctx, s.shards.rotate); err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

func (s *Store) retainClosed(ctx context.Context, age time.Duration, size int64) (dropped []string, err error) {
	for _, c := range s.shards.surplus(age, size) {
		if err := ctx.Err(); err != nil {
			return dropped, err
		}
		if err := s.shards.drop(c); err != nil {
			return dropped, fmt.Errorf("drop log shard %s: %w", c.name, err)
		}
		dropped = append(dropped, c.name)
	}
	return dropped, nil
}

// order has the writer do something between two batches.
func (s *Store) order(ctx context.Context, do func() error) error {
	o := &order{do: do, done: make(chan error, 1)}
	if err := s.queue.submit(&item{order: o}); err != nil {
		return err
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// surplus lists the closed shards to drop, oldest first.
func (s *shards) surplus(age time.Duration, size int64) []closedShard {
	closed, active := s.set()
	total := int64(0)
	if active != nil {
		total = active.size()
	}
	sizes := make([]int64, len(closed))
	for i, c := range closed {
		sizes[i] = c.size()
		total += sizes[i]
	}
	var out []closedShard
	end := nanos(time.Now())
	ends := make([]int64, len(closed))
	for i, c := range slices.Backward(closed) { // a clock that was ahead for a while: nothing is younger than what came after it
		if ends[i] = c.newer; c.newer > nanos(time.Now()) {
			ends[i] = end
		}
		end = ends[i]
	}
	for i, c := range closed {
		if expired(ends[i], age) || size > 0 && total > size {
			out = append(out, c)
			total -= sizes[i]
		}
	}
	return out
}

// activeExceeds tells whether the active shard itself is too old or too big.
func (s *shards) activeExceeds(age time.Duration, size int64) bool {
	_, active := s.set()
	if active == nil {
		return false
	}
	i := active.info.Load()
	return i.last >= i.first && (expired(i.newer, age) || size > 0 && active.size() > size)
}

func expired(newest int64, age time.Duration) bool {
	return age > 0 && time.Since(moment(newest)) > age
}

// drop unlinks a closed shard. The file goes first: on a full disk that makes the
// room to remember it; a crash between is made good at the next start.
func (s *shards) drop(c closedShard) error {
	c.forget()
	if err := os.Remove(c.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return errors.Join(syncDir(c.path), s.markGone(c.shardInfo))
}
