package ssh

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"tfw/executor"
)

// TestStartsAreBounded: where as many commands are just being started as may be, a further one waits, and can be
// given up; one that lasts does not keep the others waiting.
func TestStartsAreBounded(t *testing.T) {
	h := newDurableHost(t)
	h.tr = newTransport(t, Options{MaxStarts: 1})
	c := h.conn(t)
	mustRun(t, c, command("true"))
	leave := c.place.start(t.Context())
	leave()
	leave() // again: nothing
	leave = c.place.start(t.Context())

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
