package executor

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// slots bounds the runs that are under way at a time (max_runs). A free one goes to a run that was under
// way before a restart, then by priority, then age. The last tenth is for users who have less than a tenth: runs that
// wait for a host hold slots too, and nobody's may keep all others from beginning.
type slots struct {
	all int

	mu    sync.Mutex
	taken int
	by    map[string]int // of those taken, by user
	line  []*turn
	shut  bool // nothing is given back any more
}

// turn is a run's place in the line for a slot.
type turn struct {
	a     *active
	begun bool
	come  chan struct{} // closed when it has its slot
}

// join puts a run in line, or gives it its slot at once.
func (s *slots) join(a *active) *turn {
	t := newTurn(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	at, _ := slices.BinarySearchFunc(s.line, t, func(have, one *turn) int { return cmp.Or(have.compare(one), -1) })
	s.line = slices.Insert(s.line, at, t)
	s.call()
	return t
}

func newTurn(a *active) *turn {
	return &turn{a: a, begun: !a.run.Started.IsZero(), come: make(chan struct{})}
}

func (t *turn) compare(other *turn) int {
	if t.begun != other.begun {
		if t.begun {
			return -1
		}
		return 1
	}
	mine, others := t.a.options().Priority, other.a.options().Priority
	return cmp.Or(turnOf(mine, t.a.run.Created).Compare(turnOf(others, other.a.run.Created)), cmp.Compare(others, mine), cmp.Compare(t.a.seq, other.a.seq))
}

// call gives what is free to the first in line who may have it. It is locked.
func (s *slots) call() {
	for s.taken < s.all {
		at := slices.IndexFunc(s.line, s.may)
		if at < 0 {
			return
		}
		t := s.line[at]
		if s.by == nil {
			s.by = map[string]int{}
		}
		s.taken++
		s.by[t.a.run.By]++
		close(t.come)
		s.line = slices.Delete(s.line, at, at+1)
	}
}

// may reports whether a slot that is free may be the run's. It is locked.
func (s *slots) may(t *turn) bool {
	kept := s.all / 10
	return t.begun || s.all-s.taken > kept || s.by[t.a.run.By] < kept
}

// why says what a run in line waits for. It is locked.
func (s *slots) why(t *turn) string {
	if s.taken < s.all && !s.may(t) {
		return fmt.Sprintf("%s has its share of the runs that may be under way (max_runs, %d)", t.a.run.By, s.all)
	}
	return fmt.Sprintf("%d runs are under way, no more may be at a time (max_runs)", s.all)
}

// close lets everybody keep slot and place from here on: who is let go of is not done, the next process takes it up.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
}

// leave gives the slot back, or the place in line up.
func (s *slots) leave(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return
	}
	if at := slices.Index(s.line, t); at >= 0 {
		s.line = slices.Delete(s.line, at, at+1)
		return
	}
	s.taken--
	if s.by[t.a.run.By]--; s.by[t.a.run.By] == 0 {
		delete(s.by, t.a.run.By)
	}
	s.call()
}

// waiter is a run in line, and what it waits for.
type waiter struct {
	*active
	why string
}

// waiting gives the runs in line, in the order of their turn.
func (s *slots) waiting() []waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []waiter
	for _, t := range s.line {
		all = append(all, waiter{t.a, s.why(t)})
	}
	return all
}
