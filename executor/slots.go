package executor

import (
	"cmp"
	"slices"
	"sync"
)

// slots bounds the runs that are under way at a time (max_runs). A free one goes to a run that was under
// way before a restart, then by priority, then age.
type slots struct {
	all int

	mu    sync.Mutex
	taken int
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

// call gives what is free to the first in line. It is locked.
func (s *slots) call() {
	for s.taken < s.all && len(s.line) > 0 {
		s.taken++
		close(s.line[0].come)
		s.line = slices.Delete(s.line, 0, 1)
	}
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
	s.call()
}

// waiting gives the runs in line, in the order of their turn.
func (s *slots) waiting() []*active {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*active
	for _, t := range s.line {
		all = append(all, t.a)
	}
	return all
}
