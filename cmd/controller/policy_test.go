package controller

import (
	"context"
	"os"
	"path/filepath"
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
	for _, bad := range []string{"rules: [{name: ci, rule: admin}]", "rules: [", "rules: [{name: ci, role: root}]"} {
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
