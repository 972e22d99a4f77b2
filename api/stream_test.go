package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tfw/executor"
)

// start submits a run on all three hosts, or on the target given.
func (l *lab) start(t testing.TB, target ...string) executor.RunID {
	t.Helper()
	req := executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "duts", Parameters: json.RawMessage(`{"command":"ls"}`)}
	if len(target) > 0 {
		req.Target = target[0]
	}
	run, err := l.client.Submit(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	return run.ID
}

const horror = "caf\xc3\xa9\x00\xff\xfe\r\n\x1b[31m\xe2\x80\xa8 <&>"

func TestLogForms(t *testing.T) {
	l := newLab(t)
	id := l.start(t)
	l.say(id, "dut1", executor.Stdout, "one\n")
	l.say(id, "dut1", executor.Stdout, horror)
	l.say(id, "dut1", executor.Stderr, "oops")
	l.say(id, "dut2", executor.Stdout, "two\n")
	path := "/v2.1/runs/" + string(id) + "/log"

	if a := l.ask(t, "GET", path+"?host=dut1", "", "Accept", "text/plain"); string(a.body) != "one\n"+horror {
		t.Errorf("raw bytes: %q", a.body)
	}
	if a := l.ask(t, "GET", path+"?host=dut1&stream=stderr&format=raw", ""); string(a.body) != "oops" {
		t.Errorf("raw stderr: %q", a.body)
	}
	a := l.ask(t, "GET", path, "")
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	if a.header.Get("Content-Type") != ndjson || len(lines) != 4 {
		t.Fatalf("ndjson: %s: %s", a.header.Get("Content-Type"), a.body)
	}
	var first map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || first["data"] != "one\n" || first["encoding"] != nil || first["seq"] != 1.0 || first["cmd"] != 0.0 {
		t.Errorf("%v: %v", err, first)
	}
	var second LogEntry
	if err := json.Unmarshal([]byte(lines[1]), &second); err != nil || string(second.Data) != horror || second.Offset != 4 || !strings.Contains(lines[1], `"encoding":"base64"`) {
		t.Errorf("%v: %+v", err, second)
	}
	a = l.ask(t, "GET", path+"?after=3", "", "Accept", "text/event-stream")
	if !strings.HasPrefix(string(a.body), "id: 4\ndata: {") || !strings.HasSuffix(string(a.body), "}\n\n") {
		t.Errorf("sse: %q", a.body)
	}
	a = l.ask(t, "GET", path+"?tail=2&format=sse", "", "Last-Event-ID", "2")
	if strings.Count(string(a.body), "id: ") != 2 || strings.Contains(string(a.body), "id: 2\n") {
		t.Errorf("sse resumed: %q", a.body)
	}
	for query, want := range map[string]int{"?limit=2": 2, "?tail=1": 1, "?stream=stdout": 3, "?host=dut2": 1, "?cmd=0": 4, "?cmd=1": 0, "?after=4": 0, "?since=1h": 4} {
		if got := strings.Count(string(l.ask(t, "GET", path+query, "").body), "\n"); got != want {
			t.Errorf("%s gives %d entries, want %d", query, got, want)
		}
	}
}

func TestLogRefusals(t *testing.T) {
	l := newLab(t)
	id := l.start(t)
	path := "/v2.1/runs/" + string(id) + "/log"
	for query, want := range map[string]struct {
		status int
		where  string
	}{
		"?host=web-9":          {404, ""},
		"?format=raw":          {400, "query.host"},
		"?stream=stdin":        {400, "query.stream"},
		"?after=-1":            {400, "query.after"},
		"?after=x":             {400, "query.after"},
		"?cmd=x":               {400, "query.cmd"},
		"?since=yesterday":     {400, "query.since"},
		"?format=xml":          {400, "query.format"},
		"?tail=99999999999999": {400, "query.tail"},
		"?folow=1":             {400, "query.folow"},
	} {
		p := l.ask(t, "GET", path+query, "").problem(t)
		if p.Status != want.status || (want.where != "" && (len(p.Errors) == 0 || p.Errors[0].Location != want.where)) {
			t.Errorf("%s: %+v", query, p)
		}
	}
	if p := l.ask(t, "GET", path, "", "Accept", "image/png").problem(t); p.Status != 406 {
		t.Errorf("%+v", p)
	}
	if p := l.ask(t, "GET", "/v2.1/runs/nosuchrun/log", "").problem(t); p.Status != 404 {
		t.Errorf("%+v", p)
	}
}

