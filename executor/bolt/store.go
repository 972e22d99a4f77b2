package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"tfw/executor"
)

// Options say where and how the store keeps its files. Zero values mean the defaults.
type Options struct {
	Dir        string        // the data directory; made 0700
	ShardAge   time.Duration // a log shard is closed at this age: 1 h
	ShardSize  int64         // or at this size in bytes: 1 GiB
	QueueBytes int           // log entries that may wait for the disk in memory: 32 MiB
	Linger     time.Duration // the least time between commits of log entries alone: 25 ms; below 0 is none
	Log        *slog.Logger  // for the operator: quarantines, disk trouble; default discards
}

func (o Options) withDefaults() Options {
	o.ShardAge = cmp.Or(o.ShardAge, time.Hour)
	o.ShardSize = cmp.Or(o.ShardSize, 1<<30)
	o.QueueBytes = cmp.Or(o.QueueBytes, 32<<20)
	o.Linger = cmp.Or(o.Linger, 25*time.Millisecond)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return o
}

// Store is an [executor.Store] in one directory. Make one with [Open].
type Store struct {
	lock   *dirLock
	state  *bbolt.DB
	stuck  atomic.Bool // state.db's handle cannot be closed any more
	shards *shards
	queue  *queue
	bells  bells
	sick   *sickness

	done     chan struct{} // closed when the writer has ended
	writeErr error         // the writer's last word, then

	retaining sync.Mutex
}

var _ executor.Store = (*Store)(nil)

// Open takes a data directory into use, making it when it is not there. The errors to
// tell apart: executor.ErrLocked (another process has it; names its pid),
// ErrNewerData, ErrCorrupt (state.db is damaged), ErrDiskFull. A damaged log
// shard is no error: it is set aside, and [Store.Health] tells.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.Dir == "" {
		return nil, errors.New("no data directory given")
	}
	o = o.withDefaults()
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	s, err := openLocked(o, lock)
	if err != nil {
		return nil, errors.Join(err, lock.release(false))
	}
	return s, nil
}

func openLocked(o Options, lock *dirLock) (*Store, error) {
	state, err := openState(o.Dir, lock.unclean)
	if err != nil {
		return nil, err
	}
	sick := &sickness{log: o.Log}
	shards, err := openShards(o, state, sick, lock.unclean)
	if err != nil {
		return nil, errors.Join(err, state.Close())
	}
	s := &Store{lock: lock, state: state, shards: shards, sick: sick, done: make(chan struct{})}
	s.queue = &queue{max: o.QueueBytes, batch: int(min(o.ShardSize, 16<<20)), linger: o.Linger, wake: make(chan struct{}, 1)}
	s.queue.lengths.shards = shards
	w := &writer{s: s, queue: s.queue}
	go func() {
		defer close(s.done)
		s.writeErr = w.loop()
	}()
	return s, nil
}

// Update implements [executor.Store]. fn runs on another goroutine; its panic is
// raised again here. Once it has begun, its outcome is waited for whatever ctx does.
func (s *Store) Update(ctx context.Context, fn func(executor.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u := &update{fn: fn, done: make(chan struct{})}
	if err := s.queue.submit(&item{update: u}); err != nil {
		return err
	}
	select {
	case <-u.done:
	case <-ctx.Done():
		if u.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		<-u.done
	}
	if u.panicked != nil {
		panic(u.panicked)
	}
	return u.err
}

// View implements [executor.Store].
func (s *Store) View(ctx context.Context, fn func(executor.Tx) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	err := s.state.View(func(b *bbolt.Tx) error {
		t := &tx{bolt: b, file: s.state.Path()}
		err := fn(t)
		if t.err != nil {
			s.sick.note(t.err)
			return t.err
		}
		return err
	})
	if errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		return executor.ErrClosed
	}
	return err
}

func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	if s.queue.closed {
		return executor.ErrClosed
	}
	return nil
}

// Append implements [executor.Store]. Data over 64 KiB is cut into several
// entries; small neighbours of one stream may become one. A failed call queued nothing.
func (s *Store) Append(ctx context.Context, entries ...executor.Entry) error {
	return s.queue.append(ctx, entries)
}

// Lengths implements [executor.Store].
func (s *Store) Lengths(ctx context.Context, id executor.CommandID) (executor.Offsets, error) {
	if err := s.usable(ctx); err != nil {
		return executor.Offsets{}, err
	}
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	var ends [2]int64
	for i, name := range []executor.Stream{executor.Stdout, executor.Stderr} {
		st, err := s.queue.lengths.of(streamKey(string(id.Run), id.Host, id.Ordinal, streamCode(name)))
		if err != nil {
			return executor.Offsets{}, fmt.Errorf("%s: %w", id, err)
		}
		ends[i] = st.end
	}
	return executor.Offsets{Stdout: ends[0], Stderr: ends[1]}, nil
}

// Changed implements [executor.Store]. A wait for a topic that nothing ever rings
// may end by itself when very many such have piled up.
func (s *Store) Changed(topic string) <-chan struct{} { return s.bells.wait(topic) }

// Health implements [executor.Store].
func (s *Store) Health() error { return s.sick.error() }

// Close implements [executor.Store]. A second call does nothing.
func (s *Store) Close() error {
	if !s.queue.close() {
		<-s.done
		return nil
	}
	<-s.done
	err := errors.Join(s.writeErr, s.shards.close())
	if !s.stuck.Load() {
		err = errors.Join(err, s.state.Close())
	}
	s.bells.close()
	return errors.Join(err, s.lock.release(err == nil))
}
