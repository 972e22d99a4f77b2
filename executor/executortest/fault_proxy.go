package executortest

import (
	"net"
	"sync"
	"time"
)

// Proxy is a TCP relay that can be cut, frozen, slowed and told to break after so many bytes.
// Safe for concurrent use.
type Proxy struct {
	ln     net.Listener
	target string
	work   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	refuse  bool
	thawed  chan struct{} // closed while bytes may flow
	latency time.Duration
	budget  [2]int64 // bytes until the next cut, by direction; negative is none
	reset   bool     // how that cut is made
	links   map[*link]bool
	cuts    int
	total   int
}

// Directions of a relay.
const (
	toServer = iota
	toClient
)

// NewProxy listens on addr ("127.0.0.1:0") and relays to target. It must be closed.
func NewProxy(addr, target string) (*Proxy, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	p := &Proxy{ln: ln, target: target, links: map[*link]bool{}, thawed: make(chan struct{}), budget: [2]int64{-1, -1}}
	close(p.thawed)
	p.work.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Connections tells how many live connections there are, and how many there have been.
func (p *Proxy) Connections() (live, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links), p.total
}

// Cuts counts the connections that were cut by Cut and by CutAfter.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Cut ends every live connection: orderly, or with a reset on both sides. It reports how many.
func (p *Proxy) Cut(reset bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.links)
	for l := range p.links {
		l.close(reset)
	}
	p.cuts += n
	return n
}

// CutAfter cuts one connection once so many more bytes went through in a direction, exactly there:
// the receiver sees all of it before an orderly end, and may see less before a reset. A negative number sets no limit.
func (p *Proxy) CutAfter(up, down int64, reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget, p.reset = [2]int64{up, down}, reset
}

// Freeze makes a black hole of the proxy: connections stay open, are still
// accepted, and nothing gets through, in either direction.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if isClosed(p.thawed) {
		p.thawed = make(chan struct{})
	}
}

// Thaw undoes Freeze: what was held back arrives.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !isClosed(p.thawed) {
		close(p.thawed)
	}
}

// Refuse makes new connections end at once, as a host does that has no listener.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// SetLatency delays every byte by d in each direction. The rate is not limited.
func (p *Proxy) SetLatency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// Close ends the proxy and every connection, and waits for its goroutines.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	for l := range p.links {
		l.close(false)
	}
	p.mu.Unlock()
	_ = p.ln.Close() // closed twice at worst
	p.work.Wait()
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			p.mu.Lock()
			over := p.closed
			p.mu.Unlock()
			if over {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors: they come back
			continue
		}
		p.work.Go(func() { p.relay(client) })
	}
}

func (p *Proxy) relay(client net.Conn) {
	defer client.Close()
	l := &link{proxy: p, client: client, over: make(chan struct{})}
	p.mu.Lock()
	refuse, thawed := p.refuse || p.closed, p.thawed
	if refuse {
		setReset(client)
	} else {
		p.links[l] = true
		p.total++
	}
	p.mu.Unlock()
	if refuse {
		return
	}
	defer l.forget()
	select { // frozen: not even the connection is made
	case <-thawed:
	case <-l.over:
		return
	}
	server, err := net.DialTimeout("tcp", p.target, 10*time.Second)
	if err != nil {
		setReset(client)
		return
	}
	if !l.connected(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(toServer, server, client) })
	both.Go(func() { l.pump(toClient, client, server) })
	both.Wait()
}
