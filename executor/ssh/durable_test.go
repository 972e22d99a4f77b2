package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tfw/executor"
)

// record is a sink that keeps everything and checks the contract: contiguous offsets, one start.
type recorder struct {
	mu       sync.Mutex
	out, err bytes.Buffer
	started  []executor.Started
	events   []string
	at       executor.Offsets // where it began
	onBytes  func(executor.Stream, []byte)
	wrong    error
}

func (r *recorder) Started(s executor.Started) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = append(r.started, s)
	return nil
}

func (r *recorder) Bytes(s executor.Stream, offset int64, data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, base := &r.out, r.at.Stdout
	if s == executor.Stderr {
		b, base = &r.err, r.at.Stderr
	}
	if offset != base+int64(b.Len()) {
		r.wrong = fmt.Errorf("%s: bytes at %d, want %d", s, offset, base+int64(b.Len()))
		return r.wrong
	}
	b.Write(data)
	if r.onBytes != nil {
		r.onBytes(s, data)
	}
	return nil
}

func (r *recorder) Event(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, text)
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

func (r *recorder) have() executor.Offsets {
	r.mu.Lock()
	defer r.mu.Unlock()
	return executor.Offsets{Stdout: r.at.Stdout + int64(r.out.Len()), Stderr: r.at.Stderr + int64(r.err.Len())}
}

// newID is a command that nobody else has, on any machine that shares the spool.
func newID() executor.CommandID {
	return executor.CommandID{Run: executor.RunID(strings.ToLower(rand.Text()[:12])), Host: "dut", Ordinal: 1}
}

func command(script string) executor.DurableCommand {
	return executor.DurableCommand{ID: newID(), Script: []byte(script)}
}

// durableHost is an sshd whose logins have a home and a spool of their own.
type durableHost struct {
	*sshd
	home string
	tr   *Transport
	warm bool // commands meet a shell that stands by
}

// bothWays runs a test with commands that have a session of their own, and with a shell that has stood by for them.
func bothWays(t *testing.T, test func(t *testing.T, h *durableHost)) {
	t.Run("session", func(t *testing.T) {
		h := newDurableHost(t)
		h.tr = newTransport(t, Options{StandbyIdle: -1})
		test(t, h)
	})
	t.Run("standby", func(t *testing.T) {
		h := newDurableHost(t)
		h.warm = true
		test(t, h)
	})
}

