package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tfw/executor"
)

// document reads the server's own description.
func document(t *testing.T, l *lab) (doc map[string]any, c *jsonschema.Compiler) {
	t.Helper()
	a := l.ask(t, "GET", "/openapi.json", "")
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	c = jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("mem:openapi", parsed); err != nil {
		t.Fatal(err)
	}
	return parsed.(map[string]any), c
}

// answersTo finds the description of an answer in the document.
func answersTo(doc map[string]any, method, path string) map[string]any {
	item, _ := doc["paths"].(map[string]any)[path].(map[string]any)
	op, _ := item[strings.ToLower(method)].(map[string]any)
	answers, _ := op["responses"].(map[string]any)
	return answers
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1")

// Real answers are what the description says: status, media type, schema.
func TestAnswersFitTheirDescription(t *testing.T) {
	planned := ""
	l := newLab(t, withPlans(t, &planned))
	testplan, err := json.Marshal(map[string]any{"file": "p.yaml", "plan": fakePlan})
	if err != nil {
		t.Fatal(err)
	}
	doc, compiler := document(t, l)
	id := l.start(t)
	l.say(id, "dut1", executor.Stdout, "x")
	done := l.start(t, "dut1")
	l.finish(done, executor.Failed)
	l.mu.Lock()
	yes := true
	l.hosts[1].Reachable, l.hosts[1].Latency, l.hosts[1].Clock, l.hosts[1].Facts = &yes, 1500000, -3, map[string]any{"os": "debian"}
	l.mu.Unlock()
	const call = `{"plugin":"linux_system","method":"run_shell","target":"dut1","timeout":"90s","parameters":{"command":"ls"}}`
	art := l.ask(t, "POST", "/v2.1/artifacts", "abc")
	var stored Artifact
	if err := json.Unmarshal(art.body, &stored); err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, c := range []struct{ method, path, pattern, body string }{
		{"GET", "/v2.1/slaves", "", ""},
		{"GET", "/v2.1/slaves/detail", "", ""},
		{"GET", "/v2.1/slaves/6", "/v2.1/slaves/{id}", ""},
		{"GET", "/v2.1/slaves/99", "/v2.1/slaves/{id}", ""},
		{"POST", "/v2.1/testcases", "", call},
		{"POST", "/v2.1/testcases", "", `{}`},
		{"POST", "/v2.1/runs", "", call},
		{"POST", "/v2.1/runs", "", strings.Replace(call, "dut1", "web-9", 1)},
		{"POST", "/v2.1/runs?dry_run=true", "/v2.1/runs", call},
		{"GET", "/v2.1/runs", "", ""},
		{"GET", "/v2.1/runs/" + string(id), "/v2.1/runs/{id}", ""},
		{"GET", "/v2.1/runs/" + string(done), "/v2.1/runs/{id}", ""},
		{"GET", "/v2.1/runs/" + string(done) + "?output=true", "/v2.1/runs/{id}", ""},
		{"GET", "/v2.1/runs/nosuch", "/v2.1/runs/{id}", ""},
		{"POST", "/v2.1/runs/" + string(id) + "/cancel", "/v2.1/runs/{id}/cancel", `{"reason":"lunch"}`},
		{"POST", "/v2.1/runs/" + string(done) + "/cancel", "/v2.1/runs/{id}/cancel", ""},
		{"POST", "/v2.1/runs/" + string(id) + "/rerun", "/v2.1/runs/{id}/rerun", ""},
		{"GET", "/v2.1/runs/" + string(id) + "/log", "/v2.1/runs/{id}/log", ""},
		{"GET", "/v2.1/runs/nosuch/log", "/v2.1/runs/{id}/log", ""},
		{"GET", "/v2.1/runs/" + string(done) + "/results", "/v2.1/runs/{id}/results", ""},
		{"GET", "/v2.1/runs/" + string(done) + "/results?format=junit", "/v2.1/runs/{id}/results", ""},
		{"GET", "/v2.1/runs/" + string(done) + "/results?format=tap", "/v2.1/runs/{id}/results", ""},
		{"POST", "/v2.1/testplans", "", string(testplan)},
		{"POST", "/v2.1/testplans?wait=20s", "/v2.1/testplans", string(testplan)},
		{"POST", "/v2.1/testplans", "", `{"plan":"name: p"}`},
		{"POST", "/v2.1/testplans", "", `{}`},
		{"POST", "/v2.1/testplans/check", "", string(testplan)},
		{"POST", "/v2.1/testplans/check", "", `{"plan":"steps: 1"}`},
		{"GET", "/v2.1/testplans", "", ""},
		{"GET", "/v2.1/testplans?name=p&limit=1", "/v2.1/testplans", ""},
		{"GET", "/v2.1/testplans?marker=nosuch", "/v2.1/testplans", ""},
		{"GET", "/v2.1/testplans/" + planned, "/v2.1/testplans/{id}", ""},
		{"GET", "/v2.1/testplans/nosuch", "/v2.1/testplans/{id}", ""},
		{"GET", "/v2.1/testplans/" + planned + "/results?output=true", "/v2.1/testplans/{id}/results", ""},
		{"GET", "/v2.1/testplans/" + planned + "/results?limit=1&marker=2&verdict=passed", "/v2.1/testplans/{id}/results", ""},
		{"GET", "/v2.1/testplans/" + planned + "/results?format=junit", "/v2.1/testplans/{id}/results", ""},
		{"GET", "/v2.1/testplans/" + planned + "/results?format=tap", "/v2.1/testplans/{id}/results", ""},
		{"GET", "/v2.1/testplans/" + planned + "/results?format=pdf", "/v2.1/testplans/{id}/results", ""},
		{"GET", "/v2.1/testplans/nosuch/results", "/v2.1/testplans/{id}/results", ""},
		{"GET", "/v2.1/testplans/" + planned + "/compare", "/v2.1/testplans/{id}/compare", ""},
		{"GET", "/v2.1/testplans/" + planned + "/compare?with=nosuch", "/v2.1/testplans/{id}/compare", ""},
		{"GET", "/v2.1/testplans/" + planned + "/history", "/v2.1/testplans/{id}/history", ""},
		{"GET", "/v2.1/testplans/" + planned + "/history?last=1000", "/v2.1/testplans/{id}/history", ""},
		{"GET", "/v2.1/testplans/" + planned + "/events", "/v2.1/testplans/{id}/events", ""},
		{"GET", "/v2.1/testplans/" + planned + "/events?format=sse&output=false", "/v2.1/testplans/{id}/events", ""},
		{"GET", "/v2.1/testplans/nosuch/events", "/v2.1/testplans/{id}/events", ""},
		{"POST", "/v2.1/testplans/" + planned + "/cancel", "/v2.1/testplans/{id}/cancel", `{"reason":"lunch"}`},
		{"POST", "/v2.1/testplans/" + planned + "/resume", "/v2.1/testplans/{id}/resume", ""},
		{"POST", "/v2.1/testplans/nosuch/resume", "/v2.1/testplans/{id}/resume", ""},
		{"GET", "/v2.1/testplan.schema.json", "", ""},
		{"GET", "/v2.1/hosts", "", ""},
		{"GET", "/v2.1/hosts?target=web-9", "/v2.1/hosts", ""},
		{"GET", "/v2.1/hosts/dut2", "/v2.1/hosts/{name}", ""},
		{"GET", "/v2.1/hosts/dut2/explain", "/v2.1/hosts/{name}/explain", ""},
		{"PATCH", "/v2.1/hosts/dut2", "/v2.1/hosts/{name}", `{"state":"maintenance","reason":"eth1"}`},
		{"PATCH", "/v2.1/hosts?target=duts", "/v2.1/hosts", `{"state":"active"}`},
		{"POST", "/v2.1/hosts/probe", "", `{"target":"duts"}`},
		{"GET", "/v2.1/groups", "", ""},
		{"GET", "/v2.1/groups/duts", "/v2.1/groups/{name}", ""},
		{"GET", "/v2.1/groups/none", "/v2.1/groups/{name}", ""},
		{"GET", "/v2.1/plugins", "", ""},
		{"GET", "/v2.1/plugins/linux_system", "/v2.1/plugins/{name}", ""},
		{"GET", "/v2.1/plugins/none", "/v2.1/plugins/{name}", ""},
		{"POST", "/v2.1/tokens", "", `{"name":"ci","role":"operator","groups":["duts"],"expires":3600}`},
		{"GET", "/v2.1/tokens", "", ""},
		{"DELETE", "/v2.1/tokens/t0", "/v2.1/tokens/{id}", ""},
		{"DELETE", "/v2.1/tokens/none", "/v2.1/tokens/{id}", ""},
		{"POST", "/v2.1/hostkeys/scan", "", `{"target":"dut1"}`},
		{"POST", "/v2.1/hostkeys/scan", "", `{"target":"nosuch"}`},
		{"POST", "/v2.1/hostkeys", "", `{"keys":[{"host":"dut1","fingerprint":"SHA256:x"}]}`},
		{"DELETE", "/v2.1/hostkeys?target=dut1", "/v2.1/hostkeys", ""},
		{"GET", "/v2.1/whoami", "", ""},
		{"GET", "/login", "", ""},
		{"POST", "/login", "", `{"id_token":"x"}`},
		{"GET", "/v2.1/secrets", "", ""},
		{"PUT", "/v2.1/secrets/db", "/v2.1/secrets/{name}", `{"value":"long enough","groups":["duts"]}`},
		{"PUT", "/v2.1/secrets/db", "/v2.1/secrets/{name}", `{"base64":"AAEC"}`},
		{"DELETE", "/v2.1/secrets/db", "/v2.1/secrets/{name}", ""},
		{"DELETE", "/v2.1/secrets/none", "/v2.1/secrets/{name}", ""},
		{"POST", "/v2.1/artifacts", "", "abc"},
		{"GET", "/v2.1/artifacts/" + stored.SHA256, "/v2.1/artifacts/{sha256}", ""},
		{"GET", "/v2.1/leases", "", ""},
		{"POST", "/v2.1/leases", "", `{"target":"dut1","for":"2h","purpose":"soak"}`},
		{"POST", "/v2.1/leases", "", `{"target":"dut1","for":"2h","wait":"1h"}`},
		{"POST", "/v2.1/leases", "", `{"target":"dut2","for":"2h"}`},
		{"GET", "/v2.1/leases/L1?wait=1s", "/v2.1/leases/{id}", ""},
		{"GET", "/v2.1/leases/L2", "/v2.1/leases/{id}", ""},
		{"POST", "/v2.1/leases/L1/renew", "/v2.1/leases/{id}/renew", `{"for":"1h"}`},
		{"DELETE", "/v2.1/leases/L1", "/v2.1/leases/{id}", ""},
		{"GET", "/v2.1/queue", "", ""},
		{"GET", "/v2.1/audit?since=5m", "/v2.1/audit", ""},
		{"GET", "/v2.1/audit/verify", "", ""},
		{"GET", "/v2.1/version", "", ""},
		{"GET", "/v2.1/inventory", "", ""},
		{"GET", "/healthz", "", ""},
		{"GET", "/readyz", "", ""},
		{"GET", "/metrics", "", ""},
	} {
		pattern := c.pattern
		if pattern == "" {
			pattern = c.path
		}
		a := l.ask(t, c.method, c.path, c.body)
		asked[c.method+" "+pattern] = true
		answers := answersTo(doc, c.method, pattern)
		status := fmt.Sprint(a.status)
		answer, described := answers[status].(map[string]any)
		if !described {
			t.Errorf("%s %s: %d is not described: %s", c.method, c.path, a.status, a.body)
			continue
		}
		if a.status == http.StatusNoContent {
			continue
		}
		kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
		content, _ := answer["content"].(map[string]any)
		if content[kind] == nil {
			t.Errorf("%s %s: %s of %d is not described", c.method, c.path, kind, a.status)
			continue
		}
		if kind != "application/json" && kind != "application/problem+json" && kind != ndjson {
			continue
		}
		at := fmt.Sprintf("mem:openapi#/paths/%s/%s/responses/%s/content/%s/schema", escaper.Replace(pattern), strings.ToLower(c.method), status, escaper.Replace(kind))
		schema, err := compiler.Compile(strings.NewReplacer("{", "%7B", "}", "%7D", "+", "%2B").Replace(at))
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		values := [][]byte{a.body}
		if kind == ndjson {
			values = bytes.Split(bytes.TrimSpace(a.body), []byte("\n"))
		}
		for _, one := range values {
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(one))
			if err != nil {
				t.Fatalf("%s %s: %v: %s", c.method, c.path, err, one)
			}
			if err := schema.Validate(value); err != nil {
				t.Errorf("%s %s: %v\n%s", c.method, c.path, err, one)
			}
		}
	}
	for path, item := range doc["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if key := strings.ToUpper(method) + " " + path; !asked[key] {
				t.Errorf("%s is described and was not tried", key)
			}
		}
	}
}

