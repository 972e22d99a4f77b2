package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"tfw/executor"
)

// withFormat makes a data directory of another format.
func withFormat(t *testing.T, file string, version uint64) string {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err == nil {
		e := executor.Entry{Run: "run1", Host: "h", Stream: executor.Stdout, Data: []byte("x"), Time: time.Now()}
		err = errors.Join(s.Append(t.Context(), e), s.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	paths, _ := filepath.Glob(filepath.Join(dir, file))
	db, err := bbolt.Open(paths[0], 0o600, nil)
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error { return putNumber(tx.Bucket(bMeta), kFormat, version) })
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNewerData(t *testing.T) {
	for _, file := range []string{"state.db", "logs/*.db"} {
		dir := withFormat(t, file, formatVersion+1)
		for range 2 { // refused, and not harmed
			_, err := Open(t.Context(), Options{Dir: dir})
			if !errors.Is(err, executor.ErrNewerData) || !strings.Contains(err.Error(), fmt.Sprint("its format is ", formatVersion+1)) {
				t.Fatalf("%s: %v", file, err)
			}
		}
	}
}

func TestOlderData(t *testing.T) {
	dir := withFormat(t, "state.db", 0)
	if _, err := Open(t.Context(), Options{Dir: dir}); err == nil {
		t.Fatal("a format without a way to the present was opened")
	}
	defer delete(migrations, 0)
	bang := errors.New("bang")
	migrations[0] = func(*bbolt.Tx) error { return bang }
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, bang) {
		t.Fatal(err)
	}
	migrations[0] = func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("migrated"))
		return err
	}
	for range 2 { // the step is done once
		s, err := Open(t.Context(), Options{Dir: dir})
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNames(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 11, 22, hour, 30, 0, 0, time.UTC) }
	s := &shards{}
	var names []string
	for _, now := range []time.Time{at(12), at(12), at(13), at(9), at(9), at(13), at(14)} { // the clock jumps back and on
		names = append(names, s.nameFor(now))
		s.noteName(names[len(names)-1] + ".db")
	}
	want := []string{"2026-11-22T12", "2026-11-22T12-2", "2026-11-22T13", "2026-11-22T13-2", "2026-11-22T13-3", "2026-11-22T13-4", "2026-11-22T14"}
	if !reflect.DeepEqual(names, want) {
		t.Fatalf("names are %v", names)
	}
	for i := range names[1:] {
		if compareNames(names[i]+".db", names[i+1]+".db") >= 0 {
			t.Errorf("%s is not before %s", names[i], names[i+1])
		}
	}
}

// TestLostLength: a damaged length is found again from the entries.
func TestLostLength(t *testing.T) {
	dir := t.TempDir()
	e := executor.Entry{Run: "run1", Host: "h", Command: 2, Stream: executor.Stderr, Data: []byte("hello"), Time: time.Now()}
	s, err := Open(t.Context(), Options{Dir: dir})
	if err == nil {
		err = errors.Join(s.Append(t.Context(), e), s.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "logs", "*.db"))
	db, err := bbolt.Open(paths[0], 0o600, nil)
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket(bEnds).Put(streamKey("run1", "h", 2, 2), []byte("damage"))
		})
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := s.Lengths(t.Context(), executor.CommandID{Run: "run1", Host: "h", Ordinal: 2})
	if err != nil || got != (executor.Offsets{Stderr: 5}) {
		t.Fatalf("lengths %v, %v", got, err)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte("run1"), []byte("h"), 3, int64(7), bytes.Repeat([]byte("ab"), 300), false)
	f.Add([]byte("run1"), []byte("h"), 3, int64(7), bytes.Repeat([]byte("ab"), 300), true)
	f.Add([]byte{}, []byte{0xff}, -1, int64(0), []byte{}, false)
	f.Fuzz(func(t *testing.T, run, host []byte, command int, offset int64, data []byte, hurry bool) {
		if _, err := decodeBlock(run, data); err == nil && len(data) < 13 {
			t.Fatal("a block of nothing was taken")
		}
		if s, err := decode(1, data); err == nil {
			_, _ = s.unpack() // any result but a panic
		}
		if offset < 0 || len(data) > maxChunk {
			return
		}
		e := executor.Entry{Run: executor.RunID(run), Host: string(host), Command: command, Stream: executor.Stderr, Offset: offset, Data: data}
		key := seqKey(9)
		v := seal(key, encode(e, hurry))
		body, err := open(key, v)
		if err != nil {
			t.Fatal(err)
		}
		s, err := decode(9, body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.unpack()
		if err != nil || got.Run != e.Run || got.Host != e.Host || got.Command != command || got.Offset != offset || !bytes.Equal(got.Data, data) {
			t.Fatalf("%+v became %+v, %v", e, got, err)
		}
		v[len(v)-1] ^= 1
		if _, err := open(key, v); err == nil {
			t.Fatal("a flipped bit went unnoticed")
		}
	})
}
