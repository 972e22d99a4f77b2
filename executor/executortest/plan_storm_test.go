package executortest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/executortest"
)

// thirty is a plan of thirty steps over ten hosts with everything that a plan has. Every command marks its host.
func thirty() string {
	var b strings.Builder
	b.WriteString(`
name: thirty
parameters: {tag: {type: string}}
hosts: {b: {target: builders}, d: {target: duts}}
timeout: 5m
steps:
`)
	mark := `echo %s >>~/marks.${{ params.tag }}; sleep 0.0%d; echo %[1]s said so; `
	step := func(name, on, needs, more, command string) {
		uses := "linux_system.run_shell"
		if strings.Contains(more, "artifacts") {
			uses = "testcase.run"
		}
		with := fmt.Sprintf(mark, name, 1+rand.IntN(9)) + command
		more, extra, _ := strings.Cut(more, "|")
		fmt.Fprintf(&b, "  %s: {uses: %s, on: %s, needs: [%s], %s with: {command: %q%s}}\n", name, uses, on, needs, more, with, extra)
	}
	step("make", "b", "", "timeout: 3m, |, cwd: '${{ host.vars.home }}', artifacts: ['out.$T']", `echo made >~/out.${{ params.tag }}`)
	text := strings.ReplaceAll(b.String(), "out.$T", "out.${{ params.tag }}")
	b.Reset()
	b.WriteString(text)
	fmt.Fprintf(&b, "  install: {uses: deploy.install, on: d, needs: [make], with: {artifact: \"${{ steps.make.outputs.artifacts['out.' + params.tag] }}\", dest: \"${{ host.vars.home }}/app.${{ params.tag }}\", activate: \"echo install >>~/marks.${{ params.tag }}\"}}\n")
	for i := range 8 { // a fan, and a chain host by host
		step(fmt.Sprintf("fan%d", i), "d", "install", "", "true")
	}
	step("chain0", "d", "install", "per_host: true,", "true")
	for i := range 5 {
		step(fmt.Sprintf("chain%d", i+1), "d", fmt.Sprintf("chain%d", i), "per_host: true,", "true")
	}
	step("cells", "d", "fan0", "matrix: {n: [1, 2, 3]},", "echo ${{ matrix.n }}")
	step("rolling", "d", "fan1", "serial: [1, 50%],", "true")
	step("again", "b", "fan2", "retry: {limit: 2, on: [failed], backoff: 50ms},", `f=~/again.${{ params.tag }}; [ -e $f ] || { : >$f; exit 4; }`)
	step("bad", "d", "fan3", "", `case $LAB_HOST in dut03) exit 9;; esac`)
	step("after_bad", "d", "bad", "", "true")
	step("despite", "d", "bad", "when: failure(),", "true")
	step("excused", "d", "fan4", "allow_failure: true,", "exit 2")
	step("joined", "b", "cells, rolling, again, excused, chain5", "", "true")
	step("serve", "b", "install", "sync: m,", "set -e; tfw-sync set k ${{ params.tag }}; tfw-sync x; tfw-sync y")
	step("call", "d", "install", "sync: m,", "set -e; v=$(tfw-sync get k); tfw-sync x; echo $v; tfw-sync y")
	step("keep", "d", "fan5", "|, cwd: '${{ host.vars.home }}', artifacts: ['log.$T']", "echo $LAB_HOST >~/log.${{ params.tag }}")
	text = strings.ReplaceAll(b.String(), "log.$T", "log.${{ params.tag }}")
	b.Reset()
	b.WriteString(text)
	b.WriteString("on_failure:\n")
	step("logs", "d", "", "", "true")
	b.WriteString("finally:\n")
	step("clean", "d", "", "", "true")
	b.WriteString("  back: {uses: deploy.rollback, on: d, needs: [clean]}\n")
	return b.String()
}

