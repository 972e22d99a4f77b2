package executor

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// The wall clock is set by people and by machines that are wrong. What depends on it is guarded:
//   - Set forward, it is shown as it is, and every end that was agreed on before moves along.
//   - Set back, the time goes on as if it had not been: nothing is made to look old by it.
//   - Either way nothing is dropped for its age, and no token expires, until the clock was put right or nobody did so for trustAfter.
const (
	// jumpAtLeast is the least difference to the machine's uptime that is taken for a jump; less is followed.
	jumpAtLeast = 30 * time.Second
	// trustAfter is how long somebody has to notice that the clock is wrong.
	trustAfter = 24 * time.Hour
	// offLong is how long a machine may have been off without its clock being doubted.
	offLong = 7 * 24 * time.Hour
	// spansKept bounds what is remembered, for times that are counted from before a leap.
	spansKept = 16
)

// clock is the executor's time. Every look at it compares the wall clock with the uptime.
type clock struct {
	wall func() time.Time
	boot string // of which boot; "" when it is not known

	mu sync.Mutex
	clockState
	jumps uint64
	say   []string // what has happened, for the log
}

// clockState is what outlives the process.
type clockState struct {
	Wall   time.Time     `json:"wall"` // when it was looked at
	Up     time.Duration `json:"up"`
	Boot   string        `json:"boot,omitempty"`
	Behind time.Duration `json:"behind,omitempty"` // the wall clock was set back by so much, which is not believed yet
	Ahead  time.Duration `json:"ahead,omitempty"`  // it was set forward by so much, which is not trusted yet
	Doubt  time.Duration `json:"doubt,omitempty"`  // for so long it is not trusted yet
	From   time.Time     `json:"from,omitzero"`    // since when the time went on without a leap
	Total  time.Duration `json:"total,omitempty"`  // of all leaps up to then
	Past   []clockSpan   `json:"past,omitempty"`   // before that
	Moved  time.Duration `json:"moved,omitempty"`  // as much of Total as the ends of leases have followed
}

// clockSpan is a time without leaps.
type clockSpan struct {
	From  time.Time     `json:"from,omitzero"`
	To    time.Time     `json:"to"`
	Total time.Duration `json:"total,omitempty"` // of the leaps before it
}

func newClock(wall func() time.Time) *clock {
	if wall == nil {
		wall = time.Now
	}
	c := &clock{wall: wall, boot: bootID()}
	c.Wall, c.Up, c.Boot = c.reading(), uptime(), c.boot
	return c
}

func (c *clock) reading() time.Time { return c.wall().Round(0).UTC() } // without the monotonic time that Sub would prefer

// now is the time as it is shown and stored.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.look()
}

// trusted is the time by which what was given for good, such as a token, ends.
func (c *clock) trusted() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.look().Add(-c.Ahead)
}

// since is how much time has really passed since a moment that was told by now.
func (c *clock) since(t time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.look()
	return max(0, at.Sub(t)-(c.Total-c.totalAt(t, at)))
}

// totalAt is the sum of the leaps before a moment. Where two spans hold it, it is of the later one.
func (c *clock) totalAt(t, at time.Time) time.Duration {
	if !t.Before(c.From) && !t.After(at) {
		return c.Total
	}
	for _, s := range slices.Backward(c.Past) {
		if !t.Before(s.From) && !t.After(s.To) {
			return s.Total
		}
	}
	if t.Before(c.From) && len(c.Past) > 0 {
		return c.Past[0].Total
	}
	return c.Total
}

// doubted says why the clock is not trusted now; "" when it is.
func (c *clock) doubted() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	switch {
	case c.Doubt <= 0:
		return ""
	case c.Behind > 0:
		return fmt.Sprintf("it was set back by %s", c.Behind.Round(time.Second))
	case c.Ahead > 0:
		return fmt.Sprintf("it was set forward by %s", c.Ahead.Round(time.Second))
	}
	return "the machine was off for long, or it is wrong"
}

