package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tfw/api"
	"tfw/executor"
	"tfw/inventory"
	"tfw/plan"
)

// A test plan of both teams: what each sees of it is its own part.
const bothTeams = `name: nightly of blue1
parameters: {secretword: {default: bluecode}}
hosts: {dut: 'red1,blue1', bluerole: blue2, redrole: red2}
outputs: {all: '${{ steps.flash.hosts.blue1.verdict }}'}
steps:
  flash: {uses: linux_system.run_shell, on: dut, with: {command: 'fail on blue1'}, allow_failure: true}
  bluestep: {uses: linux_system.run_shell, on: bluerole, with: {command: 'true'}}
  probe_blue1: {uses: linux_system.run_shell, on: redrole, needs: [bluestep], matrix: {peer: [blue1, red1]}, with: {command: 'echo ${{ matrix.peer }}'}}
  each: {uses: linux_system.run_shell, on: dut, per_host: true, needs: [flash, bluestep], with: {command: 'fail on blue1'}}
  inner: {uses: 'plan:inner.yaml', needs: [flash]}
  after: {uses: linux_system.run_shell, on: redrole, needs: [each], with: {command: 'true'}}
finally:
  tidy: {uses: linux_system.run_shell, on: redrole, with: {command: 'true'}}
`

const innerOfBoth = `name: inner
hosts: {two: 'red1,blue2'}
steps:
  only: {uses: linux_system.run_shell, on: two, with: {command: 'fail on blue2'}}
`

// TestPartOfATestplan: a user of one group sees of a test plan over several what it sees of runs: the rows of its own
// hosts, with verdicts and counts that are theirs; and as little as of runs may it touch.
func TestPartOfATestplan(t *testing.T) {
	l := newTeams(t)
	body, _ := json.Marshal(plan.Submission{File: "p.yaml", Plan: bothTeams, Files: map[string]string{"inner.yaml": innerOfBoth}})
	status, answer := l.ask("admin", "POST", "/v2.1/testplans?wait=20s", string(body))
	var whole plan.TestPlan
	if err := json.Unmarshal([]byte(head(answer)), &whole); err != nil || status != 200 || whole.Verdict != executor.Failed {
		t.Fatal(status, err, answer)
	}
	path := "/v2.1/testplans/" + whole.ID
	for _, who := range []string{"viewer", "operator", "lead"} {
		for _, sub := range []string{"", "/results?output=true", "/results?format=junit", "/results?format=tap", "/events", "/history", "/compare"} {
			status, answer := l.ask(who, "GET", path+sub, "")
			if status != 200 || strings.Contains(strings.ToLower(answer), "blue") {
				t.Errorf("%s%s as %s (%d) tells of the blue team, or of nothing: %s", path, sub, who, status, answer)
			}
		}
		_, answer := l.ask(who, "GET", "/v2.1/testplans", "")
		if !strings.Contains(answer, whole.ID) || strings.Contains(strings.ToLower(answer), "blue") {
			t.Errorf("the list as %s: %s", who, answer)
		}
		for _, act := range []string{"/cancel", "/resume"} {
			if status, answer := l.ask(who, "POST", path+act, ""); status != 403 {
				t.Errorf("%s as %s: %d %s", act, who, status, answer)
			}
		}
	}
	if _, answer := l.ask("viewer", "GET", path+"/history", ""); !strings.Contains(answer, `"name":"nightly of ***"`) || !strings.Contains(answer, `"id":"`+whole.ID+`"`) {
		t.Errorf("the history is empty: %s", answer)
	}
	l.partSteps(path)
	l.partRows(path, &whole)
}

// partSteps: the verdicts are those of red1 and red2, and steps of others are not there.
func (l *teams) partSteps(path string) {
	l.t.Helper()
	var part plan.TestPlan
	_, answer := l.ask("viewer", "GET", path, "")
	if err := json.Unmarshal([]byte(head(answer)), &part); err != nil {
		l.t.Fatal(err)
	}
	var steps []string
	for _, s := range part.Steps {
		hosts := map[string]executor.Verdict{}
		for _, c := range s.Cells {
			for h, v := range c.Hosts {
				hosts[h] = executor.Worst(hosts[h], v)
			}
			for _, run := range c.Runs {
				if status, answer := l.ask("viewer", "GET", "/v2.1/runs/"+string(run), ""); status != 200 {
					l.t.Errorf("step %s has run %s, which is not there: %d %s", s.Name, run, status, answer)
				}
			}
		}
		steps = append(steps, fmt.Sprint(s.Name, s.After, s.Verdict, hosts))
	}
	want := []string{
		"flash[]passedmap[red1:passed]", "probe_***[]passedmap[red2:passed]", "each[flash]passedmap[red1:passed]",
		"inner[flash]passedmap[]", "after[each]skippedmap[]", "tidy[]passedmap[red2:passed]",
	}
	if !slices.Equal(steps, want) || part.Verdict != executor.Passed || part.Parameters != nil || part.Outputs != nil || part.Reason != "" {
		l.t.Errorf("%s %+v\n got %q\nwant %q", part.Verdict, part, steps, want)
	}
	if hosts := fmt.Sprint(part.Hosts); hosts != "map[dut:[red1] redrole:[red2]]" {
		l.t.Error(hosts)
	}
}

