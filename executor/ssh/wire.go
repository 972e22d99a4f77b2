package ssh

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// wire is the network connection under a link. It counts what was read, as proof
// of life, and remembers the first error before x/crypto/ssh hears of it: so
// whoever sees a channel end knows whether the connection ended with it.
type wire struct {
	net.Conn
	closer func(func()) // runs Close where it may block (a channel of a jump host); nil runs it at once

	// over is called, once, when reading has failed and x/crypto/ssh is yet to hear of it.
	over atomic.Pointer[func()]

	read   atomic.Int64
	first  atomic.Pointer[error]
	once   sync.Once
	banner bannerWatch
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 {
		w.read.Add(int64(n))
		w.banner.see(b[:n])
	}
	if err != nil {
		w.note(err)
		if over := w.over.Swap(nil); over != nil {
			(*over)()
		}
	}
	return n, err
}

// Write fails as soon as a Read has: x/crypto/ssh stops its writers only a moment after it
// has let go of its channels, and a channel opened in between would wait for ever.
func (w *wire) Write(b []byte) (int, error) {
	if w.broken() {
		return 0, w.reason()
	}
	n, err := w.Conn.Write(b)
	if err != nil {
		w.note(err)
	}
	return n, err
}

func (w *wire) note(err error) {
	if errors.Is(err, io.EOF) {
		err = errors.New("closed by the host")
	}
	w.first.CompareAndSwap(nil, &err)
}

// Close ends the connection. It never blocks and may be called often.
func (w *wire) Close() error {
	w.once.Do(func() {
		w.note(net.ErrClosed)
		if w.closer == nil {
			w.Conn.Close()
			return
		}
		w.closer(func() { w.Conn.Close() })
	})
	return nil
}

func (w *wire) broken() bool { return w.first.Load() != nil }

func (w *wire) reason() error {
	if p := w.first.Load(); p != nil {
		return *p
	}
	return nil
}

// bannerWatch finds out whether the server's version line has come whole
// (RFC 4253 section 4.2). A server that drops a connection before that did not
// look at it: MaxStartups. Only the reading goroutine writes it.
type bannerWatch struct {
	line  []byte
	whole atomic.Bool
}

func (b *bannerWatch) see(data []byte) {
	if b.whole.Load() {
		return
	}
	for _, c := range data {
		if c == '\n' {
			if len(b.line) >= 4 && string(b.line[:4]) == "SSH-" {
				b.whole.Store(true)
				return
			}
			b.line = b.line[:0]
			continue
		}
		if len(b.line) < 4 {
			b.line = append(b.line, c)
		}
	}
}
