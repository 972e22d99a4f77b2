package ssh

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"tfw/executor"
)

// session is one exec on a channel of its own.
type session struct {
	host  string
	link  *link
	ch    xssh.Channel
	out   *pump
	err   *pump
	began time.Time

	mu   sync.Mutex // guards ctx and stop: a session that stands by goes from one to the next
	ctx  context.Context
	stop func() bool // ends the watch over ctx

	// Under the place's mu, of a session whose shell stands by.
	idle    time.Time // since when
	leaving bool      // sent away, the slot is about to come back
	gone    bool      // the server has closed it

	asked   chan struct{} // closed when the server answered the exec request
	refused error         // valid after asked

	feed sync.Mutex // held while stdin is written to: x/crypto's CloseWrite must not come between

	once   sync.Once
	closed chan struct{} // closed by Close
	ended  chan struct{} // closed when the server has closed the channel
	exit   exit          // valid after ended
}

// exitKind tells how an exec ended.
type exitKind int

const (
	exitNone   exitKind = iota // the channel was closed without a word about it
	exitStatus                 // exit-status
	exitSignal                 // exit-signal
)

// exit is what the server said of the end of an exec (RFC 4254 section 6.10).
type exit struct {
	Kind   exitKind
	Code   int
	Signal string // without SIG
}

// openTimeout is how long a server may take to answer a channel open before
// its connection is taken for broken.
const openTimeout = 30 * time.Second

// open takes a slot, opens a channel and sends the exec request.
func (p *place) open(ctx context.Context, req request, urgent bool) (*session, error) {
	for {
		l, err := p.acquire(ctx, urgent)
		if err != nil {
			return nil, err
		}
		s, err := l.open(ctx, req)
		if !errors.Is(err, errWaitForSlot) {
			return s, err
		}
	}
}

var errWaitForSlot = errors.New("no session is free on this connection")

