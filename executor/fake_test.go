package executor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// fakeHosts is a Transport over hosts that live in memory and keep the promise
// of a durable command: started once, output by offset, an end that stays. Connections can be made to break.
type fakeHosts struct {
	mu       sync.Mutex
	hosts    map[string]*fakeHost
	cutEvery int          // a Run is cut after about so many bytes, 0: never
	refuse   atomic.Int64 // dials that still fail
	unheard  atomic.Int64 // launches that still break before the host hears of them
	mute     atomic.Int64 // launches that still break before their answer is heard
	shy      atomic.Bool  // a connection does not know the boot id
	down     atomic.Bool
	deaf     atomic.Bool   // kills do not get through
	barren   atomic.Bool   // connections are made, and break before anything is said
	noMore   atomic.Bool   // after the first dial no other succeeds
	now      int           // processes that run; guarded by mu
	most     int           // the most there ever were
	off      chan struct{} // closed at the end of the test: the hosts are switched off
	running  sync.WaitGroup
	cut      chan struct{} // closed to cut every connection at once; guarded by mu
	dials    atomic.Int64
}

type fakeHost struct {
	mu     sync.Mutex
	name   string
	bootID string
	booted time.Time
	procs  map[string]*proc
	files  map[string]string
	acked  map[string]bool
	starts map[string]int
}

// proc is a command on a fake host. Its script decides: see behave.
type proc struct {
	mu       sync.Mutex
	out, err []byte
	end      *executor.End
	changed  chan struct{}
}

func newFakeHosts() *fakeHosts {
	return &fakeHosts{hosts: map[string]*fakeHost{}, off: make(chan struct{}), cut: make(chan struct{})}
}

func (f *fakeHosts) host(name string) *fakeHost {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.hosts[name]
	if h == nil {
		h = &fakeHost{name: name, bootID: "boot-1", procs: map[string]*proc{}, files: map[string]string{}, acked: map[string]bool{}, starts: map[string]int{}}
		f.hosts[name] = h
	}
	return h
}

func (f *fakeHosts) Connect(ctx context.Context, h *inventory.Host, _ func(string) (*inventory.Host, bool)) (executor.Conn, error) {
	if f.dials.Add(1) > 1 && f.noMore.Load() {
		return nil, &executor.TransportError{Kind: executor.ErrUnreachable, Host: h.Name, Op: "connect", Err: errors.New("connection refused")}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if strings.HasPrefix(h.Name, "gone") || f.down.Load() || f.refuse.Add(-1) >= 0 {
		return nil, &executor.TransportError{Kind: executor.ErrUnreachable, Host: h.Name, Op: "connect", Err: errors.New("connection refused")}
	}
	host := f.host(h.Name)
	f.mu.Lock()
	defer f.mu.Unlock()
	return &fakeConn{f: f, h: host, cut: f.cut}, nil
}

func (f *fakeHosts) Stats() executor.PoolStats { return executor.PoolStats{} }

// Close switches the hosts off and waits for their processes.
func (f *fakeHosts) Close() error {
	close(f.off)
	f.running.Wait()
	return nil
}

type fakeConn struct {
	f   *fakeHosts
	h   *fakeHost
	cut <-chan struct{}
}

// cutAll breaks every connection there is.
func (f *fakeHosts) cutAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.cut)
	f.cut = make(chan struct{})
}

func (c *fakeConn) Info() executor.HostInfo {
	if c.f.shy.Load() {
		return executor.HostInfo{Durable: true}
	}
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	return executor.HostInfo{BootID: c.h.bootID, Durable: true}
}

// reboot ends everything on the host; nothing of it had reached the disk.
func (h *fakeHost) reboot() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bootID, h.booted, h.procs = "boot-2", time.Now(), map[string]*proc{}
}

// moved reports whether the host was booted since the command's start was intended.
func (h *fakeHost) moved(cmd executor.DurableCommand) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if cmd.BootID != "" {
		return cmd.BootID != h.bootID
	}
	return cmd.Begun.Before(h.booted)
}

func (c *fakeConn) Release() {}
func (c *fakeConn) Strays(context.Context) ([]executor.Stray, error) {
	return nil, nil
}
func (c *fakeConn) Probe(context.Context, string) ([]byte, error) {
	return []byte(fmt.Sprint(time.Now().Unix())), nil
}

func (c *fakeConn) Acknowledge(_ *executor.BecomeAs, ids ...executor.CommandID) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	for _, id := range ids {
		c.h.acked[id.String()] = true
	}
}

func (c *fakeConn) lost() error {
	return &executor.TransportError{Kind: executor.ErrLost, Host: c.h.name, Op: "run", Err: io.ErrUnexpectedEOF}
}

