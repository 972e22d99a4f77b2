package plan_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tfw/executor"
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
	reg, err := plugins.NewRegistry(work{}, asked{})
	if err != nil {
		t.Fatal(err)
	}
	ten := "[" + strings.Repeat("1,", 99) + "1]"
	for name, c := range map[string]struct{ text, want string }{
		"empty":                  {"", "p.yaml: "},
		"not YAML":               {"a: [", "p.yaml:1:1"},
		"NUL":                    {"name: a\x00", "NUL"},
		"no steps":               {"name: a\n", "no steps"},
		"unknown key":            {"name: a\nstpes: {}\n", "p.yaml:2:1: unknown key \"stpes\" in the plan (did you mean `steps`?)"},
		"duplicate":              {"name: a\nname: b\nsteps: {}\n", `p.yaml:2:1: "name" is given twice`},
		"cycle":                  {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, needs: [b]}\n  b: {uses: work.do, on: d, needs: [a]}\n", "a cycle: "},
		"self-need":              {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, needs: [a]}\n", "needs itself"},
		"missing need":           {"name: a\n" + role + "steps:\n  build: {uses: work.do, on: d}\n  a: {uses: work.do, on: d, needs: [biuld]}\n", "p.yaml:5:37: step \"a\" needs \"biuld\", which is no step (did you mean `build`?)"},
		"missing reference":      {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ steps.nope.outputs.x }}'}}\n", "p.yaml:4:45: steps.nope"},
		"missing parameter":      {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ params.nope }}'}}\n", "params.nope"},
		"missing axis":           {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ matrix.nope }}'}}\n", "matrix.nope"},
		"unknown role":           {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: dd}\n", "p.yaml:4:26: step \"a\" runs on the role \"dd\", which is not under hosts (did you mean `d`?)"},
		"unknown plugin":         {"name: a\n" + role + "steps:\n  a: {uses: nope.do, on: d}\n", "p.yaml:4:13: step \"a\" uses nope.do"},
		"unknown method":         {"name: a\n" + role + "steps:\n  a: {uses: work.nope, on: d}\n", "its methods are: do"},
		"unknown with":           {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {od: x}}\n", "p.yaml:4:36"},
		"wrong type":             {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: 7}}\n", "do"},
		"expression":             {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ 1 + }}'}}\n", "in the expression"},
		"unclosed":               {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ 1'}}\n", "not closed"},
		"unknown host":           {"name: a\nhosts: {d: {target: nope}}\nsteps:\n  a: {uses: work.do, on: d}\n", "nope"},
		"too many wanted":        {"name: a\nhosts: {d: {target: duts, count: 9}}\nsteps:\n  a: {uses: work.do, on: d, with: {do: x}}\n", "wants 9 hosts, 4 fit"},
		"a secret in clear":      {"name: a\nparameters: {p: {sensitive: true, default: hunter2}}\n" + role + "steps:\n  a: {uses: work.do, on: d}\n", "reference"},
		"a secret as text":       {"name: a\nparameters: {p: {sensitive: true}}\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: 'say ${{ params.p }}'}}\n", "cannot be part of a text"},
		"a secret to nobody":     {"name: a\nparameters: {p: {sensitive: true}}\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ params.p }}'}}\n", "p.yaml:5:36: step \"a\": with: do: takes no sensitive parameter"},
		"a secret asked":         {"name: a\nparameters: {p: {sensitive: true}}\n" + role + "steps:\n  a: {uses: work.do, on: d, when: \"params.p == 'x'\", with: {do: x}}\n", "sensitive"},
		"a secret shown":         {"name: a\nparameters: {p: {sensitive: true}}\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: x}}\noutputs: {o: '${{ params.p }}'}\n", "sensitive"},
		"10 million cells":       {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, matrix: {a: " + ten + ", b: " + ten + ", c: " + ten + "}}\n", "more than 10000 cells"},
		"deep":                   {"name: " + strings.Repeat("[", 9000), "p.yaml"},
		"alias bomb":             {bomb(), "too large"},
		"huge":                   {strings.Repeat("a: b\n", 1<<20), "larger than 4 MiB"},
		"serial host by host":    {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, serial: 1, with: {do: '${{ host.name }}'}}\n", "goes host by host"},
		"sync and retry":         {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: true, retry: 1}\n", "sync and retry do not go together"},
		"sync and serial":        {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: true, serial: 1}\n", "sync and serial do not go together"},
		"sync in a row":          {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: m}\n  b: {uses: work.do, on: d, needs: [a]}\n  c: {uses: work.do, on: d, sync: m, needs: [b]}\n", `"c" syncs with "a" and begins only after it has ended`},
		"sync of other cells":    {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: m, matrix: {x: [1, 2]}}\n  b: {uses: work.do, on: d, sync: m, matrix: {x: [1, 3]}}\n", "different cells"},
		"sync in a queue":        {"name: a\nparallel: 1\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: m}\n  b: {uses: work.do, on: d, sync: m}\n", "raise parallel"},
		"sync on one board":      {"name: a\nhosts: {d: {target: x1}}\nsteps:\n  a: {uses: work.do, on: d, sync: m}\n  b: {uses: work.do, on: d, sync: m}\n", "a role of its own"},
		"sync without a name":    {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, sync: 'a b'}\n", "no name for a sync"},
		"no such part of a step": {"name: a\n" + role + "steps:\n  b: {uses: work.do, on: d, with: {do: x}}\n  a: {uses: work.do, on: d, when: \"steps.b.verdikt == 'passed'\", with: {do: x}}\n", "p.yaml:5:36: steps.b.verdikt: a step has no verdikt (did you mean `verdict`?)"},
		"no such output":         {"name: a\n" + role + "steps:\n  b: {uses: work.do, on: d, with: {do: x}}\n  a: {uses: work.do, on: d, with: {do: 'say ${{ steps.b.outputs.siad }}'}}\n", "p.yaml:5:49: steps.b.outputs.siad: work.do has no such output (did you mean `said`?)"},
		"no such part of a host": {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ host.nmae }}'}}\n", "host.nmae: a host has no nmae (did you mean `name`?)"},
		"no such part of a run":  {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ run.when }}'}}\n", "run.when: a test plan under way has no when (it has: id, name, by)"},
		"no such text":           {"name: a\nenv: {A: x}\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: '${{ env.A }}${{ env.B }}'}}\n", "p.yaml:5:57: env.B: the plan has no such text"},
		"a batch of nothing":     {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, serial: [1, 0], with: {do: x}}\n", `p.yaml:4:37: serial[1]: "0": a batch of no hosts`},
		"more than all":          {"name: a\n" + role + "steps:\n  a: {uses: work.do, on: d, max_fail: 300%, with: {do: x}}\n", `p.yaml:4:39: max_fail: "300%": want a number of hosts such as 5`},
		"no time":                {"name: a\ntimeout: tomorrow\n" + role + "steps:\n  a: {uses: work.do, on: d, with: {do: x}}\n", `p.yaml:2:10: want a time, longer than none, not "tomorrow" (write 90s`},
		"matrix of a plan":       {"name: a\nsteps:\n  a: {uses: 'plan:x.yaml', matrix: {n: [1, 2]}}\n", "p.yaml:3:28: step \"a\" runs a plan: matrix has no meaning here (put it on steps of x.yaml)"},
		"nearly a plugin":        {"name: a\n" + role + "steps:\n  a: {uses: wrok.do, on: d}\n", "did you mean `work`?"},
		"nested plan missing":    {"name: a\nsteps:\n  a: {uses: 'plan:x.yaml'}\n", "plan:x.yaml"},
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