// picture is all that must be the same however often the controller was killed: verdicts, results, artifacts, and marks on the hosts.
func (d *daemon) picture(ctx context.Context, lab *executortest.Lab, p testPlan, tag string) (map[string]string, error) {
	seen := map[string]string{"plan": string(p.Verdict)}
	for _, s := range p.Steps {
		seen["step "+s.Name] = string(s.Verdict)
		for _, c := range s.Cells {
			attempts := map[string]int{}
			for _, id := range c.Runs {
				run, err := d.wait(ctx, id)
				if err != nil {
					return nil, err
				}
				for _, r := range run.Hosts {
					var out struct {
						Artifacts map[string]string `json:"artifacts"`
						Stdout    string            `json:"stdout"`
					}
					_ = json.Unmarshal(r.Outputs, &out) // none: nothing to compare
					text := fmt.Sprintf("%s %d %s %v", r.Verdict, r.StdoutBytes, out.Stdout, out.Artifacts)
					attempts[r.Host]++
					seen[fmt.Sprintf("%s[%s] %s %d", s.Name, c.Cell, r.Host, attempts[r.Host])] = strings.ReplaceAll(text, tag, "TAG")
				}
			}
		}
	}
	for _, h := range lab.Hosts() {
		raw, err := os.ReadFile(lab.Home(h.Name) + "/marks." + tag)
		if err != nil {
			return nil, err
		}
		lines := strings.Fields(string(raw))
		slices.Sort(lines)
		seen["marks on "+h.Name] = strings.Join(lines, " ")
	}
	return seen, nil
}

// TestPlanOutlivesKills: a plan of thirty steps on ten hosts, with kill -9 of tfwd at random moments, ends as the
// undisturbed one, and every command ran as often. PLAN_KILLS=100 PLAN_SEED=n for the long one.
func TestPlanOutlivesKills(t *testing.T) {
	kills, _ := strconv.Atoi(os.Getenv("PLAN_KILLS"))
	seed, _ := strconv.ParseUint(os.Getenv("PLAN_SEED"), 10, 64)
	if kills == 0 {
		kills = 4
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("%d kills, PLAN_SEED=%d", kills, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	names := []string{"build01", "dut01", "dut02", "dut03", "dut04", "dut05", "dut06", "dut07", "dut08", "dut09"}
	lab, err := executortest.NewLab(t.Context(), executortest.LabOptions{Names: names, OpenSSH: true})
	if err != nil {
		t.Skipf("no OpenSSH here: %v", err)
	}
	t.Cleanup(func() { _ = lab.Close() })
	d := startDaemon(t, lab)
	raw, err := os.ReadFile(d.inventory)
	if err == nil { // builders test too
		err = os.WriteFile(d.inventory, []byte(strings.ReplaceAll(string(raw), "[build_server, linux_system]", "[build_server, linux_system, testcase]")), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.kill()
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	text := thirty()
	calm := d.storm(t, ctx, text, "calm", func() bool { return false })
	want, err := d.picture(ctx, lab, calm, "calm")
	if err != nil || want["plan"] != string(executor.Failed) || len(calm.Steps) < 30 {
		t.Fatal(err, len(calm.Steps), calm)
	}
	for round := 1; kills > 0; round++ {
		tag := fmt.Sprintf("r%03d", round) // as long as "calm"
		done := 0
		stormy := d.storm(t, ctx, text, tag, func() bool {
			if kills == 0 {
				return false
			}
			time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
			d.kill()
			kills--
			done++
			if err := d.start(ctx); err != nil {
				t.Fatal(err)
			}
			return true
		})
		got, err := d.picture(ctx, lab, stormy, tag)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: %d kills: %s", round, done, stormy.Verdict)
		for key := range want {
			if got[key] != want[key] {
				t.Errorf("round %d: %s: %q, want %q", round, key, got[key], want[key])
			}
		}
		if len(got) != len(want) {
			t.Errorf("round %d: %d results, want %d", round, len(got), len(want))
		}
		if t.Failed() {
			t.Fatalf("round %d: %s", round, stormy)
		}
	}
}

// storm runs the plan, calling disturb until it is done.
func (d *daemon) storm(t *testing.T, ctx context.Context, text, tag string, disturb func() bool) testPlan {
	t.Helper()
	p, err := d.submitPlan(ctx, tag, text, map[string]any{"tag": tag})
	if err != nil {
		t.Fatal(err)
	}
	for disturb() {
		var now testPlan
		if err := d.call(ctx, "GET", "/v2.1/testplans/"+p.ID, nil, &now); err != nil {
			t.Fatal(err)
		}
		if now.State == executor.Done {
			break
		}
	}
	if p, err = d.waitPlan(ctx, p.ID); err != nil {
		t.Fatal(err)
	}
	return p
}
