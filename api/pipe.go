package api

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Pipe joins a client and a server of one process: give the listener to
// Server.Serve and the dial function to [WithDial]. It is made of socket
// pairs, so that a vanished end is noticed as over a network; nothing is
// reachable from outside of the process. Its peer has the rights of the process's user.
func Pipe() (net.Listener, func(ctx context.Context) (net.Conn, error)) {
	p := &pipe{conns: make(chan net.Conn), closed: make(chan struct{})}
	return p, p.dial
}

type pipe struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipe) Addr() net.Addr { return &net.UnixAddr{Name: "in-process", Net: "unix"} }

func (p *pipe) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-p.closed:
		err = net.ErrClosed
	}
	ours.Close()
	theirs.Close()
	return nil, err
}

func socketPair() (a, b net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	a, errA := connOf(fds[0])
	b, errB := connOf(fds[1])
	if errA == nil && errB == nil {
		return a, b, nil
	}
	for _, c := range []net.Conn{a, b} {
		if c != nil {
			c.Close()
		}
	}
	return nil, nil, fmt.Errorf("socket pair: %w", firstOf(errA, errB))
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func connOf(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "pipe")
	defer f.Close() // FileConn has its own copy
	return net.FileConn(f)
}
