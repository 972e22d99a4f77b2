package executortest_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tfw/executor"
)

// oracle compares what tfw says with what the hosts say.
func (c *chaos) oracle(ctx context.Context, all []*ordered) {
	for _, o := range all {
		if o.run.ID == "" {
			continue // found wrong already
		}
		c.count("runs", 1)
		rows := map[string][]executor.HostResult{}
		for _, r := range o.run.Hosts {
			rows[r.Host] = append(rows[r.Host], r)
		}
		if len(o.run.Hosts) != len(o.hosts) {
			c.wrong("run %s: %d rows for %d hosts", o.run.ID, len(o.run.Hosts), len(o.hosts))
		}
		for _, host := range o.hosts {
			if len(rows[host]) != 1 {
				c.wrong("run %s: %d rows for %s", o.run.ID, len(rows[host]), host)
				continue
			}
			c.judge(ctx, o, rows[host][0])
		}
	}
}

// judge looks at one job on one host.
func (c *chaos) judge(ctx context.Context, o *ordered, row executor.HostResult) {
	name := string(o.run.ID) + " (" + o.job.kind + ") on " + row.Host
	marks, _ := os.ReadFile(c.oracleFile(row.Host, o.job))
	starts := bytes.Count(marks, []byte("\n"))
	c.count("commands", 1)
	c.count("executions", starts)
	disturbed := c.disturbed[string(o.run.ID)+" "+row.Host]
	switch {
	case starts > 1:
		c.wrong("%s: executed %d times", name, starts)
	case starts == 0 && row.Verdict == executor.Errored && row.Code == "unreachable":
		c.count("commands never started: host out of reach", 1)
		return
	case starts == 0:
		c.wrong("%s: never executed, and yet %s: %s; events: %s", name, row.Verdict, row.Reason, c.events(ctx, o.run.ID, row.Host))
		return
	case disturbed:
		c.count("commands whose wrapper was killed", 1)
		if row.Verdict == executor.Passed && o.job.exit != 0 {
			c.wrong("%s: wrapper killed, and yet passed", name)
		}
	case row.ExitCode == nil || *row.ExitCode != o.job.exit || (row.Verdict == executor.Passed) != (o.job.exit == 0):
		c.wrong("%s: %s %s, exit %v; want exit %d; took %v; events: %s", name, row.Verdict, row.Reason, deref(row.ExitCode), o.job.exit,
			row.Finished.Sub(row.Started).Round(time.Millisecond), c.events(ctx, o.run.ID, row.Host))
	}
	c.compare(ctx, name, o.run.ID, row.Host, "stdout", o.job.stdout, disturbed)
	c.compare(ctx, name, o.run.ID, row.Host, "stderr", o.job.stderr, disturbed)
}

// events are what tfw told the tester of a host: how a finding came about.
func (c *chaos) events(ctx context.Context, id executor.RunID, host string) string {
	raw, err := c.daemon.Load().stream(ctx, id, host, "event")
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(strings.TrimSpace(string(raw)), "\n", " | ")
}

func deref(code *int) any {
	if code == nil {
		return "unknown"
	}
	return *code
}

// compare holds the logged bytes against those that the command wrote; of a disturbed one, what there is must be right.
func (c *chaos) compare(ctx context.Context, name string, id executor.RunID, host, stream string, want []byte, disturbed bool) {
	var got []byte
	err := c.insist(ctx, func(d *daemon) (err error) {
		got, err = d.stream(ctx, id, host, stream)
		return err
	})
	if err != nil {
		c.wrong("%s: %s: %v", name, stream, err)
		return
	}
	c.count("bytes compared", len(got))
	if disturbed && bytes.HasPrefix(want, got) || bytes.Equal(got, want) {
		return
	}
	same := 0
	for same < min(len(got), len(want)) && got[same] == want[same] {
		same++
	}
	c.wrong("%s: %s has %d bytes, want %d; they differ from byte %d on", name, stream, len(got), len(want), same)
}

// nothingLeft looks for processes, spools, descriptors and goroutines once all is quiet.
func (c *chaos) nothingLeft(ctx context.Context) {
	d := c.daemon.Load()
	everywhere := shell("all", "true")
	settle := func(key string) (fds, goroutines float64) {
		for i := range 3 {
			id, err := d.submit(ctx, key+string(rune('a'+i)), everywhere)
			if err == nil {
				_, err = d.wait(ctx, id)
			}
			if err != nil {
				c.wrong("after the storm: %v", err)
			}
		}
		pause(ctx, 500*time.Millisecond)
		fds, err := d.metric(ctx, "process_open_fds")
		if err == nil {
			goroutines, err = d.metric(ctx, "go_goroutines")
		}
		if err != nil {
			c.wrong("%v", err)
		}
		return fds, goroutines
	}
	fds, goroutines := settle("first")
	fdsAfter, goroutinesAfter := settle("second")
	c.count("descriptors at rest", int(fdsAfter))
	c.count("goroutines at rest", int(goroutinesAfter))
	standby := 3 * float64(len(c.lab.Hosts())) // goroutines of a shell that stands by for a host's next command
	if slack := 8.0; fdsAfter > fds+slack || goroutinesAfter > goroutines+slack+standby {
		c.wrong("grew while nothing was left to do: %v to %v descriptors, %v to %v goroutines", fds, fdsAfter, goroutines, goroutinesAfter)
	}
	// What a killed tfwd could not tell waits for a sweep of its successor, and that for one of the pool: a minute each.
	c.eventually(ctx, 150*time.Second, "spooled", c.spooled)
	c.eventually(ctx, 20*time.Second, "processes of runs", c.running)
	if err := d.stop(); err != nil {
		c.wrong("%v", err)
	}
	c.eventually(ctx, 20*time.Second, "processes", func() (left []string) {
		for _, p := range c.lab.Processes() {
			left = append(left, p.Host+": "+p.Command)
		}
		return left
	})
}

func (c *chaos) eventually(ctx context.Context, limit time.Duration, what string, look func() []string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		left := look()
		if len(left) == 0 {
			return
		}
		if !pause(ctx, 200*time.Millisecond) {
			c.wrong("%d %s left: %s", len(left), what, strings.Join(left[:min(len(left), 5)], "; "))
			return
		}
	}
}

// running are processes on the hosts that carry the mark of a run.
func (c *chaos) running() (left []string) {
	for _, p := range c.lab.Processes() {
		if id := environment(p.PID, "TFW_RUN"); id != "" {
			left = append(left, p.Host+": "+id+": "+p.Command)
		}
	}
	return left
}

// spooled are files that still lie in a host's spool, but for tombstones: those are meant to stay a while.
func (c *chaos) spooled() (left []string) {
	for _, host := range names(c.lab) {
		files, _ := os.ReadDir(filepath.Join(c.lab.Home(host), ".tfw"))
		for _, f := range files {
			if !strings.HasSuffix(f.Name(), "+ack") {
				left = append(left, host+": "+f.Name())
			}
		}
	}
	return left
}
