package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestPurposesStayWithTheirHosts: what stands in somebody's way is told with its purpose to who sees all of its hosts, and to
// nobody who reads later what that one was told: the queue, the record, an ended lease.
func TestPurposesStayWithTheirHosts(t *testing.T) {
	l := newTeams(t)
	held := l.lease("red1,blue1", "bluepurpose")
	const params = `"plugin":"linux_system","method":"run_shell","parameters":{"command":"true"}`
	ask := func(method, path, body string, want int) (id string) {
		t.Helper()
		status, answer := l.ask("admin", method, path, body)
		if status != want || want == 409 && !strings.Contains(answer, "bluepurpose") {
			t.Fatalf("%s %s %s: %d, want %d: %s", method, path, body, status, want, answer)
		}
		var made struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(head(answer)), &made); err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	ask("POST", "/v2.1/leases", `{"target":"red1","for":"1h"}`, 409)
	ask("POST", "/v2.1/runs", `{"target":"red1",`+params+`}`, 409)
	ask("POST", "/v2.1/leases", `{"target":"blue1","for":"1h","wait":"1h","priority":1}`, 202) // hidden, and before the next in line
	waits := ask("POST", "/v2.1/leases", `{"target":"red1","for":"1h","wait":"1h"}`, 202)
	late := ask("POST", "/v2.1/leases", `{"target":"red1","for":"1h","wait":"50ms"}`, 202)
	queued := ask("POST", "/v2.1/runs", `{"target":"all","queue_timeout":"1h","purpose":"bluepurpose",`+params+`}`, 202)
	over := func() bool {
		lease, err := l.exec.FindLease(t.Context(), root, late)
		if err != nil {
			t.Fatal(err)
		}
		return lease.Ended != ""
	}
	for !over() && t.Context().Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	for _, path := range []string{"/v2.1/leases", "/v2.1/leases/" + held, "/v2.1/leases/" + waits, "/v2.1/leases/" + late, "/v2.1/queue", "/v2.1/audit?limit=10000",
		"/v2.1/runs", "/v2.1/runs/" + queued, "/v2.1/runs/" + queued + "/log", "/v2.1/hosts", "/v2.1/hosts/red1"} {
		status, answer := l.ask("lead", "GET", path, "")
		if status != 200 || strings.Contains(answer, "blue") {
			t.Errorf("%s: %d: %s", path, status, answer)
		}
		if path == "/v2.1/queue" && (!strings.Contains(answer, waits) || !strings.Contains(answer, queued) || strings.Contains(answer, `"position":2,"why":"red1 is taken by lease`)) {
			t.Errorf("the queue: %s", answer)
		}
	}
	if _, err := l.exec.Cancel(t.Context(), root, queued, ""); err != nil {
		t.Error(err)
	}
}
