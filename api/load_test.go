package api_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tfw/api"
	"tfw/executor"
	"tfw/executor/executortest"
)

// TestLoad starts a tfwd of its own on 100 hosts of real OpenSSH, and 200 clients,
// each with its own connections, that submit a run, follow it to its end and list the runs, again and again:
//
//	TFWLOAD=60s go test -run TestLoad -v ./api
//
// TFWLOAD_COMMAND is what they run; TFWLOAD_HOSTS and TFWLOAD_CLIENTS change the size; PROGRAMS names the folder of a tfwd that is built already.
func TestLoad(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("TFWLOAD"))
	if err != nil {
		t.Skip("set TFWLOAD=60s to run it")
	}
	lab, err := executortest.NewLab(t.Context(), executortest.LabOptions{Hosts: number("TFWLOAD_HOSTS", 100), OpenSSH: true, Background: true})
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	d := startLoaded(t, lab.InventoryFile())
	defer d.stop(t)
	command := os.Getenv("TFWLOAD_COMMAND")
	if command == "" {
		command = "for i in h e l l o; do echo $i; sleep 2; done"
	}
	l := &load{t: t, d: d, command: command, failed: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	all, err := d.client(t).Hosts(ctx, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.client(t).ProbeHosts(ctx, "all", ""); err != nil { // connections are there
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	clients := number("TFWLOAD_CLIENTS", 200)
	for i := range clients {
		wg.Go(func() {
			select { // they come one after the other in the first ten seconds, not in step
			case <-time.After(10 * time.Second * time.Duration(i) / time.Duration(clients)):
				l.work(ctx, i, all)
			case <-ctx.Done():
			}
		})
	}
	wg.Go(func() { l.watch(ctx) })
	wg.Wait()
	l.report(length)
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// load is what was measured.
type load struct {
	t       *testing.T
	d       *loaded
	command string

	mu           sync.Mutex
	runs         int
	took, listed []time.Duration
	failed       map[string]int
	memory       []string
	rss          []int // MiB, of the same moments
}

// work is one client.
func (l *load) work(ctx context.Context, i int, hosts []api.Host) {
	c := l.d.client(l.t)
	defer c.Close()
	for n := i; ctx.Err() == nil; n++ {
		begin := time.Now()
		err := once(c, hosts[n%len(hosts)].Name, l.command)
		ended := time.Now()
		_, _, listErr := c.Runs(context.Background(), executor.RunFilter{})
		listed := time.Since(ended)
		l.mu.Lock()
		l.runs++
		l.took, l.listed = append(l.took, ended.Sub(begin)), append(l.listed, listed)
		if err := errors.Join(err, listErr); err != nil {
			l.failed[err.Error()]++
		}
		l.mu.Unlock()
	}
}

// once runs a command that says "hello" in some lines and follows it to its end.
func once(c *api.Client, host, command string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	run, err := c.Submit(ctx, shell(host, command))
	if err != nil {
		return err
	}
	var said bytes.Buffer
	for e, err := range c.Log(ctx, string(run.ID), api.LogOptions{Follow: true}) {
		if err != nil {
			return err
		}
		if e.Stream == executor.Stdout {
			said.Write(e.Data)
		}
	}
	if got := strings.ReplaceAll(said.String(), "\n", ""); got != "hello" {
		return fmt.Errorf("run %s said %q", run.ID, got)
	}
	return nil
}

// watch looks at the server's memory.
func (l *load) watch(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			text, rss := l.d.memory()
			l.mu.Lock()
			l.memory, l.rss = append(l.memory, text), append(l.rss, rss)
			l.mu.Unlock()
		}
	}
}

func (l *load) report(length time.Duration) {
	at := func(all []time.Duration, percent int) time.Duration {
		slices.Sort(all)
		return all[min(len(all)-1, len(all)*percent/100)].Round(100 * time.Microsecond)
	}
	if len(l.listed) == 0 {
		l.t.Fatal("nothing was done")
	}
	l.t.Logf("%d runs in %v (%.0f/s), each from the submit to the end of its log p50 %v p99 %v", l.runs, length, float64(l.runs)/length.Seconds(), at(l.took, 50), at(l.took, 99))
	l.t.Logf("GET /runs: p50 %v p90 %v p99 %v max %v", at(l.listed, 50), at(l.listed, 90), at(l.listed, 99), at(l.listed, 100))
	l.t.Logf("tfwd every 5 s: %s", strings.Join(l.memory, "; "))
	l.t.Logf("of GET /runs in tfwd itself: %s", l.d.inside("GET", "/v2.1/runs"))
	l.t.Logf("of POST /runs in tfwd itself: %s", l.d.inside("POST", "/v2.1/runs"))
	for text, n := range maps.All(l.failed) {
		l.t.Errorf("%d times: %s", n, text)
	}
	if p99 := at(l.listed, 99); p99 > 50*time.Millisecond {
		l.t.Errorf("p99 of GET /runs is %v, over 50ms", p99)
	}
	l.flat(length)
}

// flat reports a resident set that goes on growing when all clients have long been there.
func (l *load) flat(length time.Duration) {
	n := len(l.rss)
	if length < time.Minute || n < 4 {
		return
	}
	if half, end := l.rss[n/2], l.rss[n-1]; end > half+half/10 {
		l.t.Errorf("tfwd grew from %d to %d MB in the second half", half, end)
	}
}

// loaded is a tfwd in a process of its own.
type loaded struct {
	cmd        *exec.Cmd
	url, token string
}

func startLoaded(t *testing.T, inventory string) *loaded {
	t.Helper()
	bin, dir := os.Getenv("PROGRAMS"), t.TempDir()
	if bin == "" {
		bin = t.TempDir()
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "tfw/cmd/tfwd").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	d := &loaded{cmd: exec.Command(filepath.Join(bin, "tfwd"), "--inventory", inventory, "--data", dir, "--listen", "127.0.0.1:0", "--log-level", "error")}
	d.cmd.Stderr = t.Output()
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for d.url == "" && lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "listening on "); ok {
			d.url = url
		}
	}
	token, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if d.url == "" || err != nil {
		d.stop(t)
		t.Fatalf("tfwd did not start: %v", err)
	}
	d.token = strings.TrimSpace(string(token))
	return d
}

