package api_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tfw/api"
	"tfw/executor"
	"tfw/executor/executortest"
	"tfw/inventory"
	"tfw/plan"
	"tfw/plugins"
)

// two teams share a lab; everything of the other team has "blue" in its name
const twoTeams = `version: 1
groups:
  red:
    plugins: [linux_system]
    vars: {board: imx8}
    hosts:
      red[1-2]: {address: "127.0.0.[21-22]"}
  blue:
    plugins: [linux_system]
    owner: blueteam
    vars: {board: bluevar}
    tags: [bluetag]
    hosts:
      blue[1-2]: {address: "127.0.0.[31-32]"}
`

// teams is a controller for two teams, over TCP.
type teams struct {
	t       *testing.T
	url     string
	store   *executortest.Counted
	exec    *executor.Executor
	plans   *plan.Engine
	tokens  map[string]string // who -> token
	request string            // id of the next requests
	source  int               // last octets of the address that the next failing request comes from
}

var root = executor.Local("root")

func newTeams(t *testing.T, change ...func(*api.Config)) *teams {
	t.Helper()
	inv, err := inventory.Parse("inventory.yaml", []byte(twoTeams), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	registry, err := plugins.NewRegistry(plugins.Builtin()...)
	if err != nil {
		t.Fatal(err)
	}
	store := &executortest.Counted{Store: executortest.NewMemory()}
	x, err := executor.New(executor.Config{Store: store, Transport: api.Talkers{}, Plugins: registry, Artifacts: t.TempDir(), Secrets: executortest.NewSecrets(),
		Inventory: func() *inventory.Inventory { return inv }})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	engine := plan.New(plan.Config{Executor: x, Store: store, Plugins: registry, Inventory: func() *inventory.Inventory { return inv }})
	cfg := api.Config{Executor: x, Plans: engine, Plugins: registry, Auth: true, Log: slog.New(slog.DiscardHandler), Version: "test",
		Inventory: func() api.InventoryStatus {
			return api.InventoryStatus{Source: "/srv/blue/inventory.yaml", Hosts: 4, Groups: 2, Problem: "inventory.yaml:9:3: blue1: twice"}
		}}
	for _, c := range change {
		c(&cfg)
	}
	server, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		for _, err := range []error{engine.Drain(timeout()), x.Drain(timeout()), server.Shutdown(timeout()), <-served, store.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	l := &teams{t: t, url: "http://" + ln.Addr().String(), store: store, exec: x, plans: engine, tokens: map[string]string{}, request: "fixed"}
	l.makeTokens()
	return l
}

func (l *teams) makeTokens() {
	l.t.Helper()
	var expires time.Time
	for who, token := range map[string]executor.Token{
		"viewer":   {Name: "vera", Role: executor.Viewer, Groups: []string{"red"}},
		"operator": {Name: "otto", Role: executor.Operator, Groups: []string{"red"}},
		"other":    {Name: "bluebert", Role: executor.Operator, Groups: []string{"blue"}},
		"lead":     {Name: "rita", Role: executor.Admin, Groups: []string{"red"}},
		"admin":    {Name: "ada", Role: executor.Admin},
		"expired":  {Name: "late", Role: executor.Admin},
		"revoked":  {Name: "gone", Role: executor.Admin},
	} {
		if who == "expired" {
			expires = time.Now().Add(100 * time.Millisecond)
			token.Expires = expires
		}
		text, made, err := l.exec.CreateToken(l.t.Context(), root, token)
		if err != nil {
			l.t.Fatal(err)
		}
		l.tokens[who] = text
		if who == "revoked" {
			if err := l.exec.RevokeToken(l.t.Context(), root, made.ID); err != nil {
				l.t.Fatal(err)
			}
		}
	}
	l.tokens["none"], l.tokens["wrong"] = "", l.tokens["admin"][:len(l.tokens["admin"])-1]+"x"
	time.Sleep(time.Until(expires) + time.Millisecond)
}

// ask sends a request as somebody. Requests that fail to authenticate are slowed
// down by source, so each of them comes from an address of its own.
func (l *teams) ask(who, method, path, body string) (int, string) {
	l.t.Helper()
	dialer := &net.Dialer{}
	switch who {
	case "none", "wrong", "expired", "revoked":
		l.source++
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 9, byte(l.source>>8), byte(l.source))}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext}, Timeout: 20 * time.Second}
	req, err := http.NewRequest(method, l.url+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("X-Request-Id", l.request)
	req.Header.Set("Content-Type", "application/json")
	if token := l.tokens[who]; token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	resp, err := client.Do(req)
	if err != nil {
		l.t.Fatalf("%s %s as %s: %v", method, path, who, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	text := string(raw)
	for name, values := range resp.Header {
		text += "\n" + name + ": " + strings.Join(values, ",")
	}
	return resp.StatusCode, text
}

// run makes a run that is done, or one that stays.
func (l *teams) run(target, command string) string {
	l.t.Helper()
	params, _ := json.Marshal(map[string]string{"command": command})
	run, err := l.exec.Submit(l.t.Context(), root, executor.Request{Plugin: "linux_system", Method: "run_shell", Target: target, Parameters: params})
	if err != nil {
		l.t.Fatal(err)
	}
	if command != "stay" {
		if _, err := l.exec.Wait(l.t.Context(), root, string(run.ID)); err != nil {
			l.t.Fatal(err)
		}
	}
	return string(run.ID)
}

func (l *teams) lease(target, purpose string) string {
	l.t.Helper()
	lease, err := l.exec.Lease(l.t.Context(), root, executor.LeaseRequest{Target: target, For: executor.Duration(time.Hour), Purpose: purpose})
	if err != nil {
		l.t.Fatal(err)
	}
	return lease.ID
}

// onePlan asks for a plan on a host of the red team.
const onePlan = `{"file":"p.yaml","plan":"name: p\nhosts: {dut: red2}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: 'true'}}\n"}`

// plan runs a test plan as admin, to its end.
func (l *teams) plan(body string) string {
	l.t.Helper()
	status, answer := l.ask("admin", "POST", "/v2.1/testplans?wait=20s", body)
	var t plan.TestPlan
	if err := json.Unmarshal([]byte(head(answer)), &t); err != nil || status != 200 || t.Verdict != executor.Passed {
		l.t.Fatal(status, err, answer)
	}
	return t.ID
}

func TestFaultsOfAPlanHavePlaces(t *testing.T) {
	l := newTeams(t)
	for _, path := range []string{"/v2.1/testplans", "/v2.1/testplans/check"} {
		status, answer := l.ask("admin", "POST", path, strings.ReplaceAll(onePlan, "run_shell", "nosuch"))
		var p api.Problem
		if err := json.Unmarshal([]byte(head(answer)), &p); err != nil || status != 400 || len(p.Errors) != 1 || p.Errors[0].Location != "p.yaml:4:15" || p.Errors[0].Fix == "" {
			t.Errorf("%s: %d %v %s", path, status, err, answer)
		}
	}
}
