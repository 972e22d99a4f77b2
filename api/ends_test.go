package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tfw/executor"
)

// TestEndsTellOfNobodyElse: why a host's part of a run ended is told with that host, so it may not name the others, count
// them, or repeat what was said of the whole; that is told with the run, to who sees all of it.
func TestEndsTellOfNobodyElse(t *testing.T) {
	l := newTeams(t)
	submit := func(target, command string, o executor.Options) string {
		t.Helper()
		params, _ := json.Marshal(map[string]string{"command": command})
		run, err := l.exec.Submit(t.Context(), root, executor.Request{Plugin: "linux_system", Method: "run_shell", Target: target, Parameters: params, Options: o})
		if err != nil {
			t.Fatal(err)
		}
		return string(run.ID)
	}
	cancelled := submit("red1,blue1", "stay", executor.Options{})
	if _, err := l.exec.Cancel(t.Context(), root, cancelled, "blueboard of red2 burns"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ run, who, mine, whole string }{
		{cancelled, "viewer", `"reason":"cancelled by root`, "cancelled by root: blueboard of red2 burns"},
		{submit("red1,blue1", "fail on blue1; stay on red1", executor.Options{FailFast: true}), "viewer", "another host did not pass (fail_fast)", "blue1 did not pass (fail_fast)"},
		{submit("all", "fail on red1", executor.Options{Serial: []string{"1"}, MaxFail: "0"}), "other", "not started: too many hosts did not pass (max_fail 0)", ""},
	} {
		whole, err := l.exec.Wait(t.Context(), root, c.run)
		if err != nil || whole.Reason != c.whole {
			t.Errorf("the whole run: %+v %v", whole, err)
		}
		others := []string{"blue", "red2"}
		if c.who == "other" {
			others = []string{"red", "1 of 4", "of 2"}
		}
		for _, sub := range []string{"", "/log", "/results?output=true", "/results?format=junit", "/results?format=tap"} {
			status, answer := l.ask(c.who, "GET", "/v2.1/runs/"+c.run+sub, "")
			if status != 200 || sub == "" && !strings.Contains(answer, c.mine) {
				t.Errorf("%s: %d, without %q: %s", sub, status, c.mine, answer)
			}
			for _, word := range others {
				if strings.Contains(answer, word) {
					t.Errorf("%s%s as %s tells %q: %s", c.run, sub, c.who, word, answer)
				}
			}
		}
	}
}

// TestTailOfAPart: the last entries of a run are those of the hosts that the reader sees, whatever others said after them.
func TestTailOfAPart(t *testing.T) {
	l := newTeams(t)
	params := json.RawMessage(`{"command":"true"}`)
	run, err := l.exec.Submit(t.Context(), root, executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "all", Parameters: params, Options: executor.Options{Serial: []string{"1"}}})
	if err == nil {
		run, err = l.exec.Wait(t.Context(), root, string(run.ID)) // red1, red2, blue1, blue2
	}
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string][2]bool{"tail=1": {false, true}, "tail=2": {true, true}, "tail=100": {true, true}, "tail=1&stream=stdout&follow=1": {false, true}, "tail=2&limit=1": {true, false}} {
		_, answer := l.ask("viewer", "GET", "/v2.1/runs/"+string(run.ID)+"/log?"+query, "")
		if strings.Contains(answer, "blue") || strings.Contains(answer, "this is red1") != want[0] || strings.Contains(answer, "this is red2") != want[1] {
			t.Errorf("%s: %s", query, answer)
		}
	}
}

// TestExplainKeepsPlaces: where in the file a setting stands tells how much of others stands before it.
func TestExplainKeepsPlaces(t *testing.T) {
	l := newTeams(t)
	for who, want := range map[string]bool{"viewer": false, "lead": false, "admin": true} {
		_, answer := l.ask(who, "GET", "/v2.1/hosts/red1/explain", "")
		if !strings.Contains(answer, "group red") || strings.Contains(answer, "inventory.yaml") != want || strings.Contains(answer, `"line"`) != want {
			t.Errorf("%s: %s", who, answer)
		}
	}
}