func (c *fakeConn) Run(ctx context.Context, cmd executor.DurableCommand, from executor.Offsets, attach bool, sink executor.Sink) (executor.End, error) {
	if c.f.unheard.Add(-1) >= 0 {
		return executor.End{}, c.lost()
	}
	p, found := c.f.start(c.h, cmd, attach || c.h.moved(cmd))
	if c.f.barren.Load() {
		return executor.End{}, c.lost()
	}
	if p == nil {
		return executor.End{Kind: executor.EndUnknown}, nil
	}
	if c.f.cutEvery > 0 && rand.IntN(6) == 0 {
		return executor.End{}, c.lost() // the answer to the start was lost
	}
	if c.f.mute.Add(-1) >= 0 {
		return executor.End{}, c.lost()
	}
	if err := sink.Started(executor.Started{BootID: c.h.bootID, Found: found}); err != nil {
		return executor.End{}, err
	}
	for {
		p.mu.Lock()
		out, errs, end, changed := p.out[from.Stdout:], p.err[from.Stderr:], p.end, p.changed
		p.mu.Unlock()
		cut := c.f.cutEvery > 0 && len(out)+len(errs) > 0 && rand.IntN(3) == 0
		if cut {
			out, errs = out[:rand.IntN(len(out)+1)], errs[:rand.IntN(len(errs)+1)]
		}
		if err := sink.Bytes(executor.Stdout, from.Stdout, out); err != nil {
			return executor.End{}, err
		}
		if err := sink.Bytes(executor.Stderr, from.Stderr, errs); err != nil {
			return executor.End{}, err
		}
		from.Stdout += int64(len(out))
		from.Stderr += int64(len(errs))
		switch {
		case cut:
			return executor.End{}, c.lost()
		case end != nil:
			return *end, nil
		}
		select {
		case <-changed:
		case <-c.cut:
			return executor.End{}, c.lost()
		case <-ctx.Done():
			return executor.End{}, ctx.Err()
		}
	}
}

func (c *fakeConn) Kill(_ context.Context, id executor.CommandID, _ *executor.BecomeAs, _ time.Duration) (executor.KillReport, error) {
	if c.f.down.Load() || c.f.deaf.Load() {
		return executor.KillReport{}, c.lost()
	}
	c.h.mu.Lock()
	p := c.h.procs[id.String()]
	c.h.mu.Unlock()
	if p == nil || !p.finish(executor.End{Kind: executor.EndSignal, Code: 143, Signal: "TERM"}) {
		return executor.KillReport{Gone: true}, nil
	}
	return executor.KillReport{Killed: 1}, nil
}

func (c *fakeConn) Put(_ context.Context, put executor.Put) (executor.PutResult, error) {
	content := make([]byte, put.Size)
	if _, err := put.Content.ReadAt(content, 0); err != nil && err != io.EOF {
		return executor.PutResult{}, err
	}
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	skipped := c.h.files[put.Dest] == string(content)
	c.h.files[put.Dest] = string(content)
	return executor.PutResult{Path: put.Dest, Skipped: skipped, Via: "fake"}, nil
}

func (c *fakeConn) Get(_ context.Context, src string, _ *executor.BecomeAs, w io.Writer) (executor.GetResult, error) {
	c.h.mu.Lock()
	content, ok := c.h.files[src]
	c.h.mu.Unlock()
	if !ok {
		return executor.GetResult{}, fmt.Errorf("%s: %w", src, fs.ErrNotExist)
	}
	n, err := io.WriteString(w, content)
	return executor.GetResult{Bytes: int64(n), Mode: 0o644}, err
}

// start makes the command's process, once for each id.
func (f *fakeHosts) start(h *fakeHost, cmd executor.DurableCommand, attach bool) (p *proc, found bool) {
	id := cmd.ID.String()
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.procs[id]; p != nil {
		return p, true
	}
	if attach {
		return nil, false
	}
	p = &proc{changed: make(chan struct{})}
	h.procs[id] = p
	h.starts[id]++
	f.running.Go(func() {
		f.count(1)
		script := strings.ReplaceAll(string(cmd.Script), "$stdin", string(cmd.Stdin))
		for name, value := range cmd.Env {
			script = strings.ReplaceAll(script, "$"+name, value)
		}
		code := p.behave(script, f.off)
		f.count(-1)
		if code >= 0 {
			p.finish(executor.End{Kind: executor.EndExit, Code: code})
		}
	})
	return p, false
}

func (f *fakeHosts) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now += n
	f.most = max(f.most, f.now)
}

// behave plays the script: "say TEXT", "err TEXT", "pause MS", "exit N", "hang", one on each line.
func (p *proc) behave(script string, off <-chan struct{}) (code int) {
	for line := range strings.Lines(script) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		var n int
		_, _ = fmt.Sscan(rest, &n)
		switch verb {
		case "say":
			p.say(&p.out, rest)
		case "err":
			p.say(&p.err, rest)
		case "pause":
			select {
			case <-time.After(time.Duration(n) * time.Millisecond):
			case <-off:
				return -1
			}
		case "exit":
			code = n
		case "hang":
			return -1 // until it is killed
		}
	}
	return code
}

func (p *proc) say(to *[]byte, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end == nil {
		*to = append(*to, text+"\n"...)
		p.ring()
	}
}

func (p *proc) ring() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *proc) finish(end executor.End) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end != nil {
		return false
	}
	end.Sizes = executor.Offsets{Stdout: int64(len(p.out)), Stderr: int64(len(p.err))}
	p.end = &end
	p.ring()
	return true
}

// startedOnce fails the test when any command was started more than once.
func (f *fakeHosts) startedOnce(t *testing.T) (commands int) {
	t.Helper()
	for name, h := range f.hosts {
		for id, n := range h.starts {
			commands++
			if n != 1 {
				t.Errorf("%s: %s was started %d times", name, id, n)
			}
		}
	}
	return commands
}
