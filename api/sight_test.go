package api_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/plan"
)

// vera is the viewer of the red team, for who asks the engine itself.
var vera = executor.Principal{Name: "vera", Role: executor.Viewer, Groups: []string{"red"}}

// submitPlan starts a test plan as root, with the plan inner.yaml on these hosts.
func (l *teams) submitPlan(text, inner string) string {
	l.t.Helper()
	made, err := l.plans.Submit(l.t.Context(), root, plan.Submission{File: "p.yaml", Plan: text,
		Files: map[string]string{"inner.yaml": "name: inner\nhosts: {two: '" + inner + "'}\nsteps:\n  only: {uses: linux_system.run_shell, on: two, with: {command: stay}}\n"}})
	if err != nil {
		l.t.Fatal(err)
	}
	return made.ID
}

// until asks again and again until it is so.
func until(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came to that")
		}
	}
}

// underWay waits until so many runs of root's are under way.
func (l *teams) underWay(n int) (runs []*executor.Run) {
	l.t.Helper()
	until(l.t, func() bool {
		var err error
		if runs, _, err = l.exec.Runs(l.t.Context(), root, executor.RunFilter{State: executor.Running}); err != nil {
			l.t.Fatal(err)
		}
		return len(runs) == n
	})
	return runs
}

// endPlan cancels a test plan as root, with words, and gives it as it ended.
func (l *teams) endPlan(id, words string) *plan.TestPlan {
	l.t.Helper()
	_, err := l.plans.Cancel(l.t.Context(), root, id, words)
	var whole *plan.TestPlan
	if err == nil {
		whole, err = l.plans.Wait(l.t.Context(), root, id)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return whole
}

// noBlue: what the lead of the red team is told there does not tell of the blue one.
func (l *teams) noBlue(paths ...string) {
	l.t.Helper()
	for _, path := range paths {
		if status, answer := l.ask("lead", "GET", path, ""); status != 200 || strings.Contains(answer, "blue") {
			l.t.Errorf("%s: %d: %s", path, status, answer)
		}
	}
}

func ofPlan(id string) (paths []string) {
	for _, sub := range []string{"", "/results?output=true", "/results?format=junit", "/results?format=tap", "/events", "/compare", "/history"} {
		paths = append(paths, "/v2.1/testplans/"+id+sub)
	}
	return paths
}

// TestWordsOfACancelledTestplan: why a test plan of both teams was cancelled is not told with the runs and plans within it
// that are of one team alone, nor on their record.
func TestWordsOfACancelledTestplan(t *testing.T) {
	l := newTeams(t)
	id := l.submitPlan("name: p\nhosts: {r: red1, b: blue1}\nsteps:\n  r: {uses: linux_system.run_shell, on: r, with: {command: stay}}\n"+
		"  b: {uses: linux_system.run_shell, on: b, with: {command: stay}}\n  in: {uses: 'plan:inner.yaml'}\n", "red2")
	runs := l.underWay(3)
	whole := l.endPlan(id, "blueboard burns")
	if want := "cancelled by root: blueboard burns"; whole.Reason != want || whole.Verdict != executor.Cancelled {
		t.Errorf("%+v", whole)
	}
	paths := append(ofPlan(id), ofPlan(whole.Steps[2].Cells[0].Plan)...)
	paths = append(paths, "/v2.1/runs", "/v2.1/testplans", "/v2.1/audit?limit=1000", "/v2.1/leases")
	for _, run := range runs {
		if run.Tally == nil && run.HostCount == 1 {
			if one, err := l.exec.Run(t.Context(), vera, string(run.ID)); err == nil {
				paths = append(paths, "/v2.1/runs/"+string(one.ID), "/v2.1/runs/"+string(one.ID)+"/log")
			}
		}
	}
	if len(paths) != 2*7+4+2*2 {
		t.Fatal(paths)
	}
	l.noBlue(paths...)
}

// TestRecordOfATestplan: the record of how a test plan ended or was cancelled is for who sees the hosts of those within
// it, too; and of none can be told whose it is while one within it has no hosts.
func TestRecordOfATestplan(t *testing.T) {
	l := newTeams(t)
	outer := "name: p\nparameters: {board: {default: bluecode}}\nhosts: {dut: red1}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: 'COMMAND'}}\n  in: {uses: 'plan:inner.yaml', needs: [one]}\n"
	bound := l.submitPlan(strings.Replace(outer, "COMMAND", "true", 1), "blue1")
	l.underWay(1)
	l.noBlue(ofPlan(bound)[0])
	l.endPlan(bound, "blueboard burns")
	unbound := l.submitPlan(strings.Replace(outer, "COMMAND", "stay", 1), "blue1")
	l.underWay(1)
	l.noBlue(ofPlan(unbound)[0])
	if whole := l.endPlan(unbound, "blueboard burns"); whole.Steps[1].Cells != nil {
		t.Fatalf("%+v", whole)
	}
	l.noBlue(append(slices.Concat(ofPlan(bound), ofPlan(unbound)), "/v2.1/audit?limit=1000")...)
	for _, id := range []string{bound, unbound} {
		for who, want := range map[string]int{"lead": 0, "admin": 1} {
			_, answer := l.ask(who, "GET", "/v2.1/audit?action=testplan.end&object="+id, "")
			if strings.Count(answer, `"outcome":"cancelled"`) != want {
				t.Errorf("%s: %s", who, answer)
			}
		}
	}
}

// TestWaitingTestplanKeepsPurposes: a test plan that is resumed waits for hosts that its readers know; what stands in its
// way is told them without its purpose, while it waits and when it gave up.
func TestWaitingTestplanKeepsPurposes(t *testing.T) {
	l := newTeams(t)
	id := l.submitPlan("name: p\nlease_wait: 1s\nhosts: {dut: red1}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: fail on red1}}\n", "red2")
	if _, err := l.plans.Wait(t.Context(), root, id); err != nil {
		t.Fatal(err)
	}
	held := l.lease("red1,blue1", "bluepurpose")
	again, err := l.plans.Resume(t.Context(), root, id)
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		now, err := l.plans.TestPlan(t.Context(), vera, again.ID)
		if err != nil || now.State == executor.Done {
			t.Fatalf("%+v %v", now, err)
		}
		return strings.Contains(now.Waiting, "red1 is taken by lease "+held)
	})
	l.noBlue("/v2.1/testplans", ofPlan(again.ID)[0])
	if whole, err := l.plans.Wait(t.Context(), root, again.ID); err != nil || !strings.Contains(whole.Reason, "red1 is taken by lease "+held) {
		t.Fatalf("%+v %v", whole, err)
	}
	l.noBlue(append(ofPlan(again.ID), "/v2.1/audit?limit=1000")...)
}

