package executor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tfw/executor"
	"tfw/inventory"
)

// TestSecretsBelongToGroups: who is not of a secret's groups is told what is told of a name that is not there.
func TestSecretsBelongToGroups(t *testing.T) {
	l := newLab(t, "h1")
	var err error
	l.inv, err = inventory.Parse("inventory.yaml", []byte("version: 1\ngroups:\n  red:\n    plugins: [linux_system]\n    hosts: {r1: {}}\n  blue:\n    plugins: [linux_system]\n    hosts: {b1: {}}\n"), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, groups := range map[string][]string{"everybody": nil, "reds": {"red"}, "both": {"red", "blue"}} {
		if _, err := l.SetSecret(t.Context(), me, executor.Secret{Name: name, Groups: groups}, "value of "+name); err != nil {
			t.Fatal(err)
		}
	}
	red := executor.Principal{Name: "otto", Role: executor.Operator, Groups: []string{"red"}}
	blue := executor.Principal{Name: "bert", Role: executor.Operator, Groups: []string{"blue"}}
	run := func(p executor.Principal, host, secret string) error {
		params := fmt.Sprintf(`{"command": "say hello", "stdin": {"secret": "secret:%s"}}`, secret)
		_, err := l.Submit(t.Context(), p, executor.Request{Plugin: "linux_system", Method: "run_shell", Parameters: json.RawMessage(params), Target: host})
		return err
	}
	for _, c := range []struct {
		p    executor.Principal
		host string
		may  string
	}{{red, "r1", "both everybody reds"}, {blue, "b1", "both everybody"}, {me, "r1", "both everybody reds"}} {
		list, err := l.Secrets(t.Context(), c.p)
		var names []string
		for _, s := range list {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); got != c.may || err != nil {
			t.Errorf("%s sees %q, want %q: %v", c.p.Name, got, c.may, err)
		}
		for _, name := range []string{"everybody", "reds", "both"} {
			if err := run(c.p, c.host, name); (err == nil) != strings.Contains(" "+c.may+" ", " "+name+" ") {
				t.Errorf("%s names %s: %v", c.p.Name, name, err)
			}
		}
		missing := run(c.p, c.host, "nosuch")
		if !errors.Is(missing, executor.ErrBadRequest) {
			t.Errorf("a secret that is not there: %v", missing)
		}
		if c.p.Name == "bert" {
			if hidden := run(c.p, c.host, "reds"); strings.ReplaceAll(hidden.Error(), "reds", "nosuch") != missing.Error() {
				t.Errorf("hidden: %v\nmissing: %v", hidden, missing)
			}
		}
	}
	// A rule of the policy takes secrets away as it takes hosts.
	text, _, err := l.CreateToken(t.Context(), me, executor.Token{Name: "ci", Role: executor.Operator, Groups: []string{"red", "blue"}})
	if err != nil {
		t.Fatal(err)
	}
	l.policy.Store(&executor.Policy{Rules: []executor.Rule{{Name: "ci", Groups: []string{"blue"}}}})
	ci, err := l.Authenticate(t.Context(), text, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := run(ci, "b1", "reds"); !errors.Is(err, executor.ErrBadRequest) {
		t.Errorf("the policy lets blue only: %v", err)
	}
	if err := run(ci, "b1", "both"); err != nil {
		t.Error(err)
	}
}

func TestSecretsAreForAdminsToKeep(t *testing.T) {
	l := newLab(t, "h1")
	lead := executor.Principal{Name: "rita", Role: executor.Admin, Groups: []string{"red"}}
	if _, err := l.SetSecret(t.Context(), lead, executor.Secret{Name: "x"}, "long enough"); !errors.Is(err, executor.ErrForbidden) {
		t.Errorf("an admin of some groups: %v", err)
	}
	if err := l.RemoveSecret(t.Context(), ann, "x"); !errors.Is(err, executor.ErrForbidden) {
		t.Errorf("an operator: %v", err)
	}
	for _, c := range []struct {
		s     executor.Secret
		value string
	}{
		{executor.Secret{Name: ""}, "long enough"}, {executor.Secret{Name: "a b"}, "long enough"}, {executor.Secret{Name: ".a"}, "long enough"},
		{executor.Secret{Name: "-a"}, "long enough"}, {executor.Secret{Name: strings.Repeat("a", 65)}, "long enough"},
		{executor.Secret{Name: "a"}, "abc"}, {executor.Secret{Name: "a"}, strings.Repeat("x", 8193)},
		{executor.Secret{Name: "a", Groups: []string{}}, "long enough"}, {executor.Secret{Name: "a", Groups: []string{"nosuch"}}, "long enough"},
	} {
		if _, err := l.SetSecret(t.Context(), me, c.s, c.value); !errors.Is(err, executor.ErrBadRequest) || strings.Contains(err.Error(), c.value) {
			t.Errorf("%+v %q: %v", c.s, c.value, err)
		}
	}
	// A controller without a keeper of secrets says so.
	if _, err := l.SetSecret(t.Context(), me, executor.Secret{Name: "gone"}, "long enough"); err != nil {
		t.Fatal(err)
	}
	l.drain()
	l.secrets = nil
	l.start(l.store)
	params := json.RawMessage(`{"command": "say hello", "stdin": {"secret": "secret:gone"}}`)
	_, err := l.Submit(t.Context(), me, executor.Request{Plugin: "linux_system", Method: "run_shell", Parameters: params, Target: "all"})
	if !errors.Is(err, executor.ErrConflict) {
		t.Errorf("a controller without secrets: %v", err)
	}
	if entries, _, err := l.Audit(t.Context(), me, executor.AuditFilter{Action: "secret.set", Object: "gone"}); err != nil || len(entries) != 1 || entries[0].Who != "me" {
		t.Errorf("%+v %v", entries, err)
	}
}
