package api

import (
	"strings"
	"testing"
	"time"

	"tfw/executor"
)

func TestTokens(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Auth = true })
	l.secrets["tfw_x_good"] = executor.Principal{Name: "ann", Role: executor.Viewer}
	const call = `{"plugin":"linux_system","method":"run_shell","target":"dut1","parameters":{"command":"ls"}}`
	for _, c := range []struct {
		method, path, body string
		header             []string
		status             int
	}{
		{"GET", "/v2.1/hosts", "", nil, 401},
		{"GET", "/v2.1/hosts", "", []string{"Authorization", "Bearer tfw_x_good"}, 200},
		{"GET", "/v2.1/hosts", "", []string{"Authorization", "bearer  tfw_x_good"}, 200},
		{"GET", "/v2.1/hosts", "", []string{"X-Auth-Token", "tfw_x_good"}, 200},
		{"GET", "/v2.1/hosts", "", []string{"Authorization", "Bearer tfw_x_bad"}, 401},
		{"GET", "/v2.1/hosts", "", []string{"Authorization", "Basic dGZ3"}, 401},
		{"GET", "/v2.1/nothing", "", nil, 401},
		{"GET", "/v2.1", "", nil, 401},
		{"GET", "//v2.1/hosts", "", nil, 404},
		{"GET", "/x/../v2.1/hosts", "", nil, 404},
		{"GET", "/V2.1/hosts", "", nil, 404},
		{"GET", "/%76%32.1/hosts", "", nil, 401},
		{"POST", "/v2.1/runs", call, []string{"X-Auth-Token", "tfw_x_good"}, 403},
		{"GET", "/healthz", "", nil, 200},
		{"GET", "/readyz", "", nil, 200},
		{"GET", "/metrics", "", nil, 200},
		{"GET", "/openapi.json", "", nil, 200},
		{"GET", "/docs", "", nil, 200},
	} {
		a := l.ask(t, c.method, c.path, c.body, c.header...)
		if a.status != c.status {
			t.Errorf("%s %s %v: %d, want %d: %s", c.method, c.path, c.header, a.status, c.status, a.body)
		}
		if a.status >= 400 {
			a.problem(t)
		}
		if a.status == 401 && a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: no challenge", c.path)
		}
	}
	if text := l.logs.String(); strings.Contains(text, "tfw_x_bad") || !strings.Contains(text, "authentication failed") {
		t.Errorf("the log: %s", text)
	}
	if l.count() != 0 {
		t.Error("a viewer ran something")
	}
}

// What needs somebody's attention is told, and runs are taken all the same.
func TestReadyTellsThatTheClockIsNotTrusted(t *testing.T) {
	l := newLab(t)
	if a := l.ask(t, "GET", "/readyz", "", nil...); a.status != 200 || strings.Contains(string(a.body), "clock") {
		t.Errorf("%d %s", a.status, a.body)
	}
	l.mu.Lock()
	l.doubt = "it was set forward by 1h0m0s"
	l.mu.Unlock()
	if a := l.ask(t, "GET", "/readyz", "", nil...); a.status != 200 || !strings.Contains(string(a.body), "is not trusted, nothing is dropped for its age: it was set forward by 1h0m0s") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// Without tokens a browser must not be the way in.
func TestOtherSitesAreRefused(t *testing.T) {
	l := newLab(t)
	host := strings.TrimPrefix(l.url, "http://")
	const call = `{"plugin":"linux_system","method":"run_shell","target":"dut1","parameters":{"command":"ls"}}`
	for _, c := range []struct {
		host   string
		header []string
		status int
	}{
		{host, nil, 202},
		{"localhost:80", nil, 202},
		{"[::1]:80", nil, 202},
		{"evil.example", nil, 403},
		{"127.0.0.1.evil.example", nil, 403},
		{host, []string{"Origin", "http://" + host, "Sec-Fetch-Site", "same-origin"}, 202},
		{host, []string{"Origin", "http://evil.example"}, 403},
		{host, []string{"Origin", "null"}, 403},
		{host, []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		a := l.raw(t, "POST /v2.1/runs HTTP/1.1\r\nHost: "+c.host+"\r\nContent-Type: text/plain\r\n"+headers(c.header)+length(call)+"\r\n"+call)
		want := c.status
		if want == 202 {
			want = 415 // let in, and refused for its text/plain
		}
		if a.status != want {
			t.Errorf("%s %v: %d, want %d: %s", c.host, c.header, a.status, want, a.body)
		}
	}
}

func TestFailedAuthenticationsAreSlowed(t *testing.T) {
	now := time.Unix(0, 0)
	th := newThrottle()
	th.now = func() time.Time { return now }
	var waits []time.Duration
	for range 40 {
		w, ok := th.failed("a")
		if !ok {
			t.Fatal("refused with nobody waiting")
		}
		th.done()
		waits = append(waits, w)
	}
	if waits[4] != 0 || waits[5] != 100*time.Millisecond || waits[39] != maxFailDelay {
		t.Errorf("%v", waits)
	}
	if w, _ := th.failed("b"); w != 0 {
		t.Errorf("another source waits %v", w)
	}
	now = now.Add(time.Hour)
	if w, _ := th.failed("a"); w != 0 {
		t.Errorf("not forgotten after an hour: %v", w)
	}
	for range maxFailWaiting {
		th.failed("c")
	}
	if _, ok := th.failed("c"); ok {
		t.Error("too many are held up at a time")
	}
	for i := range maxFailSources + 10 {
		th.failed(strings.Repeat("x", i%100) + time.Duration(i).String())
	}
	if len(th.sources) > maxFailSources {
		t.Errorf("%d sources remembered", len(th.sources))
	}
}
