package executor

import (
	"slices"
	"sync"
	"time"
)

const (
	// mostBeginning is how many hosts' parts may be on the way to their first command at a time, of all runs:
	// what waits for that costs next to nothing, and no command's time-out has begun.
	mostBeginning = 256
	// mostOnHost is how many of them may be one host's.
	mostOnHost = 4
	// beginMost is how long a part counts as just beginning: hosts that hang must not hold up others.
	beginMost = 5 * time.Second
)

// gate lets the parts of all runs begin a few at a time, each run in turn: a small one is not behind
// all hosts of the large ones.
type gate struct {
	mu    sync.Mutex
	taken int
	hosts map[string]int // of those taken
	lines []*line        // none is empty; the first is next
}

// line is who waits of a run.
type line struct {
	run   *active
	parts []*entrant
}

// entrant is a part before the gate.
type entrant struct {
	host   string
	called chan struct{} // closed when it may begin
}

// enter waits until a part of the run may begin on the host, or the run is over, as the caller then sees from
// its context. leave says that the part has begun or ended, and may be called often.
func (g *gate) enter(a *active, host string) (leave func()) {
	n := &entrant{host, make(chan struct{})}
	g.join(a, n)
	select {
	case <-n.called:
	case <-a.ctx.Done():
		if g.quit(a, n) {
			return func() {}
		}
	}
	return LeaveWithin(beginMost, func() { g.next(host) })
}

// LeaveWithin gives what is done for leave: it may be called often and leaves once, by itself when it was not called within most.
func LeaveWithin(most time.Duration, leave func()) func() {
	late := time.AfterFunc(most, leave)
	return func() {
		if late.Stop() { // true once, and never when it was late
			leave()
		}
	}
}

func (g *gate) join(a *active, n *entrant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.lines, func(l *line) bool { return l.run == a })
	if i < 0 {
		i = len(g.lines)
		g.lines = append(g.lines, &line{run: a})
	}
	g.lines[i].parts = append(g.lines[i].parts, n)
	g.call()
}

// quit takes who waits out of its line; false when it has just been called.
func (g *gate) quit(a *active, n *entrant) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, l := range g.lines {
		if l.run != a {
			continue
		}
		at := slices.Index(l.parts, n)
		if at >= 0 {
			g.remove(i, at)
		}
		return at >= 0
	}
	return false
}

// remove takes the part out of the line, and the line when it was the last.
func (g *gate) remove(i, at int) {
	l := g.lines[i]
	if l.parts = slices.Delete(l.parts, at, at+1); len(l.parts) == 0 {
		g.lines = slices.Delete(g.lines, i, i+1)
	}
}

// next is called when a part has begun.
func (g *gate) next(host string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken--
	if g.hosts[host]--; g.hosts[host] == 0 {
		delete(g.hosts, host)
	}
	g.call()
}

// call lets in as many as there is room for. It is locked.
func (g *gate) call() {
	for g.taken < mostBeginning {
		i, at := g.first()
		if i < 0 {
			return
		}
		l := g.lines[i]
		n := l.parts[at]
		if g.hosts == nil {
			g.hosts = map[string]int{}
		}
		g.taken++
		g.hosts[n.host]++
		close(n.called)
		if g.remove(i, at); len(l.parts) > 0 { // it is another's turn
			g.lines = append(slices.Delete(g.lines, i, i+1), l)
		}
	}
}

// first finds who is next: the line, and its first part on a host with room; -1 when there is none. It is locked.
func (g *gate) first() (i, at int) {
	for i, l := range g.lines {
		at := slices.IndexFunc(l.parts, func(n *entrant) bool { return g.hosts[n.host] < mostOnHost })
		if at >= 0 {
			return i, at
		}
	}
	return -1, -1
}
