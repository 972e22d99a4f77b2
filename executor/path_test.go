package executor_test

import (
	"fmt"
	"strings"
	"testing"

	"tfw/executor"
	"tfw/executor/executortest"
	"tfw/inventory"
)

// TestHiddenNamesTakeTheSameWay: what asks for a name that is hidden reads as much as what asks for one that is not
// there, so the time that it takes tells nothing. The inventory is restricted as a whole before any name is looked up.
func TestHiddenNamesTakeTheSameWay(t *testing.T) {
	l := newLab(t, "r1")
	var err error
	l.inv, err = inventory.Parse("inventory.yaml", []byte("version: 1\ngroups:\n  red: {plugins: [work], hosts: {r1: {}}}\n  blue: {plugins: [work], hosts: {b1: {}}}\n"), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := &executortest.Counted{Store: l.store}
	l.drain()
	l.start(store)
	bea := executor.Principal{Name: "bea", Role: executor.Operator}
	ids := map[string]string{}
	for range 5 {
		req := request("sh", shParams{"say x"})
		req.Target = "b1"
		run, err := l.Submit(t.Context(), bea, req)
		if err != nil {
			t.Fatal(err)
		}
		l.wait(run)
		ids["b1"] = string(run.ID)
		ids["n1"] = ids["b1"][:5] + "1" + ids["b1"][6:] // beside it, and no id has a 1
	}
	for range 3 {
		req := request("sh", shParams{"say x"})
		req.Target = "r1"
		l.wait(l.submit(req))
	}
	if _, err := l.Lease(t.Context(), me, executor.LeaseRequest{Target: "b1", For: hour("b1").For}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.SetSecret(t.Context(), me, executor.Secret{Name: "b1", Groups: []string{"blue"}}, "hidden value"); err != nil {
		t.Fatal(err)
	}
	red := executor.Principal{Name: "rita", Role: executor.Admin, Groups: []string{"red"}}
	for what, ask := range map[string]func(name string) error{
		"run": func(name string) error {
			req := request("sh", shParams{"say x"})
			req.Target = name
			_, err := l.Submit(t.Context(), red, req)
			return err
		},
		"lease": func(name string) error { _, err := l.Lease(t.Context(), red, hour(name)); return err },
		"host":  func(name string) error { _, err := l.Host(t.Context(), red, name); return err },
		"hosts": func(name string) error {
			_, err := l.Hosts(t.Context(), red, inventory.Query{Target: name})
			return err
		},
		"target": func(name string) error {
			_, err := l.Select(t.Context(), red, inventory.Query{Target: "all,!" + name})
			return err
		},
		"state": func(name string) error { _, err := l.SetState(t.Context(), red, name, "active", ""); return err },
		"runs": func(name string) error {
			_, _, err := l.Runs(t.Context(), red, executor.RunFilter{Host: name})
			return err
		},
		"runs by": func(name string) error {
			_, _, err := l.Runs(t.Context(), red, executor.RunFilter{By: map[string]string{"b1": "bea", "n1": "nia"}[name]})
			return err
		},
		"runs of a plugin": func(name string) error {
			_, _, err := l.Runs(t.Context(), red, executor.RunFilter{Plugin: map[string]string{"b1": "work", "n1": "no"}[name], By: "bea"})
			return err
		},
		"run's id":            func(name string) error { _, err := l.Run(t.Context(), red, ids[name]); return err },
		"begin of a run's id": func(name string) error { _, err := l.Run(t.Context(), red, ids[name][:6]); return err },
		"log": func(name string) error {
			_, err := l.Log(t.Context(), red, executor.LogQuery{Run: executor.RunID(ids[name][:5])})
			return err
		},
		"cancel": func(name string) error { _, err := l.Cancel(t.Context(), red, ids[name], ""); return err },
		"rerun":  func(name string) error { _, err := l.Rerun(t.Context(), red, ids[name], false, ""); return err },
		"group": func(name string) error {
			_, _, err := l.CreateToken(t.Context(), red, executor.Token{Name: "n", Role: executor.Viewer, Groups: []string{map[string]string{"b1": "blue", "n1": "none"}[name]}})
			return err
		},
		"secret": func(name string) error {
			req := request("sh", map[string]any{"script": "say x"})
			req.Target, req.Plugin, req.Method = "r1", "linux_system", "run_shell"
			req.Parameters = []byte(fmt.Sprintf(`{"command":"true","stdin":{"secret":"secret:%s"}}`, name))
			_, err := l.Submit(t.Context(), red, req)
			return err
		},
	} {
		reads := func(name string) int64 {
			before := store.Reads()
			if err := ask(name); err == nil && !strings.HasPrefix(what, "runs") {
				t.Errorf("%s %s: was answered", what, name)
			}
			return store.Reads() - before
		}
		if hidden, missing := reads("b1"), reads("n1"); hidden != missing {
			t.Errorf("%s: %d reads for what is hidden, %d for what is not there", what, hidden, missing)
		}
	}
}

// TestNobodyStarvesBehindTheUrgent: a step of priority is a head start, not a right to go first for ever.
func TestNobodyStarvesBehindTheUrgent(t *testing.T) {
	l := newLab(t, "h1")
	ask := func(name string, priority int) executor.Lease {
		t.Helper()
		req := hour("h1")
		req.Priority, req.Wait, req.For = priority, executor.Duration(100*60*60*1e9), executor.Duration(60*1e9)
		made, err := l.Lease(t.Context(), executor.Principal{Name: name, Role: executor.Operator}, req)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	held := ask("first", 0)
	patient := ask("patient", -1)
	for i := range 30 { // each minute somebody else comes, who is more urgent
		ask(fmt.Sprintf("urgent%d", i), 0)
		l.offset.Add(30 * 1e9)
		if err := l.Release(t.Context(), me, held.ID, "next"); err != nil {
			t.Fatal(err)
		}
		all, err := l.Leases(t.Context(), me)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			if one.State == executor.LeaseHeld {
				held = one
			}
		}
		if held.ID == patient.ID {
			if i < 15 {
				t.Errorf("priority counts for nothing: %d were urgent", i)
			}
			return
		}
	}
	t.Error("who waits with the lower priority never has its turn")
}
