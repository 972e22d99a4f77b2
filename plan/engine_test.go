package plan_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tfw/executor"
	"tfw/executor/executortest"
	"tfw/inventory"
	"tfw/plan"
	"tfw/plugins"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hosts is a Transport of hosts in memory: a command's script is "say TEXT",
// "exit N", "sleep MS" or "hang", and each id runs once for ever.
type hosts struct {
	mu     sync.Mutex
	ends   map[string]*proc
	log    []string       // scripts in the order of their start, "host script"
	trace  []string       // of "act": "+host NAME" when it starts, "-host NAME" when it ends
	broken map[string]int // script -> how many starts of it fail still
	off    chan struct{}
}

type proc struct {
	done chan struct{}
	kill func()
	end  executor.End
	out  string
}

func newHosts() *hosts {
	return &hosts{ends: map[string]*proc{}, broken: map[string]int{}, off: make(chan struct{})}
}

func (h *hosts) Connect(_ context.Context, host *inventory.Host, _ func(string) (*inventory.Host, bool)) (executor.Conn, error) {
	return conn{h, host.Name}, nil
}
func (h *hosts) Stats() executor.PoolStats { return executor.PoolStats{} }
func (h *hosts) Close() error              { return nil }

type conn struct {
	h    *hosts
	name string
}

func (c conn) Run(ctx context.Context, cmd executor.DurableCommand, from executor.Offsets, _ bool, sink executor.Sink) (executor.End, error) {
	p := c.h.start(c.name, cmd)
	if err := sink.Started(executor.Started{}); err != nil {
		return executor.End{}, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return executor.End{}, ctx.Err()
	}
	if err := sink.Bytes(executor.Stdout, from.Stdout, []byte(p.out[from.Stdout:])); err != nil {
		return executor.End{}, err
	}
	end := p.end
	end.Sizes.Stdout = int64(len(p.out))
	return end, nil
}

func (h *hosts) start(name string, cmd executor.DurableCommand) *proc {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := cmd.ID.String()
	if p := h.ends[id]; p != nil {
		return p
	}
	script := string(cmd.Script)
	h.log = append(h.log, name+" "+script)
	p := &proc{done: make(chan struct{})}
	h.ends[id] = p
	if act, ok := strings.CutPrefix(script, "act "); ok {
		h.act(p, name, act)
		return p
	}
	p.play(script, h)
	return p
}

// act plays "MS CODE NAME" and leaves a trace.
func (h *hosts) act(p *proc, host, script string) {
	var ms, code int
	var what string
	_, _ = fmt.Sscan(script, &ms, &code, &what)
	h.trace = append(h.trace, "+"+host+" "+what)
	if h.broken[host+" "+what] > 0 {
		h.broken[host+" "+what]--
		code = 5
	}
	p.kill = func() {}
	time.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
		h.mu.Lock()
		h.trace = append(h.trace, "-"+host+" "+what)
		h.mu.Unlock()
		p.end = executor.End{Kind: executor.EndExit, Code: code}
		close(p.done)
	})
}

func (p *proc) play(script string, h *hosts) {
	var once sync.Once
	finish := func(end executor.End) { once.Do(func() { p.end = end; close(p.done) }) }
	p.kill = func() { finish(executor.End{Kind: executor.EndSignal, Code: 143, Signal: "TERM"}) }
	verb, rest, _ := strings.Cut(script, " ")
	n := 0
	_, _ = fmt.Sscan(rest, &n)
	switch {
	case h.broken[script] > 0:
		h.broken[script]--
		finish(executor.End{Kind: executor.EndExit, Code: 9})
	case verb == "say":
		p.out = rest + "\n"
		finish(executor.End{Kind: executor.EndExit})
	case verb == "exit":
		finish(executor.End{Kind: executor.EndExit, Code: n})
	case verb == "sleep":
		time.AfterFunc(time.Duration(n)*time.Millisecond, func() { finish(executor.End{Kind: executor.EndExit}) })
	}
}

