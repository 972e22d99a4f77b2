package plan_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"tfw/inventory"
	"tfw/plan"
	"tfw/plugins"
)

const role = "hosts: {d: {target: duts}}\n"

// TestBadPlans: each fault is found with its place, in no time, and no host is touched.
func TestBadPlans(t *testing.T) {
	inv, err := inventory.Parse("inventory.yaml", []byte(file), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := plugins.NewRegistry(work{})
	if err != nil {
		t.Fatal(err)
	}
	ten := "[" + strings.Repeat("1,", 99) + "1]"
	for name, c := range map[string]struct{ text, want string }{
		"empty":               {"", "p.yaml: "},
		"not YAML":            {"a: [", "p.yaml:1:1"},
		"NUL":                 {"name: a\x00", "NUL"},
		"no steps":            {"name: a\n", "no steps"},
		"unknown key":         {"name: a\nstpes: {}\n", `p.yaml:2:1: unknown key "stpes" in the plan (did you mean steps?)`},
		"duplicate":           {"name: a\nname: b\nsteps: {}\n", `p.yaml:2:1: "name" is given twice`},
		"cycle":               {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, needs: [b]}\n  b: {uses: work.do, on: d, needs: [a]}\n", "a cycle: "},
		"self-need":           {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, needs: [a]}\n", "needs itself"},
		"missing need":        {"name: a\n" + role + "steps:\n  build: {uses: work.do, on: d}\n  a: {uses: work.do, on: d, needs: [biuld]}\n", "did you mean build?"},
		"missing reference":   {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ steps.nope.outputs.x }}'}}\n", "steps.nope"},
		"missing parameter":   {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ params.nope }}'}}\n", "params.nope"},
		"missing axis":        {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ matrix.nope }}'}}\n", "matrix.nope"},
		"unknown role":        {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: dd}\n", `"dd"`},
		"unknown plugin":      {"name: a\n" + role + "steps:\n  a: {uses: nope.do, on: d}\n", "nope.do"},
		"unknown method":      {"name: a\n" + role + "steps:\n  a: {uses: work.nope, on: d}\n", "its methods are: do"},
		"unknown with":        {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {od: x}}\n", "p.yaml:4:36"},
		"wrong type":          {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: 7}}\n", "do"},
		"expression":          {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ 1 + }}'}}\n", "in the expression"},
		"unclosed":            {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ 1'}}\n", "not closed"},
		"unknown host":        {"name: a\nhosts: {d: {target: nope}}\nsteps:\n  a: {uses: work.do, on: d}\n", "nope"},
		"too many wanted":     {"name: a\nhosts: {d: {target: duts, count: 9}}\nsteps:\n  a: {uses: work.do, on: d, with: {do: x}}\n", "wants 9 hosts, 4 fit"},
		"a secret in clear":   {"name: a\nparameters: {p: {sensitive: true, default: hunter2}}\n" + role + "steps:\n  a: {uses: work.do, on: d}\n", "reference"},
		"a secret as text":    {"name: a\nparameters: {p: {sensitive: true}}\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: 'say ${{ params.p }}'}}\n", "cannot be part of a text"},
		"a secret to nobody":  {"name: a\nparameters: {p: {sensitive: true}}\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ params.p }}'}}\n", "p.yaml:5:36: step \"a\": with: do: takes no sensitive parameter"},
		"a secret asked":      {"name: a\nparameters: {p: {sensitive: true}}\n" + role + "steps:\n  a: {uses: work.do, on: d, when: \"params.p == 'x'\", with: {do: x}}\n", "sensitive"},
		"a secret shown":      {"name: a\nparameters: {p: {sensitive: true}}\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: x}}\noutputs: {o: '${{ params.p }}'}\n", "sensitive"},
		"10 million cells":    {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, matrix: {a: " + ten + ", b: " + ten + ", c: " + ten + "}}\n", "more than 10000 cells"},
		"deep":                {"name: " + strings.Repeat("[", 9000), "p.yaml"},
		"alias bomb":          {bomb(), "too large"},
		"huge":                {strings.Repeat("a: b\n", 1<<20), "larger than 4 MiB"},
		"serial host by host": {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, serial: 1, with: {do: '${{ host.name }}'}}\n", "goes host by host"},
		"sync and retry":      {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: true, retry: 1}\n", "sync and retry do not go together"},
		"sync and serial":     {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: true, serial: 1}\n", "sync and serial do not go together"},
		"sync in a row":       {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: m}\n  b: {uses: work.do, on: d, needs: [a]}\n  c: {uses: work.do, on: d, sync: m, needs: [b]}\n", `"c" syncs with "a" and begins only after it has ended`},
		"sync of other cells": {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: m, matrix: {x: [1, 2]}}\n  b: {uses: work.do, on: d, sync: m, matrix: {x: [1, 3]}}\n", "different cells"},
		"sync in a queue":     {"name: a\nparallel: 1\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: m}\n  b: {uses: work.do, on: d, sync: m}\n", "raise parallel"},
		"sync on one board":   {"name: a\nhosts: {d: {target: x1}}\nsteps:\n  a: {uses: work.do, on: d, sync: m}\n  b: {uses: work.do, on: d, sync: m}\n", "a role of its own"},
		"sync without a name": {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: 'a b'}\n", "no name for a sync"},
		"nested plan missing": {"name: a\nsteps:\n  a: {uses: 'plan:x.yaml'}\n", "plan:x.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			p, err := plan.Parse("p.yaml", []byte(c.text))
			if err == nil {
				err = p.Check(plan.World{Plugins: reg, Inventory: inv}, nil)
			}
			var problems plan.Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 10*time.Second { // a bound far off: what is meant is "not for ever"
				t.Errorf("took %s", took)
			}
		})
	}
}

func bomb() string {
	var b strings.Builder
	b.WriteString("name: a\nsteps:\n  a: {uses: work.do, on: d, with: {x0: &a0 [1,1,1,1,1,1,1,1,1,1]")
	for i := 1; i < 9; i++ {
		fmt.Fprintf(&b, ", x%d: &a%d [%s]", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	return b.String() + "}}\n"
}

func TestAllFaultsInOneGo(t *testing.T) {
	_, err := plan.Parse("p.yaml", []byte("nmae: a\nhosts: {d: {}}\nsteps:\n  a b: {uses: x}\n  c: {uses: nothing, retry: {limit: x}}\n"))
	var problems plan.Problems
	if !errors.As(err, &problems) || len(problems) < 5 {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "  a: {uses: work.do, on: b, with: {do: '${{ params.x ?? [1, {a: 2}][0] }}'}, matrix: {a: [1]}, when: always()}\n"))
	f.Add([]byte(bomb()))
	f.Add([]byte("name: a\nsteps:\n  a: {uses: 'plan:x', with: {a: \"${{ '}}' }}\"}}\n"))
	if text, err := os.ReadFile("testdata/contract.yaml"); err == nil {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := plan.Parse("p.yaml", text)
		if (p == nil) == (err == nil) {
			t.Errorf("plan %v, error %v", p, err)
		}
	})
}

// TestTheWholeLanguage reads a plan that uses all of it.
func TestTheWholeLanguage(t *testing.T) {
	text, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Parse("contract.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "kernel-smoke" || len(p.Steps) != 4 || len(p.Finally) != 1 || len(p.OnFailure) != 1 {
		t.Errorf("%+v", p)
	}
}
