package executortest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// embedded is one host's SSH server in Go, for machines without OpenSSH and for
// misbehaviour on order. It does what sshd does for a client without a terminal: exec through the
// login shell in a session of its own, the sftp subsystem, direct-tcpip for jumps, keepalive replies.
type embedded struct {
	lab  *Lab
	host *labHost

	mu    sync.Mutex
	ln    net.Listener
	conns map[net.Conn]bool
	fault Fault
	seen  int // connections accepted since the fault was set
	work  sync.WaitGroup
}

func newEmbedded(l *Lab, h *labHost) *embedded {
	return &embedded{lab: l, host: h, conns: map[net.Conn]bool{}}
}

func (e *embedded) start(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ln != nil {
		return nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", e.host.listen)
	if err != nil {
		return err
	}
	e.ln = ln
	e.work.Go(func() { e.accept(ln) })
	return nil
}

func (e *embedded) stop() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ln == nil {
		return nil
	}
	err := e.ln.Close()
	e.ln = nil
	return err
}

func (e *embedded) disconnect() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.conns {
		_ = c.Close() // closing twice is all that can go wrong
	}
	return nil
}

// wait returns once every goroutine of the server has ended; its commands must be dead by then.
func (e *embedded) wait() { e.work.Wait() }

func (e *embedded) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors: they come back
			time.Sleep(10 * time.Millisecond)
			continue
		}
		e.mu.Lock()
		e.conns[c] = true
		fault, nth := e.fault, e.seen
		e.seen++
		e.mu.Unlock()
		e.work.Go(func() {
			e.serve(c, fault, nth)
			_ = c.Close()
			e.mu.Lock()
			delete(e.conns, c)
			e.mu.Unlock()
		})
	}
}

// serve speaks SSH on one connection until it ends; nth counts connections since the fault was set.
func (e *embedded) serve(raw net.Conn, fault Fault, nth int) {
	gone := make(chan struct{}) // closed when the connection is over, for what hangs on purpose
	defer close(gone)
	c := newFaultConn(raw, fault)
	if !fault.greet(c, nth) {
		return
	}
	_ = raw.SetDeadline(time.Now().Add(2 * time.Minute)) // sshd's LoginGraceTime
	conn, channels, requests, err := ssh.NewServerConn(c, e.config(c, fault, nth))
	if err != nil {
		return
	}
	_ = raw.SetDeadline(time.Time{})
	defer conn.Close()
	e.work.Go(func() { ssh.DiscardRequests(requests) }) // answers keepalive@openssh.com as sshd does: no
	s := &connection{server: e, conn: conn, raw: c, fault: fault}
	for ch := range channels {
		s.open(ch)
	}
}

func (e *embedded) config(c *faultConn, fault Fault, nth int) *ssh.ServerConfig {
	authorized := e.lab.client.signer.PublicKey().Marshal()
	config := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-tfw_lab",
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if fault == FaultAuthHangs {
				c.waitClosed()
			}
			if !bytes.Equal(key.Marshal(), authorized) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
	}
	if fault == FaultAuthBanner {
		config.BannerCallback = func(ssh.ConnMetadata) string { return string(bytes.Repeat([]byte("no trespassing\r\n"), 6400)) }
	}
	config.AddHostKey(fault.hostKey(nth, e.host.key.signer))
	return config
}
