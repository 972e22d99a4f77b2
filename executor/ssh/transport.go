package ssh

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"tfw/executor"
	"tfw/inventory"
)

var _ executor.Transport = (*Transport)(nil)

// Transport is the process's one pool of SSH connections. It implements
// executor.Transport and is safe for concurrent use.
type Transport struct {
	opt   Options
	keys  keyring
	hosts hostKeys
	gates gates

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	crew crew // dials, links, the janitor and the sweeper

	sweeping sync.Once     // starts the sweeper
	starts   chan struct{} // one for each command that is just being started

	mu     sync.Mutex
	places map[string]*place
	closed bool

	dials, failures atomic.Uint64
	dialing, total  atomic.Int64
	launching       atomic.Int64 // commands that may be over in a moment
}

// New makes a transport. It dials nothing yet. Close it at the end.
func New(opt Options) *Transport {
	t := &Transport{opt: opt.withDefaults(), places: map[string]*place{}}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.keys.init(&t.opt)
	t.hosts.init(&t.opt)
	t.gates.init(&t.opt)
	t.starts = make(chan struct{}, t.opt.MaxStarts)
	t.crew.Go(t.janitor)
	return t
}

var errClosed = errors.New("the ssh transport is closed")

// place finds or makes the place for the settings and counts one more user of it.
func (t *Transport) place(s *settings) (*place, error) {
	key := s.key()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, lost(errClosed)
	}
	p := t.places[key]
	if p == nil {
		p = newPlace(t, s)
		t.places[key] = p
	}
	p.hold()
	return p, nil
}

// Connect implements executor.Transport. A host that is in the pool costs no
// network traffic.
func (t *Transport) Connect(ctx context.Context, host *inventory.Host, via func(name string) (*inventory.Host, bool)) (executor.Conn, error) {
	c, err := t.connect(ctx, host, via)
	if err != nil {
		return nil, fail(host.Name, "connect", err)
	}
	return c, nil
}

func (t *Transport) connect(ctx context.Context, host *inventory.Host, via lookup) (*conn, error) {
	r := resolver{opt: &t.opt, via: via}
	s, err := r.resolve(host)
	if err != nil {
		return nil, err
	}
	p, err := t.place(s)
	if err != nil {
		return nil, err
	}
	if err := p.connect(ctx); err != nil {
		p.release()
		return nil, err
	}
	return &conn{t: t, place: p, inv: host}, nil
}

// Stats implements executor.Transport.
func (t *Transport) Stats() executor.PoolStats {
	s := executor.PoolStats{
		Dialing: int(t.dialing.Load()), Dials: t.dials.Load(), Failures: t.failures.Load(),
	}
	for _, p := range t.allPlaces() {
		links, sessions := p.count()
		s.Connections += links
		s.Sessions += sessions
	}
	return s
}

// Close implements executor.Transport. Commands go on on their hosts.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.sweepAll(context.Background(), closeSweep, false)
	t.stop()
	for _, p := range t.allPlaces() {
		p.breakAll(errClosed)
	}
	t.crew.Wait()
	return nil
}

func (t *Transport) allPlaces() []*place {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*place, 0, len(t.places))
	for _, p := range t.places {
		all = append(all, p)
	}
	return all
}
