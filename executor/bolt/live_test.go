package bolt_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"tfw/executor"
	"tfw/executor/bolt"
)

// TestRotateUnderReaders: readers of a log whose shards close and are dropped
// all the time miss nothing that is there, see nothing twice, and end with the store.
func TestRotateUnderReaders(t *testing.T) {
	s := open(t, bolt.Options{Dir: t.TempDir(), ShardSize: 300 << 10})
	const n = 120
	var readers, writers sync.WaitGroup
	for f := range 4 {
		readers.Go(func() { followAll(t, s, f+1, n) })
	}
	writers.Go(func() {
		for i := range int64(n) {
			if err := s.Append(t.Context(), stdout(i*20_000, pattern(i*20_000, 20_000))); err != nil {
				t.Error(err)
			}
			if i%7 == 0 {
				flush(t, s)
			}
		}
	})
	writers.Wait()
	readers.Wait()
	if _, err := s.Retain(t.Context(), 0, 600<<10); err != nil {
		t.Fatal(err)
	}
	for range 4 { // readers in the way of a close
		readers.Go(func() {
			for {
				if _, err := s.Read(t.Context(), executor.LogQuery{Run: "run1"}); err != nil {
					if !errors.Is(err, executor.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	readers.Wait()
}

func followAll(t *testing.T, s *bolt.Store, limit, n int) {
	q := executor.LogQuery{Run: "run1", Limit: limit}
	for end := int64(0); end < int64(n)*20_000; {
		bell := s.Changed("run1")
		page, err := s.Read(t.Context(), q)
		if err != nil || page.Dropped {
			t.Error(fmt.Errorf("dropped %v: %w", page.Dropped, err))
			return
		}
		for _, e := range page.Entries {
			if e.Offset != end {
				t.Errorf("offset %d, want %d", e.Offset, end)
				return
			}
			end += int64(len(e.Data))
		}
		q.After = page.Next
		if !page.More && end < int64(n)*20_000 {
			<-bell
		}
	}
}

// TestManyFollowers: five hundred wait for one run, and each is told.
func TestManyFollowers(t *testing.T) {
	s := open(t, bolt.Options{Dir: t.TempDir()})
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() { followAll(t, s, 1000, 20) })
	}
	for i := range int64(20) {
		if err := s.Append(t.Context(), stdout(i*20_000, pattern(i*20_000, 20_000))); err != nil {
			t.Fatal(err)
		}
		flush(t, s)
	}
	wg.Wait()
}
