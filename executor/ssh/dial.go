package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"tfw/executor"
)

// ciphers in our order: GCM moves 1.5 times as much as chacha20 where the CPU has AES.
var ciphers = []string{
	"aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com",
	"aes128-ctr", "aes192-ctr", "aes256-ctr",
}

// dial makes a link, trying again where sshd dropped the connection unread
// (MaxStartups). ctx bounds all of it.
func (t *Transport) dial(ctx context.Context, p *place, st *stage) (*link, error) {
	t.dials.Add(1)
	t.dialing.Add(1)
	defer t.dialing.Add(-1)
	for attempt := 0; ; attempt++ {
		l, err := t.dialOnce(ctx, p, st)
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, errDropped) || attempt >= maxDropped || st.over() || !pause(ctx, attempt) {
			t.failures.Add(1)
			return nil, err
		}
	}
}

var errDropped = errors.New("the server closed the connection before its SSH banner")

const maxDropped = 12

// pause waits longer from attempt to attempt, each time by chance so that those
// who were dropped together do not come back together.
func pause(ctx context.Context, attempt int) bool {
	span := min(time.Second, 50*time.Millisecond<<attempt)
	timer := time.NewTimer(span/2 + rand.N(span))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *Transport) dialOnce(ctx context.Context, p *place, st *stage) (*link, error) {
	st.at(atJump)
	jump, err := t.reachJump(ctx, p.set)
	if err != nil {
		return nil, err
	}
	l, err := t.handshake(ctx, p, jump, st)
	if jump == nil {
		return l, err
	}
	if err != nil {
		jump.release()
		return nil, err
	}
	l.jump = jump
	return l, nil
}

// reachJump connects the jump host's place and holds it; nil when there is none.
func (t *Transport) reachJump(ctx context.Context, s *settings) (*place, error) {
	if s.Jump == nil {
		return nil, nil
	}
	j, err := t.place(s.Jump)
	if err != nil {
		return nil, err
	}
	if err := j.connect(ctx); err != nil {
		j.release()
		return nil, through(s.Jump, err)
	}
	return j, nil
}

// through says which jump host an error concerns.
func through(jump *settings, err error) error {
	var c *cause
	if errors.As(err, &c) {
		return &cause{c.kind, c.hint, fmt.Errorf("jump host %s: %w", jump.name, err)}
	}
	return because(executor.ErrUnreachable, "", "jump host %s: %w", jump.name, err)
}

// handshake dials, exchanges keys and authenticates, behind the gates.
func (t *Transport) handshake(ctx context.Context, p *place, jump *place, st *stage) (*link, error) {
	st.at(atFull)
	if err := t.reserve(ctx); err != nil {
		return nil, err
	}
	st.at(atWaiting)
	leave, err := t.gates.enter(ctx, p.set.addr())
	if err != nil {
		t.total.Add(-1)
		return nil, err
	}
	defer leave()
	l, err := t.handshakeNow(ctx, p, jump, st)
	if err != nil {
		t.total.Add(-1)
	}
	return l, err
}

func (t *Transport) handshakeNow(ctx context.Context, p *place, jump *place, st *stage) (*link, error) {
	ctx, cancel := st.begin(ctx)
	defer cancel()
	began := time.Now()
	st.at(atDial)
	w, err := openWire(ctx, p.set, jump)
	if err != nil {
		return nil, err
	}
	st.wire.Store(w)
	st.at(atHandshake)
	client, err := t.login(ctx, p.set, w, st)
	if err != nil {
		return nil, err
	}
	return newLink(p, client, w, time.Since(began)), nil
}

// openWire opens the TCP connection, or a channel of the jump host that stands for it.
func openWire(ctx context.Context, s *settings, jump *place) (*wire, error) {
	if jump != nil {
		return openForward(ctx, s, jump)
	}
	d := net.Dialer{KeepAlive: 15 * time.Second}
	c, err := d.DialContext(ctx, "tcp", s.addr())
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, because(executor.ErrUnreachable, dialHint(err), "%w", err)
	}
	return &wire{Conn: c}, nil
}

func dialHint(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "correct its address in the inventory"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is sshd running there, and on this port?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "is the machine on, and is there a route?"
	}
	return ""
}

func openForward(ctx context.Context, s *settings, jump *place) (*wire, error) {
	l := jump.live()
	if l == nil {
		return nil, because(executor.ErrUnreachable, "", "jump host %s: connection lost", jump.set.name)
	}
	c, err := l.client.DialContext(ctx, "tcp", s.addr())
	if err != nil {
		return nil, forwardError(ctx, s, jump.set, err)
	}
	return &wire{Conn: c, closer: l.spawn}, nil
}

func forwardError(ctx context.Context, s, jump *settings, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var open *xssh.OpenChannelError
	if errors.As(err, &open) && open.Reason == xssh.Prohibited {
		return because(executor.ErrRefused, "allow AllowTcpForwarding in its sshd_config",
			"jump host %s does not forward: %w", jump.name, err)
	}
	return because(executor.ErrUnreachable, "", "jump host %s cannot reach %s: %w", jump.name, s.addr(), err)
}

// login does the SSH part of a dial. ctx closes the wire, which ends everything else.
func (t *Transport) login(ctx context.Context, s *settings, w *wire, st *stage) (*xssh.Client, error) {
	stop := context.AfterFunc(ctx, func() { w.Close() })
	defer stop()
	a := &login{t: t, set: s, stage: st, ctx: ctx}
	conf, err := a.config()
	if err != nil {
		w.Close()
		return nil, err
	}
	defer a.close()
	conn, chans, reqs, err := xssh.NewClientConn(w, s.addr(), conf)
	if err != nil {
		w.Close()
		return nil, a.explain(w, err)
	}
	if !stop() {
		w.Close() // ctx ended in the last moment: the wire is being closed
		conn.Close()
		return nil, context.Cause(ctx)
	}
	return xssh.NewClient(conn, chans, reqs), nil
}

// explain turns x/crypto's error into one of our kinds.
func (a *login) explain(w *wire, err error) error {
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	if a.refusedKey != nil {
		return a.refusedKey
	}
	if !w.banner.whole.Load() {
		return a.explainNoBanner(w, err)
	}
	if a.offering.Load() && cutOff(err) {
		// A refusal is said; a connection that just ends was cut, and may be had again.
		return because(executor.ErrUnreachable, "", "the connection to %s broke while authenticating: %w", a.set.addr(), err)
	}
	if a.offering.Load() {
		return a.explainAuth(err)
	}
	return because(executor.ErrUnreachable, "", "handshake with %s: %w", a.set.addr(), err)
}

func (a *login) explainNoBanner(w *wire, err error) error {
	if cutOff(err) {
		return because(executor.ErrUnreachable, "sshd is at its MaxStartups, or bans this address: see its log",
			"%s: %w: %w", a.set.addr(), errDropped, err)
	}
	return because(executor.ErrUnreachable, "is that sshd? see the port", "%s sent no SSH banner: %w", a.set.addr(), err)
}

// cutOff reports whether the other side, or what is between, ended the connection without a word.
func cutOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
