package executor

import (
	"slices"
	"sync"
	"time"
)

const (
	// mostBeginning is how many hosts' parts may be on the way to their first command at a time, of all runs:
	// what waits for that costs next to nothing, and nobody's time-out has begun.
	mostBeginning = 256
	// beginMost is how long a part counts as just beginning: hosts that hang must not hold up others.
	beginMost = 5 * time.Second
)

// gate lets the parts of all runs begin a few at a time, each run in turn: a small one is not behind
// all hosts of the large ones.
type gate struct {
	mu    sync.Mutex
	taken int
	lines []*line // none is empty; the first is next
}

// line is who waits of a run.
type line struct {
	run   *active
	parts []chan struct{}
}

// enter waits until a part of the run may begin, or the run is over, as the caller then sees from its
// context. leave says that the part has begun or ended, and may be called often.
func (g *gate) enter(a *active) (leave func()) {
	called := g.join(a)
	select {
	case <-called:
	case <-a.ctx.Done():
		if g.quit(a, called) {
			return func() {}
		}
	}
	once := sync.OnceFunc(g.next)
	late := time.AfterFunc(beginMost, once)
	return func() {
		late.Stop()
		once()
	}
}

func (g *gate) join(a *active) (called chan struct{}) {
	called = make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.IndexFunc(g.lines, func(l *line) bool { return l.run == a })
	if i < 0 {
		i = len(g.lines)
		g.lines = append(g.lines, &line{run: a})
	}
	g.lines[i].parts = append(g.lines[i].parts, called)
	g.call()
	return called
}

// quit takes who waits out of the line; false when it has just been called.
func (g *gate) quit(a *active, called chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, l := range g.lines {
		at := slices.Index(l.parts, called)
		if l.run != a || at < 0 {
			continue
		}
		if l.parts = slices.Delete(l.parts, at, at+1); len(l.parts) == 0 {
			g.lines = slices.Delete(g.lines, i, i+1)
		}
		return true
	}
	return false
}

// next is called when a part has begun.
func (g *gate) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken--
	g.call()
}

// call lets in as many as there is room for. It is locked.
func (g *gate) call() {
	for g.taken < mostBeginning && len(g.lines) > 0 {
		l := g.lines[0]
		g.taken++
		close(l.parts[0])
		l.parts = l.parts[1:]
		g.lines = slices.Delete(g.lines, 0, 1)
		if len(l.parts) > 0 {
			g.lines = append(g.lines, l)
		}
	}
}
