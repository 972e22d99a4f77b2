package api_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/plan"
)

// TestNamesakes: an admin of some groups names its tokens as it likes, but no name gets it the rights of another.
func TestNamesakes(t *testing.T) {
	l := newTeams(t)
	for name, want := range map[string]int{"ada": http.StatusBadRequest, "bluebert": http.StatusBadRequest, "gone": http.StatusBadRequest, "vera": http.StatusCreated, "fresh": http.StatusCreated} {
		status, answer := l.ask("lead", "POST", "/v2.1/tokens", `{"name":"`+name+`","role":"operator","groups":["red"]}`)
		if status != want {
			t.Errorf("a token for %s: %d, want %d: %s", name, status, want, answer)
		}
	}
	// Where users come in by other proofs, one may have the name all the same.
	rita := executor.Principal{Name: "root", Role: executor.Admin, Groups: []string{"red"}, Token: "x"}
	ctx := t.Context()
	both := l.run("all", "stay")
	l.run("blue2", "true")
	l.run("red1", "true")
	lease, err := l.exec.Lease(ctx, root, executor.LeaseRequest{Target: "red2,blue2", For: executor.Duration(time.Hour), Purpose: "bluepurpose"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.exec.Cancel(ctx, rita, both, ""); !errors.Is(err, executor.ErrForbidden) {
		t.Errorf("cancel: %v", err)
	}
	if err := l.exec.Release(ctx, rita, lease.ID, "x"); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("release: %v", err)
	}
	if all, err := l.exec.Leases(ctx, rita); err != nil || len(all) != 1 || !slices.Equal(all[0].Hosts, []string{"red2"}) || all[0].Purpose != "" {
		t.Errorf("leases: %+v %v", all, err)
	}
	entries, _, err := l.exec.Audit(ctx, rita, executor.AuditFilter{Limit: 1000})
	for _, e := range entries {
		if strings.Contains(strings.Join(e.Hosts, ","), "blue") || len(e.Hosts) == 0 {
			t.Errorf("audit: %+v", e)
		}
	}
	if err != nil || len(entries) == 0 {
		t.Errorf("audit: %d entries, %v", len(entries), err)
	}
	p, err := l.plans.Submit(ctx, root, plan.Submission{Plan: "name: p\nhosts: {dut: 'blue1,red1'}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: stay}}\n"})
	if err != nil {
		t.Fatal(err)
	}
	for seen, err := l.plans.TestPlan(ctx, rita, p.ID); err != nil || len(seen.Hosts) == 0; seen, err = l.plans.TestPlan(ctx, rita, p.ID) {
		if !errors.Is(err, executor.ErrNotFound) || ctx.Err() != nil {
			t.Fatal(seen, err) // before its hosts are chosen it is only its owner's
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := l.plans.Cancel(ctx, rita, p.ID, ""); !errors.Is(err, executor.ErrForbidden) {
		t.Errorf("cancel of a test plan: %v", err)
	}
	for _, err := range []error{l.exec.Release(ctx, root, lease.ID, ""), func() error { _, err := l.exec.Cancel(ctx, root, both, ""); return err }(),
		func() error { _, err := l.plans.Cancel(ctx, root, p.ID, ""); return err }()} {
		if err != nil {
			t.Error(err)
		}
	}
}

// TestNamesakesKeys: an idempotency key is its user's, whatever token it comes with. To another of the same name that sees
// more or less it is taken: it gets neither the answer nor a word of it, and nothing runs twice.
func TestNamesakesKeys(t *testing.T) {
	l := newTeams(t)
	of := func(token string, groups ...string) executor.Principal {
		return executor.Principal{Name: "ann", Role: executor.Operator, Token: token, Groups: groups}
	}
	wide, red, again := of("1"), of("2", "red"), of("3", "red")
	submits := map[string]func(p executor.Principal, key, on string) (string, error){
		"run": func(p executor.Principal, key, on string) (string, error) {
			run, err := l.exec.Submit(t.Context(), p, executor.Request{Plugin: "linux_system", Method: "run_shell", Target: on, Parameters: []byte(`{"command":"true"}`), IdempotencyKey: key})
			if err != nil {
				return "", err
			}
			return string(run.ID), nil
		},
		"test plan": func(p executor.Principal, key, on string) (string, error) {
			made, err := l.plans.Submit(t.Context(), p, plan.Submission{Plan: "name: p\nhosts: {dut: " + on + "}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: 'true'}}\n", IdempotencyKey: key})
			if err != nil {
				return "", err
			}
			return made.ID, nil
		},
	}
	for what, submit := range submits {
		for i, c := range []struct {
			first, second executor.Principal
			on            string
			same          bool
		}{
			{red, red, "red1", true}, {red, again, "red1", true}, {wide, wide, "blue1", true},
			{wide, red, "red1", false}, {wide, red, "blue1", false}, {red, wide, "red1", false}, {red, of("4", "red", "blue"), "red1", false},
		} {
			key := what + string(rune('a'+i))
			made, err := submit(c.first, key, c.on)
			if err != nil {
				t.Fatal(what, i, err)
			}
			got, err := submit(c.second, key, c.on)
			if c.same && (err != nil || got != made) {
				t.Errorf("%s %d: %s, %v, want %s", what, i, got, err, made)
			}
			if !c.same && (!errors.Is(err, executor.ErrNamesakeKey) || !errors.Is(err, executor.ErrReplayedKey) || strings.Contains(err.Error(), made)) {
				t.Errorf("%s %d: %s, %v", what, i, got, err)
			}
		}
	}
}

// TestNamesakesLease: the lease of a namesake on hosts that one does not see does not exist, named with a run either.
func TestNamesakesLease(t *testing.T) {
	l := newTeams(t)
	wide, red := executor.Principal{Name: "ann", Role: executor.Operator, Token: "1"}, executor.Principal{Name: "ann", Role: executor.Operator, Token: "2", Groups: []string{"red"}}
	told := map[string]string{}
	for what, target := range map[string]string{"hidden": "blue1", "partly": "red2,blue1", "none": ""} {
		id := "abcdefghijkm"
		if target != "" {
			lease, err := l.exec.Lease(t.Context(), wide, executor.LeaseRequest{Target: target, For: executor.Duration(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			id = lease.ID
		}
		err := l.exec.Check(t.Context(), red, executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "red1", Parameters: []byte(`{"command":"true"}`), Options: executor.Options{Lease: id}})
		if !errors.Is(err, executor.ErrLeased) {
			t.Fatal(what, err)
		}
		told[what] = strings.ReplaceAll(err.Error(), id, "ID")
		if target != "" {
			if err := l.exec.Release(t.Context(), root, id, "over"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if told["hidden"] != told["none"] || !strings.Contains(told["partly"], "does not cover red1") {
		t.Errorf("%v", told)
	}
}
