package ssh

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tfw/executor"
)

func mustStart(t *testing.T, c *conn) (leave func()) {
	t.Helper()
	leave, err := c.place.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return leave
}

// TestStartsAreBounded: where as many commands are just being started as may be, a further one waits, and can be
// given up; one that lasts does not keep the others waiting.
func TestStartsAreBounded(t *testing.T) {
	h := newDurableHost(t)
	h.tr = newTransport(t, Options{MaxStarts: 1})
	c := h.conn(t)
	mustRun(t, c, command("true"))
	leave := mustStart(t, c)
	leave()
	leave() // again: nothing
	leave = mustStart(t, c)

	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	cmd := command("echo here")
	if _, err := c.Run(ctx, cmd, executor.Offsets{}, false, &recorder{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another was just being started: %v", err)
	}
	if f := h.files(cmd.ID); len(f) > 0 {
		t.Errorf("it was started all the same: %v", f)
	}
	leave()

	long, end := context.WithCancel(t.Context())
	var all sync.WaitGroup
	last := make(chan struct{}, 3)
	for range 3 {
		all.Go(func() {
			lasts := command("echo begun; sleep 600")
			r := &recorder{onBytes: func(executor.Stream, []byte) { last <- struct{}{} }}
			_, _ = c.Run(long, lasts, executor.Offsets{}, false, r) // given up below
			if _, err := c.Kill(within(t, 30*time.Second), lasts.ID, nil, 0); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		if r, _ := mustRun(t, c, command("echo short")); r.out.String() != "short\n" {
			t.Errorf("%q", &r.out)
		}
	}
	for range 3 {
		<-last
	}
	end()
	all.Wait()
	if n, m := len(h.tr.starts), len(c.place.starts); n+m != 0 {
		t.Errorf("%d and %d are still being started", n, m)
	}
}

// TestAcksOutliveALaunchThatFailed: what a command was to take along is forgotten all the same when it never came to start.
func TestAcksOutliveALaunchThatFailed(t *testing.T) {
	h := newDurableHost(t)
	h.tr = newTransport(t, Options{MaxStarts: 1})
	c := h.conn(t)
	for range ackBatch {
		cmd := command("true")
		mustRun(t, c, cmd)
		c.Acknowledge(nil, cmd.ID)
	}
	leave := mustStart(t, c)
	defer leave()
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := c.Run(ctx, command("true"), executor.Offsets{}, false, &recorder{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	h.tr.sweepAll(within(t, 10*time.Second), 10*time.Second, true)
	runs, err := filepath.Glob(filepath.Join(h.home, ".tfw", "*+run"))
	if err != nil || len(runs) > 0 {
		t.Errorf("%d commands are not forgotten: %v", len(runs), err)
	}
}

// TestMuchOutputTeachesNoPatience: a command that writes much in a moment is followed at once the next time, too.
func TestMuchOutputTeachesNoPatience(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	for range 3 {
		mustRun(t, c, command("head -c 30000000 /dev/zero"))
	}
	if n := c.memo().get(paceKey{}); n != nil {
		t.Errorf("%v are waited before the next is followed", n)
	}
}
