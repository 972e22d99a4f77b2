package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tfw/api"
)

// operation is what the API's own description says of a route.
type operation struct {
	method, path string
	body         map[string]any // schema of the JSON body, nil when it takes none
	parameters   []parameter
}

type parameter struct {
	Name, In string
	Schema   map[string]any
}

// operations reads the description: what is tried with it is tried on every route there is.
func (l *teams) operations() (all []operation) {
	l.t.Helper()
	_, text := l.ask("none", "GET", "/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters  []parameter
			RequestBody struct {
				Content map[string]struct{ Schema map[string]any }
			}
		}
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&doc); err != nil {
		l.t.Fatal(err)
	}
	follow := func(s map[string]any) map[string]any {
		if ref, ok := s["$ref"].(string); ok {
			return doc.Components.Schemas[ref[strings.LastIndex(ref, "/")+1:]]
		}
		return s
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			o := operation{method: strings.ToUpper(method), path: path, parameters: op.Parameters}
			if s := op.RequestBody.Content["application/json"].Schema; s != nil {
				o.body = follow(s)
				for name, property := range o.body["properties"].(map[string]any) {
					o.body["properties"].(map[string]any)[name] = follow(property.(map[string]any))
				}
			}
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

// url fills in the path and what the query must have.
func (o operation) url() string {
	path := strings.NewReplacer("{id}", "nosuch", "{name}", "nosuch", "{sha256}", strings.Repeat("0", 64)).Replace(o.path)
	if o.method == "PATCH" && o.path == "/v2.1/hosts" {
		path += "?target=red1"
	}
	return path
}

// with adds to the query.
func (o operation) with(query string) string {
	if url := o.url(); strings.Contains(url, "?") {
		return url + "&" + query
	}
	return o.url() + "?" + query
}

// refused asks as admin and wants a problem with that status and, when given, a fault at the location.
func (l *teams) refused(status int, location, method, path, body string) {
	l.t.Helper()
	got, text := l.ask("admin", method, path, body)
	var p api.Problem
	if err := json.Unmarshal([]byte(head(text)), &p); err != nil || got != status || p.Status != status || p.Code == "" || p.Request == "" {
		l.t.Errorf("%s %s %.60q: %d, want %d: %.300s", method, path, body, got, status, text)
		return
	}
	if location != "" && !slices.ContainsFunc(p.Errors, func(e api.ProblemError) bool { return strings.HasPrefix(e.Location, location) && e.Message != "" }) {
		l.t.Errorf("%s %s %.60q: no fault at %s: %.300s", method, path, body, location, head(text))
	}
}

// Whatever is wrong with a request, on every route that the API describes, the
// answer is a 4xx that names the field.
func TestBadInputOnEveryRoute(t *testing.T) {
	l := newTeams(t)
	ops, bodies := l.operations(), 0
	malformed := []string{`{"a": 1`, `{"a": tru}`, "{\n \"a\": \xff}", `{"a":1} {"b":2}`, `{"a":1,"a":2}`, `[1]`, `"x"`, `7`,
		strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000), strings.Repeat("[", 100000)}
	for _, o := range ops {
		if o.body != nil {
			bodies++
			for _, body := range malformed {
				l.refused(400, "body", o.method, o.url(), body)
			}
			l.refused(400, "body.no_such", o.method, o.url(), `{"no_such":1}`)
			l.refused(413, "", o.method, o.url(), strings.Repeat(" ", 8<<20+1))
			for name, property := range o.body["properties"].(map[string]any) {
				if wrong := wrongFor(property.(map[string]any)); wrong != "" {
					l.refused(400, "body."+name, o.method, o.url(), fmt.Sprintf(`{%q: %s}`, name, wrong))
				}
			}
		}
		if !strings.HasPrefix(o.path, "/v2.1/") {
			continue
		}
		l.refused(400, "query.no_such", o.method, o.with("no_such=1"), "{}")
		for _, p := range o.parameters {
			if wrong := wrongFor(p.Schema); p.In == "query" && wrong != "" && p.Schema["type"] != "string" {
				l.refused(400, "query."+p.Name, o.method, o.with(p.Name+"=-x"), "{}")
			} else if p.In == "query" && p.Schema["enum"] != nil {
				l.refused(400, "query."+p.Name, o.method, o.with(p.Name+"=nosuch"), "{}")
			}
		}
	}
	if bodies < 14 {
		t.Errorf("only %d routes take a body", bodies)
	}
	for _, o := range ops {
		taken := func(method string) bool {
			return slices.ContainsFunc(ops, func(other operation) bool { return other.path == o.path && other.method == method })
		}
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			if !taken(method) && !overlaps(ops, o.path, method) {
				l.refused(405, "", method, o.url(), "")
			}
		}
	}
}

// overlaps reports whether the path is taken by a pattern with a parameter: /slaves/detail is one of /slaves/{id} too.
func overlaps(ops []operation, path, method string) bool {
	return slices.ContainsFunc(ops, func(o operation) bool {
		a, b := strings.Split(o.path, "/"), strings.Split(path, "/")
		if o.method != method || o.path == path || len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] && !strings.HasPrefix(a[i], "{") && !strings.HasPrefix(b[i], "{") {
				return false
			}
		}
		return true
	})
}

// wrongFor is a JSON value that a schema cannot take, "" when it takes any.
func wrongFor(s map[string]any) string {
	switch s["type"] {
	case "string":
		return "7"
	case "integer", "number", "boolean", "array", "object":
		return `"x"`
	}
	if s["anyOf"] != nil {
		return `{"x": 1}`
	}
	return ""
}

// Tricks with paths find nothing, on whatever route.
func TestPathTricks(t *testing.T) {
	l := newTeams(t)
	for _, trick := range []string{"..%2f..%2fetc%2fpasswd", "%2e%2e", "%00", "%ff%fe", "a%0d%0aX: y", "a%2fb", strings.Repeat("a", 2000), "-", "%20", "..;", "{id}", "%7bid%7d", "*", "~.*"} {
		for _, path := range []string{"hosts", "runs", "groups", "plugins", "slaves", "leases", "testplans", "artifacts"} {
			status, text := l.ask("admin", "GET", "/v2.1/"+path+"/"+trick, "")
			if status < 400 || status >= 500 || strings.Contains(text, "\nX: y") {
				t.Errorf("%s/%.40s: %d %.200s", path, trick, status, text)
			}
		}
	}
}
