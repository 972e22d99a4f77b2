package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
	"tfw/plugins"
)

// fake is an executor in memory: it keeps what is told and runs nothing; tests drive its runs by hand.
type fake struct {
	mu        sync.Mutex
	reg       *plugins.Registry
	hosts     []executor.HostStatus
	runs      []*executor.Run
	log       []executor.Entry
	keys      map[string]executor.RunID
	changed   map[executor.RunID]chan struct{}
	artifacts map[string][]byte
	tokens    []executor.Token
	secrets   map[string]executor.Principal
	submitted []executor.Request
	principal executor.Principal // of the last call
	draining  bool
	fail      error // of the next call to Runs
	logReads  int
	doubt     string // of the clock
}

type shellParams struct {
	Command string `json:"command"`
	Args    any    `json:"args,omitempty"`
}

type shellPlugin struct{}

func (shellPlugin) Name() string    { return "linux_system" }
func (shellPlugin) Summary() string { return "commands on a Linux host" }
func (shellPlugin) Methods() []plugins.Method {
	none := func(context.Context, plugins.Remote, shellParams) (struct{}, error) { return struct{}{}, nil }
	return []plugins.Method{plugins.Do("run_shell", "runs a command", none), plugins.Do("reboot", "reboots", none, plugins.Destructive)}
}

