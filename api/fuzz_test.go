package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// Whatever a body holds, the answer is a 202 or a problem below 500 that does not depend on luck.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		`{"plugin":"linux_system","method":"run_shell","target":"dut1","parameters":{"command":"ls"},"timeout":"90s","serial":["1","20%"]}`,
		`{"plugin":"linux_system","host":"dut1","method":"run_shell","parameters":{"command":"ls"}}`,
		`{"name":"ci","role":"operator","groups":["duts"],"expires":"1h"}`, `{"state":"maintenance","reason":"eth1"}`,
		`{"target":"duts"}`, `{"reason":"lunch"}`, `{"failed":true}`, `[]`, `null`, `{"a":{"a":[{}]}}`, "\xff", `{"a":1,"a":2}`, `{"timeout":-1}`, `{"timeout":1e400}`, ``,
	} {
		f.Add(uint8(0), []byte(seed))
		f.Add(uint8(1), []byte(seed))
		f.Add(uint8(2), []byte(seed))
	}
	fakes := newFake(f)
	s, err := New(Config{Executor: fakes, Plugins: fakes.reg})
	if err != nil {
		f.Fatal(err)
	}
	routes := []string{"POST /v2.1/runs", "POST /v2.1/testcases", "POST /v2.1/tokens", "POST /v2.1/hosts/probe", "PATCH /v2.1/hosts/dut1", "POST /v2.1/runs/last/cancel", "POST /v2.1/runs/last/rerun",
		"POST /v2.1/leases", "POST /v2.1/leases/L1/renew", "PUT /v2.1/secrets/s", "PATCH /v2.1/hosts?target=dut1", "POST /v2.1/runs?dry_run=1"}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		route := routes[int(which)%len(routes)]
		method, path, _ := bytes.Cut([]byte(route), []byte(" "))
		var c fasthttp.RequestCtx
		c.Request.Header.SetMethodBytes(method)
		c.Request.SetRequestURIBytes(path)
		c.Request.Header.SetHost("127.0.0.1")
		c.Request.Header.SetContentType("application/json")
		c.Request.SetBodyStream(bytes.NewReader(body), len(body))
		s.http.Handler(&c)
		status, answer := c.Response.StatusCode(), c.Response.Body()
		if status >= 500 || !json.Valid(answer) {
			t.Errorf("%s %q: %d %s", route, body, status, answer)
		}
		if status < 300 && (!utf8.Valid(body) || (len(body) > 0 && !json.Valid(body))) {
			t.Errorf("%s %q was taken: %d", route, body, status)
		}
	})
}

// Whatever a URL holds, the answer is below 500: paths, names, queries, markers.
func FuzzURLs(f *testing.F) {
	for _, seed := range []string{"/v2.1/hosts?target=duts,!dut1&where=true&limit=1&marker=dut1&sort=-name", "/v2.1/runs?state=done&verdict=passed&marker=0000000000000001&sort=created&by=a",
		"/v2.1/runs/last/log?after=1&tail=2&since=5m&cmd=0&skip=3&format=raw&host=dut1", "/v2.1/hosts/%2e%2e%2f", "/v2.1/hosts/%ff", "/v2.1/slaves/detail", "/v2.1/leases/L1?wait=1ms",
		"/v2.1/audit?since=5m", "/openapi.yaml", "/docs/../x", "//", "/v2.1/artifacts/00", "*", "/v2.1/hosts?limit=1&limit=2", "/v2.1/hosts?=&&;", "/v2.1/plugins/linux_system?x"} {
		f.Add(seed)
	}
	fakes := newFake(f)
	s, err := New(Config{Executor: fakes, Plugins: fakes.reg, Inventory: func() InventoryStatus { return InventoryStatus{} }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, url string) {
		var c fasthttp.RequestCtx
		c.Request.SetRequestURI(url)
		c.Request.Header.SetHost("127.0.0.1")
		if bytes.Contains([]byte(url), []byte("wait=")) {
			return // it would
		}
		s.http.Handler(&c)
		if status := c.Response.StatusCode(); status >= 500 {
			t.Errorf("%q: %d %s", url, status, c.Response.Body())
		}
		c.Response.ResetBody()
	})
}

// What checkJSON lets pass encoding/json reads, and reads the same as any other reader would.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"b":{"a":2}}`, `{"a":1,"a":2}`, `[[[]]]`, `{"a":[{"a":1}],"b":"a"}`, `1 2`, `"\ud800"`, `{"a":"b","b":"a"}`, "{\"\\u0061\":1,\"a\":2}", ``, `}`, `{"a":}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := checkJSON(data)
		if err == nil && !json.Valid(data) {
			t.Errorf("%q was taken", data)
		}
		if err != nil {
			return
		}
		var a, b any
		if err := json.Unmarshal(data, &a); err != nil {
			t.Skip() // a number out of range
		}
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkJSON(raw); err != nil {
			t.Errorf("%q became %q: %v", data, raw, err)
		}
		if err := json.Unmarshal(raw, &b); err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%q is not %q", data, raw)
		}
	})
}

// An entry comes out of its wire form as it went in.
func FuzzLogEntry(f *testing.F) {
	f.Add([]byte("text"), []byte(`{"seq":1,"data":"x"}`))
	f.Add([]byte("\xff\x00"), []byte(`{"seq":1,"data":"/w==","encoding":"base64"}`))
	f.Add([]byte(""), []byte(`{"seq":1,"data":"x","encoding":"rot13"}`))
	f.Fuzz(func(t *testing.T, data, wire []byte) {
		in := LogEntry{Seq: 7, Host: "dut1", Stream: "stdout", Offset: 3, Data: data}
		var line bytes.Buffer
		encode(&line, wireOf(in))
		if bytes.Count(line.Bytes(), []byte("\n")) != 1 {
			t.Errorf("not one line: %q", line.Bytes())
		}
		var out LogEntry
		if err := json.Unmarshal(line.Bytes(), &out); err != nil || !bytes.Equal(out.Data, data) || out.Offset != 3 {
			t.Errorf("%v: %q became %q", err, data, out.Data)
		}
		var any LogEntry
		_ = json.Unmarshal(wire, &any) // whatever a server sends, no panic
	})
}

// Parameters of a query: what they take they understand.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{"30s", "5", "2026-11-22T10:00:00Z", "-1s", "1e9", "NaN", "", "9999999h", "0x1p-2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var w wait
		if w.UnmarshalText([]byte(text)) == nil && (w.Duration < 0 || w.Duration > maxWait) {
			t.Errorf("wait %q is %v", text, w.Duration)
		}
		var c command
		if c.UnmarshalText([]byte(text)) == nil && (c.n == nil || *c.n < 0) {
			t.Errorf("cmd %q is %v", text, c.n)
		}
		var s since
		_ = s.UnmarshalText([]byte(text))
	})
}