// TestWordsOfAPart: the id of a request and the name of a step are texts of who sent them. They go with the whole of what
// came of it.
func TestWordsOfAPart(t *testing.T) {
	l := newTeams(t)
	submit := func(name string, o executor.Options) string {
		t.Helper()
		run, err := l.exec.Submit(t.Context(), executor.Principal{Name: name, Role: executor.Admin}, executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "red1,blue1", Step: "flash [blue1]", Meeting: "id/meet/peer=blue1",
			Parameters: json.RawMessage(`{"command":"true"}`), Options: o, RequestID: "bluerequest"})
		if err != nil || run.RequestID == "" || run.Step == "" {
			t.Fatal(run, err)
		}
		return string(run.ID)
	}
	run := submit("root", executor.Options{})
	if _, err := l.exec.Wait(t.Context(), root, run); err != nil {
		t.Fatal(err)
	}
	l.request = "bluerequest"
	status, answer := l.ask("admin", "POST", "/v2.1/leases", `{"target":"red1,blue1","for":"1h"}`)
	if status != 201 || !strings.Contains(head(answer), "bluerequest") {
		t.Fatal(status, answer)
	}
	waiting := submit("waits", executor.Options{QueueTimeout: executor.Duration(time.Hour)})
	l.request = "fixed"
	for _, path := range []string{"/v2.1/runs", "/v2.1/runs/" + run, "/v2.1/leases", "/v2.1/queue", "/v2.1/audit?limit=1000"} {
		status, answer := l.ask("lead", "GET", path, "")
		for path == "/v2.1/queue" && !strings.Contains(answer, waiting) {
			status, answer = l.ask("lead", "GET", path, "")
		}
		if status != 200 || strings.Contains(answer, "blue") || strings.Contains(path, run) && !strings.Contains(answer, "flash [***]") {
			t.Errorf("%s: %d: %s", path, status, answer)
		}
	}
	if _, err := l.exec.Cancel(t.Context(), root, waiting, ""); err != nil {
		t.Error(err)
	}
}

// TestPartOfARunIsOverWithIt: a run is over for its reader when it is on the reader's hosts, whatever goes on elsewhere.
func TestPartOfARunIsOverWithIt(t *testing.T) {
	l := newTeams(t)
	params := json.RawMessage(`{"command":"stay on blue1"}`)
	made, err := l.exec.Submit(t.Context(), root, executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "red1,blue1", Parameters: params})
	if err != nil {
		t.Fatal(err)
	}
	path := "/v2.1/runs/" + string(made.ID)
	mine := func(query string) (run executor.Run) {
		t.Helper()
		status, answer := l.ask("viewer", "GET", path+query, "")
		if err := json.Unmarshal([]byte(head(answer)), &run); err != nil || status != 200 {
			t.Fatal(status, err, answer)
		}
		return run
	}
	run := mine("?wait=15s")
	if run.State != executor.Done || run.Verdict != executor.Passed || !run.Finished.Equal(run.Hosts[0].Finished) || run.Finished.IsZero() {
		t.Errorf("%+v", run)
	}
	if _, answer := l.ask("viewer", "GET", path+"/log?format=sse&follow=1", ""); !strings.Contains(answer, "this is red1") || !strings.Contains(answer, `"verdict":"passed"`) {
		t.Error(answer)
	}
	for state, want := range map[string]bool{"done": true, "running": false} {
		if _, answer := l.ask("viewer", "GET", "/v2.1/runs?state="+state, ""); strings.Contains(answer, string(made.ID)) != want {
			t.Errorf("%s: %s", state, answer)
		}
	}
	if whole, err := l.exec.Run(t.Context(), root, string(made.ID)); err != nil || whole.State != executor.Running {
		t.Fatalf("%+v %v", whole, err)
	}
	if _, err := l.exec.Cancel(t.Context(), root, string(made.ID), ""); err != nil {
		t.Fatal(err)
	}
	if whole, err := l.exec.Wait(t.Context(), root, string(made.ID)); err != nil || whole.Verdict != executor.Cancelled {
		t.Fatalf("%+v %v", whole, err)
	}
	if after := mine(""); after.Verdict != run.Verdict || !after.Finished.Equal(run.Finished) {
		t.Errorf("%+v, was %+v", after, run)
	}
}