func newFake(t testing.TB) *fake {
	t.Helper()
	reg, err := plugins.NewRegistry(shellPlugin{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{reg: reg, keys: map[string]executor.RunID{}, changed: map[executor.RunID]chan struct{}{},
		artifacts: map[string][]byte{}, secrets: map[string]executor.Principal{}}
	for i := 1; i <= 3; i++ {
		name := fmt.Sprintf("dut%d", i)
		f.hosts = append(f.hosts, executor.HostStatus{ID: i + 5, Host: &inventory.Host{
			Name: name, Address: fmt.Sprintf("10.0.1.1%d", i), UUID: fmt.Sprintf("0000000%d-0000-5000-8000-000000000000", i),
			Groups: []string{"duts"}, Plugins: []string{"linux_system", "build_server"}, State: inventory.Active,
			SSH: inventory.SSH{User: "lab", Password: "env:LAB"}, Vars: map[string]any{"board": "imx8"},
		}})
	}
	return f
}

func (f *fake) lock(p executor.Principal) func() {
	f.mu.Lock()
	f.principal = p
	return f.mu.Unlock
}

func (f *fake) ring(id executor.RunID) {
	if ch := f.changed[id]; ch != nil {
		close(ch)
		delete(f.changed, id)
	}
}

func (f *fake) Changed(id executor.RunID) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed[id] == nil {
		f.changed[id] = make(chan struct{})
	}
	return f.changed[id]
}

func (f *fake) pick(target string) ([]executor.HostStatus, error) {
	if target == "" || target == "all" || target == "duts" {
		return f.hosts, nil
	}
	for _, h := range f.hosts {
		if h.Name == target {
			return []executor.HostStatus{h}, nil
		}
	}
	return nil, fmt.Errorf("%w: %q: no such host or group (see: tfwctl hosts)", executor.ErrBadRequest, target)
}

func (f *fake) Submit(_ context.Context, p executor.Principal, req executor.Request) (*executor.Run, error) {
	defer f.lock(p)()
	if f.draining {
		return nil, fmt.Errorf("%w: no new runs", executor.ErrDraining)
	}
	if !p.May(executor.Operator) {
		return nil, fmt.Errorf("%w: running needs the role operator", executor.ErrForbidden)
	}
	if id, ok := f.keys[req.IdempotencyKey]; ok && req.IdempotencyKey != "" {
		return f.find(string(id))
	}
	m, err := f.reg.Method(req.Plugin, req.Method)
	if err != nil {
		return nil, err
	}
	if err := m.Parameters.Check(req.Parameters); err != nil {
		return nil, fmt.Errorf("%w: parameters of %s.%s: %w", executor.ErrBadRequest, req.Plugin, req.Method, err)
	}
	if req.Target == "" {
		return nil, fmt.Errorf("%w: the target is empty", executor.ErrBadRequest)
	}
	hosts, err := f.pick(req.Target)
	if err != nil {
		return nil, err
	}
	id := executor.RunID(fmt.Sprintf("run%09d", len(f.runs)))
	run := &executor.Run{ID: id, Plugin: req.Plugin, Method: req.Method, Parameters: req.Parameters, Target: req.Target,
		State: executor.Running, Created: time.Now(), By: p.Name, RequestID: req.RequestID, Options: &req.Options}
	for _, h := range hosts {
		run.Hosts = append(run.Hosts, executor.HostResult{Host: h.Name})
	}
	run.HostCount = len(run.Hosts)
	f.runs = append(f.runs, run)
	f.submitted = append(f.submitted, req)
	f.keys[req.IdempotencyKey] = id
	return copyRun(run), nil
}

func copyRun(r *executor.Run) *executor.Run {
	c := *r
	c.Hosts = append([]executor.HostResult(nil), r.Hosts...)
	return &c
}

func (f *fake) find(id string) (*executor.Run, error) {
	for i := len(f.runs) - 1; i >= 0; i-- {
		if id == "last" || strings.HasPrefix(string(f.runs[i].ID), id) {
			return copyRun(f.runs[i]), nil
		}
	}
	return nil, fmt.Errorf("run %q: %w (see: tfwctl runs)", id, executor.ErrNotFound)
}

func (f *fake) Run(_ context.Context, p executor.Principal, id string) (*executor.Run, error) {
	defer f.lock(p)()
	return f.find(id)
}

func (f *fake) Runs(_ context.Context, p executor.Principal, q executor.RunFilter) ([]*executor.Run, string, error) {
	defer f.lock(p)()
	if f.fail != nil {
		return nil, "", f.fail
	}
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	all := slices.Clone(f.runs)
	if !q.Oldest {
		slices.Reverse(all)
	}
	var runs []*executor.Run
	for _, r := range all {
		past := q.Marker == "" || (string(r.ID) < q.Marker) != q.Oldest && string(r.ID) != q.Marker
		if past && (q.By == "" || r.By == q.By) && (q.State == "" || r.State == q.State) {
			if len(runs) == limit {
				return runs, string(runs[len(runs)-1].ID), nil
			}
			brief := copyRun(r)
			brief.Hosts, brief.Options = nil, nil
			runs = append(runs, brief)
		}
	}
	return runs, "", nil
}

func (f *fake) Wait(ctx context.Context, p executor.Principal, id string) (*executor.Run, error) {
	for {
		run, err := f.Run(ctx, p, id)
		if err != nil || run.State == executor.Done {
			return run, err
		}
		select {
		case <-f.Changed(run.ID):
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return run, ctx.Err()
		}
	}
}

func (f *fake) WithOutput(_ context.Context, p executor.Principal, run *executor.Run) error {
	defer f.lock(p)()
	for i := range run.Hosts {
		for _, e := range f.log {
			if e.Run == run.ID && e.Host == run.Hosts[i].Host && e.Stream == executor.Stdout {
				run.Hosts[i].Stdout += string(e.Data)
			}
		}
	}
	return nil
}

func (f *fake) Cancel(_ context.Context, p executor.Principal, id, reason string) (*executor.Run, error) {
	defer f.lock(p)()
	run, err := f.find(id)
	if err != nil {
		return nil, err
	}
	if run.State == executor.Done {
		return nil, fmt.Errorf("%w: run %s is done", executor.ErrConflict, run.ID)
	}
	run.Cancel = p.Name + ": " + reason
	return run, nil
}

func (f *fake) Rerun(ctx context.Context, p executor.Principal, id string, failed bool, requestID string) (*executor.Run, error) {
	old, err := f.Run(ctx, p, id)
	if err != nil {
		return nil, err
	}
	return f.Submit(ctx, p, executor.Request{Plugin: old.Plugin, Method: old.Method, Parameters: old.Parameters, Target: old.Target, RequestID: requestID})
}

func (f *fake) Log(_ context.Context, p executor.Principal, q executor.LogQuery) (executor.LogPage, error) {
	defer f.lock(p)()
	f.logReads++
	limit, bound := q.Limit, q.Bytes
	if limit == 0 {
		limit = 1000
	}
	page := executor.LogPage{Next: q.After}
	var all []executor.Entry
	for _, e := range f.log {
		if e.Run == q.Run && (q.Host == "" || e.Host == q.Host) && (q.Stream == "" || e.Stream == q.Stream) && e.Seq > q.After &&
			(q.Command == nil || e.Command == *q.Command) && !e.Time.Before(q.Since) && (q.Before == 0 || e.Seq < q.Before) {
			all = append(all, e)
		}
	}
	if q.Tail > 0 && len(all) > q.Tail {
		all = all[len(all)-q.Tail:]
	}
	size := 0
	for i, e := range all {
		if len(page.Entries) == limit || (bound > 0 && size >= bound) {
			page.More = true
			return page, nil
		}
		page.Entries = append(page.Entries, e)
		page.Next = all[i].Seq
		size += len(e.Data)
	}
	if n := len(f.log); n > 0 {
		page.Next = f.log[n-1].Seq
	}
	return page, nil
}

// say appends to a run's log.
func (f *fake) say(id executor.RunID, host string, stream executor.Stream, data string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var offset int64
	for _, e := range f.log {
		if e.Run == id && e.Host == host && e.Stream == stream {
			offset += int64(len(e.Data))
		}
	}
	f.log = append(f.log, executor.Entry{Seq: uint64(len(f.log) + 1), Time: time.Now().UTC(), Run: id, Host: host, Stream: stream, Offset: offset, Data: []byte(data)})
	f.ring(id)
}

// finish ends a run.
func (f *fake) finish(id executor.RunID, v executor.Verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.runs {
		if r.ID == id {
			r.State, r.Verdict, r.Finished = executor.Done, v, time.Now()
			r.Tally = map[executor.Verdict]int{v: len(r.Hosts)}
			for i := range r.Hosts {
				code := 0
				r.Hosts[i].Verdict, r.Hosts[i].ExitCode = v, &code
			}
		}
	}
	f.ring(id)
}

func (f *fake) Select(_ context.Context, p executor.Principal, q inventory.Query) (inventory.Selection, error) {
	defer f.lock(p)()
	hosts, err := f.pick(q.Target)
	var s inventory.Selection
	for _, h := range hosts {
		s.Hosts = append(s.Hosts, h.Host)
	}
	return s, err
}

func (f *fake) Hosts(_ context.Context, p executor.Principal, q inventory.Query) ([]executor.HostStatus, error) {
	defer f.lock(p)()
	return f.pick(q.Target)
}

func (f *fake) Host(_ context.Context, p executor.Principal, name string) (executor.HostStatus, error) {
	defer f.lock(p)()
	for _, h := range f.hosts {
		if name == h.Name || name == h.Address || name == h.UUID || name == strconv.Itoa(h.ID) {
			return h, nil
		}
	}
	return executor.HostStatus{}, fmt.Errorf("%q: no such host: %w (see: tfwctl hosts)", name, executor.ErrNotFound)
}

func (f *fake) Groups(context.Context, executor.Principal) ([]*inventory.Group, error) {
	return []*inventory.Group{{Name: "duts", Hosts: []string{"dut1", "dut2", "dut3"}}, {Name: "lab"}}, nil
}

func (f *fake) Explain(context.Context, executor.Principal, string) ([]inventory.Setting, error) {
	return []inventory.Setting{{Name: "ssh.user", Value: "lab", Origin: inventory.Origin{By: "defaults", File: "inventory.yaml", Line: 3}}}, nil
}

func (f *fake) GroupUsers(context.Context, executor.Principal) (map[string][]executor.GroupUser, error) {
	return nil, nil
}

func (f *fake) Check(context.Context, executor.Principal, executor.Request) error { return nil }

func (f *fake) SetState(_ context.Context, p executor.Principal, target string, state inventory.State, reason string) ([]executor.HostStatus, error) {
	defer f.lock(p)()
	hosts, err := f.pick(target)
	for _, h := range hosts {
		h.State, h.Reason = state, reason
	}
	return hosts, err
}

func (f *fake) ProbeHosts(ctx context.Context, p executor.Principal, q inventory.Query) ([]executor.HostStatus, error) {
	return f.Hosts(ctx, p, q)
}

func (f *fake) PutArtifact(_ context.Context, p executor.Principal, r io.Reader) (string, int64, error) {
	content, err := io.ReadAll(r)
	if err != nil {
		return "", 0, err
	}
	defer f.lock(p)()
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	f.artifacts[name] = content
	return name, int64(len(content)), nil
}

func (f *fake) OpenArtifact(_ context.Context, p executor.Principal, sum string) (io.ReadCloser, int64, error) {
	defer f.lock(p)()
	content, ok := f.artifacts[sum]
	if !ok {
		return nil, 0, fmt.Errorf("artifact %s: %w", sum, executor.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(content)), int64(len(content)), nil
}

func (f *fake) CreateToken(_ context.Context, p executor.Principal, t executor.Token) (string, executor.Token, error) {
	defer f.lock(p)()
	t.ID = fmt.Sprintf("t%d", len(f.tokens))
	t.Created, t.By = time.Now(), p.Name
	f.tokens = append(f.tokens, t)
	text := "tfw_" + t.ID + "_secret"
	f.secrets[text] = executor.Principal{Name: t.Name, Role: t.Role, Groups: t.Groups, Token: t.ID}
	return text, t, nil
}

func (f *fake) Tokens(_ context.Context, p executor.Principal) ([]executor.Token, error) {
	defer f.lock(p)()
	return append([]executor.Token(nil), f.tokens...), nil
}

func (f *fake) RevokeToken(_ context.Context, p executor.Principal, id string) error {
	defer f.lock(p)()
	for _, t := range f.tokens {
		if t.ID == id {
			delete(f.secrets, "tfw_"+id+"_secret")
			return nil
		}
	}
	return fmt.Errorf("token %q: %w", id, executor.ErrNotFound)
}

func (f *fake) Authenticate(_ context.Context, text, source string) (executor.Principal, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.secrets[text]
	if !ok {
		return executor.Principal{}, fmt.Errorf("token: %w", executor.ErrForbidden)
	}
	p.Source = source
	return p, nil
}

var _ Executor = (*fake)(nil)

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (f *fake) ClockDoubt() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.doubt
}