// Every route that answers is described, and the other way round.
func TestEveryRouteIsDescribed(t *testing.T) {
	l := newLab(t, withPlans(t, new(string)))
	doc, _ := document(t, l)
	var described []string
	param := regexp.MustCompile(`\{(\w+)\}`)
	for path, item := range doc["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			described = append(described, strings.ToUpper(method)+" "+param.ReplaceAllString(path, ":$1"))
		}
	}
	for _, r := range l.server.app.GetRoutes(true) {
		if r.Method == "HEAD" || strings.HasPrefix(r.Path, "/docs") || strings.HasPrefix(r.Path, "/openapi") {
			continue
		}
		key := r.Method + " " + r.Path
		if !slices.Contains(described, key) {
			t.Errorf("%s is not described", key)
		}
		described = slices.DeleteFunc(described, func(d string) bool { return d == key })
	}
	if len(described) > 0 {
		t.Errorf("described and not there: %v", described)
	}
	if doc["openapi"] != "3.1.0" {
		t.Errorf("OpenAPI %v", doc["openapi"])
	}
	ids := map[string]bool{}
	for _, item := range doc["paths"].(map[string]any) {
		for _, op := range item.(map[string]any) {
			id := op.(map[string]any)["operationId"].(string)
			if ids[id] {
				t.Errorf("operation %s comes twice", id)
			}
			ids[id] = true
		}
	}
}

