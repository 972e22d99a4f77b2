package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"tfw/executor"
)

// Buckets of a log shard.
var (
	bLog    = []byte("log")    // seq -> entry
	bHeads  = []byte("heads")  // list -> its unfinished block
	bBlocks = []byte("blocks") // list and last seq -> finished block
	bEnds   = []byte("ends")   // streamKey -> length

	kFirst = []byte("first") // the first sequence number it may hold
	kSpan  = []byte("span")  // oldest and newest time of receipt
)

// shard is one log file. Its handle opens when needed and may be closed at any
// time between transactions.
type shard struct {
	path  string
	used  atomic.Int64 // for closing the least recently used
	stuck atomic.Bool  // its handle cannot be closed any more

	mu    sync.RWMutex
	db    *bbolt.DB
	write bool      // open for writing: the newest one
	until time.Time // when the newest one is to be closed
	lost  bool      // dropped or quarantined: never opened again

	info atomic.Pointer[shardInfo] // of the newest one, as of its last commit
}

// errShardLost says that a shard went away since the caller looked.
var errShardLost = errors.New("log shard is gone")

// createShard makes an empty shard.
func createShard(path string, first uint64) error {
	return createFile(path, bbolt.Options{NoFreelistSync: true}, func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bMeta, bLog, bHeads, bBlocks, bEnds} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bMeta)
		return errors.Join(putNumber(meta, kFormat, formatVersion), putNumber(meta, kFirst, first),
			putSpan(meta, math.MaxInt64, math.MinInt64))
	})
}

func putSpan(meta *bbolt.Bucket, oldest, newest int64) error {
	v := binary.AppendVarint(binary.AppendVarint(make([]byte, 4, 24), oldest), newest)
	return meta.Put(kSpan, seal(kSpan, v))
}

// view runs fn in a read transaction. Damage comes back wrapping ErrCorrupt.
func (s *shard) view(fn func(*bbolt.Tx) error) error {
	return s.with(func(db *bbolt.DB) error {
		return guard(s.path, func() error { return db.View(fn) })
	})
}

// update runs fn in a durable write transaction.
func (s *shard) update(fn func(*bbolt.Tx) error) error {
	return s.with(func(db *bbolt.DB) error {
		err := guard(s.path, func() error { return db.Update(fn) })
		if errors.Is(err, executor.ErrCorrupt) {
			s.stuck.Store(true) // a panic may have left bbolt's locks held
		}
		return err
	})
}

func (s *shard) with(fn func(*bbolt.DB) error) error {
	for {
		s.mu.RLock()
		if s.lost {
			s.mu.RUnlock()
			return errShardLost
		}
		if s.db != nil {
			defer s.mu.RUnlock()
			return fn(s.db)
		}
		s.mu.RUnlock()
		if err := s.open(); err != nil {
			return err
		}
	}
}

func (s *shard) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil || s.lost {
		return nil
	}
	options := bbolt.Options{ReadOnly: true}
	if s.write {
		// Mapped once for good: a commit that must map anew waits for every reader.
		options = bbolt.Options{NoFreelistSync: true, InitialMmapSize: mapSize}
	}
	db, err := openFile(s.path, options)
	if err != nil {
		return err
	}
	s.db = db
	return nil
}

// mapSize is the address space set aside for the shard being written.
const mapSize = 5 << 28

// close gives the handle back, waiting for open transactions, which are short.
func (s *shard) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	if s.stuck.Load() {
		return nil
	}
	return guard(s.path, db.Close)
}

// finish turns the shard being written into a read-only one.
func (s *shard) finish() error {
	err := s.close()
	s.mu.Lock()
	s.write = false
	s.mu.Unlock()
	return err
}

// forget closes the shard for ever; who still asks for it gets errShardLost.
func (s *shard) forget() (first bool) {
	s.mu.Lock()
	first, s.lost = !s.lost, true
	s.mu.Unlock()
	_ = s.close() // nothing is lost with a reader's handle
	return first
}

func (s *shard) isOpen() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db != nil
}

// load reads what a shard knows of itself.
func (s *shard) load() (shardInfo, error) {
	var i shardInfo
	err := s.view(func(tx *bbolt.Tx) error {
		version, err := formatOf(tx)
		if err != nil {
			return err
		}
		if version > formatVersion {
			return newer(s.path, version)
		}
		meta := tx.Bucket(bMeta)
		if i.first, err = number(meta, kFirst); err != nil {
			return err
		}
		body, err := open(kSpan, meta.Get(kSpan))
		if err != nil {
			return err
		}
		r := reader{b: body}
		i.oldest, i.newer, i.last = r.varint(), r.varint(), i.first-1
		for _, name := range [][]byte{bLog, bHeads, bBlocks, bEnds} {
			if tx.Bucket(name) == nil {
				return errNotOurs
			}
		}
		if k, _ := tx.Bucket(bLog).Cursor().Last(); len(k) == 8 {
			i.last = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	if err != nil && (damaged(err) || errors.Is(err, errNotOurs)) && !errors.Is(err, executor.ErrCorrupt) {
		err = fmt.Errorf("%s: %w: %w", s.path, executor.ErrCorrupt, err)
	}
	return i, err
}

// size is the disk space the shard takes.
func (s *shard) size() int64 { return onDisk(s.path) }

// quarantine sets the file aside for a person, never in place of an earlier one.
// It gives "" when the shard was gone already.
func (s *shard) quarantine() (string, error) {
	if !s.forget() {
		return "", nil
	}
	aside := s.path + ".corrupt"
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, os.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s.%d.corrupt", s.path, n)
	}
	if err := os.Rename(s.path, aside); err != nil {
		return "", err
	}
	return aside, syncDir(aside)
}
