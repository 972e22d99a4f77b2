package executortest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"tfw/executor"
	"tfw/executor/executortest"
)

// chaos is a storm over a lab with real tfwd processes, and what it found.
type chaos struct {
	seed    uint64
	bin     string
	dir     string
	lab     *executortest.Lab
	longest int            // milliseconds of a black hole
	breath  int            // milliseconds, about, that a new tfwd is left alone
	wanted  int            // faults, at least, before the storm may end
	only    *regexp.Regexp // over the names of faults
	lossy   bool           // the loopback is the storm's own: it may lose packets
	daemon  atomic.Pointer[daemon]
	pending sync.WaitGroup

	mu        sync.Mutex
	faults    map[string]int
	disturbed map[string]bool // "RUN HOST"
	tally     map[string]int
	findings  []string
}

// ordered is one run that was asked for.
type ordered struct {
	job   job
	hosts []string
	run   executor.Run
}

// TestChaos breaks everything but the hosts' disks under runs of random
// commands, and then asks the hosts what happened. A short storm is part of `make test`;
// `make chaos` is the long one. CHAOS_SEED repeats one, as far as a storm can be repeated.
func TestChaos(t *testing.T) {
	if os.Getenv("CHAOS") == "" {
		t.Skip("make test has a short storm, make chaos a long one (CHAOS=short, CHAOS=long)")
	}
	long := os.Getenv("CHAOS") == "long"
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("CHAOS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	hosts, runs, workers, limit := 8, 24, 6, 3*time.Minute
	c := &chaos{seed: seed, longest: 2000, faults: map[string]int{}, disturbed: map[string]bool{}, tally: map[string]int{}}
	if long {
		hosts, runs, workers, limit, c.longest, c.breath = 20, 1200, 16, 25*time.Minute, 12_000, 2000
	}
	var err error
	if c.only, err = regexp.Compile(os.Getenv("CHAOS_ONLY")); err != nil {
		t.Fatalf("CHAOS_ONLY: %v", err)
	}
	number(t, "CHAOS_RUNS", &runs)
	number(t, "CHAOS_FAULTS", &c.wanted)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if long && c.only.MatchString(packetsLost) && c.elsewhere(ctx, t) {
		return
	}
	c.prepare(ctx, t, hosts)
	t.Logf("seed %d (repeat with SEED=%d)", seed, seed)

	began := time.Now()
	all := c.play(ctx, runs, workers)
	c.oracle(ctx, all)
	c.nothingLeft(ctx)
	c.report(began)
	for _, f := range c.findings {
		t.Error(f)
	}
}

func (c *chaos) prepare(ctx context.Context, t *testing.T, hosts int) {
	opt := executortest.LabOptions{Hosts: hosts, OpenSSH: true, Proxied: true}
	if c.lossy { // a connection whose last packet was lost is one for ever to an sshd that never asks
		opt.Config = []string{"ClientAliveInterval 3", "ClientAliveCountMax 3"}
	}
	lab, err := executortest.NewLab(ctx, opt)
	if errors.Is(err, executortest.ErrNoOpenSSH) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	c.lab, c.bin, c.dir = lab, programs(t), t.TempDir()
	if err := c.startDaemon(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.daemon.Load().kill() })
}

func (c *chaos) startDaemon() error {
	d := &daemon{bin: c.bin, inventory: c.lab.InventoryFile(), dir: c.dir}
	err := d.start(context.Background())
	if err == nil {
		c.daemon.Store(d)
	}
	return err
}

func (c *chaos) wrong(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.findings = append(c.findings, fmt.Sprintf(format, args...))
}

func (c *chaos) count(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally[what] += n
}

// number reads a setting of the environment, where there is one.
func number(t *testing.T, name string, into *int) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	*into = n
}

// play orders runs and waits for their ends, under a storm that stops when all have ended. It
// orders as many as it is told to, and more until enough has happened to them.
func (c *chaos) play(ctx context.Context, runs, workers int) []*ordered {
	var all []*ordered
	storm, calm := context.WithCancel(ctx)
	var weather, work sync.WaitGroup
	weather.Go(func() { c.storm(storm, rand.New(rand.NewPCG(c.seed, 2))) })
	queue := make(chan *ordered)
	work.Go(func() {
		defer close(queue)
		rng := rand.New(rand.NewPCG(c.seed, 1))
		for i := 0; ctx.Err() == nil && (i < runs || c.happened() < c.wanted); i++ {
			o := &ordered{job: newJob(rng, i), hosts: c.some(rng)}
			all = append(all, o)
			queue <- o
		}
	})
	for range workers {
		work.Go(func() {
			for o := range queue {
				c.see(ctx, o)
			}
		})
	}
	work.Wait()
	calm()
	weather.Wait()
	return all
}

// happened counts the faults so far.
func (c *chaos) happened() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.faults {
		n += k
	}
	return n
}

// see orders one run and follows it to its end, whatever happens to tfwd meanwhile.
func (c *chaos) see(ctx context.Context, o *ordered) {
	var id executor.RunID
	err := c.insist(ctx, func(d *daemon) (err error) {
		request := shell(strings.Join(o.hosts, ","), o.job.line)
		id, err = d.submit(ctx, o.job.tag, request)
		return err
	})
	if err == nil {
		err = c.insist(ctx, func(d *daemon) (err error) {
			o.run, err = d.wait(ctx, id)
			return err
		})
	}
	if err != nil {
		c.wrong("%s on %s: run %s: %v", o.job.kind, strings.Join(o.hosts, ","), id, err)
	}
}

// insist asks again while tfwd is down.
func (c *chaos) insist(ctx context.Context, ask func(*daemon) error) error {
	for {
		err := ask(c.daemon.Load())
		var status *statusError
		if err == nil || errors.As(err, &status) && status.status < 500 {
			return err
		}
		if !pause(ctx, 50*time.Millisecond) {
			return err
		}
	}
}

func (c *chaos) report(began time.Time) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nchaos\tseed %d, %d hosts, %s\n", c.seed, len(c.lab.Hosts()), time.Since(began).Round(time.Second))
	for _, table := range []map[string]int{c.faults, c.tally} {
		for _, name := range slices.Sorted(maps.Keys(table)) {
			fmt.Fprintf(w, "  %s\t%d\n", name, table[name])
		}
	}
	fmt.Fprintf(w, "  findings\t%d\n", len(c.findings))
	w.Flush()
}

// oracleFile is where a job leaves its mark.
func (c *chaos) oracleFile(host string, j job) string {
	return filepath.Join(c.lab.Home(host), "oracle."+j.tag)
}
