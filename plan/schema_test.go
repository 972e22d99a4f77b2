package plan_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"tfw/plan"
	"tfw/plugins"
)

func schemaFor(t *testing.T, reg *plugins.Registry) func(text []byte) error {
	t.Helper()
	doc, err := plan.Schema(reg)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := validator.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("mem:plan", parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("mem:plan")
	if err != nil {
		t.Fatal(err)
	}
	return func(text []byte) error {
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		value, err := validator.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		return compiled.Validate(value)
	}
}

// The schema takes every plan that runs, and refuses the faults that an editor should underline.
func TestSchema(t *testing.T) {
	reg, err := plugins.NewRegistry(plugins.Builtin()...)
	if err != nil {
		t.Fatal(err)
	}
	check := schemaFor(t, reg)
	examples, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatal(examples, err)
	}
	for _, file := range append(examples, "testdata/contract.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := plan.Parse(file, text); err != nil {
			continue // an inventory, or what a plan refers to
		}
		if err := check(text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	const begin = "name: a\nhosts: {d: duts}\nsteps:\n  a: "
	for _, good := range []string{
		"{uses: testcase.run, on: d, with: {command: 'true', report: 'junit:*.xml', max_reboots: '${{ params.n }}'}}",
		"{uses: testcase.run, on: d, with: {command: [a, '${{ x }}']}, retry: 2, timeout: 1h30m, needs: b, when: always(), serial: [1, '50%'], max_fail: 3}",
		"{uses: 'plan:x.yaml', with: {any: thing}}",
		"{uses: script_plugin.of_theirs, on: d, with: {any: thing}}",
		"{uses: linux_system.system_information, on: d}",
	} {
		if err := check([]byte(begin + good + "\n")); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"{on: d}", "{uses: run, on: d}", "{uses: testcase.run}", "{uses: testcase.run, on: d}",
		"{uses: testcase.run, on: d, with: {comand: x}}", "{uses: testcase.run, on: d, with: {command: x, max_reboots: many}}",
		"{uses: testcase.run, on: d, with: {command: x}, tiemout: 5s}", "{uses: testcase.run, on: d, with: {command: x}, timeout: soon}",
		"{uses: testcase.run, on: d, with: {command: x}, retry: {limit: 1000}}", "{uses: testcase.run, on: d, with: {command: x}, retry: {on: [passed]}}",
		"{uses: testcase.run, on: d, with: {command: x}, matrix: {'a b': [1]}}", "{uses: testcase.run, on: d, with: {command: x}, matrix: {a: []}}",
		"{uses: testcase.run, on: d, with: {command: x}, per_host: 7}",
	} {
		if check([]byte(begin+bad+"\n")) == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	for _, bad := range []string{"name: a\n", "steps: {a: {uses: 'plan:x'}}\n", "name: a\nsteps: {}\n", "name: a\nstpes: {}\nsteps: {a: {uses: 'plan:x'}}\n",
		"name: a\nparameters: {x: {type: int}}\nsteps: {a: {uses: 'plan:x'}}\n", "name: a\nhosts: {d: {count: 1}}\nsteps: {a: {uses: 'plan:x'}}\n", "name: a\nsteps: {'a-b': {uses: 'plan:x'}}\n"} {
		if check([]byte(bad)) == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
