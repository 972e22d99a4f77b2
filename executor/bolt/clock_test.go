package bolt_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"tfw/executor"
	"tfw/executor/bolt"
)

// A clock that was ten years ahead for a while and was put right: the log goes on in order, shards are
// closed by the hour again, and what was written ahead is dropped when what came after it is.
func TestClockThatWasAhead(t *testing.T) {
	dir := t.TempDir()
	life := func(ahead time.Duration, work func(s *bolt.Store)) {
		synctest.Test(t, func(t *testing.T) { // each begins in the year 2000
			time.Sleep(ahead)
			s, err := bolt.Open(t.Context(), bolt.Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			work(s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
	n := 0
	write := func(s *bolt.Store) {
		e := stdout(int64(n), []byte{'a' + byte(n)})
		e.Time = time.Now()
		if err := s.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		flush(t, s)
		n++
	}
	shards := func() int {
		names, err := filepath.Glob(filepath.Join(dir, "logs", "*.db"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	life(10*365*24*time.Hour, func(s *bolt.Store) { write(s) })
	life(0, func(s *bolt.Store) {
		write(s)
		if shards() != 2 {
			t.Errorf("%d shards: the one of the year 2010 is written on", shards())
		}
		time.Sleep(2 * time.Hour)
		write(s)
		if shards() != 3 {
			t.Errorf("%d shards after two more hours", shards())
		}
		if dropped, err := s.Retain(t.Context(), 24*time.Hour, 0); err != nil || len(dropped) != 0 {
			t.Errorf("dropped %v, %v", dropped, err)
		}
	})
	life(48*time.Hour, func(s *bolt.Store) {
		write(s)
		page, err := s.Read(t.Context(), executor.LogQuery{Run: "run1"})
		text := ""
		for _, e := range page.Entries {
			text += string(e.Data)
		}
		if err != nil || text != "abcd" {
			t.Errorf("the log reads %q, %v", text, err)
		}
		if dropped, err := s.Retain(t.Context(), 24*time.Hour, 0); err != nil || len(dropped) != 3 {
			t.Errorf("after two days: dropped %v, %v", dropped, err)
		}
		if shards() != 1 {
			t.Errorf("%d shards are left", shards())
		}
	})
}