// follow opens a followed log.
func (l *lab) followAs(t testing.TB, id executor.RunID, accept, query string) (*http.Response, *bufio.Reader, func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	req, err := http.NewRequestWithContext(ctx, "GET", l.url+"/v2.1/runs/"+string(id)+"/log?follow=1"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := tests.Transport.RoundTrip(req)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	return resp, bufio.NewReader(resp.Body), func() { cancel(); resp.Body.Close() }
}

func TestFollowEndsWithTheRun(t *testing.T) {
	l := newLab(t)
	id := l.start(t)
	resp, body, stop := l.followAs(t, id, sse, "")
	defer stop()
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	for i := range 3 { // each line comes while the run goes on
		l.say(id, "dut1", executor.Stdout, fmt.Sprintf("line %d\n", i))
		for want := fmt.Sprintf("id: %d\n", i+1); ; {
			line, err := body.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line == want {
				break
			}
		}
	}
	l.say(id, "dut1", executor.Stdout, "last\n")
	l.finish(id, executor.Failed)
	rest, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(rest, []byte(`last\n`)) || !bytes.HasSuffix(rest, []byte("event: end\ndata: {\"run\":\""+string(id)+"\",\"state\":\"done\",\"verdict\":\"failed\"}\n\n")) {
		t.Errorf("%s", rest)
	}
}

func TestHeartbeats(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Heartbeat = 10 * time.Millisecond })
	id := l.start(t)
	for accept, want := range map[string]string{sse: ": still here\n", ndjson: "\n"} {
		_, body, stop := l.followAs(t, id, accept, "")
		if line, err := body.ReadString('\n'); err != nil || line != want {
			t.Errorf("%s: %q %v", accept, line, err)
		}
		stop()
	}
	l.waitFollowers(t, 0)
	// A client skips them.
	go func() { time.Sleep(600 * time.Millisecond); l.say(id, "dut1", "stdout", "x"); l.finish(id, "passed") }()
	n := 0
	for e, err := range l.client.Log(context.Background(), string(id), LogOptions{Follow: true}) {
		if err != nil || string(e.Data) != "x" {
			t.Errorf("%v %+v", err, e)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d entries", n)
	}
}

