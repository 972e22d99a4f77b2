package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"tfw/executor"
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

// openShards finds the log's files. Those that a crash left unregistered are
// registered now; the newest is written again when it is small and whole.
func openShards(o Options, state *bbolt.DB, sick *sickness, unclean bool) (*shards, error) {
	s := &shards{dir: filepath.Join(o.Dir, "logs"), state: state, sick: sick, gone: map[uint64]uint64{}, age: o.ShardAge}
	s.limit.Store(o.ShardSize)
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	known, err := s.loadKnown()
	if err != nil {
		return nil, err
	}
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	if err := s.dropMissing(known, files); err != nil {
		return nil, err
	}
	var strays []string
	for _, name := range files {
		if _, ok := known[name]; !ok {
			strays = append(strays, name)
		}
	}
	for i, name := range strays {
		newest := i == len(strays)-1 && name == files[len(files)-1]
		if err := s.adopt(name, newest, unclean); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	s.durable.Store(s.next - 1)
	return s, nil
}

// loadKnown reads the registry: next, reserve and the closed shards by name.
func (s *shards) loadKnown() (map[string]shardInfo, error) {
	known := map[string]shardInfo{}
	s.next = 1
	err := guard(s.state.Path(), func() error {
		return s.state.View(func(tx *bbolt.Tx) (err error) {
			if s.reserve, err = number(tx.Bucket(bMeta), kReserve); err != nil {
				return err
			}
			return tx.Bucket(bShards).ForEach(func(k, v []byte) error {
				i, err := decodeShard(k, v)
				if err != nil {
					return fmt.Errorf("shard at %x: %w", k, err)
				}
				s.next = max(s.next, i.last+1)
				s.noteName(i.name)
				if i.gone {
					s.gone[i.first] = i.last
					return nil
				}
				known[i.name] = i
				return nil
			})
		})
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", s.state.Path(), executor.ErrCorrupt, err)
	}
	return known, nil
}

// files lists the shards there are, oldest first, and clears away what a crash left half made.
func (s *shards) files() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasSuffix(name, ".new"):
			if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
				return nil, err
			}
		case strings.HasSuffix(name, ".corrupt"):
			s.sick.quarantined(filepath.Join(s.dir, name), nil)
			base, _, _ := strings.Cut(name, ".db.")
			s.noteName(base + ".db")
		case strings.HasSuffix(name, ".db"):
			names = append(names, name)
			s.noteName(name)
		}
	}
	slices.SortFunc(names, compareNames)
	return names, nil
}

// dropMissing registers the closed shards that are there and notes the rest as gone.
func (s *shards) dropMissing(known map[string]shardInfo, files []string) error {
	for name, i := range known {
		if !slices.Contains(files, name) {
			if err := s.markGone(i); err != nil {
				return err
			}
			continue
		}
		s.insert(closedShard{shardInfo: i, shard: &shard{path: filepath.Join(s.dir, name)}})
	}
	return nil
}

func (s *shards) insert(c closedShard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	closed := append(slices.Clone(s.closed), c) // readers hold the old one
	slices.SortFunc(closed, func(a, b closedShard) int { return cmp.Compare(a.first, b.first) })
	s.closed = closed
	if s.active == c.shard {
		s.active = nil // in the same moment: nobody reads it twice, or not at all
	}
}

// adopt takes in a shard that was never closed: as the active one, or closed now.
func (s *shards) adopt(name string, newest, unclean bool) error {
	sh := &shard{path: filepath.Join(s.dir, name), write: newest && onDisk(filepath.Join(s.dir, name)) < reuse}
	i, err := sh.load()
	if err == nil && sh.write && unclean {
		err = check(sh.db)
	}
	if errors.Is(err, executor.ErrCorrupt) {
		s.next = max(s.next, s.reserve+1)
		return s.setAside(sh, shardInfo{}, err)
	}
	if err != nil {
		return fmt.Errorf("open log shard: %w", err)
	}
	i.name = name
	sh.info.Store(&i)
	s.next = max(s.next, i.last+1)
	if sh.write {
		hour, _ := splitName(strings.TrimSuffix(name, ".db"))
		if begun, err := time.Parse(hourFormat, hour); err == nil {
			sh.until = begun.Add(s.age)
		}
		s.active = sh
		return nil
	}
	return s.register(sh)
}

// setAside quarantines a damaged shard; the rest is served.
func (s *shards) setAside(sh *shard, i shardInfo, cause error) error {
	aside, err := sh.quarantine()
	if aside == "" && err == nil {
		return nil // another reader was faster
	}
	if err != nil {
		return fmt.Errorf("set the damaged %s aside: %w", sh.path, err)
	}
	s.sick.quarantined(aside, cause)
	if i.first == 0 {
		return nil
	}
	return s.markGone(i)
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

func (s *shards) close() error {
	closed, active := s.set()
	var errs []error
	for _, c := range closed {
		errs = append(errs, c.close())
	}
	if active != nil {
		errs = append(errs, active.close())
	}
	return errors.Join(errs...)
}

// Names are 2026-11-22T12 or, when the hour has several, 2026-11-22T12-2 and so on.

const hourFormat = "2006-01-02T15"

// nameFor gives the name of the next shard: of this hour, or one more of the
// newest hour there ever was, so that names follow the order whatever the clock does.
func (s *shards) nameFor(now time.Time) string {
	name := now.UTC().Format(hourFormat)
	if hour, n := splitName(s.last); hour >= name {
		return hour + "-" + strconv.Itoa(n+1)
	}
	return name
}

func (s *shards) noteName(file string) {
	if s.last == "" || compareNames(file, s.last) > 0 {
		s.last = strings.TrimSuffix(file, ".db")
	}
}

func compareNames(a, b string) int {
	hourA, a1 := splitName(strings.TrimSuffix(a, ".db"))
	hourB, b1 := splitName(strings.TrimSuffix(b, ".db"))
	return cmp.Or(cmp.Compare(hourA, hourB), cmp.Compare(a1, b1))
}

// splitName parts a name into its hour and its number in that hour, from 1.
func splitName(name string) (hour string, n int) {
	if len(name) <= len(hourFormat) {
		return name, 1
	}
	n, err := strconv.Atoi(strings.TrimPrefix(name[len(hourFormat):], "-"))
	if err != nil {
		return name, 1
	}
	return name[:len(hourFormat)], n
}
