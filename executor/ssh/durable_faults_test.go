package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"tfw/executor"
	"tfw/executor/executortest"
	"tfw/inventory"
)

// through gives a connection to the host that passes a proxy which can be cut.
func (h *durableHost) through(t testing.TB) (*executortest.Proxy, *inventory.Host) {
	t.Helper()
	p, err := executortest.NewProxy("127.0.0.1:0", "127.0.0.1:"+h.portText())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	_, port, _ := net.SplitHostPort(p.Addr())
	host := h.host()
	host.SSH.Port, _ = strconv.Atoi(port)
	host.SSH.HostKey = h.pinned()
	return p, host
}

// pinned is the host key in the inventory's form.
func (h *durableHost) pinned() string {
	return strings.TrimSpace(string(xssh.MarshalAuthorizedKey(h.hostKey.PublicKey())))
}

// TestCuts cuts the connection at random moments of launch, follow and end, and goes on each time as the executor would.
func TestCuts(t *testing.T) {
	h := newDurableHost(t)
	proxy, host := h.through(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	rounds, cuts := longer(12, 150), 0
	for i := range rounds {
		script := fmt.Sprintf("echo x >>$HOME/count%d; i=0; while [ $i -lt 40 ]; do head -c 20000 /dev/urandom | tee -a $HOME/out%d; echo e$i >&2; i=$((i+1)); [ $((i%%%d)) = 0 ] && sleep 0.01; done; exit 9",
			i, i, 1+rnd.IntN(9))
		cmd := command(script)
		r := &recorder{}
		var end executor.End
		for try := 0; ; try++ {
			if try > 60 {
				t.Fatal("it never ends")
			}
			if try < 6 {
				proxy.CutAfter(1+rnd.Int64N(16<<10), 1+rnd.Int64N(600_000), rnd.IntN(2) == 0)
			} else {
				proxy.CutAfter(0, 0, false)
			}
			ctx := within(t, 20*time.Second)
			c, err := h.tr.connect(ctx, host, nil)
			if err == nil {
				end, err = c.Run(ctx, cmd, r.have(), len(r.started) > 0, r)
				c.Release()
				if err == nil {
					break
				}
			}
			cuts++
			if !errors.Is(fail("dut", "test", err), executor.ErrLost) && !errors.Is(fail("dut", "test", err), executor.ErrUnreachable) {
				t.Fatalf("after a cut: %v", err)
			}
		}
		want, _ := os.ReadFile(fmt.Sprintf("%s/out%d", h.home, i))
		count, _ := os.ReadFile(fmt.Sprintf("%s/count%d", h.home, i))
		if string(count) != "x\n" || !bytes.Equal(want, r.out.Bytes()) || end.Code != 9 || r.wrong != nil || end.Sizes != r.have() {
			t.Fatalf("round %d: executed %q, %d of %d bytes, %+v %v", i, count, r.out.Len(), len(want), end, r.wrong)
		}
	}
	t.Logf("%d rounds, %d cuts", rounds, cuts)
}

// longer picks the bounded number unless the long suite was asked for.
func longer(short, long int) int {
	if os.Getenv("TFW_CHAOS") != "" {
		return long
	}
	return short
}

// start runs a command beside the test.
func start(t testing.TB, c *conn, cmd executor.DurableCommand, r *recorder) (wait func() executor.End) {
	t.Helper()
	var end executor.End
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { end, err = c.Run(within(t, 40*time.Second), cmd, executor.Offsets{}, false, r) })
	return func() executor.End {
		t.Helper()
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
		return end
	}
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// claimed gives the wrapper's pid from the spool.
func (h *durableHost) claimed(id executor.CommandID) int {
	b, _ := os.ReadFile(filepath.Join(h.home, ".tfw", id.String()+"+run"))
	f := strings.Fields(string(b))
	if len(f) < 3 {
		return 0
	}
	pid, _ := strconv.Atoi(f[2])
	return pid
}

func TestWrapperKilled(t *testing.T) { bothWays(t, wrapperKilled) }

func wrapperKilled(t *testing.T, h *durableHost) {
	c := h.conn(t)
	cmd := command("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done")
	r := &recorder{}
	wait := start(t, c, cmd, r)
	until(t, "first output", func() bool { return r.have().Stdout > 0 })
	syscall.Kill(h.claimed(cmd.ID), syscall.SIGKILL)
	end := wait()
	if end.Kind != executor.EndWrapper || r.out.String() != "1\n2\n3\n4\n5\n6\n7\n8\n" {
		t.Errorf("%+v %q %q", end, &r.out, r.events)
	}
}

func TestSpoolRemoved(t *testing.T) { bothWays(t, spoolRemoved) }

func spoolRemoved(t *testing.T, h *durableHost) {
	c := h.conn(t)
	cmd := command("echo one; sleep 0.6; echo two; exit 5")
	r := &recorder{}
	wait := start(t, c, cmd, r)
	until(t, "first output", func() bool { return r.have().Stdout > 0 })
	if err := os.RemoveAll(h.home + "/.tfw"); err != nil {
		t.Fatal(err)
	}
	if end := wait(); end.Kind != executor.EndSpoolGone || !strings.HasPrefix(r.out.String(), "one\n") {
		t.Errorf("%+v %q", end, &r.out)
	}
	mustRun(t, c, command("echo again")) // a new spool is found
}

func TestReboot(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	cmd := command("echo before; sleep 0.2")
	mustRun(t, c, cmd)
	f := filepath.Join(h.home, ".tfw", cmd.ID.String()+"+run")
	b, _ := os.ReadFile(f)
	lines := strings.SplitAfter(string(b), "\n")
	w := strings.Fields(lines[0])
	w[1] = "00000000-0000-0000-0000-000000000000" // what another boot would have left
	os.WriteFile(f, []byte(strings.Join(w, " ")+"\n"), 0o600)
	r := &recorder{}
	end, err := c.Run(within(t, 10*time.Second), cmd, executor.Offsets{}, true, r)
	if err != nil || end.Kind != executor.EndReboot || r.out.String() != "before\n" {
		t.Errorf("%+v %v %q", end, err, &r.out)
	}
}

// TestSlowToBegin: who attaches between the claim and the command's files waits for them, however slow the host is.
func TestSlowToBegin(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	cmd := command("until [ -e $HOME/go ]; do sleep 0.1; done; echo done")
	first := make(chan error, 1)
	go func() {
		_, err := c.Run(within(t, 30*time.Second), cmd, executor.Offsets{}, false, quietSink{})
		first <- err
	}()
	file := func(what string) string { return filepath.Join(h.home, ".tfw", cmd.ID.String()+"+"+what) }
	var claim string
	until(t, "the command to begin", func() bool {
		b, _ := os.ReadFile(file("run"))
		before, _, begun := strings.Cut(string(b), "pid1 ")
		claim = before
		_, err := os.Stat(file("err"))
		return begun && err == nil
	})
	for _, what := range []string{"out", "err"} { // as it was a moment before
		if err := os.Rename(file(what), filepath.Join(h.home, what)); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite(t, file("run"), claim)
	back := time.AfterFunc(1500*time.Millisecond, func() {
		for _, what := range []string{"out", "err"} {
			if err := os.Rename(filepath.Join(h.home, what), file(what)); err != nil {
				t.Error(err)
			}
		}
		mustWrite(t, h.home+"/go", "")
	})
	defer back.Stop()
	r := &recorder{}
	end, err := h.conn(t).Run(within(t, 20*time.Second), cmd, executor.Offsets{}, true, r)
	if err != nil || end.Kind != executor.EndExit || end.Code != 0 || r.out.String() != "done\n" {
		t.Errorf("%+v %v %q", end, err, &r.out)
	}
	<-first
}

// TestBootedSince: a launch that comes again after a reboot starts nothing, also where no claim is left.
func TestBootedSince(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	mustRun(t, c, command("true"))
	boot := c.Info().BootID
	if len(boot) != 36 {
		t.Fatalf("boot id %q", boot)
	}
	before := time.Now().Add(-50 * 365 * 24 * time.Hour)
	for _, x := range []struct {
		name  string
		boot  string
		begun time.Time
		kind  executor.EndKind
	}{
		{"fresh", boot, time.Now(), executor.EndExit},
		{"fresh, boot id not known", "", time.Now(), executor.EndExit},
		{"same boot", boot, before, executor.EndExit},
		{"another boot", "00000000-0000-0000-0000-000000000000", time.Now(), executor.EndUnknown},
		{"boot id not known, up for less", "", before, executor.EndUnknown},
	} {
		cmd := command("echo once >>" + h.home + "/marks." + strings.ReplaceAll(x.name, " ", "_"))
		cmd.BootID, cmd.Begun = x.boot, x.begun
		end, err := c.Run(within(t, 10*time.Second), cmd, executor.Offsets{}, false, &recorder{})
		_, none := os.Stat(h.home + "/marks." + strings.ReplaceAll(x.name, " ", "_"))
		if err != nil || end.Kind != x.kind || (none == nil) != (x.kind == executor.EndExit) {
			t.Errorf("%s: %+v %v %v", x.name, end, err, none)
		}
	}
	c.place.breakAll(errIdle)
	again := h.conn(t)
	if id := again.Info().BootID; id != "" {
		t.Errorf("a connection that asked nothing yet tells the boot id %s of the one before", id)
	}
}

// TestKilledBeforeAWord: our shell is killed before it has said anything.
func TestKilledBeforeAWord(t *testing.T) { bothWays(t, killedBeforeAWord) }

func killedBeforeAWord(t *testing.T, h *durableHost) {
	c := h.conn(t)
	mustRun(t, c, command("true")) // the spool is known: nothing of it is said again
	cmd := command("kill -KILL $PPID; echo x >>" + h.home + "/marks")
	r := &recorder{}
	end, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, false, r)
	marks, _ := os.ReadFile(h.home + "/marks")
	if err != nil || end.Kind != executor.EndWrapper || string(marks) != "x\n" {
		t.Errorf("%+v %v %q", end, err, marks)
	}
}

// TestHelperKilled: the helper is killed before it was asked to follow, and after; or only its tails are.
func TestHelperKilled(t *testing.T) {
	tails := `for p in $(grep -lzxF "TFW_HELPER=$TFW_RUN" /proc/[0-9]*/environ 2>/dev/null); do p=${p#/proc/}; kill -KILL ${p%/environ}; done 2>/dev/null`
	for _, x := range [][2]string{{"sleep 0", "kill -KILL $helper"}, {"sleep 0.3", "kill -KILL $helper"}, {"sleep 0.3", tails}} {
		when, how := x[0], x[1]
		h := newDurableHost(t)
		c := h.conn(t)
		cmd := command(when + "; cd " + h.home + `; read -r _ _ helper _ <<EOF
$(grep pid1 .tfw/"$TFW_RUN"+run)
EOF
` + how + `; echo x >>marks
for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; head -c 300000 /dev/zero; exit 4`)
		r := &recorder{}
		end, err := c.Run(within(t, 50*time.Second), cmd, executor.Offsets{}, false, r)
		marks, _ := os.ReadFile(h.home + "/marks")
		if err != nil || end.Kind != executor.EndExit || end.Code != 4 || r.out.Len() != 300010 || string(marks) != "x\n" {
			t.Errorf("%s; %s: %+v %v %d bytes, %q", when, how, end, err, r.out.Len(), marks)
		}
	}
}

// TestMissingIsTheHostsWord: an attach that breaks off tells nothing of what did not come.
func TestMissingIsTheHostsWord(t *testing.T) {
	d := newDelivery(&recorder{}, executor.Offsets{}, true, func(string) {})
	attach := func(bytes string, over bool) bool {
		d.again()
		d.line("started 1 -")
		d.errLine("err")
		d.line("end 1 - 10 0 exit1 0 1.0 2.0 - .")
		d.bytes(&d.out, []byte(bytes))
		if over {
			d.line("over")
			d.errLine("over")
		}
		return d.missing()
	}
	if attach("abc", false) || attach("", false) {
		t.Error("a broken channel was taken for a removed spool")
	}
	if attach("def", true) {
		t.Error("bytes came, and yet no further attach")
	}
	if !attach("", true) || d.end.Kind != executor.EndSpoolGone || d.end.Sizes.Stdout != 6 {
		t.Errorf("%+v", d.end)
	}
}

func TestStrays(t *testing.T) { bothWays(t, strays) }

func strays(t *testing.T, h *durableHost) {
	c := h.conn(t)
	cmd := command("setsid sleep 300 >/dev/null 2>&1 & echo started")
	start := time.Now()
	r, end := mustRun(t, c, cmd)
	if end.Code != 0 || r.out.String() != "started\n" || time.Since(start) > 10*time.Second {
		t.Errorf("a daemon held the end up: %+v", end)
	}
	until(t, "it to be among the strays", func() bool { // one that just becomes another program shows no mark
		all, err := c.Strays(within(t, 10*time.Second))
		return err == nil && slices.ContainsFunc(all, func(s executor.Stray) bool { return s.Command == cmd.ID && s.LeftProcess.Command == "sleep" })
	})
	rep, err := c.Kill(within(t, 10*time.Second), cmd.ID, nil, time.Second)
	if err != nil || rep.Killed != 1 || !rep.Gone {
		t.Errorf("%+v %v", rep, err)
	}
}

// TestSpoolBound: the command is stopped at the bound while the sink sleeps, and goes on after it.
func TestSpoolBound(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	cmd := command("i=0; while [ $i -lt 200 ]; do head -c 100000 /dev/zero; i=$((i+1)); sleep 0.01; done; echo end")
	cmd.MaxSpool = 1 << 20
	release := make(chan struct{})
	r := &recorder{}
	var once sync.Once
	r.onBytes = func(executor.Stream, []byte) { once.Do(func() { <-release }) }
	wait := start(t, c, cmd, r)
	until(t, "stall", func() bool {
		_, err := os.Stat(filepath.Join(h.home, ".tfw", cmd.ID.String()+"+stall"))
		return err == nil
	})
	size := func() int64 {
		i, _ := os.Stat(filepath.Join(h.home, ".tfw", cmd.ID.String()+"+out"))
		return i.Size()
	}
	time.Sleep(300 * time.Millisecond)
	before := size()
	time.Sleep(500 * time.Millisecond)
	if now := size(); now > before+200_000 || now >= 20_000_000 { // a child begun in that moment may write its piece
		t.Errorf("it goes on writing: %d, then %d", before, now)
	}
	close(release)
	if end := wait(); end.Code != 0 || r.out.Len() != 20_000_004 {
		t.Errorf("%+v %d", end, r.out.Len())
	}
	if text := strings.Join(r.events, "\n"); !strings.Contains(text, "stalled: ") || !strings.Contains(text, "resumed") {
		t.Errorf("events %q", text)
	}
}

func TestContextEnds(t *testing.T) { bothWays(t, contextEnds) }

func contextEnds(t *testing.T, h *durableHost) {
	c := h.conn(t)
	cmd := command("echo >$HOME/up; sleep 0.5; echo $$ >$HOME/done")
	ctx, cancel := context.WithCancel(context.Background())
	var cancelled time.Time
	go func() {
		defer cancel()
		for range 2000 { // what is not started yet when its upload is cut never is
			if _, err := os.Stat(h.home + "/up"); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		cancelled = time.Now()
	}()
	if _, err := c.Run(ctx, cmd, executor.Offsets{}, false, &recorder{}); !errors.Is(err, context.Canceled) || time.Since(cancelled) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(cancelled))
	}
	until(t, "the command to end by itself", func() bool { _, err := os.Stat(h.home + "/done"); return err == nil })
}