func newDurableHost(t testing.TB, lines ...string) *durableHost {
	home := t.TempDir()
	if _, ok := t.(*testing.B); ok {
		// Where everybody makes and deletes files, ext4 takes a millisecond for each new one.
		home, _ = os.MkdirTemp("/var/tmp", "tfw-bench-")
	}
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(home, ".tfw"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := startSSHD(t, append([]string{"SetEnv HOME=" + home}, lines...)...)
	t.Cleanup(func() { // a wrapper may still be tidying up
		for range 100 {
			if os.RemoveAll(home) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	return &durableHost{sshd: s, home: home, tr: newTransport(t, Options{})}
}

func (h *durableHost) conn(t testing.TB) *conn {
	c := mustConnect(t, h.tr, h.host())
	if h.warm {
		mustRun(t, c, command("true"))
	}
	return c
}

// files lists what the spool holds of a command.
func (h *durableHost) files(id executor.CommandID) []string {
	list, _ := filepath.Glob(filepath.Join(h.home, ".tfw", id.String()+"+*"))
	for i := range list {
		list[i] = strings.TrimPrefix(filepath.Base(list[i]), id.String()+"+")
	}
	return list
}

func mustRun(t testing.TB, c *conn, cmd executor.DurableCommand) (*recorder, executor.End) {
	t.Helper()
	r := &recorder{}
	end, err := c.Run(within(t, 30*time.Second), cmd, executor.Offsets{}, false, r)
	if err != nil {
		t.Fatalf("run %q: %v", cmd.Script, err)
	}
	checkRun(t, r, end)
	return r, end
}

func checkRun(t testing.TB, r *recorder, end executor.End) {
	t.Helper()
	if r.wrong != nil {
		t.Error(r.wrong)
	}
	if end.Sizes != r.have() {
		t.Errorf("sizes %+v, delivered %+v", end.Sizes, r.have())
	}
	if len(r.started) != 1 {
		t.Errorf("started %d times", len(r.started))
	}
}

func TestRunShort(t *testing.T) { bothWays(t, runShort) }

func runShort(t *testing.T, h *durableHost) {
	c := h.conn(t)
	r, end := mustRun(t, c, command("echo hello; echo oops >&2; exit 7"))
	if r.out.String() != "hello\n" || r.err.String() != "oops\n" || end.Code != 7 || end.Kind != executor.EndExit {
		t.Errorf("%q %q %+v", &r.out, &r.err, end)
	}
	if r.started[0].Found || r.started[0].PID < 2 || r.started[0].BootID == "" {
		t.Errorf("started %+v", r.started[0])
	}
}

func TestRunLong(t *testing.T) { bothWays(t, runLong) }

func runLong(t *testing.T, h *durableHost) {
	c := h.conn(t)
	r, end := mustRun(t, c, command("for i in 1 2 3 4 5; do echo $i; echo $i >&2; sleep 0.1; done; printf end"))
	if r.out.String() != "1\n2\n3\n4\n5\nend" || r.err.String() != "1\n2\n3\n4\n5\n" || end.Code != 0 {
		t.Errorf("%q %q %+v", &r.out, &r.err, end)
	}
	if end.Elapsed < 400*time.Millisecond || end.Elapsed > 20*time.Second {
		t.Errorf("elapsed %v", end.Elapsed)
	}
}

func TestRunTwiceRunsOnce(t *testing.T) { bothWays(t, runTwiceRunsOnce) }

func runTwiceRunsOnce(t *testing.T, h *durableHost) {
	c := h.conn(t)
	cmd := command("echo x >>$HOME/count; sleep 0.3; echo done")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			r, end := mustRun(t, c, cmd)
			if r.out.String() != "done\n" || end.Code != 0 {
				t.Errorf("%q %+v", &r.out, end)
			}
		})
	}
	wg.Wait()
	r, _ := mustRun(t, c, cmd)
	if !r.started[0].Found {
		t.Error("the second start was not told apart")
	}
	if b, _ := os.ReadFile(h.home + "/count"); string(b) != "x\n" {
		t.Errorf("executed %d times", len(b)/2)
	}
}

func TestAttachUnknown(t *testing.T) {
	c := newDurableHost(t).conn(t)
	end, err := c.Run(within(t, 20*time.Second), command("echo never"), executor.Offsets{Stdout: 5}, true, &recorder{})
	if err != nil || end.Kind != executor.EndUnknown || end.Sizes.Stdout != 5 {
		t.Errorf("%+v %v", end, err)
	}
}

func TestAttachResumes(t *testing.T) { bothWays(t, attachResumes) }

func attachResumes(t *testing.T, h *durableHost) {
	c := h.conn(t)
	cmd := command("for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.1; done; kill -KILL $$")
	ctx, cancel := context.WithCancel(within(t, 20*time.Second))
	first := &recorder{}
	first.onBytes = func(executor.Stream, []byte) {
		if strings.Contains(first.out.String(), "line 3") {
			cancel()
		}
	}
	if _, err := c.Run(ctx, cmd, executor.Offsets{}, false, first); err != context.Canceled {
		t.Fatalf("error %v", err)
	}
	second := &recorder{at: first.have()}
	end, err := c.Run(within(t, 20*time.Second), cmd, first.have(), true, second)
	if err != nil {
		t.Fatal(err)
	}
	checkRun(t, second, end)
	want := "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\n"
	if got := first.out.String() + second.out.String(); got != want || end.Signal != "KILL" || end.Kind != executor.EndSignal {
		t.Errorf("%q %+v", got, end)
	}
	if !second.started[0].Found {
		t.Error("found is not said")
	}
}

// TestAcknowledgeAfterACut: a host whose connection broke before it was told is told over another.
func TestAcknowledgeAfterACut(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	cmd := command("echo bytes")
	mustRun(t, c, cmd)
	c.Acknowledge(nil, cmd.ID)
	c.place.breakAll(errIdle)
	h.tr.sweepAll(within(t, 10*time.Second), time.Second, false)
	if got := h.files(cmd.ID); len(got) < 2 {
		t.Errorf("no connection, and yet only %v", got)
	}
	h.tr.sweepAll(within(t, 10*time.Second), 10*time.Second, true)
	if got := h.files(cmd.ID); len(got) != 1 || got[0] != "ack" {
		t.Errorf("left on the host: %v", got)
	}
}

// TestShellsThatWereKilledLeaveNothing: what a shell that was to stand by has left is swept after its connection broke,
// though nothing is to be forgotten; what a living one has is not.
func TestShellsThatWereKilledLeaveNothing(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	cmd := command("true")
	mustRun(t, c, cmd)
	c.Acknowledge(nil, cmd.ID)
	h.tr.sweepAll(within(t, 10*time.Second), 10*time.Second, true)
	spool := filepath.Join(h.home, ".tfw")
	gone, living := filepath.Join(spool, "standby.4194305+stage"), filepath.Join(spool, fmt.Sprintf("standby.%d+stage", os.Getpid())) // no pid is beyond 2^22
	for _, name := range []string{gone, living} {
		if err := os.WriteFile(name, []byte("\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.tr.sweepAll(within(t, 10*time.Second), 10*time.Second, true)
	if _, err := os.Stat(gone); err != nil {
		t.Errorf("looked though nothing had happened: %v", err)
	}
	c.place.breakAll(errors.New("cut"))
	_ = h.conn(t)
	h.tr.sweepAll(within(t, 10*time.Second), 10*time.Second, true)
	if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left on the host: %v", err)
	}
	if _, err := os.Stat(living); err != nil {
		t.Errorf("taken from under a living shell: %v", err)
	}
}

func TestAcknowledge(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	cmd := command("echo bytes; echo x >>$HOME/count")
	_, end := mustRun(t, c, cmd)
	c.Acknowledge(nil, cmd.ID)
	if err := c.sweep(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := h.files(cmd.ID); len(got) != 1 || got[0] != "ack" {
		t.Errorf("left on the host: %v", got)
	}
	again := &recorder{at: end.Sizes}
	late, err := c.Run(within(t, 10*time.Second), cmd, end.Sizes, false, again)
	if err != nil || late.Code != 0 || late.Kind != executor.EndExit || late.Sizes != end.Sizes || late.Note != "" {
		t.Errorf("late start: %+v %v", late, err)
	}
	if b, _ := os.ReadFile(h.home + "/count"); string(b) != "x\n" {
		t.Errorf("executed %d times", len(b)/2)
	}
}

func TestKillTree(t *testing.T) { bothWays(t, killTree) }

func killTree(t *testing.T, h *durableHost) {
	c := h.conn(t)
	cmd := command(`trap '' TERM
setsid sh -c 'trap "" TERM; while :; do sleep 1; done' &
nohup sh -c 'trap "" TERM; while :; do sleep 1; done' >/dev/null 2>&1 &
( ( sh -c 'trap "" TERM; while :; do sleep 1; done' & ) & )
echo ready; while :; do sleep 1; done`)
	ready := make(chan struct{})
	r := &recorder{onBytes: func(executor.Stream, []byte) { close(ready) }}
	type result struct {
		end executor.End
		err error
	}
	done := make(chan result, 1)
	go func() {
		end, err := c.Run(within(t, 30*time.Second), cmd, executor.Offsets{}, false, r)
		done <- result{end, err}
	}()
	<-ready
	rep, err := c.Kill(within(t, 20*time.Second), cmd.ID, nil, 300*time.Millisecond)
	if err != nil || len(rep.Left) > 0 || rep.Killed < 4 || rep.Gone {
		t.Errorf("%+v %v", rep, err)
	}
	res := <-done
	if res.err != nil || res.end.Signal != "KILL" {
		t.Errorf("%+v %v", res.end, res.err)
	}
	rep, err = c.Kill(within(t, 20*time.Second), cmd.ID, nil, 300*time.Millisecond)
	if err != nil || rep.String() != "already gone" {
		t.Errorf("killed twice: %+v %v", rep, err)
	}
	if left := marked(cmd.ID); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// marked lists the live processes that carry the mark.
func marked(id executor.CommandID) []string { return withEnv("TFW_RUN=" + id.String()) }

// withEnv lists the processes that have the variable so.
func withEnv(variable string) []string {
	var found []string
	list, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range list {
		b, _ := os.ReadFile(f)
		if bytes.Contains(append([]byte{0}, b...), []byte("\x00"+variable+"\x00")) {
			found = append(found, filepath.Base(filepath.Dir(f)))
		}
	}
	return found
}

func TestKillBeforeStart(t *testing.T) {
	c := newDurableHost(t).conn(t)
	cmd := command("echo must not run")
	rep, err := c.Kill(within(t, 20*time.Second), cmd.ID, nil, time.Second)
	if err != nil || rep.String() != "already gone" {
		t.Fatalf("%+v %v", rep, err)
	}
	r := &recorder{}
	end, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, false, r)
	if err != nil || end.Kind != executor.EndSignal || r.out.Len() > 0 || !strings.Contains(end.Note, "before it was started") {
		t.Errorf("%+v %q %v", end, &r.out, err)
	}
}

func TestProbeAndInfo(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	out, err := c.Probe(within(t, 10*time.Second), "echo a; cat; echo b")
	if err != nil || string(out) != "a\nb\n" {
		t.Errorf("%q %v", out, err)
	}
	if _, err := c.Probe(within(t, 10*time.Second), "echo no >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "status 3") {
		t.Errorf("error %v", err)
	}
	mustRun(t, c, command("true"))
	if i := c.Info(); i.Spool != h.home+"/.tfw" || i.BootID == "" || !i.Durable || i.Follow == "" {
		t.Errorf("%+v", i)
	}
}
