package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/cmd/controller"
	"tfw/executor"
	"tfw/executor/executortest"
	"tfw/plan"
)

// everybody calls tfwctl: the first four have no token that is good. ruby and viola are of the crimson team,
// azurebert is an operator of the azure team, lee an admin of the crimson team only.
var everybody = []string{"none", "wrong", "expired", "revoked", "viola", "azurebert", "ruby", "lee", "ada"}

const strangers = 4 // of everybody

// verbs is tfwctl on the desks of two teams that share a tfwd. What is the azure team's has "azure" in its name.
type verbs struct {
	t      *testing.T
	admin  *api.Client
	dir    string
	server string // by way of a relay: see relay
	tokens map[string]string
	secret map[string][]string // by team: ids that tell of it
}

// verb is a command line about the crimson team. {team} is its name, {id} what prepare made, {dir} a directory of one's own.
type verb struct {
	line    string
	want    [5]int // of viola, azurebert, ruby, lee, ada; strangers get 6
	prepare func(v *verbs) string
	stdin   string
	alike   bool  // for azurebert: what is hidden and what is not there may be told apart by nothing
	strange []int // of strangers, where it is not 6
}

// serverless are the commands that speak to no server, and what else has no row, with the reason.
var serverless = map[string]string{
	"completion": "", "man": "", "version": "", "config list": "", "config set": "", "config use": "", "config delete": "", "lab up": "",
	"inventory check": "", "inventory convert": "", "inventory expand": "", "inventory fold": "", "inventory schema": "",
	"background": "is a controller, not its client",
	"top":        "needs a terminal: TestTerminal; it asks for hosts, runs and logs, as hosts, runs and logs do",
}