func TestMaxSessions1(t *testing.T) {
	h := newDurableHost(t, "MaxSessions 1")
	c := h.conn(t)
	cmd := command("echo live; sleep 0.5; echo end")
	live := make(chan struct{})
	var once sync.Once
	r := &recorder{onBytes: func(executor.Stream, []byte) { once.Do(func() { close(live) }) }}
	wait := start(t, c, cmd, r)
	<-live
	if end := wait(); end.Code != 0 || r.out.String() != "live\nend\n" {
		t.Errorf("%+v %q", end, &r.out)
	}
	mustRun(t, c, command("true"))
}

func TestSinkFails(t *testing.T) { bothWays(t, sinkFails) }

func sinkFails(t *testing.T, h *durableHost) {
	c := h.conn(t)
	full := errors.New("the store is full")
	_, err := c.Run(within(t, 10*time.Second), command("echo x; sleep 5"), executor.Offsets{}, false, failing{full})
	if !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
}

type failing struct{ err error }

func (f failing) Started(executor.Started) error             { return nil }
func (f failing) Bytes(executor.Stream, int64, []byte) error { return f.err }
func (f failing) Event(string)                               {}

// longestKill is how long a kill may take beyond its grace: the promise is a second, where the machine has time for us.
func longestKill() time.Duration {
	if os.Getenv("TFW_CHAOS") != "" {
		return time.Second
	}
	return 5 * time.Second
}