// TestCellsOfOthers: a cell that never comes to a host of the reader is not there while it goes on either, and a step of which
// no other is left has nobody else's verdict.
func TestCellsOfOthers(t *testing.T) {
	l := newTeams(t)
	id := l.submitPlan("name: p\nhosts: {dut: 'red1,blue1'}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: 'stay on blue1'},\n"+
		"    matrix: {board: [x, bluething], exclude: [{board: bluething, host.name: red1}]}}\n"+
		"  two: {uses: linux_system.run_shell, on: dut, with: {command: 'fail on blue1'}, when: 'always()', needs: [one],\n    matrix: {board: [y], exclude: [{host.name: red1}]}}\n", "red2")
	until(t, func() bool {
		whole, err := l.plans.TestPlan(t.Context(), root, id)
		if err != nil {
			t.Fatal(err)
		}
		cells := whole.Steps[0].Cells
		return len(cells) == 2 && cells[0].Runs != nil && cells[1].Runs != nil
	})
	follower, err := l.plans.Follow(t.Context(), vera, id, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	var events []plan.Event
	more := func() bool {
		got, err := follower.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, got...)
		return len(got) > 0
	}
	more()
	l.noBlue(ofPlan(id)[0])
	for _, run := range l.underWay(2) {
		if _, err := l.exec.Cancel(t.Context(), root, string(run.ID), ""); err != nil {
			t.Fatal(err)
		}
	}
	if whole, err := l.plans.Wait(t.Context(), root, id); err != nil || whole.Steps[1].Verdict != executor.Failed {
		t.Fatalf("%+v %v", whole, err)
	}
	for more() {
	}
	if raw, err := json.Marshal(events); err != nil || strings.Contains(string(raw), "blue") || strings.Count(string(raw), `"type":"cell","step":"one"`) != 2 {
		t.Errorf("%s %v", raw, err)
	}
	l.noBlue(ofPlan(id)...)
	part, err := l.plans.TestPlan(t.Context(), vera, id)
	if err != nil || part.Verdict != executor.Passed || len(part.Steps) != 2 || part.Steps[1].Verdict != executor.Skipped || len(part.Steps[0].Cells) != 1 {
		t.Errorf("%+v %v", part, err)
	}
}
