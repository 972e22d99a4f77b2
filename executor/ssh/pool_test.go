package ssh

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tfw/executor"
	"tfw/executor/executortest"
	"tfw/inventory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOneConnectionServesManyConnects(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{})
	tr := newTransport(t, Options{User: lab.User()})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			c, err := tr.connect(within(t, 20*time.Second), lab.Hosts()[0], nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Release()
		})
	}
	wg.Wait()
	if s := tr.Stats(); s.Dials != 1 || s.Connections != 1 || s.Dialing != 0 {
		t.Errorf("stats %+v, want one dial", s)
	}
}

// TestSessionsBeyondWhatTheServerGrants runs more commands at a time than one connection takes. Where it takes
// ten, further ones are for commands that last.
func TestSessionsBeyondWhatTheServerGrants(t *testing.T) {
	for grants, lasts := range map[int]string{1: "0.05", 2: "0.05", 10: "1"} {
		t.Run(fmt.Sprint(grants), func(t *testing.T) {
			lab := newLab(t, executortest.LabOptions{MaxSessions: grants})
			tr := newTransport(t, Options{User: lab.User()})
			c := mustConnect(t, tr, lab.Hosts()[0])
			var wg sync.WaitGroup
			for i := range 40 {
				wg.Go(func() {
					out, _, e, err := run(within(t, 40*time.Second), c, fmt.Sprintf("sleep %s; echo %d", lasts, i))
					if err != nil || e.Code != 0 || out != fmt.Sprintf("%d\n", i) {
						t.Errorf("%d: %q %+v %v", i, out, e, err)
					}
				})
			}
			wg.Wait()
			s := tr.Stats()
			if s.Connections > 8 || s.Connections < 2 {
				t.Errorf("%d connections", s.Connections)
			}
			for deadline := time.Now().Add(5 * time.Second); tr.Stats().Sessions > 0; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%d sessions are still counted", tr.Stats().Sessions)
				}
			}
		})
	}
}

func TestUrgentSessionWhenAllAreTaken(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{MaxSessions: 2})
	tr := newTransport(t, Options{User: lab.User(), MaxPerHost: 1})
	h := *lab.Hosts()[0]
	h.SSH.MaxSessions = 2
	c := mustConnect(t, tr, &h)
	busy, err := c.open(within(t, 20*time.Second), "sleep 20")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if s, err := c.open(within(t, 300*time.Millisecond), "true"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v %v, want the last slot to be kept", s, err)
	}
	s, err := c.openUrgent(within(t, 10*time.Second), "exit 5")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if e, err := s.Wait(); err != nil || e.Code != 5 {
		t.Errorf("%+v %v", e, err)
	}
}

func TestJumpChainSharesItsConnections(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{Hosts: 6})
	tr := newTransport(t, Options{User: lab.User()})
	hosts := lab.Hosts()
	ends := hosts[3:]
	var wg sync.WaitGroup
	for _, h := range ends {
		far := *h
		far.SSH.Jump = []string{hosts[0].Name, hosts[1].Name, hosts[2].Name}
		wg.Go(func() {
			c, err := tr.connect(within(t, 30*time.Second), &far, lab.Lookup)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Release()
			if out, _, _, err := run(within(t, 20*time.Second), c, "echo through"); out != "through\n" || err != nil {
				t.Errorf("%q %v", out, err)
			}
		})
	}
	wg.Wait()
	if s := tr.Stats(); s.Connections != 6 || s.Dials != 6 {
		t.Errorf("%+v, want three ends and three jumps", s)
	}
	lab.Disconnect(hosts[1].Name)
	for deadline := time.Now().Add(10 * time.Second); tr.Stats().Connections > 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v: the ends should go with the jump host", tr.Stats())
		}
	}
}

func TestJumpCycleIsAnError(t *testing.T) {
	tr := newTransport(t, Options{})
	a := &inventory.Host{Name: "a", SSH: inventory.SSH{Jump: []string{"b"}}}
	b := &inventory.Host{Name: "b", SSH: inventory.SSH{Jump: []string{"a"}}}
	via := func(n string) (*inventory.Host, bool) { return map[string]*inventory.Host{"a": a, "b": b}[n], true }
	_, err := tr.Connect(t.Context(), a, via)
	if err == nil || !strings.Contains(err.Error(), "a -> b -> a") {
		t.Errorf("got %v", err)
	}
}

