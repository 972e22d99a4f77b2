package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
	"tfw/plugins"
)

func TestClientDrivesEveryRoute(t *testing.T) {
	l := newLab(t)
	ctx, c := context.Background(), l.client
	check := func(what string, err error, ok bool, got any) {
		t.Helper()
		if err != nil || !ok {
			t.Errorf("%s: %v: %s", what, err, jsonOf(t, got))
		}
	}
	req := executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "duts", Parameters: json.RawMessage(`{"command":"ls"}`),
		Options: executor.Options{Timeout: executor.Duration(90 * time.Second), Serial: []string{"1", "20%"}}, IdempotencyKey: "k1", RequestID: "req-7"}
	preview, err := c.Preview(ctx, req)
	check("preview", err, len(preview.Hosts) == 3 && l.count() == 0, preview)
	run, err := c.Submit(ctx, req)
	check("submit", err, run.RequestID == "req-7" && run.Options.Timeout == req.Timeout && len(run.Options.Serial) == 2, run)
	again, err := c.Submit(ctx, req)
	check("submit again", err, again.ID == run.ID && l.count() == 1, again)
	id := string(run.ID)
	got, err := c.Run(ctx, "last")
	check("run", err, got.ID == run.ID, got)
	got, err = c.Cancel(ctx, id, "lunch")
	check("cancel", err, strings.Contains(got.Cancel, "lunch"), got)
	l.say(run.ID, "dut1", executor.Stdout, "out")
	l.finish(run.ID, executor.Passed)
	got, err = c.Wait(ctx, id)
	check("wait", err, got.Verdict == executor.Passed, got)
	got, err = c.RunWithOutput(ctx, id)
	check("output", err, got.Hosts[0].Stdout == "out", got)
	got, err = c.Rerun(ctx, id, true)
	check("rerun", err, got.ID != run.ID, got)
	runs, next, err := c.Runs(ctx, executor.RunFilter{State: executor.Done, Limit: 1})
	check("runs", err, len(runs) == 1 && next == "", runs)
	runs, next, err = c.Runs(ctx, executor.RunFilter{Limit: 1})
	check("runs", err, len(runs) == 1 && next != "", runs)
	runs, next, err = c.Runs(ctx, executor.RunFilter{Limit: 1, Marker: next})
	check("second page", err, len(runs) == 1 && next == "" && runs[0].ID == run.ID, runs)

	hosts, err := c.Hosts(ctx, "", "")
	check("hosts", err, len(hosts) == 3 && hosts[0].SSH.Port == 22 && !strings.Contains(jsonOf(t, hosts), "env:LAB"), hosts)
	host, err := c.Host(ctx, "10.0.1.12")
	check("host", err, host.Name == "dut2", host)
	hosts, err = c.SetHostState(ctx, "dut1", inventory.Maintenance, "eth1 dead")
	check("set state", err, len(hosts) == 1 && hosts[0].State == inventory.Maintenance, hosts)
	hosts, err = c.ProbeHosts(ctx, "duts", "")
	check("probe", err, len(hosts) == 3, hosts)
	groups, err := c.Groups(ctx)
	check("groups", err, len(groups) == 2, groups)
	group, err := c.Group(ctx, "duts")
	check("group", err, len(group.Hosts) == 3, group)
	inv, err := c.InventoryStatus(ctx)
	check("inventory", err, inv.Hosts == 3, inv)
	all, err := c.Plugins(ctx)
	check("plugins", err, len(all) == 1 && len(all[0].Methods) == 2 && all[0].Methods[1].Needs.Destructive, all)
	plugin, err := c.Plugin(ctx, "linux_system")
	check("plugin", err, json.Valid(plugin.Methods[0].Parameters), plugin)
	made, err := c.CreateToken(ctx, TokenRequest{Name: "ci", Role: executor.Operator, Expires: executor.Duration(time.Hour)})
	check("create token", err, made.Text == "tfw_t0_secret" && !made.Expires.IsZero(), made)
	tokens, err := c.Tokens(ctx)
	check("tokens", err, len(tokens) == 1 && tokens[0].Name == "ci", tokens)
	check("revoke", c.RevokeToken(ctx, "t0"), true, nil)
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // over the bound of other bodies
	sum := sha256.Sum256(content)
	art, err := c.PutArtifact(ctx, bytes.NewReader(content))
	check("put", err, art.SHA256 == hex.EncodeToString(sum[:]) && art.Size == int64(len(content)), art)
	r, size, err := c.GetArtifact(ctx, art.SHA256)
	check("get", err, size == art.Size, size)
	back, err := io.ReadAll(r)
	check("content", err, bytes.Equal(back, content), len(back))
	r.Close()
	version, err := c.Version(ctx)
	check("version", err, version.Version == "test" && version.API == "v2.1", version)
	check("health", c.Health(ctx), true, nil)
}