// leaps is the sum of all leaps: who holds moments that were agreed on moves them when it has changed.
func (c *clock) leaps() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.Total
}

// look takes a reading. The clock is locked.
func (c *clock) look() time.Time {
	wall, up := c.reading(), uptime()
	passed := max(0, up-c.Up)
	by := wall.Sub(c.Wall) - passed
	c.Wall, c.Up = wall, up
	if by.Abs() >= jumpAtLeast {
		c.jump(by)
	} else if c.Doubt > 0 {
		if c.Doubt -= passed; c.Doubt <= 0 {
			c.trust()
		}
	}
	return wall.Add(c.Behind)
}

// jump takes a reading that differs from the uptime. What undoes an earlier jump is taken off it first.
func (c *clock) jump(by time.Duration) {
	c.jumps++
	before := c.Wall.Add(c.Behind - by) // what the time would be
	if by > 0 {
		undone := min(by, c.Behind)
		c.Behind -= undone
		if rest := by - undone; rest >= jumpAtLeast {
			c.Ahead += rest
			c.leap(before, rest)
		}
	} else {
		undone := min(-by, c.Ahead)
		c.Ahead -= undone
		c.leap(before, -undone)
		c.Behind += -by - undone
	}
	if c.Behind < jumpAtLeast && c.Ahead < jumpAtLeast {
		c.Behind, c.Ahead, c.Doubt = 0, 0, 0
		c.say = append(c.say, "the clock is right again")
		return
	}
	c.Doubt = trustAfter
	c.say = append(c.say, fmt.Sprintf("the clock was set by %+d seconds: nothing is dropped for its age for %s, or until it is put right", int64(by/time.Second), trustAfter))
}

// trust takes the clock as it is: nobody has put it right.
func (c *clock) trust() {
	c.leap(c.Wall.Add(c.Behind), -c.Behind)
	c.Behind, c.Ahead, c.Doubt = 0, 0, 0
	c.say = append(c.say, "the clock is trusted again")
}

// leap notes that the time goes from a moment to another without passing.
func (c *clock) leap(from time.Time, by time.Duration) {
	if by == 0 {
		return
	}
	c.Past = append(c.Past, clockSpan{From: c.From, To: from, Total: c.Total})
	c.Past = c.Past[max(0, len(c.Past)-spansKept):]
	c.From, c.Total = from.Add(by), c.Total+by
}

// resume goes on from what an earlier process knew, and from the newest moment in the store.
func (c *clock) resume(s clockState, newest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := !s.Wall.IsZero()
	if known && s.Boot != "" && s.Boot == c.boot {
		c.clockState = s // the uptime tells
		c.look()
		return
	}
	wall, up := c.reading(), uptime()
	c.clockState = s
	c.Wall, c.Up, c.Boot = wall, up, c.boot
	last := s.Wall.Add(s.Behind)
	if newest.After(last) {
		last = newest
	}
	switch away := wall.Add(c.Behind).Sub(last); {
	case last.IsZero():
	case away <= -jumpAtLeast:
		c.jump(away)
	case away > offLong:
		c.Doubt = trustAfter
		c.say = append(c.say, fmt.Sprintf("the last that is known is of %s ago: for %s nothing is dropped for its age, in case the clock is wrong", away.Round(time.Hour), trustAfter))
	default:
		c.Doubt = max(0, c.Doubt-max(0, away))
		if s.Doubt > 0 && c.Doubt == 0 {
			c.trust()
		}
	}
}

// seen is how many jumps there were, and 1 while the clock is not trusted.
func (c *clock) seen() (jumps uint64, doubted int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.look(); c.Doubt > 0 {
		doubted = 1
	}
	return c.jumps, doubted
}

// state is what is to be stored.
func (c *clock) state(moved time.Duration) clockState {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	c.Moved = moved
	s := c.clockState
	s.Past = slices.Clone(s.Past)
	return s
}

// news is what is to be said since it was asked last.
func (c *clock) news() (say []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	say, c.say = c.say, nil
	return say
}