// partRows: nothing is counted that is not shown, and what is shown is what the whole has of these hosts.
func (l *teams) partRows(path string, whole *plan.TestPlan) {
	l.t.Helper()
	rows := func(who string) (all api.Results) {
		_, answer := l.ask(who, "GET", path+"/results", "")
		if err := json.Unmarshal([]byte(head(answer)), &all); err != nil {
			l.t.Fatal(err)
		}
		return all
	}
	part, all := rows("viewer"), rows("admin")
	mine := 0
	for _, r := range all.Rows {
		if strings.HasPrefix(r.Host, "red") {
			mine++
		}
	}
	total := 0
	for _, n := range part.Counts {
		total += n
	}
	if mine == 0 || len(part.Rows) != mine || total != mine || part.Verdict != executor.Passed || all.Verdict != whole.Verdict {
		l.t.Errorf("%d rows, %d counted, %d are of the red team: %+v", len(part.Rows), total, mine, part)
	}
	for _, r := range part.Rows {
		if !strings.HasPrefix(r.Host, "red") {
			l.t.Errorf("%+v", r)
		}
	}
}

// TestRefusedStepsOfATestplan: why a step's run was refused is told to its readers without the purposes of leases, and
// without others' hosts: it is one sentence about all hosts of the step.
func TestRefusedStepsOfATestplan(t *testing.T) {
	l := newTeams(t)
	held := l.lease("red2,blue2", "bluepurpose")
	for inner, told := range map[string]bool{"red2": true, "red2,blue2": false} {
		body, _ := json.Marshal(plan.Submission{File: "p.yaml", Plan: "name: p\nhosts: {dut: red1}\nsteps:\n  in: {uses: 'plan:inner.yaml'}\n",
			Files: map[string]string{"inner.yaml": strings.Replace(innerOfBoth, "red1,blue2", inner, 1)}})
		status, answer := l.ask("admin", "POST", "/v2.1/testplans?wait=20s", string(body))
		var whole plan.TestPlan
		if err := json.Unmarshal([]byte(head(answer)), &whole); err != nil || status != 200 || whole.Verdict != executor.Errored {
			t.Fatal(status, err, answer)
		}
		for _, sub := range []string{"", "/results?output=true", "/results?format=junit", "/results?format=tap", "/events", "/compare", "/history"} {
			status, answer := l.ask("viewer", "GET", "/v2.1/testplans/"+whole.ID+sub, "")
			if status != 200 || strings.Contains(answer, "blue") || strings.Contains(sub, "results") && strings.Contains(answer, "taken by lease "+held+" of root,") != told {
				t.Errorf("%s, %s: %d: %s", inner, sub, status, answer)
			}
		}
	}
}

// TestNestedPlanWithoutHosts: why a plan within a test plan came to nothing before it had hosts is told to who started it
// and to who sees all: it may name and count hosts of anybody.
func TestNestedPlanWithoutHosts(t *testing.T) {
	l := newTeams(t)
	made, err := l.plans.Submit(t.Context(), root, plan.Submission{File: "p.yaml", Plan: "name: p\nhosts: {dut: red1}\nsteps:\n" +
		"  one: {uses: linux_system.run_shell, on: dut, with: {command: stay}}\n  in: {uses: 'plan:inner.yaml', needs: [one], when: 'always()'}\n",
		Files: map[string]string{"inner.yaml": strings.Replace(innerOfBoth, "red1,blue2", "blue1,blue2", 1)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.exec.SetState(t.Context(), root, "blue1,blue2", inventory.Maintenance, "bluefire"); err != nil {
		t.Fatal(err)
	}
	var runs []*executor.Run
	for len(runs) == 0 {
		if runs, _, err = l.exec.Runs(t.Context(), root, executor.RunFilter{Plan: made.ID}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.exec.Cancel(t.Context(), root, string(runs[0].ID), ""); err != nil {
		t.Fatal(err)
	}
	if whole, err := l.plans.Wait(t.Context(), root, made.ID); err != nil || !strings.Contains(whole.Steps[1].Reason, "blue[1-2]") {
		t.Fatalf("%+v %v", whole, err)
	}
	for _, sub := range []string{"", "/results?output=true", "/results?format=junit", "/results?format=tap", "/events", "/compare", "/history"} {
		status, answer := l.ask("lead", "GET", "/v2.1/testplans/"+made.ID+sub, "")
		if status != 200 || strings.Contains(answer, "blue") || sub == "" && !strings.Contains(answer, `"uses":"plan:inner.yaml"`) {
			t.Errorf("%s: %d: %s", sub, status, answer)
		}
	}
}
