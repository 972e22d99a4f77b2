package api

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw sends bytes as they are and reads one response.
func (l *lab) raw(t testing.TB, text string) answer {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	go io.Copy(c, strings.NewReader(text))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%.80q: no answer: %v", text, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%.80q: %v", text, err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

func headers(pairs []string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", pairs[i], pairs[i+1])
	}
	return b.String()
}

func length(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }

// Each malformed body on each route that takes one has its own clear message.
func TestMalformedBodies(t *testing.T) {
	l := newLab(t)
	id := l.start(t)
	deep := strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000)
	bodies := map[string]string{
		`{"a": 1`:          "ends too early",
		`{"a": tru}`:       "line 1, column",
		"{\n \"a\": \xff}": "not UTF-8 (line 2, column 7)",
		`{"a":1} {"b":2}`:  "more after the end",
		`{"a":1,"a":2}`:    `"a" twice`,
		deep:               "deeper than 64",
		`[1]`:              "expected object",
		`"x"`:              "expected object",
		`{"no_such":1}`:    "unknown field",
	}
	for _, route := range []string{"POST /v2.1/runs", "POST /v2.1/testcases", "POST /v2.1/tokens", "POST /v2.1/hosts/probe",
		"POST /v2.1/runs/" + string(id) + "/cancel", "POST /v2.1/runs/" + string(id) + "/rerun", "PATCH /v2.1/hosts/dut1", "PATCH /v2.1/hosts?target=dut1"} {
		method, path, _ := strings.Cut(route, " ")
		for body, want := range bodies {
			a := l.ask(t, method, path, body)
			p := a.problem(t)
			if p.Status != 400 || len(p.Errors) == 0 || !strings.Contains(jsonOf(t, p.Errors), strings.Trim(jsonOf(t, want), `"`)) {
				t.Errorf("%s %.40q: %s", route, body, a.body)
			}
		}
		a := l.ask(t, method, path, "<xml/>", "Content-Type", "application/xml")
		if p := a.problem(t); p.Status != 415 || !strings.Contains(p.Detail, "application/json") {
			t.Errorf("%s: %s", route, a.body)
		}
	}
	for _, path := range []string{"/v2.1/runs", "/v2.1/testcases", "/v2.1/tokens", "/v2.1/hosts/probe"} {
		if p := l.ask(t, "POST", path, "").problem(t); p.Status != 400 {
			t.Errorf("%s without a body: %+v", path, p)
		}
	}
	if n := l.count(); n != 1 {
		t.Errorf("%d runs were made", n-1)
	}
}

func TestWrongTypesNameTheField(t *testing.T) {
	l := newLab(t)
	for body, location := range map[string]string{
		`{"plugin":7,"method":"run_shell","target":"dut1"}`:                               "body.plugin",
		`{"plugin":"linux_system","target":"dut1"}`:                                       "body",
		`{"plugin":"linux_system","method":"run_shell","target":["dut1"]}`:                "body.target",
		`{"plugin":"linux_system","method":"run_shell","target":"dut1","timeout":true}`:   "body.timeout",
		`{"plugin":"linux_system","method":"run_shell","target":"dut1","timeout":"soon"}`: "body",
		`{"plugin":"linux_system","method":"run_shell","target":"dut1","parallel":"x"}`:   "body.parallel",
		`{"plugin":"linux_system","method":"run_shell","target":"dut1","serial":"1"}`:     "body.serial",
		`{"plugin":"linux_system","method":"run_shell","target":"dut1","parallel":1e99}`:  "body",
	} {
		a := l.ask(t, "POST", "/v2.1/runs", body)
		if p := a.problem(t); p.Status != 400 || len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Location, location) {
			t.Errorf("%s: %s", body, a.body)
		}
	}
}

