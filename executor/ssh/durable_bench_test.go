package ssh

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// BenchmarkQuietFollowed is what a hundred followed commands that say nothing cost their host. The figures are those of
// the pid namespace it runs in, so give it one of its own: unshare --pid --fork --mount-proc go test -run none -bench QuietFollowed -benchtime 1x.
func BenchmarkQuietFollowed(b *testing.B) {
	h := newDurableHost(b)
	host := h.host()
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(b.Context())
	var up atomic.Int64
	for i := range 100 {
		host := *host
		host.Address, host.SSH.HostKey = fmt.Sprintf("127.1.0.%d", i+1), h.pinned()
		c := mustConnect(b, h.tr, &host)
		wg.Go(func() { c.Run(ctx, command("echo up; exec sleep 60"), executor.Offsets{}, false, upSink{up: &up}) })
	}
	for up.Load() < 100 {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(3 * time.Second)
	const span = 20 * time.Second
	for b.Loop() {
		forks, cpu := namespaceSpent(b)
		time.Sleep(span)
		forks1, cpu1 := namespaceSpent(b)
		b.ReportMetric(float64(forks1-forks)/span.Seconds(), "forks/s")
		b.ReportMetric(100*(cpu1-cpu).Seconds()/span.Seconds(), "%cpu")
	}
	cancel()
	wg.Wait()
}

type upSink struct {
	quietSink
	up *atomic.Int64
}

func (s upSink) Bytes(executor.Stream, int64, []byte) error { s.up.Add(1); return nil }

// namespaceSpent gives how many processes were made so far, and the CPU time of all that live, with the children they waited for, but for our own.
func namespaceSpent(b *testing.B) (last int64, cpu time.Duration) {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	fmt.Sscan(strings.Fields(string(load))[4], &last)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		text, _ := os.ReadFile(f)
		_, rest, ok := strings.Cut(string(text), ") ")
		if !ok || strings.HasPrefix(string(text), fmt.Sprint(os.Getpid(), " ")) {
			continue
		}
		for _, ticks := range strings.Fields(rest)[11:15] {
			n, _ := strconv.Atoi(ticks)
			cpu += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return last, cpu
}