// A plan that comes back to itself is told as that, by its files, at the step that closes the circle.
func TestPlansThatUseThemselves(t *testing.T) {
	reg, err := plugins.NewRegistry(work{}, asked{})
	if err != nil {
		t.Fatal(err)
	}
	using := func(file string) string {
		return "name: a\nsteps:\n  s: {uses: 'plan:" + file + "'}\n  t: {uses: 'plan:" + file + "', needs: [s]}\n"
	}
	chain := map[string]string{}
	for i := 1; i <= 9; i++ {
		chain[fmt.Sprintf("%d.yaml", i)] = using(fmt.Sprintf("%d.yaml", i+1))
	}
	for name, c := range map[string]struct {
		text  string
		files map[string]string
		want  []string
	}{
		"itself": {using("a.yaml"), map[string]string{"a.yaml": using("a.yaml")}, []string{
			`dir/a.yaml:3:13 step "s" uses plan:a.yaml, which is a cycle: dir/a.yaml uses dir/a.yaml`,
			`dir/a.yaml:4:13 step "t" uses plan:a.yaml, which is a cycle: dir/a.yaml uses dir/a.yaml`}},
		"one another": {using("b.yaml"), map[string]string{"a.yaml": using("b.yaml"), "b.yaml": using("./a.yaml"), "./a.yaml": using("b.yaml")}, []string{
			`b.yaml:3:13 step "s" uses plan:./a.yaml, which is a cycle: dir/a.yaml uses b.yaml uses dir/a.yaml`,
			`b.yaml:4:13 step "t" uses plan:./a.yaml, which is a cycle: dir/a.yaml uses b.yaml uses dir/a.yaml`}},
		"further in": {strings.Replace(using("b.yaml"), "name: a", "name: top", 1), map[string]string{"b.yaml": using("b.yaml")}, []string{
			`b.yaml:3:13 step "s" uses plan:b.yaml, which is a cycle: b.yaml uses b.yaml`,
			`b.yaml:4:13 step "t" uses plan:b.yaml, which is a cycle: b.yaml uses b.yaml`}},
		"only deep": {using("1.yaml"), chain, []string{"8.yaml:3:3 plans are nested deeper than 8", "8.yaml:4:3 plans are nested deeper than 8"}},
	} {
		w := plan.World{Plugins: reg, Files: map[string][]byte{}}
		for file, text := range c.files {
			w.Files[file] = []byte(text)
		}
		_, err := plan.ParseAndCheck("dir/a.yaml", []byte(c.text), w, nil)
		var wrong plan.Problems
		if !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, p := range wrong {
			got = append(got, p.Where()+" "+p.Message)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant:\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// Faults of the text and of the world are told together, in the order of the file, each with its place.
func TestFaultsOfEveryKindInOneGo(t *testing.T) {
	inv, err := inventory.Parse("inventory.yaml", []byte(file), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := plugins.NewRegistry(work{}, asked{})
	if err != nil {
		t.Fatal(err)
	}
	text := `name: a
parameters: {n: {type: int}}
hosts: {d: {target: duts}, e: nobody}
steps:
  a: {uses: work.do, on: d, needs: [b, x]}
  b: {uses: work.do, on: d, needs: [a]}
  c: {uses: work.nope, on: dd, tiemout: 5s}
  e: {uses: work.do, on: d, with: {od: x}, when: "steps.nope.verdict == 'passed'"}
  f: {uses: work.do, on: d, needs: [g]}
  g: {uses: work.do, on: d, needs: [f], with: {do: "say ${{ params.m }} ${{ 1 + }}"}}
`
	_, err = plan.ParseAndCheck("p.yaml", []byte(text), plan.World{Plugins: reg, Inventory: inv}, nil)
	var wrong plan.Problems
	if !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	got := ""
	for _, p := range wrong {
		got += fmt.Sprintf("%s %.40s\n", p.Where(), p.Message)
	}
	want := `p.yaml:2:24 unknown type "int"
p.yaml:3:28 role "e": 
p.yaml:5:3 a cycle: a needs b needs a
p.yaml:5:3 step "a": with: do: is required
p.yaml:5:40 step "a" needs "x", which is no step
p.yaml:6:3 step "b": with: do: is required
p.yaml:7:13 step "c" uses work.nope, which is not th
p.yaml:7:28 step "c" runs on the role "dd", which is
p.yaml:7:32 unknown key "tiemout" in step c
p.yaml:8:3 step "e": with: do: is required
p.yaml:8:36 step "e": with: od: 
p.yaml:8:51 steps.nope: there is no such step
p.yaml:9:3 a cycle: f needs g needs f
p.yaml:9:3 step "f": with: do: is required
p.yaml:10:80 in the expression: 
`
	wanted := strings.Split(want, "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(wanted) || !strings.HasPrefix(line, wanted[i]) {
			t.Fatalf("line %d: %q, got\n%s", i, line, got)
		}
	}
}

// bombs are expressions that would take for ever, or fill the memory, and what plan check says of them.
var bombs = map[string]struct{ text, want string }{
	"nested predicates":   {"let a = 1..90000; all(a, all(a, all(a, true)))", "goes round more than 100000 times"},
	"text doubling":       {`reduce(1..60, #acc + #acc, "xxxx")`, "a text grows beyond 1048576 bytes"},
	"doubling by let":     {`let a = "xxxxxxxxxxxxxxxx" + "x"; ` + doublings(40) + "len(z39)", "a text grows"},
	"repeat":              {`repeat(repeat("x", 1000000), 1000000)`, "a text grows"},
	"replace":             {`replace(replace(replace(repeat("a", 1000000), "a", "aaaaaaaaaa"), "a", "aaaaaaaaaa"), "a", repeat("b", 100000))`, "a text grows"},
	"one text often":      {`let s = repeat("x", 1000000); toJSON(map(1..20000, s))`, "a text grows"},
	"join":                {`let s = repeat("x", 1000000); join(map(1..20000, s), s)`, "a text grows"},
	"list doubling":       {`reduce(1..60, concat(#acc, #acc), [1, 2, 3])`, "makes more than 100000 values"},
	"range":               {"1..1000000000", "makes more than 100000 values"},
	"a large value":       {`let s = repeat("x", 1000000); map(1..20000, s)`, "gives more than 8388608 bytes"},
	"each with each":      {`len(filter(1..49000, len(uniq(map(1..49000, # * 2))) > #))`, "makes more"},
	"five deep":           {"map([1], map([1], map([1], map([1], map([1], map([1], #))))))", "more than 5 predicates within one another"},
	"of a parameter":      {"len(1..params.n * params.n)", "makes more than"},
	"found by evaluating": {`let s = split(repeat("x,", 40000), ","); len(filter(s, len(filter(s, # == "y")) > 0))`, "the expression cannot be evaluated: "},
}

// openBombs depend on what is known only on the way: nothing can be evaluated before.
var openBombs = map[string]struct{ text, want string }{
	"a side of a condition": {`steps.a.outputs.said == "y" ? len(map(1..2000, all(1..2000, # > 1))) : 1`, "makes more"},
	"grown by an output":    {`reduce(1..50, #acc + #acc, "x" + steps.a.outputs.said)`, "a text grows"},
	"grown slowly":          {`reduce(1..90000, #acc + "twenty letters and more", steps.a.outputs.said)`, "a text grows"},
	"of the matrix":         {`repeat(steps.a.outputs.said + "x", matrix.n)`, "a text grows"},
	"a range times hosts":   {`map(hosts.d, 1..100000)`, "makes more than"},
	"loops of an output":    {`filter(1..99000, any(1..99000, # == steps.a.outputs.said))`, "makes more"},
	"loops of a name":       {`let s = 1..9000; filter(s, any(s, # == steps.a.outputs.said))`, "goes round"},
	"a list of lists":       {`reduce(1..40, concat(#acc, #acc), [steps.a.outputs.said])`, "makes more than"},
}

// Check refuses a bomb at its place. The deadline is far off: what is meant is "not for ever".
func TestExpressionBombsAreRefused(t *testing.T) {
	inv, err := inventory.Parse("inventory.yaml", []byte(file), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := plugins.NewRegistry(work{}, asked{})
	if err != nil {
		t.Fatal(err)
	}
	check := func(text string) error {
		done := make(chan error, 1)
		go func() {
			_, err := plan.ParseAndCheck("p.yaml", []byte(text), plan.World{Plugins: reg, Inventory: inv}, nil)
			done <- err
		}()
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("no end after 20 seconds")
		}
	}
	before := "name: t\nparameters: {n: {type: integer, default: 40000}}\nhosts: {b: {target: builders}, d: {target: duts}}\nsteps:\n  a: {uses: work.do, on: b, with: {do: x}}\n"
	for kind, all := range map[string]map[string]struct{ text, want string }{"closed": bombs, "open": openBombs} {
		for name, bomb := range all {
			t.Run(kind+"/"+name, func(t *testing.T) {
				quoted := strings.ReplaceAll(bomb.text, "'", "''")
				matrix := ""
				if kind == "open" {
					matrix = "matrix: {n: [1, 2000000]}, "
				}
				for where, text := range map[string]string{
					"6:": before + "  z: {uses: work.do, on: b, " + matrix + "with: {do: 'say ${{ " + quoted + " }}'}}\n",
					"7:": before + "  z:\n    when: '" + quoted + " != nil'\n    uses: work.do\n    on: b\n    with: {do: x}\n",
				} {
					if where == "7:" && (matrix != "" || name == "a large value") { // a condition gives nothing large
						continue
					}
					err := check(text)
					if err == nil || !strings.HasPrefix(err.Error(), "p.yaml:"+where) || !strings.Contains(err.Error(), bomb.want) {
						t.Errorf("%.300v", err)
					}
				}
			})
		}
	}
	for _, fine := range []string{
		`join(map(filter(1..500, # % 2 == 1), "n" + string(#)), "-")`, `reduce(1..100, #acc + #, 0)`, `all(1..99, all(1..99, # > 0))`,
		`toJSON(map(hosts.d, #.name))`, `repeat("x", 1000000)`, `uniq([1, 1.0, "1"])`, `1..params.n`,
		`reduce(hosts.d, #acc + #.name + ",", "")`, `steps.a.verdict in ["passed", "skipped"]`, `reduce(1..12, concat(#acc, #acc), [1])`,
	} {
		if err := check(before + "  z: {uses: work.do, on: b, with: {do: '${{ " + fine + " }}'}}\n"); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
}

// Cells that run side by side on a board must not write one report: one would be read as the other's.
func TestCellsWithOneReport(t *testing.T) {
	reg, err := plugins.NewRegistry(plugins.Builtin()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hosts, step string
		refused     bool
	}{
		{"", "matrix: {s: [a, b]}, with: {command: x, report: 'junit:r.xml'}", true},
		{"isolation: exclusive, ", "matrix: {s: [a, b]}, with: {command: x, report: 'junit:r.xml'}", false},
		{"", "matrix: {s: [a, b], max_parallel: 1}, with: {command: x, report: 'junit:r.xml'}", false},
		{"", "matrix: {s: [a]}, with: {command: x, report: 'junit:r.xml'}", false},
		{"", "matrix: {s: [a, b]}, with: {command: x, report: 'junit:r-${{ matrix.s }}.xml'}", false},
		{"", "matrix: {s: [a, b]}, with: {command: x, cwd: 'w/${{ matrix.s }}', report: ['junit:r.xml', 'tap:-']}", false},
		{"", "matrix: {s: [a, b]}, with: {command: x, report: 'tap:-'}", false},
	} {
		inv, err := inventory.Parse("i.yaml", []byte("version: 1\ngroups: {duts: {"+c.hosts+"plugins: [testcase], hosts: {'d[1-2]': {}}}}\n"), inventory.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = plan.ParseAndCheck("p.yaml", []byte("name: t\nhosts: {d: duts}\nsteps:\n  a: {uses: testcase.run, on: d, "+c.step+"}\n"), plan.World{Plugins: reg, Inventory: inv}, nil)
		if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), `p.yaml:4:74: the cells of step "a" run side by side on a host and write the same report`) {
			t.Errorf("%s%s: %v", c.hosts, c.step, err)
		}
	}
}

// What only the way tells ends as an error of its step.
func TestExpressionBombs(t *testing.T) {
	for name, bomb := range map[string]struct{ said, text string }{
		"nested predicates": {"90000", "let a = 1..NN; all(a, all(a, all(a, true)))"},
		"text doubling":     {"60", `reduce(1..NN, #acc + #acc, "xxxx")`},
		"repeat":            {"1000000", `repeat(repeat("x", NN), NN)`},
		"replace":           {"1000000", `replace(replace(replace(repeat("a", NN), "a", "aaaaaaaaaa"), "a", "aaaaaaaaaa"), "a", repeat("b", 100000))`},
		"one text often":    {"50000", `let s = repeat("x", 1000000); toJSON(map(1..NN, s))`},
		"join":              {"50000", `let s = repeat("x", 1000000); join(map(1..NN, s), s)`},
		"list doubling":     {"60", `reduce(1..NN, concat(#acc, #acc), [1, 2, 3])`},
		"range":             {"1000000000", "1..NN"},
		"a large value":     {"50000", `let s = repeat("x", 1000000); map(1..NN, s)`},
		"each with each":    {"49000", `len(filter(1..NN, # in uniq(map(1..NN, # * 2))))`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			began := time.Now()
			text := strings.ReplaceAll(strings.ReplaceAll(bomb.text, "NN", "int(steps.a.outputs.said)"), "'", "''")
			got := l.wait(l.submit(head+"  a: {uses: work.do, on: b, with: {do: say "+bomb.said+"}}\n  z: {uses: work.do, on: b, with: {do: '${{ "+text+" }}'}}\n", nil))
			if got.Verdict != executor.Errored || time.Since(began) > 30*time.Second {
				t.Errorf("%s after %s: %+v", got.Verdict, time.Since(began), got.Steps[1])
			}
		})
	}
	l := newLab(t)
	fine := `join(map(filter(1..5, # % 2 == 1), "n" + string(#)), "-") + repeat("!", 2) + replace("aXb", "X", "-") + toJSON([1 + 2])`
	if got := l.wait(l.submit(head+"  a: {uses: work.do, on: b, with: {do: 'say ${{ "+fine+" }}'}}\noutputs: {o: '${{ steps.a.outputs.said }}'}\n", nil)); got.Outputs["o"] != "n1-n3-n5!!a-b[3]" {
		t.Errorf("%+v", got)
	}
}

func doublings(n int) string {
	var b strings.Builder
	last := "a"
	for i := range n {
		fmt.Fprintf(&b, "let z%d = %s + %s; ", i, last, last)
		last = fmt.Sprintf("z%d", i)
	}
	return b.String()
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

// A few plans that use one another are millions: they are refused, whatever they would do, in the time of one.
func TestPlansWithinPlansAreBounded(t *testing.T) {
	reg, err := plugins.NewRegistry(work{}, asked{})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	level := func(i int) string {
		if i == 7 {
			return head + "  a: {uses: work.do, on: b, with: {do: say hi}}\n"
		}
		text := fmt.Sprintf("name: p%d\nsteps:\n", i)
		for j := range 12 {
			text += fmt.Sprintf("  s%d: {uses: 'plan:p%d.yaml'}\n", j, i+1)
		}
		return text
	}
	for i := 5; i < 8; i++ { // with 156 in it it is taken
		files[fmt.Sprintf("p%d.yaml", i)] = []byte(level(i))
	}
	if _, err := plan.ParseAndCheck("p5.yaml", []byte(level(5)), plan.World{Files: files, Plugins: reg}, nil); err != nil {
		t.Error(err)
	}
	_, err = plan.ParseAndCheck("p4.yaml", []byte(level(4)), plan.World{Files: files, Plugins: reg}, nil) // with 1884 not
	if err == nil || !strings.Contains(err.Error(), "over 1000 plans or 20000 steps") {
		t.Errorf("%.300v", err)
	}
	rows := "{x: 1}" + strings.Repeat(", {x: 1}", 10_000)
	_, err = plan.Parse("plan.yaml", []byte(head+"  a: {uses: work.do, on: b, matrix: {x: [1], include: ["+rows+"]}, with: {do: say hi}}\n"))
	if err == nil || !strings.Contains(err.Error(), "more than 10000 cells") {
		t.Errorf("%.300v", err)
	}
}
