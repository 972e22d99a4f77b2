package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfw/cmd/controller"
)

// alone is a desk without a server: tfwctl does the work by itself.
func (d *desk) alone(t *testing.T) *desk {
	t.Helper()
	own, data := *d, filepath.Join(d.home, "own")
	t.Cleanup(func() { endOwner(t, data) })
	own.env = append(own.env, "TFW_SERVER=", "TFW_TOKEN=", "TFW_DATA="+data, "TFW_INVENTORY="+filepath.Join(d.home, "inventory.yaml"))
	return &own
}

// endOwner ends the controller in the background that something was left to.
func endOwner(t *testing.T, data string) {
	t.Helper()
	o, err := controller.ReadOwner(data)
	if err != nil || o.PID == os.Getpid() {
		return
	}
	_ = syscall.Kill(o.PID, syscall.SIGTERM)
	for end := time.Now().Add(soon); alive(strconv.Itoa(o.PID)); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("the controller in the background (%d) does not end", o.PID)
			return
		}
	}
}

func (d *desk) bothWays(t *testing.T, test func(t *testing.T, d *desk, way string)) {
	t.Helper()
	for way, d := range map[string]*desk{"server": d, "embedded": d.alone(t)} {
		t.Run(way, func(t *testing.T) { test(t, d, way) })
	}
}

// appears waits for a file in the home of a host, and removes it at the end.
func (d *desk) appears(t *testing.T, host, name string) {
	t.Helper()
	path := filepath.Join(d.lab.Home(host), name)
	t.Cleanup(func() { os.Remove(path) })
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s never appeared on %s", name, host)
}

// longPlan writes a plan whose step waits and whose finally leaves a mark.
func (d *desk) longPlan(t *testing.T, name string) string {
	t.Helper()
	text := fmt.Sprintf(`name: long
hosts: {dut: dut03}
steps:
  wait: {uses: linux_system.run_shell, on: dut, with: {command: 'echo $$ >$HOME/%[1]s.pid; exec sleep 100'}}
finally:
  clean: {uses: linux_system.run_shell, on: dut, with: {command: 'sleep 1; echo x >$HOME/%[1]s.clean'}}
`, name)
	file := filepath.Join(d.home, name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Ctrl-C once cancels what runs of a test plan, and finally runs.
func testPlanCtrlC(t *testing.T, d *desk) {
	d.bothWays(t, func(t *testing.T, d *desk, way string) {
		p := d.start(t, 100, 24, d.tfwctl("plan", "run", d.longPlan(t, way+"once")))
		pid := d.pid(t, "dut03", way+"once")
		await(t, p, `> wait +\S+ +dut03`)
		_ = p.Type("\x03")
		await(t, p, `tfwctl: cancelling test plan \w{12}; once more to leave it to itself`)
		ends(t, p, exitCancelled)
		d.appears(t, "dut03", way+"once.clean")
		s := p.Screen()
		for _, want := range []string{"step wait: cancelled", "step clean: passed", "(long): cancelled", "tfwctl plan resume"} {
			if !strings.Contains(s, want) {
				t.Errorf("the screen does not say %q", want)
			}
		}
		if alive(pid) || strings.Contains(s, "steps done") || t.Failed() {
			t.Errorf("alive: %v, and the screen is\n%s", alive(pid), s)
		}
	})
}

// Twice leaves it to itself: it is cancelled, and finally runs, with nobody looking.
func testPlanCtrlCTwice(t *testing.T, d *desk) {
	d.bothWays(t, func(t *testing.T, d *desk, way string) {
		p := d.start(t, 120, 24, d.tfwctl("plan", "run", d.longPlan(t, way+"twice")))
		pid := d.pid(t, "dut03", way+"twice")
		_ = p.Type("\x03")
		await(t, p, "once more to leave it to itself")
		_ = p.Type("\x03")
		await(t, p, `not waiting for test plan (\w{12}) any more; see how it fares with: tfwctl plan show \w{12}`)
		ends(t, p, exitCancelled)
		d.appears(t, "dut03", way+"twice.clean")
		if alive(pid) {
			t.Error("what was cancelled still runs")
		}
		for end := time.Now().Add(soon); ; time.Sleep(50 * time.Millisecond) {
			if out := d.say(t, "plan", "show", "last"); strings.Contains(out, "cancelled") && strings.Contains(out, "interrupted by the user") {
				break
			} else if time.Now().After(end) {
				t.Fatalf("plan show says\n%s", out)
			}
		}
	})
}

// Who only looks, or waits, leaves what runs alone when he goes.
func testLookersLeave(t *testing.T, d *desk) {
	d.bothWays(t, func(t *testing.T, d *desk, way string) {
		run := d.say(t, "exec", "dut04", "--detach", "--shell", `echo on; echo $$ >"$HOME/`+way+`look.pid"; `+waits("dut04"))
		pid := d.pid(t, "dut04", way+"look")
		for _, c := range []struct {
			args []string
			sign string // that it is under way
			says string
		}{
			{[]string{"logs", "-f", run}, `dut04: on`, ""},
			{[]string{"wait", run}, "", "not waiting for run " + run + " any more; cancel it with: tfwctl cancel " + run},
		} {
			p := d.start(t, 100, 24, d.tfwctl(c.args...))
			if c.sign != "" {
				await(t, p, c.sign)
			} else {
				time.Sleep(time.Second) // it shows nothing: give it the time to begin
			}
			_ = p.Type("\x03")
			ends(t, p, 130)
			if s := p.Screen(); !strings.Contains(s, c.says) || !alive(pid) {
				t.Errorf("%s: alive: %v, and the screen is\n%s", c.args, alive(pid), s)
			}
		}
		d.let(t, "dut04")
		if out := d.say(t, "wait", run); !strings.Contains(out, "1 passed") {
			t.Errorf("it ended as %s", out)
		}
		os.Remove(filepath.Join(d.lab.Home("dut04"), "dut04.go"))
	})
}

// Who stops waiting for a lease gives its place up.
func testLeaseCtrlC(t *testing.T, d *desk) {
	d.bothWays(t, func(t *testing.T, d *desk, _ string) {
		held := d.say(t, "lease", "gw", "--for", "5m")
		p := d.start(t, 100, 24, d.tfwctl("lease", "gw", "--for", "5m", "--wait"))
		await(t, p, `lease \w{12} waits for gw; Ctrl-C takes it back`)
		_ = p.Type("\x03")
		await(t, p, `lease \w{12} is taken back`)
		ends(t, p, exitCancelled)
		if out := d.say(t, "leases", "-o", "json"); strings.Contains(out, "waiting") || !strings.Contains(out, held) {
			t.Errorf("leases: %s", out)
		}
	})
}