// TestKillHundred is the promise of a cancel: whatever they do, all are dead within the grace and a second.
func TestKillHundred(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	const grace = 200 * time.Millisecond
	for i := range longer(5, 100) {
		cmd := command(`trap '' TERM
setsid sh -c 'trap "" TERM; echo s; while :; do sleep 1; done' &
nohup sh -c 'trap "" TERM; echo n; while :; do sleep 1; done' &
( ( sh -c 'trap "" TERM; echo d; while :; do sleep 1; done' & ) & )
while :; do sleep 1; done`)
		r := &recorder{}
		wait := start(t, c, cmd, r)
		until(t, "all three", func() bool { return r.have().Stdout >= 6 })
		begin := time.Now()
		rep, err := c.Kill(within(t, 20*time.Second), cmd.ID, nil, grace)
		took := time.Since(begin)
		if err != nil || rep.Killed < 4 || len(rep.Left) > 0 || len(marked(cmd.ID)) > 0 {
			t.Fatalf("try %d: %+v %v, left %v", i, rep, err, marked(cmd.ID))
		}
		if took > grace+longestKill() {
			t.Errorf("try %d took %v", i, took)
		}
		if end := wait(); end.Signal != "KILL" {
			t.Errorf("try %d: %+v", i, end)
		}
	}
}