func matrix() []verb {
	return []verb{
		{line: "exec {team}1 -- true", want: [5]int{6, 2, 0, 0, 0}, alike: true},
		{line: "run linux_system.run_shell {team}1 command=true", want: [5]int{6, 2, 0, 0, 0}, alike: true},
		{line: "cp {dir}/crimson.yaml {team}1:/dev/null/no", want: [5]int{6, 2, 1, 1, 1}, alike: true},
		{line: "cp {team}1:/etc/hostname {dir}/got", want: [5]int{6, 2, 0, 0, 0}, alike: true},
		{line: "plan run {dir}/{team}.yaml", want: [5]int{6, 2, 0, 0, 0}, alike: true},
		{line: "plan check {dir}/{team}.yaml", want: [5]int{0, 2, 0, 0, 0}, alike: true},
		{line: "plan show {id}", want: [5]int{0, 2, 0, 0, 0}, prepare: thePlan, alike: true},
		{line: "plan list", want: [5]int{}},
		{line: "plan compare {id}", want: [5]int{0, 2, 0, 0, 0}, prepare: thePlan, alike: true},
		{line: "plan flaky {id}", want: [5]int{0, 2, 0, 0, 0}, prepare: thePlan, alike: true},
		{line: "plan cancel {id}", want: [5]int{6, 2, 2, 2, 2}, prepare: thePlan, alike: true},
		{line: "plan resume {id}", want: [5]int{6, 2, 2, 2, 2}, prepare: thePlan, alike: true}, // it passed
		{line: "plan resume {id}", want: [5]int{6, 2, 1, 1, 1}, prepare: aFailedPlan},
		{line: "plan schema", want: [5]int{}},
		{line: "results {id}", want: [5]int{0, 2, 0, 0, 0}, prepare: thePlan, alike: true},
		{line: "results {id} -o junit", want: [5]int{0, 2, 0, 0, 0}, prepare: theRun, alike: true},
		{line: "runs", want: [5]int{}},
		{line: "runs --host {team}1", want: [5]int{}, alike: true},
		{line: "show {id}", want: [5]int{0, 2, 0, 0, 0}, prepare: theRun, alike: true},
		{line: "logs {id}", want: [5]int{0, 2, 0, 0, 0}, prepare: theRun, alike: true},
		{line: "logs {id} -f", want: [5]int{0, 2, 0, 0, 0}, prepare: theRun, alike: true},
		{line: "cancel {id}", want: [5]int{6, 2, 0, 0, 0}, prepare: aRun, alike: true},
		{line: "wait {id}", want: [5]int{0, 2, 0, 0, 0}, prepare: theRun, alike: true},
		{line: "rerun {id}", want: [5]int{6, 2, 0, 0, 0}, prepare: theRun, alike: true},
		{line: "hosts", want: [5]int{}},
		{line: "hosts {team}*", want: [5]int{0, 2, 0, 0, 0}, alike: true},
		{line: "hosts {team} -o json", want: [5]int{0, 2, 0, 0, 0}, alike: true},
		{line: "hosts set {team}2 --state active", want: [5]int{6, 6, 6, 0, 0}, alike: true},
		{line: "host {team}1", want: [5]int{0, 2, 0, 0, 0}, alike: true},
		{line: "groups", want: [5]int{}},
		{line: "groups {team}", want: [5]int{0, 2, 0, 0, 0}, alike: true},
		{line: "plugins", want: [5]int{}},
		{line: "lease {team}2 --for 1m", want: [5]int{6, 2, 0, 0, 0}, prepare: noLease, alike: true},
		{line: "leases", want: [5]int{}},
		{line: "queue", want: [5]int{}},
		{line: "renew {id} --for 2h", want: [5]int{6, 2, 2, 0, 0}, prepare: aLease, alike: true},
		{line: "release {id} --reason fire", want: [5]int{6, 2, 2, 0, 0}, prepare: aLease, alike: true},
		{line: "audit", want: [5]int{6, 6, 6, 0, 0}},
		{line: "audit -n 0 -o jsonl", want: [5]int{6, 6, 6, 0, 0}},
		{line: "audit --verify", want: [5]int{6, 6, 6, 6, 0}},
		{line: "inventory status", want: [5]int{}},
		{line: "hostkeys scan {team}1", want: [5]int{6, 6, 6, 0, 0}, alike: true},
		{line: "hostkeys forget {team}2", want: [5]int{6, 6, 6, 0, 0}, alike: true},
		{line: "hostkeys trust {team}2 --yes", want: [5]int{6, 6, 6, 0, 0}, alike: true},
		{line: "token create new --role viewer --groups {team}", want: [5]int{6, 6, 6, 0, 0}, alike: true},
		{line: "token list", want: [5]int{6, 6, 6, 0, 0}},
		{line: "token revoke {id}", want: [5]int{6, 6, 6, 0, 0}, prepare: aToken, alike: true},
		{line: "secret list", want: [5]int{6, 0, 0, 0, 0}},
		{line: "secret set new", want: [5]int{6, 6, 6, 6, 0}, stdin: "long enough"},
		{line: "secret rm new", want: [5]int{6, 6, 6, 6, 0}},
		{line: "whoami", want: [5]int{}},
		{line: "login", want: [5]int{}, stdin: "TOKEN", strange: []int{2, 6, 6, 6}},
		{line: "logout", want: [5]int{}, strange: []int{2, 2, 2, 2}}, // no context has their token
	}
}

// TestMatrixOfVerbs calls every verb that speaks to a server as everybody: the exit status is 0, 6 or 2 as rights say, and
// neither standard output nor standard error has anything of the other team's that the caller did not type. What is
// hidden is answered as what is not there.
func TestMatrixOfVerbs(t *testing.T) {
	v := newVerbs(t)
	called := map[string]bool{}
	for _, row := range matrix() {
		for _, leaf := range leaves(newRoot(newApp())) {
			if strings.HasPrefix(row.line+" ", leaf+" ") {
				called[leaf] = true
			}
		}
		for i, who := range everybody {
			want := exitRefused
			if i >= strangers {
				want = row.want[i-strangers]
			} else if row.strange != nil {
				want = row.strange[i]
			}
			v.try(who, row, want)
		}
	}
	for _, leaf := range leaves(newRoot(newApp())) {
		if _, is := serverless[leaf]; is == called[leaf] {
			t.Errorf("tfwctl %s is not in the matrix, or is in it and said to speak to no server", leaf)
		}
	}
}