func (d *loaded) stop(t *testing.T) {
	d.cmd.Process.Signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("tfwd: %v", err)
	}
}

func (d *loaded) client(t *testing.T) *api.Client {
	c, err := api.NewClient(d.url, api.WithToken(d.token))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inside tells how many requests of a route took how long by tfwd's own clock.
func (d *loaded) inside(method, route string) string {
	resp, err := http.Get(d.url + "/metrics")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var said []string
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), `tfw_http_request_seconds_bucket{method="`+method+`",route="`+route+`",le="`); ok {
			said = append(said, "up to "+strings.Replace(rest, `"}`, " s:", 1))
		}
	}
	return strings.Join(said, ", ")
}

// memory tells what the process holds: resident set (in MiB too), Go heap, goroutines.
func (d *loaded) memory() (text string, rss int) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	cpu := 0.0 // proc(5): utime and stime are the 14th and 15th field, in hundredths
	if f := strings.Fields(string(stat)); len(f) > 15 {
		user, _ := strconv.Atoi(f[13])
		system, _ := strconv.Atoi(f[14])
		cpu = float64(user+system) / 100
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), " kB"))
			rss = kib >> 10
		}
	}
	said := map[string]float64{}
	if resp, err := http.Get(d.url + "/metrics"); err == nil {
		defer resp.Body.Close()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), " ")
			said[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return fmt.Sprintf("cpu %.1fs rss %d MB heap %.0f MB goroutines %.0f", cpu, rss, said["go_memstats_heap_inuse_bytes"]/(1<<20), said["go_goroutines"]), rss
}
