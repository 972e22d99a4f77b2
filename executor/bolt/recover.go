package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"tfw/executor"
)

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
		sh.forget()
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
