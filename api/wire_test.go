package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"tfw/executor"
)

// The shapes that came first, byte for byte in their fields.
func TestSlaves(t *testing.T) {
	l := newLab(t)
	const detail = `{"compute_node_method":{"linux_system":{"reboot":"reboots","run_shell":"runs a command"}},"compute_node_type":"linux_system,build_server","host":"10.0.1.11","id":6`
	for path, want := range map[string]string{
		"/v2.1/slaves/6":    detail + `,"uuid":"00000001-0000-5000-8000-000000000000"}`,
		"/v2.1/slaves/dut1": detail + `,"uuid":"00000001-0000-5000-8000-000000000000"}`,
	} {
		sameJSON(t, path, l.ask(t, "GET", path, "").body, want)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(l.ask(t, "GET", "/v2.1/slaves/detail", "").body, &all); err != nil || len(all) != 3 {
		t.Fatalf("%v: %v", err, all)
	}
	sameJSON(t, "detail", all["00000001-0000-5000-8000-000000000000"], detail+"}")
	var brief []map[string]any
	if err := json.Unmarshal(l.ask(t, "GET", "/v2.1/slaves", "").body, &brief); err != nil || len(brief) != 3 || brief[0]["name"] != "dut1" {
		t.Fatalf("%v: %v", err, brief)
	}
	if p := l.ask(t, "GET", "/v2.1/slaves/99", "").problem(t); p.Status != 404 || p.Code != "not_found" {
		t.Errorf("unknown slave: %+v", p)
	}
}

func sameJSON(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%s: %v: %s", what, err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func TestTestcase(t *testing.T) {
	l := newLab(t)
	const call = `{"plugin":"linux_system","host":"10.0.1.12","method":"run_shell","parameters":{"command":"ls","args":"-alt"}}`
	a := l.ask(t, "POST", "/v2.1/testcases", call)
	var run executor.Run
	if err := json.Unmarshal(a.body, &run); err != nil || a.status != 202 {
		t.Fatalf("%d %v: %s", a.status, err, a.body)
	}
	if got := a.header.Get("Location"); got != "/v2.1/runs/"+string(run.ID) {
		t.Errorf("Location is %q", got)
	}
	if len(run.Hosts) != 1 || run.Hosts[0].Host != "dut2" || run.Target != "dut2" {
		t.Errorf("an address is not its host: %+v", run)
	}
	// As curl -d sends it.
	if a := l.ask(t, "POST", "/v2.1/testcases", call, "Content-Type", "application/x-www-form-urlencoded"); a.status != 202 {
		t.Errorf("curl -d: %d %s", a.status, a.body)
	}
	for body, location := range map[string]string{
		`{"plugin":"linux_system","method":"run_shell","parameters":{"command":"ls"}}`:                               "body.host",
		`{"plugin":"linux_system","host":"dut1","target":"dut2","method":"run_shell","parameters":{"command":"ls"}}`: "body.host",
		`{"plugin":"linux_system","host":"web-9","method":"run_shell","parameters":{"command":"ls"}}`:                "body.host",
		`{"plugin":"linux_system","host":"dut1","method":"run_shell","parameters":{"command":7}}`:                    "body.parameters.command",
		`{"plugin":"linux_system","host":"dut1","method":"run_shell","params":{}}`:                                   "body.params",
	} {
		p := l.ask(t, "POST", "/v2.1/testcases", body).problem(t)
		if p.Status != 400 || len(p.Errors) == 0 || p.Errors[0].Location != location {
			t.Errorf("%s:\n got %+v\nwant location %s", body, p, location)
		}
	}
}

func TestTestcaseWaits(t *testing.T) {
	l := newLab(t)
	const call = `{"plugin":"linux_system","target":"dut1","method":"run_shell","parameters":{"command":"ls"}}`
	a := l.ask(t, "POST", "/v2.1/testcases?wait=50ms", call)
	if a.status != 202 || !strings.Contains(string(a.body), `"state":"running"`) {
		t.Fatalf("not over in time: %d %s", a.status, a.body)
	}
	done := make(chan answer)
	go func() { done <- l.ask(t, "POST", "/v2.1/testcases?wait=30s", call) }()
	for l.count() < 2 {
		time.Sleep(time.Millisecond)
	}
	l.say("run000000001", "dut1", executor.Stdout, "hello\n")
	l.finish("run000000001", executor.Passed)
	a = <-done
	var run executor.Run
	if err := json.Unmarshal(a.body, &run); err != nil || a.status != 200 {
		t.Fatalf("%d %v: %s", a.status, err, a.body)
	}
	if run.Verdict != executor.Passed || *run.Hosts[0].ExitCode != 0 || run.Hosts[0].Stdout != "hello\n" {
		t.Errorf("%s", a.body)
	}
	if p := l.ask(t, "POST", "/v2.1/testcases?wait=soon", call).problem(t); p.Status != 400 || p.Errors[0].Location != "query.wait" {
		t.Errorf("%+v", p)
	}
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.runs)
}