func (c conn) Kill(_ context.Context, id executor.CommandID, _ *executor.BecomeAs, _ time.Duration) (executor.KillReport, error) {
	c.h.mu.Lock()
	p := c.h.ends[id.String()]
	c.h.mu.Unlock()
	if p == nil {
		return executor.KillReport{Gone: true}, nil
	}
	p.kill()
	return executor.KillReport{Killed: 1}, nil
}
func (c conn) Acknowledge(*executor.BecomeAs, ...executor.CommandID) {}
func (c conn) Strays(context.Context) ([]executor.Stray, error)      { return nil, nil }
func (c conn) Probe(context.Context, string) ([]byte, error)         { return nil, nil }
func (c conn) Put(context.Context, executor.Put) (executor.PutResult, error) {
	return executor.PutResult{}, errors.New("no files here")
}
func (c conn) Get(context.Context, string, *executor.BecomeAs, io.Writer) (executor.GetResult, error) {
	return executor.GetResult{}, fs.ErrNotExist
}
func (c conn) Info() executor.HostInfo { return executor.HostInfo{Durable: true} }
func (c conn) Release()                {}

// work is the plugin of these tests.
type work struct{}

func (work) Name() string    { return "work" }
func (work) Summary() string { return "what the engine's tests need" }

type params struct {
	Do string `json:"do"`
}
type out struct {
	Said string `json:"said,omitempty"`
}

func (work) Methods() []plugins.Method {
	return []plugins.Method{plugins.Do("do", "run one command", func(ctx context.Context, r plugins.Remote, p params) (out, error) {
		res, err := r.Run(ctx, plugins.Command{Shell: p.Do})
		if err != nil {
			return out{}, err
		}
		return out{strings.TrimSpace(string(res.Stdout))}, res.Failure()
	}), plugins.Do("report", "run one command and report cases", report)}
}

// asked stands for the plugin whose outputs are a host's facts: d2 is of another kind.
type asked struct{}

func (asked) Name() string    { return "linux_system" }
func (asked) Summary() string { return "tells what a host is" }
func (asked) Methods() []plugins.Method {
	return []plugins.Method{plugins.Do("system_information", "tell", func(ctx context.Context, r plugins.Remote, _ struct{}) (map[string]string, error) {
		if _, err := r.Run(ctx, plugins.Command{Shell: "say hello"}); err != nil {
			return nil, err
		}
		return map[string]string{"arch": map[bool]string{true: "arm64", false: "amd64"}[r.Host().Name == "d2"]}, nil
	})}
}

const file = `
version: 1
groups:
  builders: {plugins: [work], hosts: {b1: {}}}
  duts: {plugins: [work, linux_system], vars: {board: imx8}, hosts: {"d[1-4]": {}}}
  alone: {plugins: [work], isolation: exclusive, hosts: {x1: {}}}
`

type lab struct {
	t     *testing.T
	hosts *hosts
	store executor.Store
	inv   *inventory.Inventory
	ex    *executor.Executor
	*plan.Engine
	policy atomic.Pointer[executor.Policy]
}

var me = executor.Local("me")

func newLab(t *testing.T) *lab {
	inv, err := inventory.Parse("inventory.yaml", []byte(file), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, hosts: newHosts(), store: executortest.NewMemory(), inv: inv}
	l.start(l.store)
	t.Cleanup(func() { l.drain(); _ = l.store.Close() })
	return l
}

func (l *lab) start(store executor.Store) {
	reg, err := plugins.NewRegistry(work{}, asked{})
	if err != nil {
		l.t.Fatal(err)
	}
	inv := func() *inventory.Inventory { return l.inv }
	if l.ex, err = executor.New(executor.Config{Store: store, Transport: l.hosts, Plugins: reg, Inventory: inv, Policy: l.policy.Load}); err != nil {
		l.t.Fatal(err)
	}
	l.Engine = plan.New(plan.Config{Executor: l.ex, Store: store, Plugins: reg, Inventory: inv})
	if err := errors.Join(l.ex.Recover(l.t.Context()), l.Engine.Recover(l.t.Context())); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) drain() {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := errors.Join(l.Engine.Drain(ctx), l.ex.Drain(ctx)); err != nil {
		l.t.Error(err)
	}
}

func (l *lab) submit(text string, params map[string]any) *plan.TestPlan {
	l.t.Helper()
	got, err := l.Submit(l.t.Context(), me, plan.Submission{File: "p.yaml", Plan: text, Parameters: params})
	if err != nil {
		l.t.Fatal(err)
	}
	return got
}

func (l *lab) wait(p *plan.TestPlan) *plan.TestPlan {
	l.t.Helper()
	ctx, stop := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer stop()
	got, err := l.Wait(ctx, me, p.ID)
	if err != nil {
		l.t.Fatalf("%v: %+v", err, got)
	}
	return got
}

