package controller

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfw/executor"
)

func startOne(t *testing.T, change func(*Config)) *Controller {
	t.Helper()
	dir, err := os.MkdirTemp("", "tfw") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	writeText(t, filepath.Join(dir, "inventory.yaml"), "version: 1\nhosts: {h1: {address: 127.0.0.1, plugins: [linux_system]}}\n")
	cfg := Config{Inventory: filepath.Join(dir, "inventory.yaml"), Data: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Version: "test"}
	change(&cfg)
	c, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPolicyFileIsTakenWhileRunning(t *testing.T) {
	c := startOne(t, func(*Config) {})
	text, _, err := c.exec.CreateToken(t.Context(), executor.Local("me"), executor.Token{Name: "ci", Role: executor.Operator})
	if err != nil {
		t.Fatal(err)
	}
	role := func() executor.Role {
		p, err := c.exec.Authenticate(t.Context(), text, "test")
		if err != nil {
			t.Fatal(err)
		}
		return p.Role
	}
	until := func(want executor.Role) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); role() != want; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the role is %s, want %s", role(), want)
			}
		}
	}
	until(executor.Operator)
	writeText(t, c.policyPath(), "rules:\n  - {name: ci, role: viewer}\n")
	until(executor.Viewer)
	for _, bad := range []string{"rules: [{name: ci, rule: admin}]", "rules: [", "rules: [{name: ci, role: root}]", "", "# rules:\n"} {
		writeText(t, c.policyPath(), bad)
		if err := c.Reload(t.Context()); err == nil || role() != executor.Viewer {
			t.Errorf("%s: %v, %s", bad, err, role())
		}
	}
	if err := os.Remove(c.policyPath()); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(t.Context()); err == nil || role() != executor.Viewer {
		t.Errorf("the file is gone: %v, %s", err, role())
	}
}

func TestBadPolicyRefusesTheStart(t *testing.T) {
	dir := t.TempDir()
	writeText(t, filepath.Join(dir, "inventory.yaml"), "version: 1\nhosts: {h1: {plugins: [linux_system]}}\n")
	writeText(t, filepath.Join(dir, "policy.yaml"), "rules: [{name: ci, rolle: viewer}]")
	c, err := Start(t.Context(), Config{Inventory: filepath.Join(dir, "inventory.yaml"), Data: filepath.Join(dir, "data"), Version: "test"})
	if err == nil {
		t.Fatal("started", c.Close(context.Background()))
	}
}

// TestHalfAPolicyIsNotTaken: a file that is written piece by piece counts when it is whole, not at each piece that could be one.
func TestHalfAPolicyIsNotTaken(t *testing.T) {
	c := startOne(t, func(*Config) {})
	f, err := os.Create(c.policyPath())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const rules = 60 // one is written in a part of policyQuiet: over 3 s, longer than policyEvery
	for i := range rules {
		if i == 0 {
			_, err = f.WriteString("rules:\n")
		}
		if err == nil {
			_, err = f.WriteString("  - {name: \"*\", deny: [deploy.reboot]}\n")
		}
		if err != nil {
			t.Fatal(err)
		}
		wrote := time.Now()
		time.Sleep(policyQuiet / 4) // the writer's pace is what is tested
		if time.Since(wrote) > policyQuiet/2 {
			t.Skip("the machine is too busy to write at that pace")
		}
		if p := c.policy.Load(); p != nil && len(p.Rules) < rules {
			t.Fatalf("%d rules of %d are in force", len(p.Rules), rules)
		}
	}
	for end := time.Now().Add(20 * time.Second); c.policy.Load() == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the whole policy is not taken")
		}
	}
	if p := c.policy.Load(); len(p.Rules) != rules {
		t.Errorf("%d rules of %d are in force", len(p.Rules), rules)
	}
}

