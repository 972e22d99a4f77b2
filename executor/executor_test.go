package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tfw/executor"
	"tfw/plugins"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryHostHasAResult(t *testing.T) {
	l := newLab(t, "h[1-20]")
	l.hosts.refuse.Store(0)
	run := l.wait(l.submit(request("sh", shParams{"say hello\nerr oops\nexit 0"})))
	if run.Verdict != executor.Passed || run.State != executor.Done || len(run.Hosts) != 20 {
		t.Fatalf("got %s %s, %d hosts", run.State, run.Verdict, len(run.Hosts))
	}
	for i, r := range run.Hosts {
		if want := fmt.Sprintf("h%d", i+1); r.Host != want || r.Verdict != executor.Passed || *r.ExitCode != 0 || r.StdoutBytes != 6 || r.StderrBytes != 5 {
			t.Errorf("host %d: %+v", i, r)
		}
	}
	if err := l.WithOutput(t.Context(), me, run); err != nil || run.Hosts[7].Stdout != "hello\n" || run.Hosts[7].Stderr != "oops\n" {
		t.Errorf("output: %v %+v", err, run.Hosts[7])
	}
}

func TestVerdicts(t *testing.T) {
	l := newLab(t, "h1")
	for _, c := range []struct {
		name, method, script string
		verdict              executor.Verdict
		exit                 int
		code, reason         string
	}{
		{name: "pass", method: "sh", script: "say x", verdict: executor.Passed},
		{name: "fail", method: "sh", script: "exit 77", verdict: executor.Failed, exit: 77, reason: "exit status 77"},
		{name: "panic", method: "panic", verdict: executor.Errored, code: "plugin_panic", reason: "a plugin's bug"},
	} {
		t.Run(c.name, func(t *testing.T) {
			params := any(struct{}{})
			if c.method == "sh" {
				params = shParams{c.script}
			}
			r := l.wait(l.submit(request(c.method, params))).Hosts[0]
			if r.Verdict != c.verdict || r.Code != c.code || !strings.Contains(r.Reason, c.reason) || (r.ExitCode != nil && *r.ExitCode != c.exit) {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestUnreachableHostIsErroredAndTheOthersPass(t *testing.T) {
	l := newLab(t, "{gone1,h[1-3]}")
	run := l.wait(l.submit(request("sh", shParams{"say x"})))
	if r := run.Hosts[0]; run.Verdict != executor.Errored || r.Verdict != executor.Errored || r.Code != "unreachable" || r.ExitCode != nil {
		t.Errorf("%+v", r)
	}
	for _, r := range run.Hosts[1:] {
		if r.Verdict != executor.Passed {
			t.Errorf("%+v", r)
		}
	}
}

func TestRefusedBeforeAnyHostIsTouched(t *testing.T) {
	l := newLab(t, "h[1-3]")
	for name, c := range map[string]struct {
		change func(*executor.Request)
		want   error
		text   string
	}{
		"unknown plugin":    {func(r *executor.Request) { r.Plugin = "nope" }, plugins.ErrUnknown, `"nope"`},
		"unknown method":    {func(r *executor.Request) { r.Method = "nope" }, plugins.ErrUnknown, `"nope"`},
		"unknown parameter": {func(r *executor.Request) { r.Parameters = json.RawMessage(`{"script":"x","shel":1}`) }, executor.ErrBadRequest, "shel"},
		"unknown host":      {func(r *executor.Request) { r.Target = "h1,h9" }, executor.ErrBadRequest, "h9"},
		"empty target":      {func(r *executor.Request) { r.Target = "" }, executor.ErrBadRequest, "target"},
		"wrong count":       {func(r *executor.Request) { r.Expect = 2 }, executor.ErrBadRequest, "2"},
		"bad serial":        {func(r *executor.Request) { r.Serial = []string{"1", "0"} }, executor.ErrBadRequest, "serial[1]"},
		"bad max_fail":      {func(r *executor.Request) { r.MaxFail = "130%" }, executor.ErrBadRequest, "max_fail"},
	} {
		t.Run(name, func(t *testing.T) {
			req := request("sh", shParams{"say x"})
			c.change(&req)
			_, err := l.Submit(t.Context(), me, req)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v", err)
			}
		})
	}
	viewer := executor.Principal{Name: "v", Role: executor.Viewer}
	if _, err := l.Submit(t.Context(), viewer, request("sh", shParams{"say x"})); !errors.Is(err, executor.ErrForbidden) {
		t.Errorf("a viewer ran: %v", err)
	}
	if n := l.hosts.dials.Load(); n != 0 {
		t.Errorf("%d hosts were dialled", n)
	}
}

func TestIdempotencyKeyRunsOnce(t *testing.T) {
	l := newLab(t, "h1")
	req := request("sh", shParams{"say x"})
	req.IdempotencyKey = "k"
	first, again := l.submit(req), l.submit(req)
	if first.ID != again.ID {
		t.Errorf("two runs: %s %s", first.ID, again.ID)
	}
	l.wait(first)
	if n := l.hosts.startedOnce(t); n != 1 {
		t.Errorf("%d commands", n)
	}
	req.Target = "h1,h1"
	if _, err := l.Submit(t.Context(), me, req); !errors.Is(err, executor.ErrReplayedKey) {
		t.Errorf("another request under the same key: %v", err)
	}
}

func TestCancelKillsWithProof(t *testing.T) {
	l := newLab(t, "h[1-4]")
	run := l.submit(request("sh", shParams{"say begun\nhang"}))
	l.untilLog(run, "begun", 4)
	if _, err := l.Cancel(t.Context(), me, string(run.ID), "board on fire"); err != nil {
		t.Fatal(err)
	}
	run = l.wait(run)
	if run.Verdict != executor.Cancelled || run.Reason != "cancelled by me: board on fire" {
		t.Fatalf("%s: %s", run.Verdict, run.Reason)
	}
	for _, r := range run.Hosts {
		if r.Verdict != executor.Cancelled || r.Kill == nil || r.Kill.Killed != 1 || r.Reason != "cancelled by me: killed 1 process" {
			t.Errorf("%+v", r)
		}
	}
	if _, err := l.Cancel(t.Context(), me, string(run.ID), ""); !errors.Is(err, executor.ErrConflict) {
		t.Errorf("cancelled what is done: %v", err)
	}
}

// untilLog waits until a text stands in the log of so many hosts.
func (l *lab) untilLog(run *executor.Run, text string, hosts int) {
	l.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		bell := l.Changed(run.ID)
		page, err := l.Log(l.t.Context(), me, executor.LogQuery{Run: run.ID})
		if err != nil {
			l.t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, e := range page.Entries {
			if strings.Contains(string(e.Data), text) {
				seen[e.Host] = true
			}
		}
		if len(seen) >= hosts {
			return
		}
		select {
		case <-bell:
		case <-deadline:
			l.t.Fatalf("%q is in the log of %d hosts, want %d", text, len(seen), hosts)
		}
	}
}

func TestTimeouts(t *testing.T) {
	l := newLab(t, "h1")
	for code, change := range map[string]func(*executor.Options){
		"run_timeout":     func(o *executor.Options) { o.Timeout = executor.Duration(100 * time.Millisecond) },
		"command_timeout": func(o *executor.Options) { o.CommandTimeout = executor.Duration(100 * time.Millisecond) },
		"silence_timeout": func(o *executor.Options) { o.SilenceTimeout = executor.Duration(100 * time.Millisecond) },
	} {
		req := request("sh", shParams{"say begun\nhang"})
		change(&req.Options)
		run := l.wait(l.submit(req))
		if r := run.Hosts[0]; run.Verdict != executor.TimedOut || r.Code != code || r.Kill == nil || r.StdoutBytes != 6 {
			t.Errorf("%s: %s %+v", code, run.Verdict, r)
		}
	}
}

func TestSerialStopsAfterTooManyFailures(t *testing.T) {
	l := newLab(t, "h[1-10]")
	req := request("sh", shParams{"exit 1"})
	req.Serial, req.MaxFail = []string{"1", "2"}, "20%"
	run := l.wait(l.submit(req))
	var got []executor.Verdict
	for _, r := range run.Hosts {
		got = append(got, r.Verdict)
	}
	want := slices.Concat(slices.Repeat([]executor.Verdict{executor.Failed}, 3), slices.Repeat([]executor.Verdict{executor.Skipped}, 7))
	if !slices.Equal(got, want) || run.Verdict != executor.Failed {
		t.Errorf("got %v (%s)", got, run.Verdict)
	}
}

func TestCutsLoseAndDoubleNothing(t *testing.T) {
	l := newLab(t, "h[1-6]")
	l.hosts.cutEvery = 10
	var script, want strings.Builder
	for i := range 40 {
		fmt.Fprintf(&script, "say line %d\npause 2\n", i)
		fmt.Fprintf(&want, "line %d\n", i)
	}
	run := l.wait(l.submit(request("sh", shParams{script.String()})))
	if run.Verdict != executor.Passed {
		t.Fatalf("%+v", run)
	}
	if err := l.WithOutput(t.Context(), me, run); err != nil {
		t.Fatal(err)
	}
	for _, r := range run.Hosts {
		if r.Stdout != want.String() {
			t.Errorf("%s: %d bytes, want %d; reconnects %d", r.Host, len(r.Stdout), want.Len(), r.Reconnects)
		}
	}
	l.hosts.startedOnce(t)
}

func TestOutOfReachEndsAfterLostAfter(t *testing.T) {
	l := newLab(t, "h1")
	req := request("sh", shParams{"say begun\nhang"})
	req.LostAfter = executor.Duration(300 * time.Millisecond)
	run := l.submit(req)
	l.untilLog(run, "begun", 1)
	l.hosts.down.Store(true)
	l.hosts.cutAll()
	if r := l.wait(run).Hosts[0]; r.Verdict != executor.Errored || r.Code != "out_of_reach" {
		t.Errorf("%+v", r)
	}
}

func TestTruncatedOutputIsSaid(t *testing.T) {
	l := newLab(t, "h1")
	req := request("sh", shParams{"say 0123456789\nsay 0123456789\nsay 0123456789"})
	req.MaxOutput = 15
	run := l.wait(l.submit(req))
	if err := l.WithOutput(t.Context(), me, run); err != nil {
		t.Fatal(err)
	}
	if r := run.Hosts[0]; !r.Truncated || r.Stdout != "0123456789\n0123" || r.StdoutBytes != 33 || r.Verdict != executor.Passed {
		t.Errorf("%+v", r)
	}
	l.untilLog(run, "output truncated: 15 bytes", 1)
}

// TestKilledController kills the process after every single write of a run of
// seven operations, and compares the outcome with the undisturbed run.
func TestKilledController(t *testing.T) {
	calm := newLab(t, "h[1-2]")
	want := calm.wait(calm.submit(request("steps", struct{}{})))
	if want.Verdict != executor.Passed {
		t.Fatalf("%+v", want)
	}
	for after := int64(1); after <= 22; after++ {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			l := newLab(t, "h[1-2]")
			l.drain()
			m := &mortal{Store: l.store}
			l.start(m)
			run := l.submit(request("steps", struct{}{}))
			m.left.Store(after)
			l.untilDead(m, run)
			l.drain()
			l.start(l.store)
			got := l.wait(run)
			if got.Verdict != executor.Passed {
				t.Fatalf("%+v", got)
			}
			for _, note := range []string{"begin", "step 0 done", "step 1 done", "step 2 done", "step 3 done", "step 4 done"} {
				if n := l.notes(got, note); n != 2 {
					t.Errorf("%q was noted %d times on two hosts", note, n)
				}
			}
			for i := range got.Hosts {
				if string(got.Hosts[i].Outputs) != string(want.Hosts[i].Outputs) || got.Hosts[i].StdoutBytes != want.Hosts[i].StdoutBytes {
					t.Errorf("%+v\nwant %+v", got.Hosts[i], want.Hosts[i])
				}
			}
			if n := l.hosts.startedOnce(t); n != 10 {
				t.Errorf("%d commands were started, want 10", n)
			}
		})
	}
}

// notes counts a line among the events of a run.
func (l *lab) notes(run *executor.Run, line string) (n int) {
	l.t.Helper()
	page, err := l.store.Read(l.t.Context(), executor.LogQuery{Run: run.ID, Stream: executor.Events})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, e := range page.Entries {
		if string(e.Data) == line+"\n" {
			n++
		}
	}
	return n
}

// untilDead waits until the store died or the run is done.
func (l *lab) untilDead(m *mortal, run *executor.Run) {
	for !m.dead.Load() {
		ctx, stop := context.WithTimeout(l.t.Context(), 5*time.Millisecond)
		got, err := l.Wait(ctx, me, string(run.ID))
		stop()
		if err == nil && got.State == executor.Done {
			return
		}
	}
}

func TestCancelSurvivesTheController(t *testing.T) {
	l := newLab(t, "h1")
	run := l.submit(request("sh", shParams{"say begun\nhang"}))
	l.untilLog(run, "begun", 1)
	l.hosts.down.Store(true) // the kill cannot reach the host
	l.hosts.cutAll()
	if _, err := l.Cancel(t.Context(), me, string(run.ID), ""); err != nil {
		t.Fatal(err)
	}
	l.drain()
	l.hosts.down.Store(false)
	l.start(l.store)
	if r := l.wait(run).Hosts[0]; r.Verdict != executor.Cancelled || r.Kill == nil || r.Kill.Killed != 1 {
		t.Errorf("%+v", r)
	}
}

func TestNonDeterministicPluginIsNamed(t *testing.T) {
	l := newLab(t, "h1")
	run := l.submit(request("moody", struct{}{}))
	time.Sleep(200 * time.Millisecond) // in its second command
	l.drain()
	l.start(l.store)
	if r := l.wait(run).Hosts[0]; r.Verdict != executor.Errored || r.Code != "not_deterministic" {
		t.Errorf("%+v", r)
	}
}

func TestTokens(t *testing.T) {
	l := newLab(t, "h1")
	ctx := t.Context()
	text, made, err := l.CreateToken(ctx, me, executor.Token{Name: "ci", Role: executor.Operator})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := l.Authenticate(ctx, text, "here"); err != nil || p.Name != "ci" || p.Role != executor.Operator {
		t.Errorf("%+v %v", p, err)
	}
	for _, bad := range []string{"", "tfw_", "tfw_" + made.ID, "tfw_" + made.ID + "_", text[:len(text)-1], text + "0", "x" + text} {
		if _, err := l.Authenticate(ctx, bad, ""); !errors.Is(err, executor.ErrForbidden) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, _, err := l.CreateToken(ctx, me, executor.Token{Name: "none", Role: executor.Viewer, Groups: []string{}}); !errors.Is(err, executor.ErrBadRequest) {
		t.Errorf("a token of no groups was made: %v", err)
	}
	if err := l.RevokeToken(ctx, me, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Authenticate(ctx, text, ""); !errors.Is(err, executor.ErrForbidden) {
		t.Errorf("a revoked token: %v", err)
	}
}