func TestServersThatMisbehaveBeforeTheLogin(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{Embedded: true})
	for _, tt := range []struct {
		fault executortest.Fault
		want  string
	}{
		{executortest.FaultNoBanner, "waiting for its SSH banner"},
		{executortest.FaultLongBanner, "banner"},
		{executortest.FaultHangVersion, "exchanging keys"},
		{executortest.FaultHangKexInit, "exchanging keys"},
		{executortest.FaultHangKexReply, "authenticating"},
		{executortest.FaultHangNewKeys, "authenticating"},
		{executortest.FaultAuthHangs, "authenticating"},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			leavesNothing(t)
			h := *lab.Hosts()[0]
			h.SSH.ConnectTimeout = 700 * time.Millisecond
			if err := lab.Misbehave(h.Name, tt.fault); err != nil {
				t.Fatal(err)
			}
			tr := newTransport(t, Options{User: lab.User()})
			began := time.Now()
			_, err := tr.Connect(t.Context(), &h, nil)
			if !errors.Is(err, executor.ErrUnreachable) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want unreachable and %q", err, tt.want)
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
			if s := tr.Stats(); s.Dialing != 0 || s.Connections != 0 || s.Failures != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestServersThatBehaveOddlyAreStillReached(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{Embedded: true})
	h := lab.Hosts()[0]
	for _, f := range []executortest.Fault{executortest.FaultStartupDrops, executortest.FaultAuthBanner, executortest.FaultMaxSessions1} {
		t.Run(string(f), func(t *testing.T) {
			leavesNothing(t)
			if err := lab.Misbehave(h.Name, f); err != nil {
				t.Fatal(err)
			}
			c := mustConnect(t, newTransport(t, Options{User: lab.User()}), h)
			for range 3 {
				if out, _, _, err := run(within(t, 20*time.Second), c, "echo ok"); out != "ok\n" || err != nil {
					t.Errorf("%q %v", out, err)
				}
			}
		})
	}
}

func TestServersThatMisbehaveAfterTheLogin(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{Embedded: true})
	h := *lab.Hosts()[0]
	h.SSH.Keepalive = 200 * time.Millisecond
	for _, tt := range []struct {
		fault executortest.Fault
		want  error
	}{
		{executortest.FaultChannelRefused, executor.ErrRefused},
		{executortest.FaultExecRefused, executor.ErrRefused},
		{executortest.FaultHalfOpen, executor.ErrLost},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			leavesNothing(t)
			if err := lab.Misbehave(h.Name, tt.fault); err != nil {
				t.Fatal(err)
			}
			c := mustConnect(t, newTransport(t, Options{User: lab.User()}), &h)
			_, _, _, err := run(within(t, 20*time.Second), c, "true")
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("no exit status", func(t *testing.T) {
		leavesNothing(t)
		lab.Misbehave(h.Name, executortest.FaultNoExitStatus)
		c := mustConnect(t, newTransport(t, Options{User: lab.User()}), &h)
		if _, _, e, err := run(within(t, 20*time.Second), c, "true"); e.Kind != exitNone || err != nil {
			t.Errorf("%+v %v", e, err)
		}
	})
	t.Run("zero window", func(t *testing.T) {
		leavesNothing(t)
		lab.Misbehave(h.Name, executortest.FaultZeroWindow)
		c := mustConnect(t, newTransport(t, Options{User: lab.User()}), &h)
		s, err := c.open(within(t, 2*time.Second), "cat")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Stdin().Write(make([]byte, 8<<20)); err == nil {
			t.Error("8 MiB went through a window of 2")
		}
	})
}

// TestCommandsOnServersThatMisbehave: a durable command on each ends, rightly or with a reason, in bounded time.
func TestCommandsOnServersThatMisbehave(t *testing.T) {
	deaf, mute := deafAfter, muteAfter
	deafAfter, muteAfter = 300*time.Millisecond, 600*time.Millisecond
	defer func() { deafAfter, muteAfter = deaf, mute }()
	lab := newLab(t, executortest.LabOptions{Embedded: true})
	h := *lab.Hosts()[0]
	h.SSH.Keepalive = 200 * time.Millisecond
	for fault, want := range map[executortest.Fault]error{
		executortest.Behave: nil, executortest.FaultAuthBanner: nil, executortest.FaultStartupDrops: nil,
		executortest.FaultMaxSessions1: nil, executortest.FaultNoExitStatus: nil, executortest.FaultNoSFTP: nil,
		executortest.FaultChannelRefused: executor.ErrRefused, executortest.FaultExecRefused: executor.ErrRefused,
		executortest.FaultHalfOpen: executor.ErrLost, executortest.FaultEndless: executor.ErrLost, executortest.FaultZeroWindow: executor.ErrLost,
	} {
		t.Run("server "+string(fault), func(t *testing.T) {
			leavesNothing(t)
			if err := lab.Misbehave(h.Name, fault); err != nil {
				t.Fatal(err)
			}
			c := mustConnect(t, newTransport(t, Options{User: lab.User()}), &h)
			for _, script := range []string{"echo short; exit 3", "echo long; sleep 0.1; exit 3"} {
				cmd := command(script)
				r := &recorder{}
				end, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, false, r)
				if want == nil && (err != nil || end.Code != 3 || r.out.Len() < 5) || want != nil && !errors.Is(err, want) {
					t.Fatalf("%s: %+v %v, %d bytes; want %v", script, end, err, r.out.Len(), want)
				}
				if want != nil {
					return
				}
			}
		})
	}
}

