package executor_test

import (
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// The background tells who answers and why not, leaves retired hosts alone, and
// finds out when a host comes back; nobody asked for it.
func TestHostsAreProbedInTheBackground(t *testing.T) {
	l := newLab(t, "{h1,h2,gone3,old}")
	if _, err := l.SetState(t.Context(), me, "old", inventory.Retired, "scrapped"); err != nil {
		t.Fatal(err)
	}
	l.drain()
	l.probeEvery = 50 * time.Millisecond
	l.start(l.store)
	status := func(name string) executor.HostStatus {
		h, err := l.Host(t.Context(), me, name)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	known := func(name string, reachable bool) func() bool {
		return func() bool { h := status(name); return h.Reachable != nil && *h.Reachable == reachable }
	}
	eventually(t, "h1 answers", known("h1", true))
	eventually(t, "h2 answers", known("h2", true))
	eventually(t, "gone3 does not", known("gone3", false))
	if h := status("gone3"); !strings.Contains(h.Problem, "connection refused") || !h.LastSeen.IsZero() || h.Probed.IsZero() {
		t.Errorf("gone3 is %+v", h)
	}
	if h := status("h1"); h.LastSeen.IsZero() || h.Probed.IsZero() || h.Problem != "" {
		t.Errorf("h1 is %+v", h)
	}
	l.hosts.down.Store(true)
	eventually(t, "h1 is gone", known("h1", false))
	if h := status("h1"); h.LastSeen.IsZero() {
		t.Error("when h1 was last seen is forgotten")
	}
	l.hosts.down.Store(false)
	eventually(t, "h1 is back", known("h1", true))
	if h := status("old"); h.Reachable != nil {
		t.Error("a retired host was asked")
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// Without the setting nobody is asked.
func TestNoProbesUnlessTold(t *testing.T) {
	l := newLab(t, "{h1}")
	time.Sleep(50 * time.Millisecond)
	if h, err := l.Host(t.Context(), me, "h1"); err != nil || h.Reachable != nil || l.hosts.dials.Load() != 0 {
		t.Errorf("%+v, %v", h, err)
	}
}

// Explain through the executor: what an operator set is told, and a host that is none is not found.
func TestExplainTellsTheOperator(t *testing.T) {
	l := newLab(t, "{h1}")
	if _, err := l.SetState(t.Context(), me, "h1", inventory.Quarantined, "flaky port"); err != nil {
		t.Fatal(err)
	}
	settings, err := l.Explain(t.Context(), me, "h1")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, s := range settings {
		found = found || s.Name == "state" && s.Value == "quarantined" && s.Origin.By == "operator me" && len(s.Overrode) > 0
	}
	if !found {
		t.Errorf("%+v", settings)
	}
	if _, err := l.Explain(t.Context(), me, "nosuch"); err == nil {
		t.Error("a host that is none is explained")
	}
}

// Who may use a group: live tokens, as the policy leaves them.
func TestGroupUsers(t *testing.T) {
	l := newLab(t, "{h1}")
	l.inv = parsedInventory(t, "version: 1\ngroups: {red: {hosts: {h1: {plugins: [work]}}}, blue: {hosts: {h2: {plugins: [work]}}}}\n")
	for _, tok := range []executor.Token{
		{Name: "all", Role: executor.Operator}, {Name: "redder", Role: executor.Operator, Groups: []string{"red"}}, {Name: "narrowed", Role: executor.Admin}, {Name: "gone", Role: executor.Admin},
	} {
		_, made, err := l.CreateToken(t.Context(), me, tok)
		if err != nil {
			t.Fatal(err)
		}
		if tok.Name == "gone" {
			if err := l.RevokeToken(t.Context(), me, made.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.policy.Store(&executor.Policy{Rules: []executor.Rule{{Name: "narrowed", Role: executor.Viewer, Groups: []string{"blue"}}}})
	users, err := l.GroupUsers(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	text := func(group string) string {
		var all []string
		for _, u := range users[group] {
			all = append(all, u.Name+":"+string(u.Role))
		}
		return strings.Join(all, " ")
	}
	if text("red") != "all:operator redder:operator" || text("blue") != "all:operator narrowed:viewer" {
		t.Errorf("red: %s; blue: %s", text("red"), text("blue"))
	}
	if others, err := l.GroupUsers(t.Context(), executor.Principal{Name: "lead", Role: executor.Admin, Groups: []string{"red"}}); err != nil || others != nil {
		t.Errorf("an admin of one group is told %v, %v", others, err)
	}
}

func parsedInventory(t *testing.T, text string) *inventory.Inventory {
	t.Helper()
	inv, err := inventory.Parse("inventory.yaml", []byte(text), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}