func TestDocsNeedNoOtherSite(t *testing.T) {
	l := newLab(t)
	for path, kind := range map[string]string{"/docs": "text/html", "/docs/page.js": "text/javascript", "/docs/page.css": "text/css", "/openapi.yaml": "application/openapi+yaml"} {
		a := l.ask(t, "GET", path, "")
		if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", path, a.status, a.header.Get("Content-Type"))
		}
		if strings.HasPrefix(path, "/docs") && regexp.MustCompile(`https?://|innerHTML`).Match(a.body) {
			t.Errorf("%s asks another site, or writes HTML", path)
		}
	}
	a := l.ask(t, "GET", "/openapi.json", "")
	if b := l.ask(t, "GET", "/openapi.json", "", "If-None-Match", a.header.Get("ETag")); b.status != 304 || len(b.body) != 0 {
		t.Errorf("known already: %d", b.status)
	}
}

func TestETags(t *testing.T) {
	l := newLab(t)
	id := l.start(t)
	before := l.ask(t, "GET", "/v2.1/runs/"+string(id), "").header.Get("ETag")
	l.finish(id, executor.Passed)
	if a := l.ask(t, "GET", "/v2.1/runs/"+string(id), "", "If-None-Match", before); before == "" || a.status != 200 {
		t.Errorf("a run that ended since the tag %q: %d", before, a.status)
	}
	sum := l.ask(t, "POST", "/v2.1/artifacts", "abc")
	var stored Artifact
	if err := json.Unmarshal(sum.body, &stored); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v2.1/runs/" + string(id), "/v2.1/runs/" + string(id) + "?output=true", "/v2.1/runs", "/v2.1/plugins", "/v2.1/plugins/linux_system",
		"/v2.1/hosts", "/v2.1/hosts/dut1", "/v2.1/groups", "/v2.1/slaves/detail", "/v2.1/artifacts/" + stored.SHA256} {
		first := l.ask(t, "GET", path, "")
		tag := first.header.Get("ETag")
		for _, known := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			if a := l.ask(t, "GET", path, "", "If-None-Match", known); tag == "" || a.status != 304 || len(a.body) != 0 || a.header.Get("Content-Type") != "" || a.header.Get("ETag") != tag {
				t.Errorf("%s, known %q: %d %v %s", path, known, a.status, a.header, a.body)
			}
		}
		if a := l.ask(t, "GET", path, "", "If-None-Match", `"other"`); a.status != 200 || !bytes.Equal(a.body, first.body) {
			t.Errorf("%s, another is known: %d %s", path, a.status, a.body)
		}
		if a := l.ask(t, "HEAD", path, "", "If-None-Match", tag); a.status != 304 {
			t.Errorf("HEAD %s: %d", path, a.status)
		}
	}
	if tag := l.ask(t, "GET", "/v2.1/runs/nosuch", "").header.Get("ETag"); tag != "" {
		t.Errorf("a problem has the tag %s", tag)
	}
}

