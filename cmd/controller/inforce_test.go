package controller

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tfw/executor"
)

// TestEditsWhileStoppedAreOnRecord: what a start finds other than the last one had it is on record, once: of tfwd's own
// files wherever they lie, of those of a tfwctl by the inventory that it was given.
func TestEditsWhileStoppedAreOnRecord(t *testing.T) {
	const host = "version: 1\nhosts: {h1: {address: 127.0.0.1, plugins: [linux_system]}"
	const inv, pol = executor.InventoryFile, executor.PolicyFile
	dir := t.TempDir()
	here, there := filepath.Join(dir, "here"), filepath.Join(dir, "there")
	for _, at := range []string{here, there} {
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeText(t, filepath.Join(here, "inventory.yaml"), host+"}\n")
	writeText(t, filepath.Join(there, "inventory.yaml"), host+", h9: {}}\n")
	data, err := os.MkdirTemp("", "tfw") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })

	told, inForce := uint64(0), map[string]string{}
	for _, step := range []struct {
		what        string
		embedded    bool
		at          string
		file, text  string // edited before the start; "" for its removal
		edit        string // of the policy while it runs
		want        []string
		onlyThisOne bool // whose last revision inForce does not know
	}{
		{what: "the first start", at: here},
		{what: "nothing new", at: here},
		{what: "an inventory", at: here, file: "inventory.yaml", text: host + ", h2: {}}\n", want: []string{inv}},
		{what: "a policy", at: here, file: "policy.yaml", text: "rules: []\n", want: []string{pol}},
		{what: "edited while it runs", at: here, edit: "rules: [{name: ci, role: viewer}]\n"},
		{what: "which is nothing new to the next start", at: here},
		{what: "removed while it runs, so that it stays in force", at: here, edit: "-"},
		{what: "and is not in force at the next start", at: here, want: []string{pol}},
		{what: "other files of tfwd", at: there, want: []string{inv}},
		{what: "and back", at: here, want: []string{inv}},
		{what: "the first tfwctl here", embedded: true, at: here},
		{what: "the first tfwctl there", embedded: true, at: there},
		{what: "another one here", embedded: true, at: here},
		{what: "a policy there", embedded: true, at: there, file: "policy.yaml", text: "rules: []\n", want: []string{pol}, onlyThisOne: true},
		{what: "which is nothing new to the next tfwctl", embedded: true, at: there},
		{what: "nor to tfwd here", at: here},
	} {
		if step.file != "" {
			writeText(t, filepath.Join(step.at, step.file), step.text)
		}
		c, err := Start(t.Context(), Config{Inventory: filepath.Join(step.at, "inventory.yaml"), Data: data, Embedded: step.embedded, Version: "test"})
		if err != nil {
			t.Fatal(step.what, err)
		}
		got, _, err := c.exec.Audit(t.Context(), executor.Local("me"), executor.AuditFilter{After: told})
		got = slices.DeleteFunc(got, func(e executor.AuditEntry) bool { return e.Action == "token.create" }) // the first start's
		if err != nil || len(got) != len(step.want) {
			t.Errorf("%s: %+v, %v", step.what, got, err)
		}
		now := map[string]string{inv: c.live.Current().Revision(), pol: c.policyRevision()}
		for i, e := range got {
			detail := "was " + inForce[e.Action] + ", is " + now[e.Action]
			if step.onlyThisOne {
				detail = "was none, is " + now[e.Action]
			}
			if i >= len(step.want) || e.Action != step.want[i] || e.Who != "tfwd" || e.Source != "start" || e.Outcome != "taken" || e.Object != now[e.Action] || e.Detail != detail {
				t.Errorf("%s: %+v, want %v, %s", step.what, e, step.want, detail)
			}
		}
		switch step.edit {
		case "":
		case "-":
			if err := os.Remove(c.policyPath()); err != nil {
				t.Fatal(err)
			}
			if err := c.Reload(t.Context()); err == nil {
				t.Errorf("%s: the removal is taken", step.what)
			}
		default:
			writeText(t, c.policyPath(), step.edit)
			if err := c.Reload(t.Context()); err != nil {
				t.Error(step.what, err)
			}
		}
		if !step.embedded {
			inForce = map[string]string{inv: c.live.Current().Revision(), pol: c.policyRevision()}
		}
		last, _, err := c.exec.Audit(t.Context(), executor.Local("me"), executor.AuditFilter{Newest: true, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range last {
			told = e.Seq
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := c.Close(ctx); err != nil {
			t.Error(step.what, err)
		}
		cancel()
	}
}
