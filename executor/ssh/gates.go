package ssh

import (
	"context"
	"sync"
)

// gates bound how many handshakes go on at a time: in all, because each costs
// CPU, and to one address, because sshd drops what exceeds its MaxStartups.
type gates struct {
	all       chan struct{}
	perServer int

	mu      sync.Mutex
	servers map[string]*serverGate
}

type serverGate struct {
	slots chan struct{}
	users int
}

func (g *gates) init(o *Options) {
	g.all = make(chan struct{}, o.MaxDials)
	g.perServer = o.MaxDialsToServer
	g.servers = map[string]*serverGate{}
}

// enter waits for both gates; leave must be called after the handshake.
func (g *gates) enter(ctx context.Context, server string) (leave func(), err error) {
	s := g.hold(server)
	if err := pass(ctx, s.slots); err != nil {
		g.unhold(server, s)
		return nil, err
	}
	if err := pass(ctx, g.all); err != nil {
		<-s.slots
		g.unhold(server, s)
		return nil, err
	}
	return func() {
		<-g.all
		<-s.slots
		g.unhold(server, s)
	}, nil
}

func pass(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *gates) hold(server string) *serverGate {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.servers[server]
	if s == nil {
		s = &serverGate{slots: make(chan struct{}, g.perServer)}
		g.servers[server] = s
	}
	s.users++
	return s
}

func (g *gates) unhold(server string, s *serverGate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(g.servers, server)
	}
}