// followers is the gauge as scraped.
func (l *lab) followers(t testing.TB) string {
	t.Helper()
	for line := range strings.Lines(string(l.ask(t, "GET", "/metrics", "").body)) {
		if rest, ok := strings.CutPrefix(line, "tfw_log_followers "); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatal("no tfw_log_followers in /metrics")
	return ""
}

func (l *lab) waitFollowers(t testing.TB, n int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second) // well before a heartbeat would find out
	for l.followers(t) != fmt.Sprint(n) {
		if time.Now().After(deadline) {
			t.Fatalf("%s followers, want %d", l.followers(t), n)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A client that hangs up is noticed by the socket, while nothing is written to it.
func TestVanishedFollowerIsFreed(t *testing.T) {
	l := newLab(t)
	id := l.start(t)
	_, _, stop := l.followAs(t, id, ndjson, "")
	l.waitFollowers(t, 1)
	begin := time.Now()
	stop()
	l.waitFollowers(t, 0)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("noticed only after %v", took)
	}
}

// A follower that never reads costs a bounded time and holds up nobody.
func TestStuckFollowerIsCut(t *testing.T) {
	l := newLab(t, func(c *Config) { c.WriteTimeout = 200 * time.Millisecond })
	id := l.start(t)
	stuck, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	stuck.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(stuck, "GET /v2.1/runs/%s/log?follow=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id)
	l.waitFollowers(t, 1)
	big := strings.Repeat("x", 60<<10)
	for range 120 { // 7 MB: more than the socket's buffers
		l.say(id, "dut1", executor.Stdout, big)
	}
	l.finish(id, executor.Passed)
	if n := len(readLog(t, l.client, id, LogOptions{Follow: true})); n != 120 {
		t.Errorf("another follower got %d entries", n)
	}
	l.waitFollowers(t, 0)
}

func readLog(t testing.TB, c *Client, id executor.RunID, o LogOptions) []LogEntry {
	t.Helper()
	var all []LogEntry
	for e, err := range c.Log(context.Background(), string(id), o) {
		if err != nil {
			t.Fatalf("after %d entries: %v", len(all), err)
		}
		all = append(all, e)
	}
	return all
}

// proxy passes connections on and cuts each after some bytes of the response.
func cutProxy(t testing.TB, to string, every int64) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				up, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer up.Close()
				wg.Go(func() { io.Copy(up, c); up.Close() })
				io.CopyN(c, up, every)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return "http://" + ln.Addr().String()
}

// Cut again and again, a log comes whole: nothing missed, nothing twice.
func TestLogResumes(t *testing.T) {
	l := newLab(t)
	id := l.start(t, "dut1")
	url := cutProxy(t, strings.TrimPrefix(l.url, "http://"), 3000)
	c := newTestClient(t, url)
	var want bytes.Buffer
	go func() {
		for i := range 200 {
			l.say(id, "dut1", executor.Stdout, fmt.Sprintf("%d %s\n", i, strings.Repeat("\xff", i%50)))
		}
		l.finish(id, executor.Passed)
	}()
	for i := range 200 {
		fmt.Fprintf(&want, "%d %s\n", i, strings.Repeat("\xff", i%50))
	}
	var got bytes.Buffer
	var last uint64
	for _, e := range readLog(t, c, id, LogOptions{Follow: true}) {
		if e.Seq <= last {
			t.Fatalf("seq %d after %d", e.Seq, last)
		}
		last = e.Seq
		got.Write(e.Data)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes, want %d", got.Len(), want.Len())
	}
	var raw bytes.Buffer
	n, err := newTestClient(t, cutProxy(t, strings.TrimPrefix(l.url, "http://"), 1000)).RawLog(context.Background(), string(id), LogOptions{Follow: true}, &raw)
	if err != nil || n != int64(want.Len()) || !bytes.Equal(raw.Bytes(), want.Bytes()) {
		t.Errorf("raw: %d bytes, want %d: %v", n, want.Len(), err)
	}
}

func TestShutdownEndsFollowers(t *testing.T) {
	f := newFake(t)
	s, err := New(Config{Executor: f, Plugins: f.reg})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	l := &lab{fake: f, server: s, url: "http://" + ln.Addr().String()}
	l.client = newTestClient(t, l.url, WithPatience(300*time.Millisecond))
	id := l.start(t)
	_, body, stop := l.followAs(t, id, ndjson, "")
	defer stop()
	waited := make(chan error, 1)
	go func() {
		run, err := l.client.Wait(context.Background(), string(id))
		if err == nil || run == nil || run.State != executor.Running {
			err = fmt.Errorf("waiting gave %+v: %w", run, err)
		} else {
			err = nil
		}
		waited <- err
	}()
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a follower cannot tell that it was cut: %v", err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if err := s.Serve(ln); err != nil {
		t.Errorf("serving after shutdown: %v", err)
	}
}

// A connection that a client holds in reserve, and has sent nothing on, does not hold the end up.
func TestShutdownDoesNotWaitForSpareConnections(t *testing.T) {
	f := newFake(t)
	s, err := New(Config{Executor: f, Plugins: f.reg})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for open := 0; open == 0; time.Sleep(time.Millisecond) { // accepted
		s.mu.Lock()
		open = len(s.conns)
		s.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second) // fasthttp's own patience is five
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// What does not end in time is cut off.
func TestShutdownCutsWhatIsLeft(t *testing.T) {
	f := newFake(t)
	s, err := New(Config{Executor: f, Plugins: f.reg})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /v2.1/hosts HTT") // and no more
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("still open")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// 500 followers of one run: all get everything, in bounded memory.
func TestManyFollowers(t *testing.T) {
	if testing.Short() {
		t.Skip("500 connections")
	}
	l := newLab(t)
	id := l.start(t)
	const followers, entries = 500, 20
	var wg sync.WaitGroup
	errs := make(chan error, followers)
	for range followers {
		wg.Go(func() {
			n := 0
			for _, err := range l.client.Log(context.Background(), string(id), LogOptions{Follow: true}) {
				if err != nil {
					errs <- err
					return
				}
				n++
			}
			if n != entries {
				errs <- fmt.Errorf("%d entries, want %d", n, entries)
			}
		})
	}
	l.waitFollowers(t, followers)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range entries {
		l.say(id, "dut1", executor.Stdout, strings.Repeat("line\n", 100))
		time.Sleep(5 * time.Millisecond)
	}
	runtime.ReadMemStats(&after)
	l.finish(id, executor.Passed)
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	t.Logf("heap %d MB with the followers, %d MB while they were fed", before.HeapInuse>>20, after.HeapInuse>>20)
	l.waitFollowers(t, 0)
}
