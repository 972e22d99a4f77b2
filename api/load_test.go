package api_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"tfw/api"
	"tfw/executor"
)

// 200 clients submit and follow on a lab of SSH hosts while GET /runs is timed:
// TFW_LOAD=60s go test -run TestLoad -v ./api
func TestLoad(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("TFW_LOAD"))
	if err != nil {
		t.Skip("set TFW_LOAD=60s to run it")
	}
	hosts := 100
	if n, err := strconv.Atoi(os.Getenv("TFW_LOAD_HOSTS")); err == nil {
		hosts = n
	}
	c, err := startController(hosts)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	all, err := c.client.Hosts(ctx, "", "")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var took []time.Duration
	runs, failed := 0, map[string]int{}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				err := once(c.client, all[n%len(all)].Name)
				begin := time.Now()
				_, _, listErr := c.client.Runs(context.Background(), executor.RunFilter{Limit: 20})
				mu.Lock()
				took = append(took, time.Since(begin))
				for _, err := range []error{err, listErr} {
					if err != nil {
						failed[err.Error()]++
					}
				}
				runs++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	t.Logf("%d runs in %v, GET /runs p50 %v p99 %v, heap %d MB, errors %v", runs, length, took[len(took)/2], took[len(took)*99/100], mem.HeapInuse>>20, failed)
	if len(failed) > 0 {
		t.Fail()
	}
}

// once runs a command and follows it to its end.
func once(c *api.Client, host string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	run, err := c.Submit(ctx, shell(host, "echo hello"))
	if err != nil {
		return err
	}
	bytes := 0
	for e, err := range c.Log(ctx, string(run.ID), api.LogOptions{Follow: true}) {
		if err != nil {
			return err
		}
		if e.Stream == executor.Stdout {
			bytes += len(e.Data)
		}
	}
	if bytes != 6 {
		return fmt.Errorf("%d bytes of output", bytes)
	}
	return nil
}