// TestWrapperAndCommandKilled: nobody is left on the host to say how it ended; that is what is told, with every byte, at once and to a later attach.
func TestWrapperAndCommandKilled(t *testing.T) { bothWays(t, wrapperAndCommandKilled) }

func wrapperAndCommandKilled(t *testing.T, h *durableHost) {
	c := h.conn(t)
	cmd := command("echo $$; printf more >&2; exec sleep 60")
	r := &recorder{}
	wait := start(t, c, cmd, r)
	until(t, "output", func() bool { return strings.HasSuffix(r.text(), "\n") && r.have().Stderr == 4 })
	child, _ := strconv.Atoi(strings.TrimSpace(r.text()))
	wrapper := h.claimed(cmd.ID)
	if child < 2 || wrapper < 2 {
		t.Fatalf("pids %d %d", child, wrapper)
	}
	syscall.Kill(wrapper, syscall.SIGKILL)
	syscall.Kill(child, syscall.SIGKILL)
	if end := wait(); end.Kind != executor.EndWrapper || end.Sizes != r.have() {
		t.Errorf("%+v %q", end, &r.out)
	}
	again := &recorder{}
	if end, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, true, again); err != nil || end.Kind != executor.EndWrapper || again.out.String() != r.out.String() || again.err.String() != "more" {
		t.Errorf("attach: %+v %v %q %q", end, err, &again.out, &again.err)
	}
	if rep, err := c.Kill(within(t, 20*time.Second), cmd.ID, nil, time.Second); err != nil || rep.String() != "already gone" {
		t.Errorf("%+v %v", rep, err)
	}
	until(t, "the guard to go", func() bool { return len(withEnv("TFW_HELPER="+cmd.ID.String())) == 0 })
}
