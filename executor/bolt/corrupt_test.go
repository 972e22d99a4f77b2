package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"tfw/executor"
	"tfw/executor/bolt"
)

// library makes a data directory with several closed shards, each with entries of its own run and of a common one.
func library(t *testing.T) (dir string, shards []string) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, bolt.Options{Dir: dir, ShardSize: 600 << 10})
	for i := range int64(40) {
		e := stdout(i*40_000, pattern(i*40_000, 40_000))
		own := executor.Entry{Run: executor.RunID(fmt.Sprint("own", i)), Stream: executor.Events, Data: []byte("x"), Time: time.Now()}
		if err := s.Append(t.Context(), e, own); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), func(tx executor.Tx) error { return tx.Put("t", fmt.Sprint(i), pattern(i, 3000)) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	shards, _ = filepath.Glob(filepath.Join(dir, "logs", "*.db"))
	if len(shards) < 3 {
		t.Fatalf("%d shards", len(shards))
	}
	return dir, shards
}

// damages are what may happen to a file.
var damages = map[string]func(b []byte, r *rand.Rand) []byte{
	"empty":     func([]byte, *rand.Rand) []byte { return nil },
	"one page":  func(b []byte, _ *rand.Rand) []byte { return b[:4096] },
	"metas":     func(b []byte, _ *rand.Rand) []byte { clear(b[:8192]); return b },
	"truncated": func(b []byte, r *rand.Rand) []byte { return b[:8192+r.IntN(len(b)-8192)] },
	"noise":     func(b []byte, _ *rand.Rand) []byte { return random(len(b)) },
	"bit": func(b []byte, r *rand.Rand) []byte {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		return b
	},
	"page": func(b []byte, r *rand.Rand) []byte {
		at := r.IntN(len(b)/4096) * 4096
		copy(b[at:at+4096], random(4096))
		return b
	},
	"everything": func(b []byte, _ *rand.Rand) []byte {
		for i := 8192; i < len(b); i++ { // but for the two pages that say where the rest begins
			b[i] ^= 0x5a
		}
		return b
	},
	"zeroes": func(b []byte, r *rand.Rand) []byte {
		at := r.IntN(len(b)/4096) * 4096
		clear(b[at:min(len(b), at+8*4096)])
		return b
	},
	"pages swapped": func(b []byte, r *rand.Rand) []byte {
		at, to := r.IntN(len(b)/4096)*4096, r.IntN(len(b)/4096)*4096
		page := bytes.Clone(b[at : at+4096])
		copy(b[at:], b[to:to+4096])
		copy(b[to:], page)
		return b
	},
}

