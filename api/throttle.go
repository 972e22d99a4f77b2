package api

import (
	"sync"
	"time"
)

// throttle slows failed authentications down, per source. A valid token is never
// slowed: secrets are long enough that guessing is hopeless anyway, and
// whoever shares an address with a misconfigured script must not be locked out.
type throttle struct {
	mu      sync.Mutex
	sources map[string]*failures
	waiting int // requests held up right now
	now     func() time.Time
}

type failures struct {
	count float64 // forgotten at one every six seconds
	last  time.Time
}

const (
	freeFailures   = 5 // without a delay
	maxFailDelay   = 2 * time.Second
	maxFailWaiting = 64     // requests held up at a time
	maxFailSources = 10_000 // remembered
	forgetEvery    = 6 * time.Second
)

func newThrottle() *throttle {
	return &throttle{sources: map[string]*failures{}, now: time.Now}
}

// failed counts a failure of the source and says how long to hold its answer
// up. When allowed, done must be called after that.
func (t *throttle) failed(source string) (wait time.Duration, allowed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.sources[source]
	if f == nil {
		if len(t.sources) >= maxFailSources {
			t.forget()
		}
		f = &failures{}
		t.sources[source] = f
	}
	now := t.now()
	f.count = max(0, f.count-float64(now.Sub(f.last))/float64(forgetEvery)) + 1
	f.last = now
	if t.waiting >= maxFailWaiting {
		return 0, false
	}
	t.waiting++
	if over := f.count - freeFailures; over > 0 {
		wait = min(time.Duration(over*float64(100*time.Millisecond)), maxFailDelay)
	}
	return wait, true
}

func (t *throttle) done() {
	t.mu.Lock()
	t.waiting--
	t.mu.Unlock()
}

// forget drops the sources that have been quiet for a while, or all when none has.
func (t *throttle) forget() {
	now := t.now()
	for s, f := range t.sources {
		if now.Sub(f.last) > 10*forgetEvery {
			delete(t.sources, s)
		}
	}
	if len(t.sources) >= maxFailSources {
		clear(t.sources)
	}
}

// pause waits, but not longer than the server runs.
func pause(stopping <-chan struct{}, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-stopping:
	}
}