func verdicts(p *plan.TestPlan) string {
	var all []string
	for _, s := range p.Steps {
		all = append(all, s.Name+"="+string(s.Verdict))
	}
	return strings.Join(all, " ")
}

// reasons tells why steps ended as they did, for the message of a test that fails.
func reasons(p *plan.TestPlan) string {
	all := []string{p.Reason}
	for _, s := range p.Steps {
		if s.Reason != "" {
			all = append(all, s.Name+": "+s.Reason)
		}
	}
	return strings.Join(all, "; ")
}

// TestPolicyBoundsPlansOnTheirWay: what the policy denies stays denied to a test plan that a restart takes up, and an
// edit counts at its next step.
func TestPolicyBoundsPlansOnTheirWay(t *testing.T) {
	l := newLab(t)
	ann := executor.Principal{Name: "ann", Role: executor.Operator, Groups: []string{"duts"}}
	deny := &executor.Policy{Rules: []executor.Rule{{Name: "ann", Deny: []string{"work.report"}}}}
	const text = "name: t\nhosts: {d: d1}\nsteps:\n  a: {uses: work.do, on: d, with: {do: sleep 300}}\n  z: {uses: work.report, on: d, needs: [a], with: {do: say y, cases: []}}\n"
	for name, restart := range map[string]bool{"restart": true, "edit": false} {
		if l.policy.Store(nil); restart {
			l.policy.Store(deny)
		}
		p, err := l.Submit(t.Context(), ann, plan.Submission{Plan: text})
		if err != nil {
			t.Fatal(err)
		}
		if l.policy.Store(deny); restart {
			l.drain()
			l.start(l.store)
		}
		if got := l.wait(p); verdicts(got) != "a=passed z=errored" || !strings.Contains(reasons(got), "ann may not run work.report: not allowed by the policy") {
			t.Errorf("%s: %s (%s)", name, verdicts(got), reasons(got))
		}
	}
}

const head = "name: t\nhosts:\n  b: {target: builders}\n  d: {target: duts, count: 2}\nsteps:\n"

func TestFlow(t *testing.T) {
	for name, c := range map[string]struct{ steps, verdict, steps2 string }{
		"chain":                  {"  a: {uses: work.do, on: b, with: {do: say x}}\n  z: {uses: work.do, on: d, with: {do: 'say ${{ steps.a.outputs.said }}y'}}\n", "passed", "a=passed z=passed"},
		"failure skips":          {"  a: {uses: work.do, on: b, with: {do: exit 1}}\n  z: {uses: work.do, on: d, needs: [a], with: {do: say y}}\n", "failed", "a=failed z=skipped"},
		"when failure":           {"  a: {uses: work.do, on: b, with: {do: exit 1}}\n  z: {uses: work.do, on: d, needs: [a], when: failure(), with: {do: say y}}\n", "failed", "a=failed z=passed"},
		"when always":            {"  a: {uses: work.do, on: b, with: {do: exit 1}}\n  z: {uses: work.do, on: d, needs: [a], when: always(), with: {do: say y}}\n", "failed", "a=failed z=passed"},
		"when false":             {"  a: {uses: work.do, on: b, when: \"params.x == 'no'\", with: {do: say x}}\n  z: {uses: work.do, on: d, needs: [a], with: {do: say y}}\n", "passed", "a=skipped z=skipped"},
		"when verdict":           {"  a: {uses: work.do, on: b, with: {do: exit 1}}\n  z: {uses: work.do, on: d, when: \"steps.a.verdict == 'failed'\", with: {do: say y}}\n", "failed", "a=failed z=passed"},
		"allow_failure":          {"  a: {uses: work.do, on: b, allow_failure: true, with: {do: exit 1}}\n  z: {uses: work.do, on: d, needs: [a], with: {do: say y}}\n", "passed", "a=failed z=passed"},
		"diamond":                {"  a: {uses: work.do, on: b, with: {do: say x}}\n  l: {uses: work.do, on: b, needs: [a], with: {do: say l}}\n  r: {uses: work.do, on: d, needs: a, with: {do: say r}}\n  z: {uses: work.do, on: d, needs: [l, r], with: {do: say z}}\n", "passed", "a=passed l=passed r=passed z=passed"},
		"on_failure and finally": {"  a: {uses: work.do, on: b, with: {do: exit 1}}\non_failure:\n  f: {uses: work.do, on: b, with: {do: say f}}\nfinally:\n  z: {uses: work.do, on: d, with: {do: say z}}\n", "failed", "a=failed f=passed z=passed"},
		"matrix":                 {"  a: {uses: work.do, on: d, matrix: {m: [x, y], n: [1, 2], exclude: [{m: y, n: 2}]}, with: {do: 'say ${{ matrix.m }}${{ matrix.n }}'}}\n", "passed", "a=passed"},
		"timeout":                {"  a: {uses: work.do, on: b, timeout: 100ms, with: {do: hang}}\nfinally:\n  z: {uses: work.do, on: d, with: {do: say z}}\n", "timed_out", "a=timed_out z=passed"},
		"bad parameter":          {"  a: {uses: work.do, on: b, with: {do: '${{ [1] }}'}}\n", "errored", "a=errored"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			text := strings.Replace(head+c.steps, "steps:", "parameters: {x: {default: 'yes'}}\nsteps:", 1)
			got := l.wait(l.submit(text, nil))
			if string(got.Verdict) != c.verdict || verdicts(got) != c.steps2 {
				t.Errorf("%s (%s): %s; %+v", got.Verdict, got.Reason, verdicts(got), got.Steps)
			}
			if leases, _ := l.ex.Leases(t.Context(), me); len(leases) != 0 {
				t.Errorf("leases left: %+v", leases)
			}
		})
	}
}

