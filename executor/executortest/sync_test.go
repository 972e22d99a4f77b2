package executortest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfw/executor"
)

// relay has two roles go through rounds of barriers and hand a counter to and fro.
const relay = `
name: relay
hosts:
  a: {target: duts, count: 1}
  b: {target: duts, count: 2}
steps:
  left:
    uses: testcase.run
    on: a
    sync: m
    with:
      script: |
        set -e
        for i in 1 2 3 4 5 6; do
          echo "$i" >>"$HOME/rounds"
          tfw-sync set "ball$i" "from left, $i"
          tfw-sync round
          sleep 0.2
        done
        tfw-sync over
  right:
    uses: testcase.run
    on: b
    sync: m
    with:
      script: |
        set -e
        for i in 1 2 3 4 5 6; do
          echo "$i" >>"$HOME/rounds"
          echo "got $(tfw-sync get "ball$i")"
          tfw-sync round
        done
        tfw-sync over
`

// TestHostsWaitForOneAnother: barriers and values over real sshd, while the controller is killed again and again.
func TestHostsWaitForOneAnother(t *testing.T) {
	lab := openSSHLab(t, 4)
	d := startDaemon(t, lab)
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	p, err := d.submitPlan(ctx, "relay", relay, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		time.Sleep(700 * time.Millisecond)
		d.kill()
		if err := d.start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if p, err = d.waitPlan(ctx, p.ID); err != nil || p.Verdict != executor.Passed {
		t.Fatal(err, p)
	}
	want := ""
	for i := range 6 {
		want += fmt.Sprintf("got from left, %d\n", i+1)
	}
	for _, r := range d.runOf(t, p, "right").Hosts {
		if got, err := d.stream(ctx, d.runOf(t, p, "right").ID, r.Host, "stdout"); err != nil || string(got) != want {
			t.Errorf("%s: %v %q", r.Host, err, got)
		}
	}
	for _, h := range lab.Hosts() {
		home := lab.Home(h.Name)
		if left, _ := filepath.Glob(home + "/.cache/tfw/sync/*"); len(left) > 0 {
			t.Errorf("left on %s: %v", h.Name, left)
		}
		if rounds, err := os.ReadFile(home + "/rounds"); err == nil && string(rounds) != "1\n2\n3\n4\n5\n6\n" {
			t.Errorf("%s went through %q", h.Name, rounds)
		}
	}
}

// TestDeadlocksAreNamed: who waits for whom, at once, and nobody who overlooks it passes.
func TestDeadlocksAreNamed(t *testing.T) {
	lab := openSSHLab(t, 4)
	d := startDaemon(t, lab)
	text := `
name: dead
parameters: {left: {}, right: {}}
hosts: {a: {target: dut01}, b: {target: dut02}}
steps:
  left: {uses: testcase.run, on: a, sync: m, timeout: 50s, with: {command: "${{ params.left }}"}}
  right: {uses: testcase.run, on: b, sync: m, timeout: 50s, with: {command: "${{ params.right }}"}}
`
	for name, c := range map[string]struct{ left, right, want string }{
		"different barriers": {"tfw-sync one || exit 7", "tfw-sync two || exit 7", `dut01 (left) waits at "one" for dut02 (right); dut02 (right) waits at "two" for dut01 (left)`},
		"overlooked":         {"tfw-sync one; exit 0", "exit 0", `dut01 (left) waits at "one" for dut02 (right), which ended: passed`},
		"value":              {"tfw-sync get k || exit 7", "exit 3", `dut01 (left) waits for "k" from dut02 (right), which ended: failed: exit status 3`},
	} {
		t.Run(name, func(t *testing.T) {
			p := d.plan(t, text, map[string]any{"left": c.left, "right": c.right})
			r := d.runOf(t, p, "left").Hosts[0]
			if p.Verdict != executor.Failed || r.Verdict != executor.Failed || !strings.Contains(r.Reason, "deadlock: ") || !strings.Contains(r.Reason, c.want) {
				t.Errorf("%s %q", p, r.Reason)
			}
			told, err := d.stream(t.Context(), d.runOf(t, p, "left").ID, "dut01", "stderr")
			if err != nil || !strings.HasPrefix(string(told), "tfw-sync: deadlock: ") {
				t.Errorf("%v %q", err, told)
			}
		})
	}
}