func (v *verbs) try(who string, row verb, want int) {
	id := ""
	if row.prepare != nil {
		id = row.prepare(v)
	}
	fill := func(team, id string) string {
		return strings.NewReplacer("{team}", team, "{id}", id, "{dir}", v.dir).Replace(row.line)
	}
	line := fill("crimson", id)
	status, out := v.call(who, line, row.stdin)
	if status != want {
		v.t.Errorf("tfwctl %s as %s: status %d, want %d:\n%s", line, who, status, want, out)
	}
	v.tells(who, line, out)
	if who != "azurebert" || !row.alike {
		return
	}
	other := strings.Repeat("z", len(id))
	twin := fill("missing", other)
	twinStatus, twinOut := v.call(who, twin, row.stdin)
	same := func(out, team, id string) string {
		out = strings.ReplaceAll(out, team, "TEAM")
		if id != "" {
			out = strings.ReplaceAll(out, id, "ID")
		}
		return out
	}
	if a, b := same(out, "crimson", id), same(twinOut, "missing", other); status != twinStatus || a != b {
		v.t.Errorf("tfwctl %s as %s: what is hidden (%d) is not answered as what is not there (%d):\n%s\n%s", line, who, status, twinStatus, a, b)
	}
}

// tells looks for what the caller may not know and did not type.
func (v *verbs) tells(who, line, out string) {
	hidden := map[string][]string{"ada": {}, "viola": {"azure"}, "ruby": {"azure"}, "lee": {"azure"}, "azurebert": {"crimson"}}[who]
	if hidden == nil {
		hidden = []string{"azure", "crimson"}
	}
	typed := regexp.MustCompile(`crimson[12]?\b`).FindAllString(line, -1)
	if strings.HasPrefix(line, "plan ") {
		typed = append(typed, "crimson1") // in the file
	}
	for _, name := range typed { // as it was typed, in a message that says so
		out = strings.NewReplacer(`"`+name+`"`, "", "{dut: "+name+"}", "").Replace(out)
	}
	for _, word := range append(strings.Fields(line), v.tokens[who]) {
		out = strings.ReplaceAll(out, word, "")
	}
	for _, team := range hidden {
		for _, sign := range append(v.secret[team], team) {
			if strings.Contains(strings.ToLower(out), strings.ToLower(sign)) {
				v.t.Errorf("tfwctl %s as %s tells of the %s team (%s):\n%s", line, who, team, sign, out)
			}
		}
	}
}

// TestCompletionsTellOnlyOfOnesOwn asks for the words of every argument and flag.
func TestCompletionsTellOnlyOfOnesOwn(t *testing.T) {
	v := newVerbs(t)
	asked, found := 0, 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		path := strings.Fields(c.CommandPath())[1:]
		var lines [][]string
		if c.ValidArgsFunction != nil {
			lines = append(lines, path)
		}
		for _, name := range flagNames(c) {
			if _, is := c.GetFlagCompletionFunc(name); is {
				lines = append(lines, append(path[:len(path):len(path)], "--"+name))
			}
		}
		for _, words := range lines {
			for _, who := range []string{"none", "revoked", "viola", "azurebert", "lee"} {
				line := strings.Join(append([]string{"__complete"}, words...), " ")
				_, out := v.call(who, line+" {empty}", "")
				v.tells(who, line, out)
				asked++
				if strings.Contains(out, "crimson1") {
					found++
				}
			}
		}
	}
	walk(newRoot(newApp()))
	if asked < 100 || found < 10 {
		t.Errorf("only %d completions were asked for, and %d named a host", asked, found)
	}
}

func flagNames(c *cobra.Command) (names []string) {
	for _, line := range strings.Split(c.LocalFlags().FlagUsages(), "\n") {
		if m := regexp.MustCompile(`--([a-z-]+)`).FindStringSubmatch(line); m != nil {
			names = append(names, m[1])
		}
	}
	return names
}

// leaves are the commands that do something, without the program's name.
func leaves(root *cobra.Command) (all []string) {
	for _, c := range allCommands(root) {
		if c != root && (!c.HasSubCommands() || c.Name() == "hosts") {
			all = append(all, strings.TrimPrefix(c.CommandPath(), "tfwctl "))
		}
	}
	return all
}

