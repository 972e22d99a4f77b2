package ssh

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// quietSink takes everything and keeps nothing.
type quietSink struct{}

func (quietSink) Started(executor.Started) error             { return nil }
func (quietSink) Bytes(executor.Stream, int64, []byte) error { return nil }
func (quietSink) Event(string)                               {}

// bareExec is what the same pool does for a command that is not durable.
func bareExec(ctx context.Context, c *conn) error {
	s, err := c.open(ctx, "true")
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.Wait()
	return err
}

func durableExec(ctx context.Context, c *conn) error {
	cmd := command("true")
	cmd.Login = true // what a user asks for, as bareExec does
	_, err := c.Run(ctx, cmd, executor.Offsets{}, false, quietSink{})
	c.Acknowledge(nil, cmd.ID)
	return err
}

// BenchmarkWarmTrue sets the cost of `true` on warm connections side by side: one
// host after another, and a hundred at a time, which is one iteration.
func BenchmarkWarmTrue(b *testing.B) {
	h := newDurableHost(b)
	const hosts = 100
	conns := make([]*conn, hosts)
	for i := range conns {
		host := &inventory.Host{Name: fmt.Sprintf("h%d", i), Address: fmt.Sprintf("127.1.0.%d", i+1), SSH: h.host().SSH}
		host.SSH.HostKey = h.pinned()
		conns[i] = mustConnect(b, h.tr, host)
	}
	ways := []struct {
		name string
		run  func(context.Context, *conn) error
	}{{"bare", bareExec}, {"durable", durableExec}}
	each := func(b *testing.B, run func(context.Context, *conn) error) {
		var wg sync.WaitGroup
		for _, c := range conns {
			wg.Go(func() {
				if err := run(b.Context(), c); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for _, w := range ways {
		each(b, w.run) // probes
	}
	for _, w := range ways {
		b.Run(w.name+"/one", func(b *testing.B) {
			for range b.N {
				if err := w.run(b.Context(), conns[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(w.name+"/hundred", func(b *testing.B) {
			for range b.N {
				each(b, w.run)
			}
		})
	}
	// In turns, so that a busy machine is as unfair to both.
	b.Run("ratio/hundred", func(b *testing.B) {
		var spent [2]time.Duration
		for range b.N {
			for i, w := range ways {
				start := time.Now()
				each(b, w.run)
				spent[i] += time.Since(start)
			}
		}
		b.ReportMetric(spent[1].Seconds()/spent[0].Seconds(), "durable/bare")
	})
}

// BenchmarkLiveLine is the time from before a line is written on the host to the sink.
func BenchmarkLiveLine(b *testing.B) {
	h := newDurableHost(b)
	c := h.conn(b)
	fifo := h.home + "/fifo"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		b.Fatal(err)
	}
	w, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	got := make(chan bool, 1)
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx, command("exec cat <"+fifo), executor.Offsets{}, false, lineSink{got}) })
	line := func() { w.WriteString("line\n"); <-got }
	line()
	for b.Loop() {
		line()
	}
	cancel()
	wg.Wait()
}

type lineSink struct{ got chan bool }

func (lineSink) Started(executor.Started) error { return nil }
func (lineSink) Event(string)                   {}
func (s lineSink) Bytes(executor.Stream, int64, []byte) error {
	s.got <- true
	return nil
}

// BenchmarkLargeOutput is the way of a large log, which must not come twice.
func BenchmarkLargeOutput(b *testing.B) {
	h := newDurableHost(b)
	c := h.conn(b)
	if err := os.WriteFile(h.home+"/large", make([]byte, 100<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	b.Run("durable", func(b *testing.B) {
		b.SetBytes(100 << 20)
		for range b.N {
			if _, err := c.Run(b.Context(), command("cat $HOME/large"), executor.Offsets{}, false, quietSink{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.SetBytes(100 << 20)
		for range b.N {
			s, err := c.open(b.Context(), "cat $HOME/large")
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, s.Stdout())
			s.Close()
		}
	})
}