func damage(t *testing.T, path string, how func([]byte, *rand.Rand) []byte, r *rand.Rand) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		// A file ends with pages that were never written: leave them out.
		b = b[:(len(bytes.TrimRight(b, "\x00"))+4095)/4096*4096]
		err = os.WriteFile(path, how(b, r), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestDamagedShard hurts one shard in every way: never a wrong byte, never a
// crash; the other shards are served; new entries are taken after the old sequence numbers.
func TestDamagedShard(t *testing.T) {
	master, shards := library(t)
	rounds := 3
	for what, how := range damages {
		for round := range rounds {
			for _, pick := range []int{0, len(shards) - 1} { // a closed one, and the one being written
				t.Run(fmt.Sprint(what, round, pick), func(t *testing.T) {
					dir := copyDir(t, master)
					r := rand.New(rand.NewPCG(uint64(round), uint64(pick)))
					damage(t, filepath.Join(dir, "logs", filepath.Base(shards[pick])), how, r)
					checkDamaged(t, dir)
				})
			}
		}
	}
}

func checkDamaged(t *testing.T, dir string) {
	t.Helper()
	s := open(t, bolt.Options{Dir: dir})
	lastSeq, missing := readDamaged(t, s)
	if missing > 0 && s.Health() == nil {
		t.Fatalf("%d entries are missing and the store feels healthy", missing)
	}
	got, err := s.Lengths(t.Context(), executor.CommandID{Run: "run1", Host: "h"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Append(ctx, stdout(got.Stdout, pattern(got.Stdout, 100))); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(ctx, func(executor.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	page, err := s.Read(ctx, executor.LogQuery{Run: "run1", Tail: 1})
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Seq <= lastSeq || page.Entries[0].Offset != got.Stdout {
		t.Fatalf("what was appended afterwards: %+v, %v", page, err)
	}
	readDamaged(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// readDamaged reads all there is, both ways, and checks every byte of it.
func readDamaged(t *testing.T, s *bolt.Store) (last uint64, missing int) {
	t.Helper()
	seen := 0
	q := executor.LogQuery{Run: "run1", Limit: 4}
	for more := true; more; {
		page, err := s.Read(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if e.Seq <= last || !bytes.Equal(e.Data, pattern(e.Offset, len(e.Data))) {
				t.Fatalf("entry %d after %d is wrong", e.Seq, last)
			}
			last = e.Seq
			seen++
		}
		q.After, more = page.Next, page.More
	}
	if _, err := s.Read(t.Context(), executor.LogQuery{Run: "run1", Tail: 100, Bytes: 8 << 20}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if _, err := s.Read(t.Context(), executor.LogQuery{Run: executor.RunID(fmt.Sprint("own", i))}); err != nil {
			t.Fatal(err)
		}
	}
	return last, 40 - seen
}

// TestDamagedState hurts state.db: each use gives the right values or ErrCorrupt, the file stays.
func TestDamagedState(t *testing.T) {
	master, _ := library(t)
	refused := 0
	for what, how := range damages {
		for round := range 4 {
			dir := copyDir(t, master)
			path := filepath.Join(dir, "state.db")
			damage(t, path, how, rand.New(rand.NewPCG(uint64(round), 5)))
			if err := useState(t, dir); err != nil {
				if !errors.Is(err, executor.ErrCorrupt) || !strings.Contains(err.Error(), "state.db") {
					t.Errorf("%s: %v", what, err)
				}
				refused++
			} else if what == "empty" || what == "noise" || what == "metas" {
				t.Errorf("%s went unnoticed", what)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: state.db was removed: %v", what, err)
			}
		}
	}
	t.Logf("refused %d of %d", refused, 4*len(damages))
}

func useState(t *testing.T, dir string) error {
	t.Helper()
	s, err := bolt.Open(t.Context(), bolt.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range int64(40) {
		err := s.View(ctx, func(tx executor.Tx) error {
			v, ok := tx.Get("t", fmt.Sprint(i))
			if ok && !bytes.Equal(v, pattern(i, 3000)) {
				t.Errorf("record %d is wrong", i)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := s.Update(ctx, func(tx executor.Tx) error { return tx.Put("t", fmt.Sprint(i), pattern(i, 3000)) }); err != nil {
			return err
		}
	}
	if _, err := s.Read(ctx, executor.LogQuery{Run: "run1"}); err != nil {
		return err
	}
	return s.View(ctx, func(tx executor.Tx) error {
		return tx.Range("t", "", true, func(string, []byte) bool { return true })
	})
}

func TestMissingState(t *testing.T) {
	dir, _ := library(t)
	if err := os.Remove(filepath.Join(dir, "state.db")); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(t.Context(), bolt.Options{Dir: dir}); !errors.Is(err, executor.ErrCorrupt) || !strings.Contains(err.Error(), "missing") {
		t.Fatal(err)
	}
}

func TestForeignState(t *testing.T) {
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, "state.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(t.Context(), bolt.Options{Dir: dir}); !errors.Is(err, executor.ErrCorrupt) {
		t.Fatalf("another program's database: %v", err)
	}
}

// TestShardLost: a shard that somebody removed is as if dropped by retention.
func TestShardLost(t *testing.T) {
	dir, shards := library(t)
	if err := os.Remove(shards[0]); err != nil {
		t.Fatal(err)
	}
	s := open(t, bolt.Options{Dir: dir})
	page, err := s.Read(t.Context(), executor.LogQuery{Run: "run1"})
	if err != nil || !page.Dropped || len(page.Entries) == 0 {
		t.Fatalf("dropped %v, %d entries, %v", page.Dropped, len(page.Entries), err)
	}
	if got, err := s.Lengths(t.Context(), executor.CommandID{Run: "run1", Host: "h"}); err != nil || got.Stdout != 40*40_000 {
		t.Fatal(got, err)
	}
}