func TestRetryRunsAgainOnlyWhereItFailed(t *testing.T) {
	l := newLab(t)
	l.hosts.broken["say x"] = 1
	got := l.wait(l.submit(head+"  a: {uses: work.do, on: d, retry: {limit: 2, on: [failed]}, with: {do: say x}}\n", nil))
	if got.Verdict != executor.Passed || len(l.hosts.log) != 3 || len(got.Steps[0].Cells[0].Runs) != 2 {
		t.Errorf("%s, starts %v, %+v", got.Verdict, l.hosts.log, got.Steps)
	}
}

func TestPerHostDoesNotWaitForTheSlow(t *testing.T) {
	l := newLab(t)
	text := head + "  a: {uses: work.do, on: d, per_host: true, with: {do: \"${{ host.name == 'd1' ? 'sleep 400' : 'say quick' }}\"}}\n" +
		"  z: {uses: work.do, on: d, per_host: true, needs: [a], with: {do: 'say then ${{ host.name }}'}}\n"
	got := l.wait(l.submit(text, nil))
	if got.Verdict != executor.Passed {
		t.Fatalf("%s %+v", got.Verdict, got.Steps)
	}
	log := strings.Join(l.hosts.log, "\n")
	if strings.Index(log, "say then d2") > strings.Index(log, "say then d1") {
		t.Errorf("the quick host waited:\n%s", log)
	}
}

func TestCancelRunsFinally(t *testing.T) {
	l := newLab(t)
	p := l.submit(head+"  a: {uses: work.do, on: d, with: {do: hang}}\n  z: {uses: work.do, on: b, needs: [a], with: {do: say z}}\n  c: {uses: work.do, on: b, needs: [a], when: cancelled(), with: {do: say c}}\n  n: {uses: work.do, on: d, per_host: true, needs: [a], when: always(), with: {do: say n}}\nfinally:\n  f: {uses: work.do, on: d, with: {do: say f}}\n", nil)
	l.untilStarted("hang", 2)
	if _, err := l.Cancel(t.Context(), me, p.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	if got := l.wait(p); got.Verdict != executor.Cancelled || verdicts(got) != "a=cancelled z=skipped c=passed n=passed f=passed" {
		t.Errorf("%s %s", got.Verdict, verdicts(got))
	}
}

func (l *lab) untilStarted(script string, n int) {
	l.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		l.hosts.mu.Lock()
		seen := strings.Count(strings.Join(l.hosts.log, "\n")+"\n", script+"\n")
		l.hosts.mu.Unlock()
		if seen >= n {
			return
		}
	}
	l.t.Fatalf("%q was not started %d times: %v", script, n, l.hosts.log)
}