func TestFrozenHostIsFoundLost(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{Proxied: true})
	h := *lab.Hosts()[0]
	h.SSH.Keepalive = 200 * time.Millisecond
	c := mustConnect(t, newTransport(t, Options{User: lab.User()}), &h)
	s, err := c.open(within(t, 20*time.Second), "sleep 30")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	lab.Proxy(h.Name).Freeze()
	defer lab.Proxy(h.Name).Thaw()
	if _, err := s.Wait(); !errors.Is(err, executor.ErrLost) {
		t.Errorf("got %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	tr := newTransport(t, Options{Home: writeHome(t)})
	for _, tt := range []struct{ address, want string }{
		{fmt.Sprintf("127.0.0.1:%d", freePort(t)), "refused"},
		{"no-such-host.invalid:22", "no such host"},
		{"[::ffff:300.1.1.1]:22", ""},
	} {
		addr, port, _ := net.SplitHostPort(tt.address)
		h := &inventory.Host{Name: "x", Address: addr, SSH: inventory.SSH{ConnectTimeout: 5 * time.Second}}
		fmt.Sscan(port, &h.SSH.Port)
		_, err := tr.Connect(t.Context(), h, nil)
		var te *executor.TransportError
		if !errors.As(err, &te) || !errors.Is(err, executor.ErrUnreachable) || te.Hint == "" {
			t.Errorf("%s: %v (%v)", tt.address, err, te)
		}
	}
}

func writeHome(t *testing.T) string {
	home := t.TempDir()
	os.Mkdir(home+"/.ssh", 0o700)
	writeKey(t, home+"/.ssh/id_ed25519")
	return home
}

// TestCancelAtAnyMoment ends contexts at random moments and counts what is left.
func TestCancelAtAnyMoment(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{Hosts: 3})
	tr := newTransport(t, Options{User: lab.User()})
	before := openFiles(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range 20 {
				ctx, cancel := context.WithTimeout(context.Background(), rand.N(60*time.Millisecond))
				far := *lab.Hosts()[rand.IntN(3)]
				if rand.IntN(3) == 0 {
					far.SSH.Jump = []string{lab.Hosts()[0].Name}
					far.SSH.ConnectTimeout = time.Duration(1+rand.IntN(3)) * time.Minute // a place of its own
				}
				if c, err := tr.connect(ctx, &far, lab.Lookup); err == nil {
					_, _, _, err = run(ctx, c, "echo some; sleep 0.02")
					if err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					c.Release()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(10 * time.Second); openFiles(t) > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, %d before", openFiles(t), before)
		}
	}
}

// leavesNothing has the test fail when, after what it cleans up itself, a goroutine or a descriptor is left
// that is not there now. Call it once the lab is up, before the transport is made.
func leavesNothing(t *testing.T) {
	t.Helper()
	files, running := openFiles(t), goleak.IgnoreCurrent()
	t.Cleanup(func() {
		deadline := time.Now().Add(20 * time.Second) // the lab's side of a connection ends by itself
		for err := goleak.Find(running); err != nil; err = goleak.Find(running) {
			if time.Now().After(deadline) {
				t.Error(err)
				return
			}
		}
		for ; openFiles(t) > files; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%d descriptors, %d before", openFiles(t), files)
				return
			}
		}
	})
}

func openFiles(t *testing.T) int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	return len(names)
}

func TestServerRestarts(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{})
	h := lab.Hosts()[0]
	tr := newTransport(t, Options{User: lab.User()})
	c := mustConnect(t, tr, h)
	if err := lab.Kill(h.Name); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := run(within(t, 20*time.Second), c, "true"); !errors.Is(err, executor.ErrLost) {
		t.Errorf("got %v, want lost", err)
	}
	if _, err := tr.connect(within(t, 10*time.Second), h, nil); !errors.Is(err, executor.ErrUnreachable) {
		t.Errorf("while it is down: %v", err)
	}
	if err := lab.Start(within(t, 20*time.Second), h.Name); err != nil {
		t.Fatal(err)
	}
	again := mustConnect(t, tr, h)
	if _, _, e, err := run(within(t, 10*time.Second), again, "exit 4"); err != nil || e.Code != 4 {
		t.Errorf("%+v %v", e, err)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{})
	tr := newTransport(t, Options{User: lab.User(), IdleTimeout: 100 * time.Millisecond})
	c, err := tr.connect(within(t, 20*time.Second), lab.Hosts()[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if n := tr.Stats().Connections; n != 1 {
		t.Errorf("%d connections while it is held", n)
	}
	c.Release()
	for deadline := time.Now().Add(5 * time.Second); tr.Stats().Connections > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an idle connection stays")
		}
	}
}

