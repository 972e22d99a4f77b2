package executor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestGateLetsRunsInByTurns: a run of one host that comes last begins as soon as a place is free, however many hosts
// wait before it; who has begun or hangs gives its place up; who is cancelled takes none.
func TestGateLetsRunsInByTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		large, small, gone := &active{}, &active{}, &active{}
		end := func() {}
		large.ctx, small.ctx = t.Context(), t.Context()
		gone.ctx, end = context.WithCancel(t.Context())
		counts := map[*active]int{}
		begun := func(a *active) int {
			g.mu.Lock()
			defer g.mu.Unlock()
			return counts[a]
		}
		leaves := make(chan func(), 4*mostBeginning)
		come := func(a *active) {
			go func() {
				leave := g.enter(a)
				g.mu.Lock()
				counts[a]++
				g.mu.Unlock()
				leaves <- leave
			}()
		}
		for range 2 * mostBeginning {
			come(large)
		}
		synctest.Wait()
		for range 3 {
			come(gone)
		}
		come(small)
		synctest.Wait()
		if begun(large) != mostBeginning || begun(small)+begun(gone) != 0 {
			t.Fatalf("%d and %d let in at first, want %d and 0", begun(large), begun(small)+begun(gone), mostBeginning)
		}
		end()
		synctest.Wait()
		for range 2 { // one of the large run, and one of the small one
			leave := <-leaves
			leave()
			leave() // again: nothing
		}
		synctest.Wait()
		if begun(small) != 1 || begun(large) != mostBeginning+1 {
			t.Errorf("%d of the small run are in, and %d of the large one", begun(small), begun(large))
		}
		time.Sleep(beginMost) // all that are in hang
		synctest.Wait()
		if begun(large) != 2*mostBeginning {
			t.Errorf("%d of the large run are in when those before it have hung for a while", begun(large))
		}
		time.Sleep(beginMost)
		synctest.Wait()
		if g.taken != 0 || len(g.lines) != 0 {
			t.Errorf("%d places are taken at the end, %d lines", g.taken, len(g.lines))
		}
	})
}