func newVerbs(t *testing.T) *verbs {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lab, err := executortest.NewLab(ctx, executortest.LabOptions{Names: []string{"crimson1", "crimson2", "azure1", "azure2"}, Embedded: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	home, err := os.MkdirTemp("", "tfwctl") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	file := filepath.Join(home, "inventory.yaml")
	if err := os.WriteFile(file, twoTeams(lab), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := controller.Start(ctx, controller.Config{
		Inventory: file, Data: filepath.Join(home, "data"), Listen: "127.0.0.1:0", Version: "test", Log: slog.New(slog.DiscardHandler), SecretsKey: lab.IdentityFile(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("closing the controller: %v", err)
		}
	})
	token, err := os.ReadFile(filepath.Join(home, "data", "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	admin, err := api.NewClient(c.URL(), api.WithToken(strings.TrimSpace(string(token))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	v := &verbs{t: t, admin: admin, dir: home, server: relay(t, c.Addr().String()), tokens: map[string]string{}, secret: map[string][]string{}}
	v.makeTokens()
	v.furnish()
	return v
}

// twoTeams is the lab's inventory with its hosts in the groups of two teams.
func twoTeams(lab *executortest.Lab) []byte {
	head, _, _ := strings.Cut(string(lab.Inventory()), "groups:\n")
	hosts := regexp.MustCompile(`(?m)^ +(\w+[12]: \{.*\})$`).FindAllStringSubmatch(string(lab.Inventory()), -1)
	text := head + "groups:\n"
	for _, team := range []string{"crimson", "azure"} {
		text += "  " + team + ":\n    plugins: [linux_system]\n    isolation: exclusive\n    owner: " + team + "team\n    tags: [" + team + "tag]\n    hosts:\n"
		for _, h := range hosts {
			if strings.HasPrefix(h[1], team) {
				text += "      " + h[1] + "\n"
			}
		}
	}
	return []byte(text)
}

func (v *verbs) makeTokens() {
	expired := 30 * time.Millisecond
	for who, req := range map[string]api.TokenRequest{
		"viola":     {Role: executor.Viewer, Groups: []string{"crimson"}},
		"ruby":      {Role: executor.Operator, Groups: []string{"crimson"}},
		"azurebert": {Role: executor.Operator, Groups: []string{"azure"}},
		"lee":       {Role: executor.Admin, Groups: []string{"crimson"}},
		"ada":       {Role: executor.Admin},
		"revoked":   {Role: executor.Admin},
		"expired":   {Role: executor.Admin, Expires: executor.Duration(expired)},
	} {
		req.Name = who
		made, err := v.admin.CreateToken(v.t.Context(), req)
		v.must(err)
		v.tokens[who] = made.Text
		if who == "revoked" {
			v.must(v.admin.RevokeToken(v.t.Context(), made.ID))
		}
		if who == "azurebert" {
			v.secret["azure"] = append(v.secret["azure"], made.ID)
		}
	}
	v.tokens["wrong"] = v.tokens["ada"][:len(v.tokens["ada"])-1] + "x"
	time.Sleep(expired)
}

// furnish makes what each team has: a run, a test plan, a lease, a secret and a host in maintenance.
func (v *verbs) furnish() {
	ctx := v.t.Context()
	for _, team := range []string{"crimson", "azure"} {
		for _, name := range []string{team, "missing"} {
			text := "name: " + team + "plan\nhosts: {dut: " + name + "1}\nsteps:\n  " + team + "step: {uses: linux_system.run_shell, on: dut, with: {command: 'true'}}\n"
			if name == "missing" {
				text = strings.ReplaceAll(text, team, "missing")
			}
			v.must(os.WriteFile(filepath.Join(v.dir, name+".yaml"), []byte(text), 0o600))
		}
		_, err := v.admin.SetSecret(ctx, team+"secret", api.SecretRequest{Value: team + "value", Groups: []string{team}})
		v.must(err)
		text, err := os.ReadFile(filepath.Join(v.dir, team+".yaml"))
		v.must(err)
		for range 2 {
			p, err := v.admin.SubmitTestplan(ctx, plan.Submission{File: team + ".yaml", Plan: string(text)})
			v.must(err)
			for p, err = range v.admin.FollowTestplan(ctx, p.ID) {
				v.must(err)
			}
			v.secret[team] = append(v.secret[team], p.ID)
		}
		done := v.submit(team+"1", "echo "+team)
		_, err = v.admin.Wait(ctx, string(done))
		v.must(err)
		v.secret[team] = append(v.secret[team], string(done))
	}
	l, err := v.admin.Lease(ctx, executor.LeaseRequest{Target: "azure2", For: executor.Duration(time.Hour), Purpose: "azurepurpose"})
	v.must(err)
	v.secret["azure"] = append(v.secret["azure"], l.ID)
}

func (v *verbs) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *verbs) submit(host, command string) executor.RunID {
	v.t.Helper()
	run, err := v.admin.Submit(v.t.Context(), executor.Request{Plugin: "linux_system", Method: "run_shell", Target: host, Parameters: []byte(fmt.Sprintf(`{"command":%q}`, command))})
	v.must(err)
	return run.ID
}

func thePlan(v *verbs) string { return v.secret["crimson"][1] }

func aFailedPlan(v *verbs) string {
	text := "name: bad\nhosts: {dut: crimson1}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: 'false'}}\n"
	p, err := v.admin.SubmitTestplan(v.t.Context(), plan.Submission{File: "bad.yaml", Plan: text})
	v.must(err)
	for _, err = range v.admin.FollowTestplan(v.t.Context(), p.ID) {
		v.must(err)
	}
	return p.ID
}

func theRun(v *verbs) string { return v.secret["crimson"][2] }

// aRun goes on until it is cancelled; those that nobody cancelled are ended for the next.
func aRun(v *verbs) string {
	runs, _, err := v.admin.Runs(v.t.Context(), executor.RunFilter{State: executor.Running})
	v.must(err)
	for _, r := range runs {
		_, err := v.admin.Cancel(v.t.Context(), string(r.ID), "")
		v.must(err)
		_, err = v.admin.Wait(v.t.Context(), string(r.ID))
		v.must(err)
	}
	return string(v.submit("crimson1", "sleep 100"))
}

// noLease gives back those on crimson2.
func noLease(v *verbs) string {
	all, err := v.admin.Leases(v.t.Context())
	v.must(err)
	for _, l := range all {
		if slices.Contains(l.Hosts, "crimson2") {
			v.must(v.admin.ReleaseLease(v.t.Context(), l.ID, "next"))
		}
	}
	return ""
}

// aLease is the first admin's, on crimson2.
func aLease(v *verbs) string {
	noLease(v)
	l, err := v.admin.Lease(v.t.Context(), executor.LeaseRequest{Target: "crimson2", For: executor.Duration(time.Hour), Purpose: "soak"})
	v.must(err)
	return l.ID
}

func aToken(v *verbs) string {
	made, err := v.admin.CreateToken(v.t.Context(), api.TokenRequest{Name: "short", Role: executor.Viewer, Groups: []string{"crimson"}})
	v.must(err)
	return made.ID
}

// call runs tfwctl in this process, away from any terminal, and gives all that it printed.
func (v *verbs) call(who, line, stdin string) (int, string) {
	v.t.Helper()
	v.must(os.RemoveAll(filepath.Join(v.dir, "got")))
	if stdin == "TOKEN" {
		stdin = v.tokens[who]
	}
	in, out, errs := v.file("in", stdin), v.file("out", ""), v.file("err", "")
	env := map[string]string{"HOME": v.dir, "TFW_DATA": filepath.Join(v.dir, "nothing"), "TFW_SERVER": v.server, "TFW_TOKEN": v.tokens[who], "NO_COLOR": "1",
		"TFW_CONFIG": filepath.Join(v.dir, "config-"+who)}
	a := &app{in: in, out: out, err: errs, env: func(name string) string { return env[name] }}
	args := strings.Fields(line)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{empty}", "")
	}
	status := run(a, args)
	var text []string
	for _, f := range []*os.File{out, errs} {
		raw, err := os.ReadFile(f.Name())
		v.must(err)
		text = append(text, string(raw))
	}
	for _, f := range []*os.File{in, out, errs} {
		v.must(f.Close())
	}
	return status, strings.Join(text, "\n")
}

func (v *verbs) file(name, text string) *os.File {
	v.t.Helper()
	path := filepath.Join(v.dir, name)
	v.must(os.WriteFile(path, []byte(text), 0o600))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	v.must(err)
	return f
}

// relay leads to the server, each connection from an address of its own: failed authentications are slowed by source.
func relay(t *testing.T, to string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var source atomic.Uint32
	var all sync.WaitGroup
	serve := func(in net.Conn) {
		defer in.Close()
		n := source.Add(1)
		out, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 9, byte(n>>8), byte(n))}}).Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		defer out.Close()
		back := make(chan struct{})
		go func() { defer close(back); _, _ = io.Copy(in, out); in.Close() }()
		_, _ = io.Copy(out, in)
		out.Close()
		<-back
	}
	all.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serve(in) })
		}
	})
	t.Cleanup(func() { ln.Close(); all.Wait() })
	return "http://" + ln.Addr().String()
}
