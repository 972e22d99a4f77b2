package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fleet is an inventory of n hosts, in groups of 100.
func fleet(n int, user string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\ndefaults: {ssh: {user: %s}}\ngroups:\n", user)
	for g := range n / 100 {
		fmt.Fprintf(&b, "  rack%d:\n    plugins: [linux_system]\n    tags: [row%d]\n    hosts:\n", g, g%10)
		for i := range 100 {
			fmt.Fprintf(&b, "      n%05d: {address: 10.%d.%d.%d, vars: {slot: %d, board: imx8}}\n", g*100+i, 1+g/250, g%250, i, i)
		}
	}
	return b.String()
}

// BenchmarkReloadUnderLoad saves a new inventory of 10,000 hosts while four clients ask,
// and reports how long the slowest answer took: without reloads, and with one after the other.
//
//	go test -run none -bench Reload -benchtime 10x ./cmd/controller
func BenchmarkReloadUnderLoad(b *testing.B) {
	b.Setenv("XDG_CACHE_HOME", b.TempDir())
	dir := b.TempDir()
	texts := []string{fleet(10000, "lab"), fleet(10000, "root")}
	cfg := Config{Inventory: dir + "/inventory.yaml", Data: dir + "/data", Listen: "127.0.0.1:0", Version: "test"}
	writeTo(b, cfg.Inventory, texts[0])
	c, err := Start(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	measure := func(during func()) (slowest, usual time.Duration) {
		ctx, stop := context.WithCancel(b.Context())
		var all []time.Duration
		var mu sync.Mutex
		var work sync.WaitGroup
		for i := range 4 {
			cl := clientOf(b, "unix://"+c.owner.Socket)
			work.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					at := time.Now()
					if _, err := cl.Host(ctx, fmt.Sprintf("n%05d", (n*37+i)%10000)); err == nil {
						mu.Lock()
						all = append(all, time.Since(at))
						mu.Unlock()
					}
					time.Sleep(2 * time.Millisecond)
				}
			})
		}
		during()
		stop()
		work.Wait()
		slices.Sort(all)
		return all[len(all)-1], all[len(all)/2]
	}
	calm, _ := measure(func() { time.Sleep(3 * time.Second) })
	var took time.Duration
	b.ResetTimer()
	slowest, usual := measure(func() {
		for i := range b.N {
			writeTo(b, cfg.Inventory, texts[(i+1)%2])
			at := time.Now()
			if err := c.Reload(b.Context()); err != nil {
				b.Error(err)
			}
			took += time.Since(at)
			time.Sleep(100 * time.Millisecond)
		}
	})
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(calm), "ms-slowest-calm")
	b.ReportMetric(ms(slowest), "ms-slowest-reloading")
	b.ReportMetric(ms(usual), "ms-median-reloading")
	b.ReportMetric(ms(took)/float64(b.N), "ms-reload")
}