// open turns a slot of the link into a session; on an error the slot is free again, now or when
// the server's answer comes.
func (l *link) open(ctx context.Context, req request) (*session, error) {
	type answer struct {
		s   *session
		err error
	}
	got := make(chan answer)
	l.spawn(func() {
		s, err := l.openChannel(ctx, req)
		select {
		case got <- answer{s, err}:
		case <-ctx.Done():
			if s != nil {
				s.Close()
			}
		}
	})
	select {
	case a := <-got:
		return a.s, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *link) openChannel(ctx context.Context, req request) (*session, error) {
	late := time.AfterFunc(openTimeout, func() { l.end(errors.New("the host does not answer")) })
	defer late.Stop()
	for attempt := 0; ; attempt++ {
		if l.broken() {
			l.end(l.net.reason())
			l.free(false)
			return nil, l.why()
		}
		ch, reqs, err := l.ask()
		if err == nil {
			l.granted()
			return l.newSession(ctx, ch, reqs, req), nil
		}
		var denied *xssh.OpenChannelError
		if !errors.As(err, &denied) {
			l.end(err)
			l.free(false)
			return nil, l.why()
		}
		switch l.refused(attempt) {
		case tryAgain:
			time.Sleep(min(20*time.Millisecond, time.Duration(attempt+1)*2*time.Millisecond))
		case waitForSlot:
			return nil, errWaitForSlot
		case never:
			return nil, because(executor.ErrRefused, "see MaxSessions in its sshd_config", "the server grants no session: %w", err)
		}
	}
}

// ask asks the server for a channel. x/crypto/ssh lets go of its channels when a connection ends; one
// that is asked for in that very moment would wait for ever (seen once in a thousand cuts). It is left
// behind with the goroutine that waits for it, the only one of the pool without an owner.
func (l *link) ask() (xssh.Channel, <-chan *xssh.Request, error) {
	type answer struct {
		ch   xssh.Channel
		reqs <-chan *xssh.Request
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		ch, reqs, err := l.client.OpenChannel("session", nil)
		got <- answer{ch, reqs, err}
	}()
	select {
	case a := <-got:
		return a.ch, a.reqs, a.err
	case <-l.dead:
	}
	grace := time.NewTimer(time.Second)
	defer grace.Stop()
	select {
	case a := <-got:
		return a.ch, a.reqs, a.err
	case <-grace.C:
		return nil, nil, l.why()
	}
}

func (l *link) newSession(ctx context.Context, ch xssh.Channel, reqs <-chan *xssh.Request, req request) *session {
	s := &session{
		host: l.place.set.name, link: l, ch: ch, began: time.Now(),
		asked: make(chan struct{}), closed: make(chan struct{}), ended: make(chan struct{}),
	}
	s.out, s.err = newPump(ch, s.closed), newPump(ch.Stderr(), s.closed)
	s.bind(ctx)
	l.spawn(s.out.run)
	l.spawn(s.err.run)
	l.spawn(func() { s.attend(reqs) })
	l.spawn(func() { s.ask(req) })
	return s
}

// request is what a session is opened for: an "exec" of a command line or a "subsystem".
type request struct{ kind, what string }

func execRequest(command string) request { return request{"exec", command} }

// ask sends the request and waits for the answer.
func (s *session) ask(req request) {
	if err := s.cancelled(); err != nil {
		s.refused = err // nobody wants it any more
		close(s.asked)
		s.shut()
		return
	}
	ok, err := s.ch.SendRequest(req.kind, true, xssh.Marshal(struct{ What string }{req.what}))
	switch {
	case err != nil && s.isClosed():
		s.refused = errSessionClosed
	case err != nil && (s.link.broken() || !s.link.answers()):
		s.refused = s.link.lostOr(err)
	case err != nil || !ok:
		s.refused = because(executor.ErrRefused, "the account may be limited to other uses", "the server refused to run a command")
	}
	close(s.asked)
	if s.refused != nil {
		s.shut()
	}
}

// attend reads the server's requests until it closes the channel: only then the slot is free.
func (s *session) attend(reqs <-chan *xssh.Request) {
	for r := range reqs {
		switch r.Type {
		case "exit-status":
			var m struct{ Status uint32 }
			if xssh.Unmarshal(r.Payload, &m) == nil {
				s.exit = exit{Kind: exitStatus, Code: int(m.Status)}
			}
		case "exit-signal":
			var m struct {
				Signal      string
				Core        bool
				Error, Lang string
			}
			if xssh.Unmarshal(r.Payload, &m) == nil {
				s.exit = exit{Kind: exitSignal, Signal: m.Signal}
			}
		}
		if r.WantReply {
			r.Reply(false, nil)
		}
	}
	close(s.ended)
	s.unbind()
	s.link.closed(s)
}

// Stdin gives the command's standard input. Writing waits for the server's
// consent to the exec: data that overtakes the request would be dropped. Close sends EOF.
func (s *session) Stdin() io.WriteCloser { return stdin{s} }

// Stdout gives the command's standard output; it ends with io.EOF when the
// channel does, for whatever reason: see [session.Wait].
func (s *session) Stdout() io.Reader { return s.out }

// Stderr gives the command's standard error.
func (s *session) Stderr() io.Reader { return s.err }

// Wait waits until the server has closed the channel, which it does after the
// last byte of output, and tells how the command ended. The error is
// executor.ErrLost when the connection ended instead, executor.ErrRefused when the server would not
// run it, and the context's when that closed the session.
func (s *session) Wait() (exit, error) {
	select {
	case <-s.ended:
	case <-s.closed:
	}
	err := s.outcome()
	if err != nil {
		return exit{}, fail(s.host, "run", err)
	}
	return s.exit, nil
}

func (s *session) outcome() error {
	if err := s.cancelled(); err != nil && s.isClosed() {
		return err
	}
	select {
	case <-s.ended:
	default:
		return s.givenUp()
	}
	<-s.asked // comes with the end of the channel at the latest
	if s.refused != nil {
		return s.refused
	}
	if s.link.broken() || s.exit.Kind == exitNone && !s.link.answers() {
		return s.link.why()
	}
	return nil
}

// givenUp is why a session was closed from this side.
func (s *session) givenUp() error {
	select {
	case <-s.asked:
		if s.refused != nil {
			return s.refused
		}
	default:
	}
	return errSessionClosed
}

// answers asks the server for any answer: a channel that ended without a word may
// have ended with its connection.
func (l *link) answers() bool {
	done := make(chan error, 1)
	l.spawn(func() {
		_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
		done <- err
	})
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case err := <-done:
		return err == nil
	case <-l.dead:
	case <-timer.C:
	}
	return false
}

// lostOr gives the link's end as the reason where it has ended, else err.
func (l *link) lostOr(err error) error {
	if l.broken() {
		return l.why()
	}
	return lost(err)
}

// bind makes the end of ctx close the session.
func (s *session) bind(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx, s.stop = ctx, context.AfterFunc(ctx, s.shut)
}

// unbind ends the watch over the context; false when it was over already.
func (s *session) unbind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop()
}

// cancelled is the cause of the context's end, nil while it lasts.
func (s *session) cancelled() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() == nil {
		return nil
	}
	return context.Cause(s.ctx)
}

// alive reports whether both sides hold the session open.
func (s *session) alive() bool {
	select {
	case <-s.ended:
		return false
	default:
		return !s.isClosed() && !s.link.broken()
	}
}

func (s *session) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// Close gives the session up: readers and Wait return at once. The slot is free when
// the server has closed its side, which sshd does not do before the command ends.
// Close never blocks and may be called often.
func (s *session) Close() error {
	s.unbind()
	s.shut()
	return nil
}

func (s *session) shut() {
	s.once.Do(func() {
		close(s.closed)
		s.link.spawn(func() { s.ch.Close() })
	})
}