func TestResumeKeepsWhatPassed(t *testing.T) {
	l := newLab(t)
	l.hosts.broken["say y"] = 1
	text := head + "  a: {uses: work.do, on: b, with: {do: say x}}\n  z: {uses: work.do, on: d, needs: [a], with: {do: 'say y'}}\noutputs: {o: '${{ steps.a.outputs.said }}'}\n"
	first := l.wait(l.submit(text, nil))
	if first.Verdict != executor.Failed {
		t.Fatal(first.Verdict)
	}
	again, err := l.Resume(t.Context(), me, first.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := l.wait(again)
	if got.Verdict != executor.Passed || got.Outputs["o"] != "x" || fmt.Sprint(got.Hosts) != fmt.Sprint(first.Hosts) {
		t.Errorf("%+v", got)
	}
	if n := strings.Count(strings.Join(l.hosts.log, "\n"), "say x"); n != 1 {
		t.Errorf("the step that had passed ran %d times", n)
	}
	for _, e := range l.follow(again.ID, true) {
		if e.Type == "output" && e.Step == "a" {
			t.Errorf("what it said the first time is told as if it were new: %q", e.Entry.Data)
		}
	}
	if _, err := l.Resume(t.Context(), me, again.ID); !errors.Is(err, executor.ErrConflict) {
		t.Errorf("everything passed, and is resumed: %v", err)
	}
}

// A step tells why with all hosts that it holds for, not with one of them.
func TestReasonNamesItsHosts(t *testing.T) {
	l := newLab(t)
	got := l.wait(l.submit(head+"  a: {uses: work.do, on: d, with: {do: exit 3}}\n", nil))
	if want := inventory.Fold(got.Hosts["d"]) + ": exit status 3"; len(got.Hosts["d"]) < 2 || got.Steps[0].Reason != want {
		t.Errorf("%q, want %q", got.Steps[0].Reason, want)
	}
}

// What is to be done after a failure, and in the end, is done after what a resume runs again, too.
func TestResumeTidiesUpAgain(t *testing.T) {
	l := newLab(t)
	l.hosts.broken["say a"] = 2
	first := l.wait(l.submit("name: t\nhosts: {d: d1}\nsteps:\n  a: {uses: work.do, on: d, with: {do: say a}}\n"+
		"on_failure:\n  f: {uses: work.do, on: d, with: {do: say f}}\nfinally:\n  z: {uses: work.do, on: d, with: {do: say z}}\n", nil))
	for _, want := range []string{"a=failed f=passed z=passed", "a=passed f=skipped z=passed"} {
		again, err := l.Resume(t.Context(), me, first.ID)
		if err != nil {
			t.Fatal(err)
		}
		if first = l.wait(again); verdicts(first) != want {
			t.Errorf("%s, want %s: %s", verdicts(first), want, reasons(first))
		}
	}
	log := strings.Join(l.hosts.log, "\n")
	if strings.Count(log, "say f") != 2 || strings.Count(log, "say z") != 3 {
		t.Error(log)
	}
}

// A test plan that ended before it ran has all to run yet.
func TestResumeOfWhatNeverRan(t *testing.T) {
	l := newLab(t)
	lease, err := l.ex.Lease(t.Context(), executor.Local("somebody"), executor.LeaseRequest{Target: "duts", For: executor.Duration(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	starved := l.wait(l.submit("name: t\nlease_wait: 1ns\nhosts: {d: duts}\nsteps:\n  a: {uses: work.do, on: d, with: {do: say a}}\n", nil))
	if err := l.ex.Release(t.Context(), executor.Local("somebody"), lease.ID, ""); err != nil {
		t.Fatal(err)
	}
	again, err := l.Resume(t.Context(), me, starved.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := l.wait(again); starved.Verdict != executor.Errored || got.Verdict != executor.Passed || verdicts(got) != "a=passed" {
		t.Errorf("%s: %s", got.Verdict, reasons(got))
	}
}

func TestResumeKeepsNestedPlans(t *testing.T) {
	l := newLab(t)
	l.hosts.broken["say y"] = 1
	inner := "name: inner\nhosts: {d: {target: duts, count: 1}}\nsteps:\n  a: {uses: work.do, on: d, with: {do: say in}}\noutputs: {said: '${{ steps.a.outputs.said }}'}\n"
	outer := "name: outer\nhosts: {b: {target: builders}}\nsteps:\n  n: {uses: plan:inner.yaml}\n  z: {uses: work.do, on: b, needs: [n], with: {do: say y}}\noutputs: {said: '${{ steps.n.outputs.said }}'}\n"
	p, err := l.Submit(t.Context(), me, plan.Submission{File: "outer.yaml", Plan: outer, Files: map[string]string{"inner.yaml": inner}})
	if err != nil {
		t.Fatal(err)
	}
	first := l.wait(p)
	again, err := l.Resume(t.Context(), me, first.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := l.wait(again)
	if first.Verdict != executor.Failed || got.Verdict != executor.Passed || got.Outputs["said"] != "in" || got.Steps[0].Reason != "passed already in "+first.ID {
		t.Errorf("%s, then %s: %v %s", first.Verdict, got.Verdict, got.Outputs, reasons(got))
	}
	if n := strings.Count(strings.Join(l.hosts.log, "\n"), "say in"); n != 1 {
		t.Errorf("the plan that had passed ran %d times", n)
	}
}

func TestNestedPlan(t *testing.T) {
	l := newLab(t)
	inner := "name: inner\nparameters: {who: {}}\nhosts: {d: {target: duts, count: 1}}\nsteps:\n  a: {uses: work.do, on: d, with: {do: 'say hi ${{ params.who }}'}}\noutputs: {said: '${{ steps.a.outputs.said }}'}\n"
	outer := "name: outer\nsteps:\n  n: {uses: plan:inner.yaml, with: {who: you}}\noutputs: {said: '${{ steps.n.outputs.said }}'}\n"
	p, err := l.Submit(t.Context(), me, plan.Submission{File: "outer.yaml", Plan: outer, Files: map[string]string{"inner.yaml": inner}})
	if err != nil {
		t.Fatal(err)
	}
	if got := l.wait(p); got.Verdict != executor.Passed || got.Outputs["said"] != "hi you" {
		t.Errorf("%+v", got)
	}
}

// What a user has of test plans that are not done is bounded: they lie in memory with their files.
func TestUndonePlansAreBounded(t *testing.T) {
	l := newLab(t)
	l.SetMaxUndone(5)
	s := plan.Submission{Plan: head + "  a: {uses: work.do, on: b, with: {do: hang}}\n"}
	var all []*plan.TestPlan
	for range 5 {
		p, err := l.Submit(t.Context(), me, s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if _, err := l.Submit(t.Context(), me, s); !errors.Is(err, executor.ErrTooMany) {
		t.Errorf("%.200v", err)
	}
	for _, p := range all {
		if _, err := l.Engine.Cancel(t.Context(), me, p.ID, "over"); err != nil {
			t.Fatal(err)
		}
		l.wait(p)
	}
}

// fail_fast ends the other cells; the step's verdict is that of the cell that did not pass.
func TestFailFast(t *testing.T) {
	l := newLab(t)
	got := l.wait(l.submit(head+"  a: {uses: work.do, on: b, matrix: {do: [hang, exit 3, hang], fail_fast: true}, with: {do: '${{ matrix.do }}'}}\n"+
		"  z: {uses: work.do, on: d, matrix: {do: [exit 4, say never], fail_fast: true, max_parallel: 1}, with: {do: '${{ matrix.do }}'}}\n", nil))
	if got.Verdict != executor.Failed || verdicts(got) != "a=failed z=failed" || strings.Contains(strings.Join(l.hosts.log, "\n"), "never") {
		t.Errorf("%s %s: %s; %v", got.Verdict, verdicts(got), reasons(got), l.hosts.log)
	}
	if cells := got.Steps[1].Cells; cells[0].Verdict != executor.Failed || cells[1].Verdict != executor.Cancelled {
		t.Errorf("%+v", cells)
	}
}

// Reasons are read by people: a verdict of two words has no underscore there.
func TestReasonsSayVerdictsInWords(t *testing.T) {
	l := newLab(t)
	got := l.wait(l.submit(head+"  a: {uses: work.do, on: b, timeout: 100ms, with: {do: hang}}\n  z: {uses: work.do, on: d, needs: [a], with: {do: say never}}\n"+
		"  y: {uses: work.do, on: d, when: always(), with: {do: 'say ${{ steps.a.outputs.said }}'}}\n", nil))
	if z, y := got.Steps[1], got.Steps[2]; z.Verdict != executor.Skipped || z.Reason != "a timed out" || !strings.Contains(y.Reason, "step a is timed out and has no outputs") {
		t.Errorf("%s: %s", verdicts(got), reasons(got))
	}
}

// Who reads why a step failed learns which hosts it never got to.
func TestReasonTellsWhoWasNotBegun(t *testing.T) {
	l := newLab(t)
	l.hosts.broken["say a"] = 2
	got := l.wait(l.submit("name: t\nhosts: {d: duts}\nsteps:\n  a: {uses: work.do, on: d, serial: 1, max_fail: 1, with: {do: say a}}\n", nil))
	if want := "d[1-2]: exit status 9; d[3-4]: not started: too many hosts did not pass (max_fail 1)"; got.Steps[0].Reason != want {
		t.Errorf("%s: %q, want %q", verdicts(got), got.Steps[0].Reason, want)
	}
}

// A test plan that is cancelled while it waits for its hosts is cancelled: nothing is wrong with it.
func TestCancelWhileItWaitsForHosts(t *testing.T) {
	l := newLab(t)
	if _, err := l.ex.Lease(t.Context(), executor.Local("somebody"), executor.LeaseRequest{Target: "duts", For: executor.Duration(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	p := l.submit(head+"  a: {uses: work.do, on: d, with: {do: say a}}\n", nil)
	if _, err := l.Cancel(t.Context(), me, p.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	if got := l.wait(p); got.Verdict != executor.Cancelled || got.Reason != "cancelled by "+me.Name+": enough" || got.Steps[0].Verdict != executor.Skipped {
		t.Errorf("%s: %s", got.Verdict, reasons(got))
	}
}

func TestOutputsOfAStepThatDidNotPass(t *testing.T) {
	l := newLab(t)
	got := l.wait(l.submit(head+"  a: {uses: work.do, on: b, with: {do: exit 3}}\n  z: {uses: work.do, on: d, when: always(), with: {do: 'say ${{ steps.a.outputs.said }}'}}\n  y: {uses: work.do, on: b, when: always(), with: {do: \"say ${{ steps.a.outputs?.said ?? 'nothing' }}${{ steps.a.hosts.b1.exit_code }}\"}}\noutputs: {o: '${{ steps.y.outputs.said }}'}\n", nil))
	if r := got.Steps[1].Reason; !strings.Contains(r, "cannot fetch said from <nil>: step a is failed and has no outputs (steps.a.hosts.NAME.outputs") || got.Outputs["o"] != "nothing3" {
		t.Errorf("%q %v", r, got.Outputs)
	}
}

// A step's time holds for a plan that it runs, too: that one is ended cleanly, and what it always does is done.
func TestNestedPlanTimesOut(t *testing.T) {
	l := newLab(t)
	inner := "name: inner\nhosts: {d: {target: duts, count: 1}}\nsteps:\n  a: {uses: work.do, on: d, with: {do: hang}}\nfinally:\n  f: {uses: work.do, on: d, with: {do: say f}}\n"
	p, err := l.Submit(t.Context(), me, plan.Submission{File: "outer.yaml", Plan: "name: outer\nsteps:\n  n: {uses: plan:inner.yaml, timeout: 300ms}\n", Files: map[string]string{"inner.yaml": inner}})
	if err != nil {
		t.Fatal(err)
	}
	if got := l.wait(p); got.Verdict != executor.TimedOut || got.Steps[0].Reason != "step n took longer than 300ms" || !strings.HasSuffix(strings.Join(l.hosts.log, "\n"), "say f") {
		t.Errorf("%s: %s, %v", got.Verdict, reasons(got), l.hosts.log)
	}
}

// mortal is a Store that a killed process can write to no more.
type mortal struct {
	executor.Store
	left atomic.Int64
}

var errKilled = errors.New("killed")

func (m *mortal) Update(ctx context.Context, fn func(executor.Tx) error) error {
	if m.left.Add(-1) < 0 {
		return errKilled
	}
	return m.Store.Update(ctx, fn)
}

func (m *mortal) Append(ctx context.Context, e ...executor.Entry) error {
	if m.left.Load() < 0 {
		return errKilled
	}
	return m.Store.Append(ctx, e...)
}

// TestKilledController kills the controller after every write of a plan and
// compares what ran, and how it ended, with the undisturbed walk.
func TestKilledController(t *testing.T) {
	text := head + "  a: {uses: work.do, on: b, with: {do: say x}}\n" +
		"  m: {uses: work.do, on: d, needs: [a], matrix: {n: [1, 2]}, with: {do: 'say m${{ matrix.n }}'}}\n" +
		"  z: {uses: work.do, on: d, needs: [m], with: {do: exit 3}}\nfinally:\n  f: {uses: work.do, on: b, with: {do: say f}}\n"
	calm := newLab(t)
	want := calm.wait(calm.submit(text, nil))
	for after := int64(1); ; after++ {
		l := newLab(t)
		l.drain()
		m := &mortal{Store: l.store}
		m.left.Store(after)
		l.startDying(m)
		p, err := l.Submit(t.Context(), me, plan.Submission{File: "p.yaml", Plan: text, IdempotencyKey: "one"})
		if err == nil {
			l.untilDead(m, p)
		}
		survived := m.left.Load() >= 0
		l.drain()
		l.start(l.store)
		if p, err = l.Submit(t.Context(), me, plan.Submission{File: "p.yaml", Plan: text, IdempotencyKey: "one"}); err != nil {
			t.Fatal(err)
		}
		got := l.wait(p)
		if verdicts(got) != verdicts(want) || got.Verdict != want.Verdict || len(l.hosts.log) != len(calm.hosts.log) {
			t.Errorf("killed after %d writes: %s %s, %d starts (%s); want %s %s, %d starts", after, got.Verdict, verdicts(got), len(l.hosts.log), reasons(got), want.Verdict, verdicts(want), len(calm.hosts.log))
		}
		if left, err := l.ex.Leases(t.Context(), me); err != nil || len(left) > 0 {
			t.Errorf("killed after %d writes: leases left: %v %+v", after, err, left)
		}
		if survived {
			t.Logf("%d writes", after)
			break
		}
	}
}

// startDying starts a controller that may die while it starts.
func (l *lab) startDying(m *mortal) {
	reg, _ := plugins.NewRegistry(work{}, asked{})
	inv := func() *inventory.Inventory { return l.inv }
	l.ex, _ = executor.New(executor.Config{Store: m, Transport: l.hosts, Plugins: reg, Inventory: inv})
	l.Engine = plan.New(plan.Config{Executor: l.ex, Store: m, Plugins: reg, Inventory: inv})
	if l.ex.Recover(l.t.Context()) == nil {
		_ = l.Engine.Recover(l.t.Context())
	}
}

func (l *lab) untilDead(m *mortal, p *plan.TestPlan) {
	for deadline := time.Now().Add(2 * time.Second); m.left.Load() >= 0 && time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if got, err := l.TestPlan(l.t.Context(), me, p.ID); err == nil && got.State == executor.Done {
			return
		}
	}
}

// Roles are filled by what hosts have told of themselves and by what operators say of them, as targets of runs are.
func TestRolesGoByFactsAndStates(t *testing.T) {
	l := newLab(t)
	text := "name: t\nhosts: {d: {target: duts, where: \"facts.arch == 'arm64'\"}, o: {target: duts, count: 1}}\nsteps:\n  a: {uses: work.do, on: d, with: {do: say a}}\n  b: {uses: work.do, on: o, with: {do: say b}}\n"
	if _, err := l.Check(me, plan.Submission{Plan: text}); err == nil || !strings.Contains(err.Error(), `role "d"`) {
		t.Errorf("nobody was asked yet: %v", err)
	}
	run, err := l.ex.Submit(t.Context(), me, executor.Request{Plugin: "linux_system", Method: "system_information", Target: "duts"})
	if err != nil {
		t.Fatal(err)
	}
	if run, err = l.ex.Wait(t.Context(), me, string(run.ID)); err != nil || run.Verdict != executor.Passed {
		t.Fatalf("%v %+v", err, run)
	}
	if _, err := l.ex.SetState(t.Context(), me, "d1", inventory.Maintenance, "eth1 dead"); err != nil {
		t.Fatal(err)
	}
	if got := l.wait(l.submit(text, nil)); got.Verdict != executor.Passed || fmt.Sprint(got.Hosts) != "map[d:[d2] o:[d3]]" {
		t.Errorf("%s %v: %s", got.Verdict, got.Hosts, reasons(got))
	}
	if _, err := l.ex.SetState(t.Context(), me, "d2", inventory.Maintenance, "no power"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Check(me, plan.Submission{Plan: text}); err == nil || !strings.Contains(err.Error(), `role "d": none of its hosts is active: d2`) {
		t.Errorf("%v", err)
	}
}
