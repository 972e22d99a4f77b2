package executortest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/executortest"
)

// tfwTools are the ways through tfw: a REST client of tfwd, tfwctl with tfwd, and
// tfwctl with the controller in its own process. All keep durable logs.
func tfwTools(t *testing.T, lab *executortest.Lab, host string) []tool {
	d := startDaemon(t, lab)
	rest := tool{name: "tfwd", fetch: func(ctx context.Context) (time.Duration, error) {
		return 0, d.passes(ctx, shell(host, "cat ~/big.log"))
	}}
	rest.cold = func(ctx context.Context) (time.Duration, error) { return 0, d.passes(ctx, shell("all", "true")) }
	rest.warm = rest.cold
	rest.note = func() string {
		return fmt.Sprintf("peak RSS %d MB, on disk %d MB a log", peak(d.cmd.Process.Pid)>>20, diskUse(d.data())>>20/fetches)
	}
	ctl := filepath.Join(d.bin, "tfwctl")
	server := func(ctx context.Context) (time.Duration, error) {
		return command(ctx, nil, "", "env", "TFW_SERVER="+d.url, "TFW_TOKEN="+d.token, ctl, "exec", "all", "--", "true")
	}
	embedded := func(ctx context.Context) (time.Duration, error) {
		return command(ctx, nil, "", "env", "-u", "TFW_SERVER", "XDG_STATE_HOME="+t.TempDir(), ctl, "-i", lab.InventoryFile(), "exec", "all", "--", "true")
	}
	return []tool{rest, {name: "tfwctl+tfwd", warm: server}, {name: "tfwctl alone", cold: embedded}}
}

func startDaemon(t *testing.T, lab *executortest.Lab) *daemon {
	t.Helper()
	d := &daemon{bin: programs(t), inventory: lab.InventoryFile(), dir: t.TempDir()}
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// passes submits a run and waits for it to pass.
func (d *daemon) passes(ctx context.Context, request map[string]any) error {
	var run executor.Run
	if err := d.call(ctx, http.MethodPost, "/v2.1/runs?wait=120s", request, &run); err != nil {
		return err
	}
	if run.State != executor.Done { // a server that does not wait
		var err error
		if run, err = d.wait(ctx, run.ID); err != nil {
			return err
		}
	}
	if run.Verdict != executor.Passed {
		return fmt.Errorf("run %s: %s %s", run.ID, run.Verdict, run.Reason)
	}
	return nil
}

// peak is a process's greatest resident set, in bytes (proc(5), VmHWM).
func peak(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib int64
	fmt.Sscan(rest, &kib)
	return kib << 10
}

func diskUse(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}

// benchLatency tells how long a line is on its way from the host to a follower: the
// host writes its clock, which is ours.
func benchLatency(t *testing.T, lab *executortest.Lab, host string) {
	d := startDaemon(t, lab)
	id, err := d.submit(t.Context(), "latency", shell(host, `i=0; while [ $i -lt 300 ]; do date +%s%N; sleep 0.02; i=$((i+1)); done`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := d.request(t.Context(), http.MethodGet, "/v2.1/runs/"+string(id)+"/log?follow=1&stream=stdout", nil, "Accept", "application/x-ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var way []time.Duration
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		now := time.Now()
		var entry struct{ Data string }
		if json.Unmarshal(lines.Bytes(), &entry) != nil {
			continue
		}
		for line := range strings.Lines(entry.Data) {
			if written, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64); err == nil {
				way = append(way, now.Sub(time.Unix(0, written)))
			}
		}
	}
	if len(way) != 300 {
		t.Errorf("%d of 300 lines came", len(way))
	}
	if len(way) > 0 {
		slices.Sort(way)
		fmt.Printf("\na line's way from the host to a follower over REST: p50 %v, p95 %v, max %v (%d lines, one each 20 ms)\n",
			way[len(way)/2].Round(100*time.Microsecond), way[len(way)*95/100].Round(100*time.Microsecond), way[len(way)-1].Round(100*time.Microsecond), len(way))
	}
}
