package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tfw/executor"
)

var everybody = []string{"none", "wrong", "expired", "revoked", "viewer", "other", "operator", "lead", "admin"}

// TestMatrix asks every route of the API as everybody. The routes are about hosts
// of the red team; viewer and operator are of it, other is an operator of the blue team, lead
// an admin of the red team only.
func TestMatrix(t *testing.T) {
	l := newTeams(t)
	done, artifact := l.run("red1", "true"), strings.Repeat("a", 64)
	const params = `"plugin":"linux_system","method":"run_shell","parameters":{"command":"true"}`
	planned := l.plan(onePlan)
	rows := []struct {
		method, pattern, path, body string
		want                        [5]int // viewer, other, operator, lead, admin; whoever has no valid token gets 401
	}{
		{"GET", "/v2.1/slaves", "", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/slaves/detail", "", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/slaves/{id}", "/v2.1/slaves/red1", "", [5]int{200, 404, 200, 200, 200}},
		{"POST", "/v2.1/testcases", "", `{"host":"red1",` + params + `}`, [5]int{403, 400, 202, 202, 202}},
		{"POST", "/v2.1/runs", "", `{"target":"red1",` + params + `}`, [5]int{403, 400, 202, 202, 202}},
		{"GET", "/v2.1/runs", "", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/runs/{id}", "/v2.1/runs/" + done, "", [5]int{200, 404, 200, 200, 200}},
		{"POST", "/v2.1/runs/{id}/cancel", "/v2.1/runs/" + done + "/cancel", "", [5]int{403, 404, 409, 409, 409}},
		{"POST", "/v2.1/runs/{id}/rerun", "/v2.1/runs/" + done + "/rerun", "", [5]int{403, 404, 202, 202, 202}},
		{"GET", "/v2.1/runs/{id}/log", "/v2.1/runs/" + done + "/log", "", [5]int{200, 404, 200, 200, 200}},
		{"GET", "/v2.1/hosts", "", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/hosts/{name}", "/v2.1/hosts/red1", "", [5]int{200, 404, 200, 200, 200}},
		{"GET", "/v2.1/hosts/{name}/explain", "/v2.1/hosts/red1/explain", "", [5]int{200, 404, 200, 200, 200}},
		{"PATCH", "/v2.1/hosts/{name}", "/v2.1/hosts/red1", `{"state":"active"}`, [5]int{403, 404, 403, 200, 200}},
		{"PATCH", "/v2.1/hosts", "/v2.1/hosts?target=red1", `{"state":"active"}`, [5]int{403, 403, 403, 200, 200}},
		{"POST", "/v2.1/hosts/probe", "", `{"target":"red1"}`, [5]int{403, 400, 200, 200, 200}},
		{"POST", "/v2.1/hostkeys/scan", "", `{"target":"red1"}`, [5]int{403, 403, 403, 200, 200}},
		{"POST", "/v2.1/hostkeys", "", `{"keys":[{"host":"red1","fingerprint":"SHA256:red1"}]}`, [5]int{403, 403, 403, 200, 200}},
		{"DELETE", "/v2.1/hostkeys", "/v2.1/hostkeys?target=red1", "", [5]int{403, 403, 403, 200, 200}},
		{"GET", "/v2.1/groups", "", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/groups/{name}", "/v2.1/groups/red", "", [5]int{200, 404, 200, 200, 200}},
		{"GET", "/v2.1/plugins", "", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/plugins/{name}", "/v2.1/plugins/linux_system", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/tokens", "", "", [5]int{403, 403, 403, 200, 200}},
		{"POST", "/v2.1/tokens", "", `{"name":"n","role":"viewer","groups":["red"]}`, [5]int{403, 403, 403, 201, 201}},
		{"DELETE", "/v2.1/tokens/{id}", "/v2.1/tokens/nosuch", "", [5]int{403, 403, 403, 404, 404}},
		{"GET", "/v2.1/whoami", "", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/secrets", "", "", [5]int{403, 200, 200, 200, 200}},
		{"PUT", "/v2.1/secrets/{name}", "/v2.1/secrets/db", `{"value":"long enough"}`, [5]int{403, 403, 403, 403, 200}},
		{"DELETE", "/v2.1/secrets/{name}", "/v2.1/secrets/db", "", [5]int{403, 403, 403, 403, 204}},
		{"POST", "/v2.1/artifacts", "", "abc", [5]int{403, 201, 201, 201, 201}},
		{"GET", "/v2.1/artifacts/{sha256}", "/v2.1/artifacts/" + artifact, "", [5]int{404, 404, 404, 404, 404}},
		{"POST", "/v2.1/testplans", "", onePlan, [5]int{403, 400, 202, 202, 202}},
		{"POST", "/v2.1/testplans/check", "", onePlan, [5]int{200, 400, 200, 200, 200}},
		{"GET", "/v2.1/testplans", "", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/testplans/{id}", "/v2.1/testplans/" + planned, "", [5]int{200, 404, 200, 200, 200}},
		{"POST", "/v2.1/testplans/{id}/cancel", "/v2.1/testplans/" + planned + "/cancel", "", [5]int{403, 404, 409, 409, 409}},
		{"POST", "/v2.1/testplans/{id}/resume", "/v2.1/testplans/" + planned + "/resume", "", [5]int{403, 404, 409, 409, 409}},
		{"GET", "/v2.1/testplans/{id}/results", "/v2.1/testplans/" + planned + "/results?format=junit", "", [5]int{200, 404, 200, 200, 200}},
		{"GET", "/v2.1/testplans/{id}/compare", "/v2.1/testplans/" + planned + "/compare", "", [5]int{200, 404, 200, 200, 200}},
		{"GET", "/v2.1/testplans/{id}/history", "/v2.1/testplans/" + planned + "/history", "", [5]int{200, 404, 200, 200, 200}},
		{"GET", "/v2.1/testplans/{id}/events", "/v2.1/testplans/" + planned + "/events", "", [5]int{200, 404, 200, 200, 200}},
		{"GET", "/v2.1/testplan.schema.json", "", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/runs/{id}/results", "/v2.1/runs/" + done + "/results", "", [5]int{200, 404, 200, 200, 200}},
		{"GET", "/v2.1/leases", "", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/queue", "", "", [5]int{200, 200, 200, 200, 200}},
		{"POST", "/v2.1/leases", "", `{"target":"red2","for":"1h","wait":"1h"}`, [5]int{403, 400, 201, 202, 202}},
		{"GET", "/v2.1/leases/{id}", "/v2.1/leases/LEASE", "", [5]int{200, 404, 200, 200, 200}},
		{"POST", "/v2.1/leases/{id}/renew", "/v2.1/leases/LEASE/renew", `{"for":"2h"}`, [5]int{403, 404, 404, 200, 200}},
		{"DELETE", "/v2.1/leases/{id}", "/v2.1/leases/LEASE?reason=fire", "", [5]int{403, 404, 404, 204, 409}},
		{"GET", "/v2.1/audit", "", "", [5]int{403, 403, 403, 200, 200}},
		{"GET", "/v2.1/audit/verify", "", "", [5]int{403, 403, 403, 403, 200}},
		{"GET", "/v2.1/version", "", "", [5]int{200, 200, 200, 200, 200}},
		{"GET", "/v2.1/inventory", "", "", [5]int{200, 200, 200, 200, 200}},
	}
	lease := l.lease("red1", "soak")
	if err := l.exec.Release(t.Context(), root, lease, ""); err != nil { // so that nobody's run is held up
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, row := range rows {
		asked[row.method+" "+row.pattern] = true
		path := row.path
		if path == "" {
			path = row.pattern
		}
		held := ""
		if strings.Contains(path, "LEASE") {
			held = l.lease("red1", "soak")
			path = strings.ReplaceAll(path, "LEASE", held)
		}
		for i, who := range everybody {
			want := http.StatusUnauthorized
			if i >= 4 {
				want = row.want[i-4]
			}
			if status, answer := l.ask(who, row.method, path, row.body); status != want {
				t.Errorf("%s %s as %s: %d, want %d: %s", row.method, path, who, status, want, answer)
			}
		}
		if held != "" {
			_ = l.exec.Release(t.Context(), root, held, "") // it may be over
		}
	}
	for _, key := range described(t, l) {
		if !asked[key] {
			t.Errorf("%s is a route and not in the matrix", key)
		}
	}
}

// described gives every route under /v2.1 of the API's own description.
func described(t *testing.T, l *teams) (all []string) {
	_, text := l.ask("none", "GET", "/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			if strings.HasPrefix(path, "/v2.1/") {
				all = append(all, strings.ToUpper(method)+" "+path)
			}
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d routes are described", len(all))
	}
	return all
}

// TestOtherTeamDoesNotExist looks for any sign of the blue team in what the red
// team is answered, and that what is hidden is answered as what is not there.
func TestOtherTeamDoesNotExist(t *testing.T) {
	l := newTeams(t)
	blue := l.run("blue1", "echo blue")
	mixed := l.run("all", "echo blue")
	bluePlan, bothPlan := l.plan(strings.ReplaceAll(onePlan, "red2", "blue1")), l.plan(strings.ReplaceAll(onePlan, "red2", "'red1,blue1'"))
	l.plan(strings.NewReplacer("red2", "blue1", "name: p", "name: blueplan").Replace(onePlan))
	if status, answer := l.ask("other", "POST", "/v2.1/runs?wait=20s", `{"plugin":"linux_system","method":"run_shell","parameters":{"command":"true"},"target":"blue1"}`); status != 200 {
		t.Fatal(status, answer)
	}
	redPlan := l.plan(onePlan)
	stays := l.run("all", "stay")
	red := l.run("red1", "true")
	if _, err := l.exec.SetState(t.Context(), root, "blue2", "maintenance", "bluereason"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.exec.SetSecret(t.Context(), root, executor.Secret{Name: "bluesecret", Groups: []string{"blue"}}, "bluevalue"); err != nil {
		t.Fatal(err)
	}
	lease, both := l.lease("blue2,!red*,blue1", "bluepurpose"), ""
	_ = lease
	if one, err := l.exec.Lease(t.Context(), root, executor.LeaseRequest{Target: "red2", For: executor.Duration(1e12), Purpose: "ours"}); err == nil {
		both = one.ID
	} else {
		t.Fatal(err)
	}
	for _, who := range []string{"viewer", "operator", "lead"} {
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/v2.1/slaves", ""}, {"GET", "/v2.1/slaves/detail", ""}, {"GET", "/v2.1/hosts", ""}, {"GET", "/v2.1/hosts?target=all", ""},
			{"GET", "/v2.1/hosts?where=true", ""}, {"GET", "/v2.1/hosts?target=*", ""}, {"GET", "/v2.1/hosts?target=~.*", ""},
			{"GET", "/v2.1/hosts?where=vars.board!='imx8'", ""}, {"GET", "/v2.1/groups", ""},
			{"GET", "/v2.1/runs", ""}, {"GET", "/v2.1/runs?limit=1", ""}, {"GET", "/v2.1/runs?verdict=passed", ""}, {"GET", "/v2.1/runs/" + mixed, ""},
			{"GET", "/v2.1/runs/" + mixed + "?output=true", ""}, {"GET", "/v2.1/runs/" + mixed + "/log", ""}, {"GET", "/v2.1/runs/" + mixed + "/log?format=sse&follow=1", ""},
			{"GET", "/v2.1/runs/" + red, ""}, {"GET", "/v2.1/leases", ""}, {"GET", "/v2.1/leases/" + both, ""}, {"GET", "/v2.1/inventory", ""},
			{"GET", "/v2.1/testplans", ""}, {"GET", "/v2.1/testplans?name=p", ""}, {"GET", "/v2.1/testplans/" + redPlan, ""}, {"GET", "/v2.1/testplans/" + redPlan + "/results?output=true", ""},
			{"GET", "/v2.1/testplans/" + redPlan + "/history", ""}, {"GET", "/v2.1/testplans/" + redPlan + "/events", ""}, {"GET", "/v2.1/testplans/" + bothPlan + "/events", ""}, {"GET", "/v2.1/testplans/" + redPlan + "/compare", ""}, {"GET", "/v2.1/testplans/" + bothPlan, ""},
			{"GET", "/v2.1/testplans/" + bothPlan + "/results", ""}, {"GET", "/v2.1/testplans/" + bothPlan + "/results?format=tap", ""}, {"GET", "/v2.1/runs/" + mixed + "/results?format=junit", ""},
			{"GET", "/v2.1/testplans/" + redPlan + "/compare?with=" + bothPlan, ""}, {"POST", "/v2.1/testplans/check", strings.ReplaceAll(onePlan, "red2", "all")},
			{"POST", "/v2.1/testplans/check", strings.ReplaceAll(onePlan, "red2", "blu1")}, {"POST", "/v2.1/testplans/" + bothPlan + "/cancel", ""}, {"POST", "/v2.1/testplans/" + bothPlan + "/resume", ""},
			{"GET", "/v2.1/tokens", ""}, {"GET", "/v2.1/secrets", ""}, {"POST", "/v2.1/hostkeys/scan", `{"target":"all"}`}, {"GET", "/v2.1/audit?limit=10000", ""}, {"GET", "/v2.1/runs/" + stays, ""},
			{"POST", "/v2.1/runs?dry_run=true", `{"plugin":"linux_system","method":"run_shell","parameters":{"command":"true"},"target":"all"}`},
			{"POST", "/v2.1/runs", `{"plugin":"linux_system","method":"run_shell","parameters":{"command":"true"},"target":"all","expect":4}`},
			{"POST", "/v2.1/runs", `{"plugin":"linux_system","method":"run_shell","parameters":{"command":"true"},"target":"all,!red1"}`},
			{"POST", "/v2.1/runs", `{"plugin":"linux_system","method":"run_shell","parameters":{"command":"true"},"target":"bl1"}`},
			{"POST", "/v2.1/runs", `{"plugin":"linux_system","method":"run_shell","parameters":{"command":"true"},"target":"blu"}`},
			{"POST", "/v2.1/leases", `{"target":"all","for":"1h"}`}, {"POST", "/v2.1/leases", `{"target":"all","count":3,"for":"1h"}`},
			{"POST", "/v2.1/runs/" + stays + "/cancel", ""}, {"POST", "/v2.1/runs/" + mixed + "/rerun", ""},
			{"POST", "/v2.1/hosts/probe", `{"target":"all"}`}, {"GET", "/v2.1/hosts/re1", ""}, {"GET", "/metrics", ""},
		} {
			status, answer := l.ask(who, c.method, c.path, c.body)
			if strings.Contains(strings.ToLower(answer), "blue") {
				t.Errorf("%s %s %s as %s (%d) tells of the blue team: %s", c.method, c.path, c.body, who, status, answer)
			}
		}
	}
	twins(t, l, blue, bluePlan)
	if run, err := l.exec.Run(t.Context(), root, stays); err != nil || run.Cancel != "" {
		t.Errorf("a run of the whole lab was cancelled by the red team: %+v %v", run, err)
	}
}

// twins asks for what is hidden and for what is not there: the answers may differ in the name only, and as much is read
// for them, so that they take as long.
func twins(t *testing.T, l *teams, blue, bluePlan string) {
	beside := func(id string) string { return id[:len(id)-1] + "1" } // no id has a 1
	lease, err := l.exec.Leases(t.Context(), root)
	if err != nil || len(lease) == 0 {
		t.Fatal(lease, err)
	}
	const params = `"plugin":"linux_system","method":"run_shell","parameters":{"command":"true"}`
	for _, c := range []struct{ method, path, body, hidden, missing string }{
		{"GET", "/v2.1/hosts/%s", "", "blue1", "nope1"},
		{"GET", "/v2.1/hosts/%s", "", "127.0.0.31", "127.0.0.99"},
		{"GET", "/v2.1/hosts/%s", "", "3", "9"},
		{"GET", "/v2.1/slaves/%s", "", "blue1", "nope1"},
		{"GET", "/v2.1/slaves/%s", "", "3", "9"},
		{"GET", "/v2.1/groups/%s", "", "blue", "nope"},
		{"GET", "/v2.1/hosts?target=%s", "", "blue", "nope"},
		{"GET", "/v2.1/hosts?target=all,!%s", "", "blue1", "nope1"},
		{"GET", "/v2.1/hosts?target=%s*", "", "blue", "nope"},
		{"GET", "/v2.1/runs?host=%s", "", "blue1", "nope1"},
		{"GET", "/v2.1/runs?by=%s", "", "bluebert", "nobody"},
		{"GET", "/v2.1/testplans?name=%s", "", "blueplan", "nope"},
		{"GET", "/v2.1/audit?host=%s", "", "blue1", "nope1"},
		{"GET", "/v2.1/audit?object=%s", "", blue, beside(blue)},
		{"GET", "/v2.1/audit?who=%s", "", "bluebert", "nobody"},
		{"GET", "/v2.1/runs/%s", "", blue, beside(blue)},
		{"GET", "/v2.1/runs/%s", "", blue[:6], beside(blue[:6])},
		{"GET", "/v2.1/runs/%s/log", "", blue, beside(blue)},
		{"POST", "/v2.1/runs/%s/cancel", "", blue, beside(blue)},
		{"POST", "/v2.1/runs/%s/rerun", "", blue, beside(blue)},
		{"GET", "/v2.1/testplans/%s", "", bluePlan, beside(bluePlan)},
		{"GET", "/v2.1/testplans/%s", "", bluePlan[:6], beside(bluePlan[:6])},
		{"GET", "/v2.1/testplans/%s/results", "", bluePlan, beside(bluePlan)},
		{"GET", "/v2.1/testplans/%s/results?format=junit", "", bluePlan, beside(bluePlan)},
		{"GET", "/v2.1/testplans/%s/events", "", bluePlan, beside(bluePlan)},
		{"GET", "/v2.1/testplans/%s/compare", "", bluePlan, beside(bluePlan)},
		{"GET", "/v2.1/testplans/%s/history", "", bluePlan, beside(bluePlan)},
		{"POST", "/v2.1/testplans/%s/cancel", "", bluePlan, beside(bluePlan)},
		{"POST", "/v2.1/testplans/%s/resume", "", bluePlan, beside(bluePlan)},
		{"PATCH", "/v2.1/hosts/%s", `{"state":"active"}`, "blue1", "nope1"},
		{"POST", "/v2.1/runs", `{"target":"%s",` + params + `}`, "blue1", "nope1"},
		{"POST", "/v2.1/testcases", `{"host":"%s",` + params + `}`, "blue1", "nope1"},
		{"POST", "/v2.1/hosts/probe", `{"target":"%s"}`, "blue1", "nope1"},
		{"POST", "/v2.1/leases", `{"target":"%s","for":"1h"}`, "blue1", "nope1"},
		{"POST", "/v2.1/runs", `{"lease":"%s","target":"red1",` + params + `}`, lease[0].ID, "zzzzzzzzzzzz"},
		{"GET", "/v2.1/leases/%s", "", lease[0].ID, "zzzzzzzzzzzz"},
		{"DELETE", "/v2.1/leases/%s?reason=x", "", lease[0].ID, "zzzzzzzzzzzz"},
		{"POST", "/v2.1/leases/%s/renew", `{"for":"1h"}`, lease[0].ID, "zzzzzzzzzzzz"},
		{"POST", "/v2.1/tokens", `{"name":"n","role":"viewer","groups":["%s"]}`, "blue", "nope"},
		{"POST", "/v2.1/hostkeys/scan", `{"target":"%s"}`, "blue1", "nope1"},
		{"POST", "/v2.1/hostkeys", `{"keys":[{"host":"%s","fingerprint":"SHA256:x"}]}`, "blue1", "nope1"},
		{"DELETE", "/v2.1/hostkeys?target=%s", "", "blue1", "nope1"},
		{"POST", "/v2.1/runs", `{"target":"red1","plugin":"linux_system","method":"run_shell","parameters":{"command":"true","stdin":{"secret":"secret:%s"}}}`, "bluesecret", "nope"},
	} {
		for _, who := range []string{"viewer", "operator", "lead"} {
			var hidden, missing string
			var forHidden, forMissing int64
			for try := 0; try < 2 || try < 10 && forHidden != forMissing; try++ { // the least: refusals are put on record at times
				l.told(who, c.method, c.path, c.body, c.hidden, &hidden, &forHidden)
				l.told(who, c.method, c.path, c.body, c.missing, &missing, &forMissing)
			}
			if hidden != missing {
				t.Errorf("%s %s %s as %s: what is hidden is not answered as what is not there:\n%s\n%s", c.method, c.path, c.body, who, hidden, missing)
			}
			if forHidden != forMissing {
				t.Errorf("%s %s %s as %s: %d reads for what is hidden, %d for what is not there", c.method, c.path, c.body, who, forHidden, forMissing)
			}
		}
	}
}

// TestMarkersCountNothing: where a page ends tells who sees a part of the lab nothing of how much else there is, and it
// cannot be asked for by places of its own making.
func TestMarkersCountNothing(t *testing.T) {
	l := newTeams(t)
	for range 3 {
		l.run("red1", "true")
		l.run("blue1", "true")
		l.plan(onePlan)
		l.plan(strings.ReplaceAll(onePlan, "red2", "blue1"))
	}
	for _, path := range []string{"/v2.1/runs", "/v2.1/testplans"} {
		place, seen := "", 0
		for marker := ""; ; {
			_, answer := l.ask("viewer", "GET", path+"?limit=1&marker="+marker, "")
			var page struct {
				Runs      []struct{ ID string }
				Testplans []struct{ ID string }
				Next      string
			}
			if err := json.Unmarshal([]byte(head(answer)), &page); err != nil || len(page.Runs)+len(page.Testplans) != 1 {
				t.Fatalf("%s?marker=%s: %v %s", path, marker, err, answer)
			}
			if seen++; page.Next == "" {
				break
			}
			if marker = page.Next; len(marker) != 12 {
				t.Errorf("%s: the marker %q is no id", path, marker)
			}
			place = fmt.Sprintf("%016x", seen)
		}
		if seen < 3 {
			t.Errorf("%s: only %d are seen", path, seen)
		}
		for who, want := range map[string]int{"viewer": 400, "lead": 400, "admin": 200} {
			if status, answer := l.ask(who, "GET", path+"?marker="+place, ""); status != want {
				t.Errorf("%s?marker=%s as %s: %d, want %d: %s", path, place, who, status, want, answer)
			}
		}
	}
}

// told asks with the name in the path or the body, and gives the answer without it and the least that was read for it.
func (l *teams) told(who, method, path, body, name string, answer *string, reads *int64) {
	before := l.store.Reads()
	status, text := l.ask(who, method, strings.ReplaceAll(path, "%s", name), strings.ReplaceAll(body, "%s", name))
	if n := l.store.Reads() - before; *answer == "" || n < *reads {
		*reads = n
	}
	*answer = fmt.Sprint(status, " ", strings.ReplaceAll(head(text), name, "IT"))
}

// head leaves the headers out, which hold the time.
func head(answer string) string {
	body, _, _ := strings.Cut(answer, "\n")
	return body
}

// TestRefusalsAreOnRecord ties what was refused to the request that was.
func TestRefusalsAreOnRecord(t *testing.T) {
	l := newTeams(t)
	l.ask("viewer", "POST", "/v2.1/runs", `{"plugin":"linux_system","method":"run_shell","parameters":{"command":"true"},"target":"red1"}`)
	l.ask("operator", "GET", "/v2.1/hosts/blue1", "")
	for range 200 {
		l.ask("other", "GET", "/v2.1/hosts/red1", "")
	}
	all, _, err := l.exec.Audit(t.Context(), root, executor.AuditFilter{Action: "request", Request: "fixed", Outcome: "refused", Limit: 1000})
	if err != nil || len(all) < 3 || all[0].Who != "vera" || all[0].Object != "POST /v2.1/runs" || all[1].Who != "otto" || all[1].Object != "GET /v2.1/hosts/blue1" || all[1].Source == "" {
		t.Fatalf("%+v %v", all, err)
	}
	if n := len(all) - 2; n > 100 {
		t.Errorf("a flood of refusals wrote %d entries", n)
	}
	if n, _, err := l.exec.VerifyAudit(t.Context(), root); err != nil || n == 0 {
		t.Error(n, err)
	}
}
