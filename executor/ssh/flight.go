package ssh

import (
	"context"
	"errors"
	"time"

	"tfw/executor"
)

// flight is a dial under way that everybody who needs the place shares. It is
// given up when nobody waits for it any more.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	stage   *stage
	waiters int // under place.mu; a flight for growth counts as one
	err     error
}

// connect makes sure that there is a link, dialling when there is none.
func (p *place) connect(ctx context.Context) error {
	p.mu.Lock()
	if len(p.links) > 0 {
		p.mu.Unlock()
		return nil
	}
	if p.flight == nil {
		p.takeOff()
	}
	f := p.flight
	f.waiters++
	p.mu.Unlock()

	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		p.mu.Lock()
		if f.waiters--; f.waiters == 0 {
			f.cancel()
			if p.flight == f {
				p.flight = nil // the next one does not inherit a cancelled dial
			}
		}
		p.mu.Unlock()
		return f.stage.timeout(context.Cause(ctx))
	}
}

// takeOff starts a dial. Called with p.mu held.
func (p *place) takeOff() {
	ctx, cancel := context.WithCancel(p.t.ctx) // the connect timeout begins when its turn comes
	f := &flight{done: make(chan struct{}), cancel: cancel, stage: &stage{set: p.set}}
	p.flight = f
	p.t.crew.Go(func() {
		defer cancel()
		l, err := p.t.dial(ctx, p, f.stage)
		if err != nil && errors.Is(err, context.DeadlineExceeded) {
			err = f.stage.timeout(context.DeadlineExceeded)
		}
		p.land(f, l, err)
	})
}

// land puts a dial's outcome in its place.
func (p *place) land(f *flight, l *link, err error) {
	p.mu.Lock()
	if p.flight == f {
		p.flight = nil
	}
	switch {
	case err != nil:
		f.err = err
		p.noGrow = time.Now().Add(growPause)
		p.pumpLater(growPause + time.Millisecond)
	case p.t.ctx.Err() != nil || l.broken():
		f.err = because(executor.ErrUnreachable, "", "connection lost as soon as it was made") // nobody had it yet
	default:
		p.links = append(p.links, l)
		p.used = time.Now()
		p.pump()
		l.start()
		l = nil
	}
	close(f.done)
	p.mu.Unlock()
	if l != nil {
		l.end(errClosed)
		l.start()
	}
}

// growPause is how long no further link is tried after one could not be had.
const growPause = time.Second

// pumpLater sees to it that those who wait are not forgotten when a further link
// could not be had, or a slot does not come: nothing else may happen on the place for hours. Called with p.mu held.
func (p *place) pumpLater(after time.Duration) {
	if len(p.waiting) == 0 || len(p.links) == 0 {
		return
	}
	p.t.crew.Go(func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
			p.mu.Lock()
			p.pump()
			p.mu.Unlock()
		case <-p.t.ctx.Done():
		}
	})
}

// How long nobody is handed a session until a further link is dialled for those who wait. As long as the sessions
// there are come free, more of them would end nothing sooner and only load the host.
const (
	growAfter = 500 * time.Millisecond // where most commands last
	growBusy  = 5 * time.Second        // where most are still beginning: the host, or the controller, is slow with those already
)

// grow dials one further link for those who wait. Called with p.mu held.
func (p *place) grow() {
	if p.flight != nil || len(p.links) >= p.t.opt.MaxPerHost || time.Now().Before(p.noGrow) {
		return
	}
	if hold := p.patience(); hold > 0 {
		p.lookAgain(hold)
		return
	}
	p.takeOff()
	p.flight.waiters = 1
}

// fewSessions is what a host is given at once, however many connections that takes.
const fewSessions = 8

// patience is how much longer to wait for a session to come free. Called with p.mu held.
func (p *place) patience() time.Duration {
	sessions, first := 0, p.waiting[0]
	for _, l := range p.links {
		sessions += l.limit
	}
	hold := growAfter
	switch {
	case first.urgent || sessions < fewSessions || p.young == 0:
		return 0
	case 2*p.young > sessions:
		hold = growBusy
	}
	if p.given.After(first.since) {
		return time.Until(p.given.Add(hold))
	}
	return time.Until(first.since.Add(hold))
}

// lookAgain is pumpLater for what is asked very often. Called with p.mu held.
func (p *place) lookAgain(after time.Duration) {
	if p.looking {
		return
	}
	p.looking = true
	p.t.crew.Go(func() {
		timer := time.NewTimer(min(after, growAfter)) // by then it may be less
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.t.ctx.Done():
			return
		}
		p.mu.Lock()
		p.looking = false
		p.pump()
		p.mu.Unlock()
	})
}