func TestMetrics(t *testing.T) {
	l := newLab(t)
	id := l.start(t)
	l.ask(t, "GET", "/v2.1/runs/"+string(id), "")
	l.ask(t, "GET", "/nothing/here", "")
	text := string(l.ask(t, "GET", "/metrics", "").body)
	for _, want := range []string{`tfw_http_requests_total{method="GET",route="/v2.1/runs/:id",status="200"} 1`, `route="none",status="404"} 1`, `tfw_build_info{`, "go_goroutines"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, string(id)) || strings.Contains(text, "nothing") {
		t.Error("a label holds what a user sent")
	}
}

func TestPages(t *testing.T) {
	l := newLab(t)
	var names []string
	for marker := ""; ; {
		var p HostPage
		a := l.ask(t, "GET", "/v2.1/hosts?limit=2&marker="+marker, "")
		if err := json.Unmarshal(a.body, &p); err != nil {
			t.Fatal(err)
		}
		for _, h := range p.Hosts {
			names = append(names, h.Name)
		}
		if marker = p.Next; marker == "" {
			break
		}
	}
	if !slices.Equal(names, []string{"dut1", "dut2", "dut3"}) {
		t.Error(names)
	}
}

// Every list takes sort, both ways and together with pages, and says what it takes.
func TestLists(t *testing.T) {
	l := newLab(t)
	for i := range 3 {
		l.start(t, fmt.Sprintf("dut%d", i+1))
		l.ask(t, "POST", "/v2.1/tokens", fmt.Sprintf(`{"name":"ci%d","role":"viewer"}`, i))
	}
	for _, c := range []struct {
		path, list, key, sort string
		n                     int
	}{
		{"/v2.1/runs", "runs", "created", "created", 3}, {"/v2.1/hosts", "hosts", "name", "name", 3}, {"/v2.1/hosts", "hosts", "id", "id", 3}, {"/v2.1/hosts", "hosts", "address", "address", 3},
		{"/v2.1/groups", "groups", "name", "name", 2}, {"/v2.1/tokens", "tokens", "name", "name", 3}, {"/v2.1/leases", "leases", "expires", "expires", 1}, {"/v2.1/plugins", "plugins", "name", "name", 1},
		{"/v2.1/secrets", "secrets", "name", "name", 1}, {"/v2.1/queue", "queue", "since", "since", 0},
	} {
		for _, down := range []string{"", "-"} {
			var keys []string
			for marker := ""; ; {
				a := l.ask(t, "GET", c.path+"?limit=2&sort="+down+c.sort+"&marker="+marker, "")
				var page map[string]json.RawMessage
				var items []map[string]any
				if err := errors.Join(json.Unmarshal(a.body, &page), json.Unmarshal(page[c.list], &items)); err != nil || len(items) > 2 {
					t.Fatalf("%s: %v %s", c.path, err, a.body)
				}
				for _, item := range items {
					keys = append(keys, fmt.Sprint(item[c.key]))
				}
				marker = ""
				if _ = json.Unmarshal(page["next"], &marker); marker == "" || len(keys) > 20 {
					break
				}
			}
			want := slices.Sorted(slices.Values(keys))
			if down != "" {
				slices.Reverse(want)
			}
			if !slices.Equal(keys, want) || len(keys) != c.n {
				t.Errorf("%s?sort=%s%s: %v", c.path, down, c.sort, keys)
			}
		}
		if p := l.ask(t, "GET", c.path+"?sort=colour", "").problem(t); p.Status != 400 || len(p.Errors) == 0 || p.Errors[0].Location != "query.sort" || !strings.Contains(p.Errors[0].Message, c.sort) {
			t.Errorf("%s: %+v", c.path, p)
		}
	}
}
