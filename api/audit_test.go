package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/plan"
)

// TestEveryActionIsOnRecord does all that is to be on record over the API, each under a request id of its own, and looks
// for the line: who, with which token, from where, on which hosts, with which outcome. Reloads are no request:
// cmd/controller's TestReloadsAreOnRecord has them.
func TestEveryActionIsOnRecord(t *testing.T) {
	l := newTeams(t)
	const params = `"plugin":"linux_system","method":"run_shell","parameters":{"command":"true"}`
	stays, lease := l.run("red2", "stay"), ""
	var granted, token string
	planText, _ := json.Marshal(plan.Submission{Plan: "name: p\nhosts: {dut: red1}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: stay}}\n"})
	var planned string
	for _, step := range []struct {
		who, method, path, body string
		status                  int
		action, outcome, hosts  string
		keep                    *string // the id in the answer, for the steps after it
	}{
		{"operator", "POST", "/v2.1/runs", `{"target":"red1",` + params + `}`, 202, "run", "queued", "red1", nil},
		{"operator", "POST", "/v2.1/testcases?wait=10s", `{"host":"red1",` + params + `}`, 200, "run", "queued", "red1", nil},
		{"admin", "POST", "/v2.1/runs/{stays}/cancel", `{"reason":"enough"}`, 202, "cancel", "asked", "red2", nil},
		{"operator", "POST", "/v2.1/testplans", string(planText), 202, "testplan", "queued", "", &planned},
		{"operator", "POST", "/v2.1/testplans/{plan}/cancel", `{"reason":"enough"}`, 202, "testplan.cancel", "asked", "-", nil},
		{"admin", "POST", "/v2.1/leases", `{"target":"blue1","for":"1h"}`, 201, "lease", "held", "blue1", &lease},
		{"admin", "POST", "/v2.1/leases/{lease}/renew", `{"for":"2h"}`, 200, "renew", "held", "blue1", nil},
		{"other", "POST", "/v2.1/leases", `{"target":"blue1","for":"1h"}`, 409, "lease", "refused", "blue1", nil},
		{"other", "POST", "/v2.1/runs", `{"target":"blue1",` + params + `}`, 409, "run", "refused", "blue1", nil},
		{"admin", "DELETE", "/v2.1/leases/{lease}", "", 204, "release", "ended", "blue1", nil},
		{"other", "POST", "/v2.1/leases", `{"target":"blue2","for":"1h"}`, 201, "lease", "held", "blue2", &granted},
		{"admin", "DELETE", "/v2.1/leases/{granted}?reason=fire", "", 204, "release", "ended", "blue2", nil},
		{"lead", "POST", "/v2.1/tokens", `{"name":"fresh","role":"viewer","groups":["red"]}`, 201, "token.create", "made", "", &token},
		{"lead", "DELETE", "/v2.1/tokens/{token}", "", 204, "token.revoke", "revoked", "", nil},
		{"lead", "PATCH", "/v2.1/hosts/red1", `{"state":"maintenance","reason":"eth1 dead"}`, 200, "host.state", "maintenance", "red1", nil},
		{"lead", "PATCH", "/v2.1/hosts?target=red1", `{"state":"active"}`, 200, "host.state", "active", "red1", nil},
		{"lead", "POST", "/v2.1/hostkeys", `{"keys":[{"host":"red1","fingerprint":"SHA256:red1"}]}`, 200, "hostkeys.trust", "trusted", "red1", nil},
		{"lead", "DELETE", "/v2.1/hostkeys?target=red1", "", 200, "hostkeys.forget", "forgotten", "red1", nil},
		{"admin", "PUT", "/v2.1/secrets/db", `{"value":"long enough"}`, 200, "secret.set", "set", "", nil},
		{"admin", "DELETE", "/v2.1/secrets/db", "", 204, "secret.remove", "removed", "", nil},
		{"other", "POST", "/v2.1/leases", `{"target":"blue1","for":"300ms"}`, 201, "lease", "held", "blue1", nil},
		{"viewer", "POST", "/v2.1/runs", `{"target":"red1",` + params + `}`, 403, "request", "refused", "", nil},
		{"operator", "GET", "/v2.1/hosts/blue1", "", 404, "request", "refused", "", nil},
	} {
		path := strings.NewReplacer("{stays}", stays, "{plan}", planned, "{lease}", lease, "{granted}", granted, "{token}", token).Replace(step.path)
		l.request = "req-" + step.action + "-" + step.who + "-" + step.outcome
		status, answer := l.ask(step.who, step.method, path, step.body)
		if status != step.status || status >= 400 && !strings.Contains(answer, l.request) {
			t.Errorf("%s %s as %s: %d, want %d, with its id: %s", step.method, path, step.who, status, step.status, answer)
		}
		if step.keep != nil {
			var made struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal([]byte(head(answer)), &made); err != nil || made.ID == "" {
				t.Fatal(err, answer)
			}
			*step.keep = made.ID
		}
		all, _, err := l.exec.Audit(t.Context(), root, executor.AuditFilter{Request: l.request, Action: step.action, Outcome: step.outcome, Limit: 100})
		if err != nil || len(all) == 0 {
			t.Errorf("%s %s as %s is not on record: %v", step.method, path, step.who, err)
			continue
		}
		e := all[len(all)-1]
		if e.Time.IsZero() || e.Who != names[step.who] || e.Token != strings.Split(l.tokens[step.who], "_")[1] || !strings.HasPrefix(e.Source, "127.") ||
			step.hosts != "-" && !slices.Equal(e.Hosts, strings.Fields(step.hosts)) {
			t.Errorf("%s %s as %s: %+v", step.method, path, step.who, e)
		}
	}
	// What ends by itself is told under the request that began it.
	if _, err := l.plans.Wait(t.Context(), root, planned); err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]string{"run.end": "req-run-operator-queued", "testplan.end": "req-testplan-operator-queued", "lease.ended": "req-lease-other-held"} {
		ended := func() bool {
			all, _, err := l.exec.Audit(t.Context(), root, executor.AuditFilter{Action: action, Request: want, Limit: 10})
			return err == nil && len(all) > 0 && all[0].Outcome != "" && len(all[0].Hosts) == 1
		}
		for try := 0; try < 100 && !ended(); try++ { // a lease ends by the clock
			time.Sleep(50 * time.Millisecond)
		}
		if !ended() {
			t.Errorf("no %s under %s", action, want)
		}
	}
	if status, answer := l.ask("admin", "GET", "/v2.1/audit/verify", ""); status != http.StatusOK || !strings.Contains(answer, `"whole":true`) {
		t.Error(status, answer)
	}
}

// names of the tokens of newTeams.
var names = map[string]string{"viewer": "vera", "operator": "otto", "other": "bluebert", "lead": "rita", "admin": "ada"}