// A secret that was sent in the wrong place is not sent back, nor logged.
func TestValuesAreNotEchoed(t *testing.T) {
	l := newLab(t)
	const secret = "hunter2hunter2"
	for _, body := range []string{
		`{"plugin":"linux_system","method":"run_shell","target":"dut1","parallel":"` + secret + `"}`,
		`{"plugin":"linux_system","method":"run_shell","target":"dut1","timeout":{"x":"` + secret + `"}}`,
		`{"plugin":"linux_system","method":"run_shell","target":"dut1","parameters":{"command":["` + secret + `"]}}`,
		`{"plugin":"linux_system","method":"run_shell","target":"dut1","parameters":"` + secret + `"}`,
		`{"plugin":"linux_system" "` + secret + `"}`,
	} {
		a := l.ask(t, "POST", "/v2.1/runs", body)
		if a.status != 400 || bytes.Contains(a.body, []byte(secret)) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if strings.Contains(l.logs.String(), secret) {
		t.Error("logged")
	}
}

func TestHostileHTTP(t *testing.T) {
	l := newLab(t, func(c *Config) { c.ReadTimeout = 300 * time.Millisecond })
	const h = "Host: 127.0.0.1\r\n"
	many := strings.Repeat("X-A: b\r\n", 10000)
	for _, c := range []struct {
		name, text string
		status     int
	}{
		{"not HTTP", "hello\r\n\r\n", 400},
		{"10,000 headers", "GET /v2.1/hosts HTTP/1.1\r\n" + h + many + "\r\n", 431},
		{"a long path", "GET /" + strings.Repeat("a", 20000) + " HTTP/1.1\r\n" + h + "\r\n", 431},
		{"two lengths", "POST /v2.1/runs HTTP/1.1\r\n" + h + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
		{"length and chunks", "POST /v2.1/runs HTTP/1.1\r\n" + h + "Content-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400},
		{"a negative length", "POST /v2.1/runs HTTP/1.1\r\n" + h + "Content-Length: -2\r\n\r\n{}", 400},
		{"a huge length", "POST /v2.1/runs HTTP/1.1\r\n" + h + "Content-Length: 9999999999\r\n\r\n" + strings.Repeat(" ", 9000), 413},
		{"a huge length, two bytes of it", "POST /v2.1/runs HTTP/1.1\r\n" + h + "Content-Length: 99000000000\r\n\r\n{}", 413},
		{"a huge upload, two bytes of it", "POST /v2.1/artifacts HTTP/1.1\r\n" + h + "Content-Length: 99000000000\r\n\r\n{}", 413},
		{"a length beyond numbers", "POST /v2.1/runs HTTP/1.1\r\n" + h + "Content-Length: 99999999999999999999999\r\n\r\n{}", 400},
		{"bad chunks", "POST /v2.1/runs HTTP/1.1\r\n" + h + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", 400},
		{"a head that never ends", "GET /v2.1/hosts HTTP/1.1\r\n" + h, 408},
		{"a body that never comes", "POST /v2.1/runs HTTP/1.1\r\n" + h + "Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"plu", 408},
		{"an upload that never comes", "POST /v2.1/artifacts HTTP/1.1\r\n" + h + "Content-Length: 20\r\n\r\nabc", 408},
		{"an upload that stops", "POST /v2.1/artifacts HTTP/1.1\r\n" + h + "Content-Length: 20000\r\n\r\n" + strings.Repeat("a", 9000), 408},
		{"expecting too much", "POST /v2.1/runs HTTP/1.1\r\n" + h + "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", 413},
		{"an unknown method", "BREW /v2.1/hosts HTTP/1.1\r\n" + h + "\r\n", 501},
		{"a wrong method", "DELETE /v2.1/hosts HTTP/1.1\r\n" + h + "\r\n", 405},
		{"a path trick", "GET /v2.1/hosts/..%2f..%2fetc%2fpasswd HTTP/1.1\r\n" + h + "\r\n", 404},
		{"a NUL", "GET /v2.1/hosts/%00 HTTP/1.1\r\n" + h + "\r\n", 404},
		{"bad UTF-8", "GET /v2.1/hosts/%ff%fe HTTP/1.1\r\n" + h + "\r\n", 404},
		{"bad escapes", "GET /v2.1/hosts?target=%zz HTTP/1.1\r\n" + h + "\r\n", 400},
		{"a bad escape in the path", "GET /v2.1/hosts/%zz HTTP/1.1\r\n" + h + "\r\n", 404},
		{"an empty target", "GET /v2.1/hosts?target= HTTP/1.1\r\n" + h + "\r\n", 400},
		{"an empty expression", "GET /v2.1/hosts?target=all&where=%20 HTTP/1.1\r\n" + h + "\r\n", 400},
		{"an unknown query", "GET /v2.1/hosts?tarjet=dut1 HTTP/1.1\r\n" + h + "\r\n", 400},
		{"a wrong query", "GET /v2.1/runs?limit=many HTTP/1.1\r\n" + h + "\r\n", 400},
		{"a marker of nothing", "GET /v2.1/hosts?marker=zz HTTP/1.1\r\n" + h + "\r\n", 400},
		{"a query twice", "GET /v2.1/runs?limit=1&limit=2 HTTP/1.1\r\n" + h + "\r\n", 400},
		{"a query of no UTF-8", "GET /v2.1/runs?host=%ff HTTP/1.1\r\n" + h + "\r\n", 400},
		{"a query that cannot be read", "GET /v2.1/runs?%zz=1 HTTP/1.1\r\n" + h + "\r\n", 400},
		{"a number beyond all", "POST /v2.1/runs HTTP/1.1\r\n" + h + "Content-Type: application/json\r\n" + length(`{"priority":1e999}`) + "\r\n" + `{"priority":1e999}`, 400},
		{"a body on a GET", "GET /v2.1/hosts HTTP/1.1\r\n" + h + "Content-Length: 3\r\n\r\nabc", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := l.raw(t, c.text)
			if a.status != c.status {
				t.Fatalf("%d, want %d: %s", a.status, c.status, a.body)
			}
			if a.status >= 400 {
				p := a.problem(t)
				if strings.Contains(c.name, "query") || strings.Contains(c.name, "marker") {
					if len(p.Errors) != 1 || !strings.HasPrefix(p.Errors[0].Location, "query") {
						t.Errorf("does not name the field: %+v", p)
					}
				}
			}
		})
	}
	if a := l.ask(t, "DELETE", "/v2.1/hosts", ""); !strings.Contains(a.header.Get("Allow"), "GET") {
		t.Errorf("Allow is %q", a.header.Get("Allow"))
	}
	if strings.Contains(l.logs.String(), "panic") {
		t.Errorf("%s", l.logs)
	}
}

// What is left of a refused body is not taken for the next request.
func TestLeftoverBodyIsNoRequest(t *testing.T) {
	l := newLab(t)
	const smuggled = "GET /v2.1/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
	for name, head := range map[string]string{
		"refused":                     fmt.Sprintf("DELETE /v2.1/hosts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n", len(smuggled)),
		"a length and chunks":         fmt.Sprintf("POST /v2.1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\ncontent-length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", len(smuggled)+5),
		"chunks and a length, of GET": fmt.Sprintf("GET /v2.1/hosts HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n", len(smuggled)+5),
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(c, head+smuggled)
		all, _ := io.ReadAll(c)
		c.Close()
		if n := bytes.Count(all, []byte("HTTP/1.1 ")); n != 1 || !bytes.HasPrefix(all, []byte("HTTP/1.1 40")) {
			t.Errorf("%s: %d answers: %s", name, n, all)
		}
	}
}

func TestBodyOverTheLimit(t *testing.T) {
	l := newLab(t, func(c *Config) { c.BodyLimit, c.ArtifactLimit = 1000, 5000 })
	for path, size := range map[string]int{"/v2.1/runs": 1001, "/v2.1/artifacts": 5001} {
		big := strings.Repeat("x", size)
		if p := l.ask(t, "POST", path, big).problem(t); p.Status != 413 || p.Code != "too_large" {
			t.Errorf("%s: %+v", path, p)
		}
		chunked := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", path, size, big)
		if a := l.raw(t, chunked); a.status != 413 {
			t.Errorf("%s in chunks: %d %s", path, a.status, a.body)
		}
	}
	if a := l.ask(t, "POST", "/v2.1/artifacts", strings.Repeat("x", 5000)); a.status != 201 {
		t.Errorf("at the limit: %d %s", a.status, a.body)
	}
}

// A HEAD of a stream has no body, and does not follow.
func TestHead(t *testing.T) {
	l := newLab(t)
	id := l.start(t)
	for _, path := range []string{"/v2.1/hosts", "/v2.1/runs/" + string(id) + "/log?follow=1", "/v2.1/artifacts/" + strings.Repeat("0", 64)} {
		if a := l.ask(t, "HEAD", path, ""); a.status == 405 || len(a.body) != 0 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	l.waitFollowers(t, 0)
	body := `{"plugin":"linux_system","method":"run_shell","target":"duts","parameters":{"command":"ls"},"plan":"p"}`
	if p := l.ask(t, "POST", "/v2.1/runs", body).problem(t); p.Status != 400 || p.Errors[0].Location != "body.plan" {
		t.Errorf("max_hosts is got round by a plan: %+v", p)
	}
}

func TestRequestIDs(t *testing.T) {
	l := newLab(t)
	for sent, kept := range map[string]bool{"abc-1.2_3": true, "a b": false, "x\ty": false, strings.Repeat("a", 101): false, "<script>": false} {
		got := l.ask(t, "GET", "/v2.1/version", "", "X-Request-Id", sent).header.Get("X-Request-Id")
		if got == "" || (got == sent) != kept {
			t.Errorf("%q came back as %q", sent, got)
		}
	}
}