// TestPolicyIsReadInBounds: whatever lies in the policy's place is read or refused in bounded time and memory.
func TestPolicyIsReadInBounds(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writeText(t, at("full"), strings.Repeat("#", maxPolicy))
	writeText(t, at("over"), strings.Repeat("#", maxPolicy+1))
	for _, err := range []error{syscall.Mkfifo(at("fifo"), 0o600), os.Symlink("/dev/zero", at("endless")), os.Mkdir(at("dir"), 0o700), os.Symlink("full", at("link"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]struct {
		size int
		err  string
	}{
		"none": {0, ""}, "full": {maxPolicy, ""}, "link": {maxPolicy, ""},
		"over": {0, "over: larger than 1 MiB"}, "fifo": {0, "fifo: is no regular file"}, "endless": {0, "endless: is no regular file"}, "dir": {0, "dir: is no regular file"},
	} {
		text, err := policyText(at(name))
		if len(text) != want.size || (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}

// TestReloadsAreOnRecord: edits that tfwd finds by itself, and SIGHUP, with what came of them.
func TestReloadsAreOnRecord(t *testing.T) {
	c := startOne(t, func(*Config) {})
	const host = "version: 1\nhosts: {h1: {address: 127.0.0.1, plugins: [linux_system]}"
	told := uint64(0) // by the entries before
	reload := func() {
		if err := c.Reload(t.Context()); err != nil {
			t.Log(err) // it is on record
		}
	}
	for _, step := range []struct {
		path, text, action, outcome, detail string
		hup                                 bool
	}{
		{c.cfg.Inventory, host + ", h2: {}}\n", "inventory.reload", "taken", "", false},
		{c.cfg.Inventory, host + ", h3: {adress: x}}\n", "inventory.reload", "refused", "adress", false},
		{c.cfg.Inventory, host + ", h4: {}}\n", "inventory.reload", "taken", "", true},
		{c.policyPath(), "rules:\n  - {name: ci, role: viewer}\n", "policy.reload", "taken", "", false},
		{c.policyPath(), "rules:\n  - {name: ci, rolle: viewer}\n", "policy.reload", "refused", "rolle", false},
		{c.policyPath(), strings.Repeat("#", maxPolicy+1), "policy.reload", "refused", "larger than 1 MiB", false},
		{c.policyPath(), "rules:\n  - {name: ci, role: operator}\n", "policy.reload", "taken", "", true},
		{c.policyPath(), "rules: [", "policy.reload", "refused", "policy.yaml", true},
	} {
		writeText(t, step.path, step.text)
		if step.hup {
			reload()
		}
		var got executor.AuditEntry
		for end := time.Now().Add(20 * time.Second); got.Seq == 0; time.Sleep(5 * time.Millisecond) {
			all, _, err := c.exec.Audit(t.Context(), executor.Local("me"), executor.AuditFilter{After: told, Action: step.action})
			if err != nil || time.Now().After(end) {
				t.Fatalf("%q is not on record: %v", step.text, err)
			}
			if len(all) > 0 {
				got = all[0]
			}
		}
		if got.Who != "tfwd" || got.Source != "file" || got.Time.IsZero() || got.Object == "" || got.Outcome != step.outcome || !strings.Contains(got.Detail, step.detail) {
			t.Errorf("%q: %+v", step.text, got)
		}
		told = got.Seq
	}
	all, _, err := c.exec.Audit(t.Context(), executor.Local("me"), executor.AuditFilter{Action: "reload"})
	outcomes := []string{}
	for _, e := range all {
		outcomes = append(outcomes, e.Source+" "+e.Outcome)
	}
	if err != nil || !slices.Equal(outcomes, []string{"signal taken", "signal taken", "signal refused"}) {
		t.Errorf("SIGHUP: %v, %v", all, err)
	}
	reload() // the mistake is told once, the signal each time
	if more, _, err := c.exec.Audit(t.Context(), executor.Local("me"), executor.AuditFilter{After: all[len(all)-1].Seq}); err != nil || len(more) != 1 || more[0].Action != "reload" {
		t.Errorf("the same mistake again: %+v, %v", more, err)
	}
}
