package bolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/bolt"
)

// buildLog gives n bytes like those of a build: few words, many numbers.
func buildLog(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("CC LD AR drivers/net kernel/sched fs/ext4 arch/arm64 core main io warning: unused variable note: in expansion of macro -O2 -Wall -I./include")
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "[%6d.%03d]", r.IntN(1e6), r.IntN(1000))
		for range 3 + r.IntN(6) {
			b.WriteByte(' ')
			b.WriteString(words[r.IntN(len(words))])
		}
		fmt.Fprintf(&b, "/%x.o\n", r.Uint32())
	}
	return b.Bytes()[:n]
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b) // never fails
	return b
}

func diskUse(b testing.TB, dir string) (n int64) {
	b.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "logs", "*"))
	for _, f := range files {
		n += blocks(b, f)
	}
	return n
}

// BenchmarkAppend writes one stream in chunks as an SSH channel brings them.
func BenchmarkAppend(b *testing.B) {
	for name, data := range map[string][]byte{"build": buildLog(8 << 20), "random": random(8 << 20)} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			s := open(b, bolt.Options{Dir: dir})
			e := executor.Entry{Run: "run1", Host: "h", Stream: executor.Stdout, Time: time.Now()}
			const chunk = 32 << 10
			b.SetBytes(chunk)
			for b.Loop() {
				at := int(e.Offset) % len(data)
				e.Data = data[at : at+chunk]
				if err := s.Append(b.Context(), e); err != nil {
					b.Fatal(err)
				}
				e.Offset += chunk
			}
			flush(b, s)
			b.StopTimer()
			b.ReportMetric(float64(diskUse(b, dir))/float64(e.Offset), "disk/data")
			b.ReportMetric(peakMiB(b), "peak-MiB")
		})
	}
}

// peakMiB is the most memory this process ever had resident (VmHWM of proc(5)).
func peakMiB(b testing.TB) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	var kib float64
	_, _ = fmt.Sscan(after, &kib) // 0 when it is not there
	return kib / 1024
}

func flush(t testing.TB, s *bolt.Store) {
	t.Helper()
	if err := s.Update(context.Background(), func(executor.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkUpdates is a warm fan-out: 300 updates at once, three for each of 100 hosts.
func BenchmarkUpdates(b *testing.B) {
	s := open(b, bolt.Options{Dir: b.TempDir()})
	value := bytes.Repeat([]byte("x"), 400)
	for b.Loop() {
		var wg sync.WaitGroup
		for h := range 100 {
			wg.Go(func() {
				key := fmt.Sprint("run1/host", h)
				for i := range 3 {
					e := executor.Entry{Run: "run1", Host: key, Stream: executor.Events, Time: time.Now(), Data: value[:40]}
					if i == 1 {
						if err := s.Append(b.Context(), e); err != nil {
							b.Error(err)
						}
					}
					err := s.Update(b.Context(), func(tx executor.Tx) error {
						tx.Ring("run1")
						return tx.Put("results", key, value)
					})
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// BenchmarkTail opens the end of a long log of many hosts.
func BenchmarkTail(b *testing.B) {
	s := open(b, bolt.Options{Dir: b.TempDir()})
	data := random(64 << 10)
	for i := range 4000 {
		e := executor.Entry{Run: "run1", Host: fmt.Sprint("h", i%50), Stream: executor.Stdout, Time: time.Now(), Data: data, Offset: int64(i/50) << 16}
		if err := s.Append(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	flush(b, s)
	for name, q := range map[string]executor.LogQuery{
		"run":   {Run: "run1", Tail: 100},
		"host":  {Run: "run1", Host: "h7", Tail: 100},
		"after": {Run: "run1", After: 3990},
		"idle":  {Run: "run1", After: 4000},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Read(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHosts is 200 hosts with a small chunk each, over and over.
func BenchmarkHosts(b *testing.B) {
	dir := b.TempDir()
	s := open(b, bolt.Options{Dir: dir})
	data := buildLog(400)
	total, offset := 0, int64(0)
	for b.Loop() {
		for h := range 200 {
			e := executor.Entry{Run: "run1", Host: fmt.Sprint("host", h), Stream: executor.Stdout, Time: time.Now(), Data: data, Offset: offset}
			if err := s.Append(b.Context(), e); err != nil {
				b.Fatal(err)
			}
			total += len(data)
		}
		offset += int64(len(data))
		flush(b, s)
	}
	b.ReportMetric(float64(diskUse(b, dir))/float64(total), "disk/data")
}

// BenchmarkEnds is the ends of 100 hosts that come one by one, some 0.5 ms apart, of 8 workers, and a lone
// caller afterwards: how many commits they take, and how long one waits.
func BenchmarkEnds(b *testing.B) {
	dir := b.TempDir()
	s := open(b, bolt.Options{Dir: dir})
	value := bytes.Repeat([]byte("x"), 400)
	var waited, alone atomic.Int64
	update := func(sum *atomic.Int64, key string) {
		began := time.Now()
		if err := s.Update(b.Context(), func(tx executor.Tx) error { return tx.Put("results", key, value) }); err != nil {
			b.Error(err)
		}
		sum.Add(int64(time.Since(began)))
	}
	before, n := txid(b, dir), 0
	for b.Loop() {
		var wg sync.WaitGroup
		for h := range 100 {
			wg.Go(func() { update(&waited, fmt.Sprint("host", h)) })
			time.Sleep(500 * time.Microsecond)
		}
		wg.Wait()
		n++
	}
	b.ReportMetric(float64(txid(b, dir)-before)/float64(n), "commits/op")
	b.ReportMetric(float64(waited.Load())/float64(100*n)/1e6, "ms/end")
	for range 50 {
		update(&alone, "alone")
	}
	b.ReportMetric(float64(alone.Load())/50e6, "ms/alone")
}

// txid is the number of the last commit to state.db: bbolt keeps it in its two meta pages, see bbolt's page.go.
func txid(b *testing.B, dir string) uint64 {
	raw, err := os.ReadFile(filepath.Join(dir, "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	const at = 16 + 48 // the page's header, then the meta's fields before it
	return max(binary.LittleEndian.Uint64(raw[at:]), binary.LittleEndian.Uint64(raw[os.Getpagesize()+at:]))
}
