package executortest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// echo is a TCP server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func proxied(t *testing.T) (*Proxy, net.Conn) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	p, err := NewProxy("127.0.0.1:0", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); p.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return p, c
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Errorf("%q, %v; want %q", b, err, want)
	}
}

func TestProxyRelaysAndHalfCloses(t *testing.T) {
	_, c := proxied(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		_, _ = c.Write(big)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, big) {
		t.Errorf("%d of %d bytes, %v", len(got), len(big), err)
	}
}

func TestProxyCut(t *testing.T) {
	for name, reset := range map[string]bool{"close": false, "reset": true} {
		t.Run(name, func(t *testing.T) {
			p, c := proxied(t)
			say(t, c, "a")
			hear(t, c, "a")
			if n := p.Cut(reset); n != 1 {
				t.Errorf("cut %d connections", n)
			}
			_, err := c.Read(make([]byte, 1))
			if got := errors.Is(err, syscall.ECONNRESET); got != reset || (!reset && err != io.EOF) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestProxyFreezeAndThaw(t *testing.T) {
	p, c := proxied(t)
	say(t, c, "a")
	hear(t, c, "a")
	p.Freeze()
	say(t, c, "b")
	quiet(t, c)
	late, err := net.Dial("tcp", p.Addr()) // accepted, and nothing behind it
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	say(t, late, "c")
	quiet(t, late)
	p.Thaw()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_ = late.SetDeadline(time.Now().Add(20 * time.Second))
	hear(t, c, "b")
	hear(t, late, "c")
	p.Freeze()
	if n := p.Cut(true); n != 2 { // what is frozen can be cut
		t.Errorf("cut %d connections", n)
	}
}

func TestProxyCutsAtTheByte(t *testing.T) {
	p, c := proxied(t)
	p.CutAfter(-1, 5, false)
	say(t, c, "1234567")
	if got, err := io.ReadAll(c); err != nil || string(got) != "12345" {
		t.Errorf("%q, %v", got, err)
	}
	if p.Cuts() != 1 {
		t.Errorf("%d cuts", p.Cuts())
	}
	again, err := net.Dial("tcp", p.Addr()) // the limit held once
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	_ = again.SetDeadline(time.Now().Add(20 * time.Second))
	say(t, again, "1234567")
	hear(t, again, "1234567")
	p.CutAfter(2, -1, false)
	say(t, again, "1234567")
	if got, _ := io.ReadAll(again); len(got) > 2 { // the server heard two; their echo may be cut off
		t.Errorf("%q came back through a limit of 2", got)
	}
}

func TestProxyLatency(t *testing.T) {
	p, c := proxied(t)
	p.SetLatency(50 * time.Millisecond)
	start := time.Now()
	say(t, c, "a")
	hear(t, c, "a")
	if d := time.Since(start); d < 100*time.Millisecond {
		t.Errorf("there and back in %v, want at least 100ms", d)
	}
}

func TestProxyRefuses(t *testing.T) {
	p, c := proxied(t)
	say(t, c, "a")
	hear(t, c, "a")
	p.Refuse(true)
	if again, err := net.Dial("tcp", p.Addr()); err == nil {
		defer again.Close()
		_ = again.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := again.Read(make([]byte, 1)); err == nil || errors.As(err, new(net.Error)) && err.(net.Error).Timeout() {
			t.Errorf("not refused: %v", err)
		}
	}
	say(t, c, "b") // live ones go on
	hear(t, c, "b")
}