func TestFullPoolGivesWayToTheNextHost(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{Hosts: 3})
	tr := newTransport(t, Options{User: lab.User(), MaxConnections: 2})
	for range 2 {
		for _, h := range lab.Hosts() {
			c, err := tr.connect(within(t, 20*time.Second), h, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n := tr.Stats().Connections; n > 2 {
				t.Errorf("%d connections", n)
			}
			c.Release()
		}
	}
	a, b := mustConnect(t, tr, lab.Hosts()[0]), mustConnect(t, tr, lab.Hosts()[1])
	_, err := tr.connect(within(t, 300*time.Millisecond), lab.Hosts()[2], nil)
	if !errors.Is(err, executor.ErrUnreachable) || !strings.Contains(err.Error(), "the pool") {
		t.Errorf("all in use: %v", err)
	}
	a.Release()
	b.Release()
}

// TestWhatGivesWayIsNobodys: in a pool that is too small, a connection that gives way to another host's is in nobody's hands:
// no command is lost by it.
func TestWhatGivesWayIsNobodys(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{Hosts: 6})
	tr := newTransport(t, Options{User: lab.User(), MaxConnections: 4})
	var all sync.WaitGroup
	ctx := within(t, time.Minute)
	for i := range 12 {
		all.Go(func() {
			for round := range longer(12, 100) {
				c, err := tr.connect(ctx, lab.Hosts()[(i*5+round*(1+i%2))%6], nil)
				if err != nil {
					t.Error(err)
					return
				}
				if end, err := c.Run(ctx, command("true"), executor.Offsets{}, false, &recorder{}); err != nil || end.Code != 0 {
					t.Errorf("%+v %v", end, err)
				}
				c.Release()
			}
		})
	}
	all.Wait()
}

// TestPlaceIsForgotten: a pool that has seen many hosts does not grow for ever.
func TestPlaceIsForgotten(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{})
	tr := newTransport(t, Options{User: lab.User(), IdleTimeout: 20 * time.Millisecond})
	c, err := tr.connect(within(t, 20*time.Second), lab.Hosts()[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Release()
	for deadline := time.Now().Add(5 * time.Second); len(tr.allPlaces()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the place stays")
		}
	}
}

// TestWaitersAreServedThoughAFurtherConnectionFailed: a host that refuses a second
// connection for a while must not leave those forgotten who wait for it.
func TestWaitersAreServedThoughAFurtherConnectionFailed(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{MaxSessions: 1, Proxied: true})
	tr := newTransport(t, Options{User: lab.User()})
	c := mustConnect(t, tr, lab.Hosts()[0])
	busy, err := c.open(within(t, 30*time.Second), "sleep 30")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	proxy := lab.Proxy(lab.Hosts()[0].Name)
	proxy.Refuse(true)
	healed := time.AfterFunc(300*time.Millisecond, func() { proxy.Refuse(false) })
	defer healed.Stop()
	if _, _, e, err := run(within(t, 20*time.Second), c, "exit 6"); err != nil || e.Code != 6 {
		t.Errorf("%+v %v", e, err)
	}
}

// TestWaitingForATurnIsNoTimeout: hosts queue for the handshake longer than one may take.
func TestWaitingForATurnIsNoTimeout(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{Hosts: 8, Proxied: true})
	tr := newTransport(t, Options{User: lab.User(), MaxDials: 1})
	var wg sync.WaitGroup
	for _, h := range lab.Hosts() {
		lab.Proxy(h.Name).SetLatency(40 * time.Millisecond)
		slow := *h
		slow.SSH.ConnectTimeout = 2 * time.Second // eight in a row take longer
		wg.Go(func() {
			c, err := tr.connect(within(t, 60*time.Second), &slow, nil)
			if err != nil {
				t.Error(err)
				return
			}
			c.Release()
		})
	}
	wg.Wait()
}

// TestHostKeyThatChangesBetweenConnections is refused, though the first connection was right.
func TestHostKeyThatChangesBetweenConnections(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{Embedded: true})
	leavesNothing(t)
	h := lab.Hosts()[0]
	if err := lab.Misbehave(h.Name, executortest.FaultKeyChanges); err != nil {
		t.Fatal(err)
	}
	tr := newTransport(t, Options{User: lab.User()})
	first := mustConnect(t, tr, h)
	if err := lab.Disconnect(h.Name); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); first.place.live() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the broken connection is still held")
		}
	}
	if _, err := tr.connect(within(t, 20*time.Second), h, nil); !errors.Is(err, executor.ErrHostKey) {
		t.Errorf("got %v, want a host key error", err)
	}
}