// Every error of the executor comes out of the client as it went in.
func TestErrorsTravel(t *testing.T) {
	l := newLab(t)
	for _, row := range errorTable {
		l.mu.Lock()
		l.fail = fmt.Errorf("%w: with detail", row.err)
		l.mu.Unlock()
		_, _, err := l.client.Runs(context.Background(), executor.RunFilter{})
		var p *Problem
		if !errors.Is(err, row.err) || !errors.As(err, &p) || p.Status != row.status || p.Code != row.code {
			t.Errorf("%v came out as %v (%s)", row.err, err, jsonOf(t, p))
		}
		if !strings.Contains(err.Error(), "with detail") {
			t.Errorf("%v lost its detail: %v", row.err, err)
		}
	}
	if !errors.Is(&Problem{Code: "unauthenticated"}, executor.ErrForbidden) {
		t.Error("being unauthenticated is not being forbidden")
	}
	l.mu.Lock()
	l.fail = errors.New("bbolt: secret password=hunter2")
	l.mu.Unlock()
	_, _, err := l.client.Runs(context.Background(), executor.RunFilter{})
	if !errors.Is(err, ErrInternal) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(l.logs.String(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestParameterFaultsAreNamed(t *testing.T) {
	l := newLab(t)
	for _, how := range []func(context.Context, executor.Request) error{
		func(ctx context.Context, r executor.Request) error { _, err := l.client.Submit(ctx, r); return err },
		func(ctx context.Context, r executor.Request) error { _, err := l.client.Preview(ctx, r); return err },
	} {
		err := how(context.Background(), executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "dut1", Parameters: json.RawMessage(`{"command":7,"colour":"red"}`)})
		var p *Problem
		if !errors.Is(err, executor.ErrBadRequest) || !errors.As(err, &p) || len(p.Errors) != 2 {
			t.Fatalf("%v: %s", err, jsonOf(t, p))
		}
		if text := jsonOf(t, p.Errors); !strings.Contains(text, "body.parameters.command") || !strings.Contains(text, "colour") {
			t.Error(text)
		}
		err = how(context.Background(), executor.Request{Plugin: "linux_system", Method: "fly", Target: "dut1"})
		if !errors.Is(err, plugins.ErrUnknown) {
			t.Error(err)
		}
	}
}

func TestClientMeetsOtherServers(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>gateway</html>", http.StatusTeapot)
	}))
	defer other.Close()
	c := newTestClient(t, other.URL)
	_, err := c.Version(context.Background())
	var p *Problem
	if !errors.As(err, &p) || p.Status != 418 || !strings.Contains(err.Error(), "not as a tfw controller") {
		t.Error(err)
	}
	c = newTestClient(t, "http://127.0.0.1:1", WithPatience(0))
	if _, err = c.Wait(context.Background(), "last"); err == nil || errors.As(err, &p) || !strings.Contains(err.Error(), "is tfwd running?") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	c = newTestClient(t, "http://127.0.0.1:1")
	if _, err = c.Wait(ctx, "last"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	for _, bad := range []string{"", "tfw", "ftp://x", "http://", "unix://", "://"} {
		if _, err := NewClient(bad); err == nil {
			t.Errorf("NewClient(%q) was taken", bad)
		}
	}
}

// A unix socket and a pipe need no token: the kernel says who is there.
func TestLocalTrust(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Auth = true })
	sock := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l.server, ln)
	pipe, dial := Pipe()
	serve(t, l.server, pipe)
	for _, c := range []*Client{newTestClient(t, "unix://"+sock), newTestClient(t, "http://in-process", WithDial(dial))} {
		if _, err := c.Hosts(context.Background(), "", ""); err != nil {
			t.Fatal(err)
		}
		l.mu.Lock()
		p := l.principal
		l.mu.Unlock()
		if p.Role != executor.Admin || p.Source != fmt.Sprintf("unix:pid=%d", os.Getpid()) || p.Name == "" {
			t.Errorf("%+v", p)
		}
	}
	_, err = l.client.Hosts(context.Background(), "", "")
	if !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("over TCP without a token: %v", err)
	}
	// A pipe's vanished follower is noticed too.
	c := newTestClient(t, "http://in-process", WithDial(dial))
	run, err := c.Submit(context.Background(), executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "dut1", Parameters: json.RawMessage(`{"command":"ls"}`)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	next := make(chan error)
	go func() {
		for _, err := range c.Log(ctx, string(run.ID), LogOptions{Follow: true}) {
			next <- err
		}
		close(next)
	}()
	l.waitFollowers(t, 1)
	cancel()
	if err := <-next; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, more := <-next; more {
		t.Error("goes on after an error")
	}
	l.waitFollowers(t, 0)
	pipe.Close()
	if _, err := dial(context.Background()); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
