package executor_test

import (
	"errors"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// TestPolicyNarrowsTokens: rules take rights away, deny wins, and an edit counts at the next request.
func TestPolicyNarrowsTokens(t *testing.T) {
	l := newLab(t, "h1")
	var err error
	l.inv, err = inventory.Parse("inventory.yaml", []byte("version: 1\ngroups:\n  red:\n    plugins: [work]\n    hosts: {r1: {}, r2: {}}\n  blue:\n    plugins: [work]\n    hosts: {b1: {}}\n"), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := l.CreateToken(t.Context(), me, executor.Token{Name: "ci-1", Role: executor.Admin})
	if err != nil {
		t.Fatal(err)
	}
	who := func() executor.Principal {
		p, err := l.Authenticate(t.Context(), text, "test")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	run := func(method string) error {
		req := request(method, shParams{"say x"})
		if method != "sh" {
			req.Parameters = nil
		}
		req.Target = "r1"
		_, err := l.Submit(t.Context(), who(), req)
		return err
	}
	if p := who(); p.Role != executor.Admin || p.Groups != nil || run("sh") != nil {
		t.Errorf("no policy: %+v", p)
	}
	l.policy.Store(&executor.Policy{Rules: []executor.Rule{
		{Name: "ci-*", Role: executor.Operator, Groups: []string{"red"}, Allow: []string{"work.*"}, MaxLeases: 1},
		{Name: "*", Deny: []string{"work.panic"}},
		{Name: "other", Deny: []string{"*"}},
	}})
	p := who()
	if p.Role != executor.Operator || p.May(executor.Admin) {
		t.Errorf("role: %+v", p)
	}
	if hosts, err := l.Hosts(t.Context(), p, inventory.Query{}); err != nil || len(hosts) != 2 {
		t.Errorf("hosts: %+v %v", hosts, err)
	}
	if err := run("sh"); err != nil {
		t.Errorf("allowed: %v", err)
	}
	if err := run("panic"); !errors.Is(err, executor.ErrForbidden) {
		t.Errorf("denied and allowed: %v", err)
	}
	lease := executor.LeaseRequest{Target: "r1", For: executor.Duration(time.Hour)}
	if _, err := l.Lease(t.Context(), p, lease); err != nil {
		t.Fatal(err)
	}
	lease.Target = "r2"
	if _, err := l.Lease(t.Context(), p, lease); !errors.Is(err, executor.ErrLeased) {
		t.Errorf("a second lease: %v", err)
	}
	// A rule narrows what others left, and widens nothing.
	l.policy.Store(&executor.Policy{Rules: []executor.Rule{{Name: "ci-1", Groups: []string{"red"}}, {Name: "ci-1", Groups: []string{"blue"}}, {Name: "ci-1", Role: executor.Viewer}, {Name: "ci-1", Role: executor.Admin}}})
	p = who()
	if hosts, err := l.Hosts(t.Context(), p, inventory.Query{}); err != nil || len(hosts) != 0 || p.Role != executor.Viewer {
		t.Errorf("%+v %+v %v", hosts, p, err)
	}
}

func TestPolicyMistakes(t *testing.T) {
	for _, r := range []executor.Rule{{}, {Name: "["}, {Name: "x", Role: "root"}, {Name: "x", Groups: []string{}}, {Name: "x", Deny: []string{"[a"}}, {Name: "x", MaxLeases: -1}} {
		if err := (&executor.Policy{Rules: []executor.Rule{r}}).Check(); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

// TestNamesOfThePolicyAreTaken: an admin of some groups makes no token with the name that a user of the policy who sees more goes by.
func TestNamesOfThePolicyAreTaken(t *testing.T) {
	l := newLab(t, "h1")
	var err error
	l.inv, err = inventory.Parse("inventory.yaml", []byte("version: 1\ngroups:\n  red: {plugins: [work], hosts: {r1: {}}}\n  blue: {plugins: [work], hosts: {b1: {}}}\n"), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.policy.Store(&executor.Policy{Users: []executor.User{
		{Name: "robot", Role: executor.Operator, Unix: []string{"builder"}},
		{Role: executor.Operator, Cert: []string{"CN=ci", "email:ann@lab"}, OIDC: []string{"bob@lab"}, Groups: []string{"red", "blue"}},
		{Role: executor.Operator, Cert: []string{"CN=mine"}, Groups: []string{"red"}},
	}})
	rita := executor.Principal{Name: "rita", Role: executor.Admin, Groups: []string{"red"}}
	for name, taken := range map[string]bool{"robot": true, "builder": true, "ci": true, "email:ann@lab": true, "bob@lab": true, "mine": false, "fresh": false,
		"Robot": true, "root": true, "tfwd": true, "fresh ": true, "fre\u200bsh": true, "fre\u009bsh": true, "fre\xffsh": true, "a fresh Öner": false} {
		_, _, err := l.CreateToken(t.Context(), rita, executor.Token{Name: name, Role: executor.Viewer, Groups: []string{"red"}})
		if taken != errors.Is(err, executor.ErrBadRequest) || !taken && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
