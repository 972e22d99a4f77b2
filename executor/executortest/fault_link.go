package executortest

import (
	"io"
	"net"
	"sync"
	"time"
)

// chunk is a piece of a stream with the time it is due on the other side.
type chunk struct {
	data []byte
	due  time.Time
}

// link is one relayed connection.
type link struct {
	proxy  *Proxy
	client net.Conn
	server net.Conn
	over   chan struct{}
}

func (l *link) connected(server net.Conn) bool {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	l.server = server
	if isClosed(l.over) {
		_ = server.Close()
		return false
	}
	return true
}

func (l *link) forget() {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	l.close(false)
	delete(l.proxy.links, l)
}

// close must be called with the proxy's lock held.
func (l *link) close(reset bool) {
	if isClosed(l.over) {
		return
	}
	close(l.over)
	for _, c := range []net.Conn{l.client, l.server} {
		if c == nil {
			continue
		}
		if reset {
			setReset(c)
		}
		_ = c.Close() // the other side may have been first
	}
}

// setReset makes the next Close send RST in place of FIN.
func setReset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
}

// pump carries one direction: a reader that stamps chunks, a writer that waits until they are due.
func (l *link) pump(direction int, to, from net.Conn) {
	queue := make(chan chunk, 64)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(queue)
		l.read(from, queue)
	})
	for c := range queue {
		if !l.deliver(direction, to, c) {
			_ = from.Close()
			for range queue { // let the reader go
			}
			break
		}
	}
	reader.Wait()
	if t, ok := to.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

func (l *link) read(from io.Reader, queue chan<- chunk) {
	for {
		b := make([]byte, 32<<10)
		n, err := from.Read(b)
		if n > 0 {
			l.proxy.mu.Lock()
			due := time.Now().Add(l.proxy.latency)
			l.proxy.mu.Unlock()
			select {
			case queue <- chunk{b[:n], due}:
			case <-l.over:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// deliver waits for the chunk's time and for a thaw, then writes it, or as much of it as the byte limit allows.
func (l *link) deliver(direction int, to io.Writer, c chunk) bool {
	if !l.wait(c.due) {
		return false
	}
	p := l.proxy
	p.mu.Lock()
	n, cut := int64(len(c.data)), false
	if left := p.budget[direction]; left >= 0 {
		if cut = left <= n; cut {
			n = left
			p.budget = [2]int64{-1, -1}
		} else {
			p.budget[direction] -= n
		}
	}
	reset := p.reset
	p.mu.Unlock()
	_, err := to.Write(c.data[:n])
	if cut {
		p.mu.Lock()
		p.cuts++
		l.close(reset)
		p.mu.Unlock()
	}
	return err == nil && !cut
}

func (l *link) wait(due time.Time) bool {
	if d := time.Until(due); d > 0 {
		select {
		case <-time.After(d):
		case <-l.over:
			return false
		}
	}
	for {
		l.proxy.mu.Lock()
		thawed := l.proxy.thawed
		l.proxy.mu.Unlock()
		if isClosed(thawed) {
			return true
		}
		select {
		case <-thawed:
		case <-l.over:
			return false
		}
	}
}
