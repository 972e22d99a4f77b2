package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// reuse is the size up to which the newest shard is written again after a
	// restart: opening one for writing scans it for free pages.
	reuse = 64 << 20
	// maxOpen bounds the shards that are open for reading.
	maxOpen = 24
)

// closedShard is a shard that is no longer written.
type closedShard struct {
	shardInfo
	*shard
}

// shards is the log's set of files. Only the writer changes which one is active.
type shards struct {
	dir   string
	state *bbolt.DB
	sick  *sickness

	mu     sync.RWMutex
	closed []closedShard     // by sequence
	gone   map[uint64]uint64 // first -> last sequence number of what was dropped or quarantined
	active *shard            // nil until something is written
	last   string            // the newest name ever used, without .db

	next    uint64 // the writer's: the next sequence number
	reserve uint64 // the writer's: what state.db has set aside
	age     time.Duration
	limit   atomic.Int64  // bytes of a shard
	durable atomic.Uint64 // the last sequence number on disk
	clock   atomic.Int64  // for the least recently used
}

// markGone remembers that a shard's entries can no longer be read.
func (s *shards) markGone(i shardInfo) error {
	s.mu.Lock()
	s.gone[i.first] = i.last
	s.closed = slices.DeleteFunc(slices.Clone(s.closed), func(c closedShard) bool { return c.first == i.first })
	s.mu.Unlock()
	i.gone = true
	return s.updateState(func(tx *bbolt.Tx) error { return putShard(tx, i) })
}

func (s *shards) updateState(fn func(*bbolt.Tx) error) error {
	return classify(guard(s.state.Path(), func() error { return s.state.Update(fn) }))
}

// register closes a shard for writing: what readers and Lengths need of it goes
// to state.db, so that neither has to open it, nor depends on its staying.
func (s *shards) register(sh *shard) error {
	i := *sh.info.Load()
	if i.last < i.first {
		return s.discard(sh)
	}
	err := sh.view(func(log *bbolt.Tx) error {
		return s.updateState(func(tx *bbolt.Tx) error {
			return errors.Join(putShard(tx, i), copyRuns(tx, log, i.first), copyLengths(tx, log))
		})
	})
	if err == nil {
		err = sh.finish()
	}
	if err != nil {
		return fmt.Errorf("close log shard %s: %w", i.name, err)
	}
	s.insert(closedShard{shardInfo: i, shard: sh})
	return nil
}

// discard removes a shard that never got an entry.
func (s *shards) discard(sh *shard) error {
	s.mu.Lock()
	s.active = nil
	s.mu.Unlock()
	sh.forget()
	return os.Remove(sh.path)
}

func copyRuns(state, log *bbolt.Tx, first uint64) error {
	return log.Bucket(bHeads).ForEach(func(k, _ []byte) error {
		if run, whole := listRun(k); whole {
			return addRun(state, run, first)
		}
		return nil
	})
}

func copyLengths(state, log *bbolt.Tx) error {
	lengths := state.Bucket(bLengths)
	return log.Bucket(bEnds).ForEach(func(k, v []byte) error {
		if _, err := open(k, v); err != nil {
			return fmt.Errorf("length of a stream: %w", err)
		}
		return lengths.Put(k, v)
	})
}

// rotate closes the active shard; the next entry begins a new one.
func (s *shards) rotate() error {
	if s.active == nil {
		return nil
	}
	return s.register(s.active)
}

// begin makes a new active shard.
func (s *shards) begin(now time.Time) error {
	name := s.nameFor(now)
	path := filepath.Join(s.dir, name+".db")
	if err := createShard(path, s.next); err != nil {
		return fmt.Errorf("begin log shard: %w", err)
	}
	sh := &shard{path: path, write: true, until: now.Truncate(s.age).Add(s.age)}
	sh.info.Store(&shardInfo{name: name + ".db", first: s.next, last: s.next - 1, oldest: math.MaxInt64, newer: math.MinInt64})
	s.mu.Lock()
	s.active = sh
	s.mu.Unlock()
	s.noteName(name + ".db")
	return nil
}

// set is what there is to read at one moment.
func (s *shards) set() (closed []closedShard, active *shard) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.closed[:len(s.closed):len(s.closed)], s.active
}

// touch marks a shard as used and closes the least recently used beyond maxOpen.
func (s *shards) touch(sh *shard) {
	sh.used.Store(s.clock.Add(1))
	if sh.isOpen() {
		return
	}
	closed, _ := s.set()
	var open []*shard
	for _, c := range closed {
		if c.shard != sh && c.isOpen() {
			open = append(open, c.shard)
		}
	}
	if len(open) < maxOpen {
		return
	}
	oldest := slices.MinFunc(open, func(a, b *shard) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	_ = oldest.close() // a reader's handle
}

// close closes every file for good: a reader that is still on its way gets errShardLost.
func (s *shards) close() error {
	closed, active := s.set()
	for _, c := range closed {
		c.forget()
	}
	if active == nil {
		return nil
	}
	err := active.close()
	active.forget()
	return err
}
