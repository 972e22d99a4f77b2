package executor

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// comers are parts of runs that come to a gate.
type comers struct {
	g      gate
	begun  map[*active]int // under g.mu
	leaves chan func()
}

func (c *comers) come(a *active, host string) {
	go func() {
		leave := c.g.enter(a, host)
		c.g.mu.Lock()
		c.begun[a]++
		c.g.mu.Unlock()
		c.leaves <- leave
	}()
}

func (c *comers) count(a *active) int {
	synctest.Wait()
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	return c.begun[a]
}

// TestGateLetsRunsInByTurns: a run of one host that comes last begins as soon as a place is free, however many hosts
// wait before it; who has begun or hangs gives its place up; who is cancelled takes none.
func TestGateLetsRunsInByTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &comers{begun: map[*active]int{}, leaves: make(chan func(), 4*mostBeginning)}
		large, small, gone := &active{}, &active{}, &active{}
		large.ctx, small.ctx = t.Context(), t.Context()
		var end context.CancelFunc
		gone.ctx, end = context.WithCancel(t.Context())
		for i := range 2 * mostBeginning {
			c.come(large, fmt.Sprint("h", i))
		}
		synctest.Wait()
		for i := range 3 {
			c.come(gone, fmt.Sprint("h", i))
		}
		synctest.Wait()
		c.come(small, "h0")
		if c.count(large) != mostBeginning || c.count(small)+c.count(gone) != 0 {
			t.Fatalf("%d and %d let in at first, want %d and 0", c.count(large), c.count(small)+c.count(gone), mostBeginning)
		}
		end()
		synctest.Wait()
		for range 2 { // one of the large run, and one of the small one
			leave := <-c.leaves
			leave()
			leave() // again: nothing
		}
		if c.count(small) != 1 || c.count(large) != mostBeginning+1 {
			t.Errorf("%d of the small run are in, and %d of the large one", c.count(small), c.count(large))
		}
		time.Sleep(beginMost) // all that are in hang
		if n := c.count(large); n != 2*mostBeginning {
			t.Errorf("%d of the large run are in when those before it have hung for a while", n)
		}
		time.Sleep(beginMost)
		synctest.Wait()
		for len(c.leaves) > 0 {
			leave := <-c.leaves
			leave() // late: nothing
		}
		if c.g.taken != 0 || len(c.g.lines)+len(c.g.hosts) != 0 {
			t.Errorf("%d places are taken at the end: %+v", c.g.taken, &c.g)
		}
	})
}

// TestGateGivesAHostFew: what waits for a host does not keep others from theirs.
func TestGateGivesAHostFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &comers{begun: map[*active]int{}, leaves: make(chan func(), 4*mostBeginning)}
		many, other := &active{ctx: t.Context()}, &active{ctx: t.Context()}
		for range 3 * mostOnHost {
			c.come(many, "busy")
		}
		if n := c.count(many); n != mostOnHost {
			t.Errorf("%d are let in on one host", n)
		}
		c.come(many, "idle")
		c.come(other, "busy")
		c.come(other, "idle")
		if n, m := c.count(many), c.count(other); n != mostOnHost+1 || m != 1 {
			t.Errorf("%d and %d are in when there is room on another host", n, m)
		}
		for n := 0; n < 3*mostOnHost+3; n++ {
			leave := <-c.leaves
			leave()
		}
		if n := c.count(many) + c.count(other); n != 3*mostOnHost+3 || c.g.taken != 0 {
			t.Errorf("%d are in at the end, %d places taken", n, c.g.taken)
		}
	})
}
