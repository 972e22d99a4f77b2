package plugins_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfw/plugins"
	"tfw/plugins/plugintest"
)

// pluginsD writes files of a plugins.d and loads it.
func pluginsD(t *testing.T, files map[string]string) ([]plugins.Plugin, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, err := plugins.LoadDir(dir)
	if err != nil {
		err = &located{strings.ReplaceAll(err.Error(), dir+"/", "")}
	}
	return all, err
}

// located is an error whose text lost the test's directory.
type located struct{ text string }

func (e *located) Error() string { return e.text }

const boardYAML = `summary: talks to boards
methods:
  flash:
    summary: write an image
    parameters:
      image: {type: string, required: true, description: which}
      speed: {type: integer, default: 115200, minimum: 9600}
      parts: {type: array, items: {type: string}}
    outputs:
      written: {type: integer, required: true}
    positional: [image]
    needs: {exclusive: true, destructive: true}
    timeout: 20s
`

const flashSh = `#!/bin/sh
cat > params.json
echo "$TFW_PARAM_IMAGE|$TFW_PARAM_SPEED|$TFW_PARAM_PARTS"
case $TFW_PARAM_IMAGE in
bad) echo no such image >&2; exit 4 ;;
silent) exit 0 ;;
wrong) echo '{"written":"many"}'; exit 0 ;;
esac
echo '{"written": 42}'
`

func board(t *testing.T) plugins.Method {
	t.Helper()
	all, err := pluginsD(t, map[string]string{"board/plugin.yaml": boardYAML, "board/flash.sh": flashSh, ".hidden/x": "", "README": "no plugin"})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d plugins, %v", len(all), err)
	}
	r, err := plugins.NewRegistry(append(plugins.Builtin(), all...)...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Method("board", "flash")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestScriptPlugin(t *testing.T) {
	flash := board(t)
	if flash.Needs != (plugins.Needs{Exclusive: true, Destructive: true}) || flash.Positional[0] != "image" {
		t.Errorf("%+v", flash)
	}
	h := plugintest.Local(t)
	out, err := call[map[string]int](t, flash, h, m{"image": "a 'b'\nc", "parts": []string{"x", "y"}})
	if err != nil || out["written"] != 42 {
		t.Fatalf("%v, %v", out, err)
	}
	if got := string(h.Ops()[0].Result.Stdout); !strings.HasPrefix(got, "a 'b'\nc|115200|[\"x\",\"y\"]\n") {
		t.Errorf("environment: %q", got)
	}
	given, err := os.ReadFile(h.Path("params.json"))
	if err != nil || string(given) != `{"image":"a 'b'\nc","parts":["x","y"],"speed":115200}` {
		t.Errorf("stdin: %s, %v", given, err)
	}
}

func TestScriptPluginEnds(t *testing.T) {
	flash := board(t)
	for params, want := range map[string]string{
		`{}`:                         "parameters.image: is required",
		`{"image":"x","speed":1}`:    "parameters.speed: want at least 9600",
		`{"image":"x","sped":10000}`: "parameters.sped: unknown (did you mean speed?)",
	} {
		if err := flash.Check(json.RawMessage(params)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", params, err, want)
		}
	}
	h := plugintest.Local(t)
	_, err := flash.Call(t.Context(), h, json.RawMessage(`{"image":"bad"}`))
	if got := wantFailed(t, err, 4).Reason; got != "exit status 4: no such image" {
		t.Errorf("reason %q", got)
	}
	for image, want := range map[string]string{
		"silent": "last line of stdout is not the JSON object",
		"wrong":  "outputs.written: want integer, got string",
	} {
		_, err := flash.Call(t.Context(), h, json.RawMessage(`{"image":"`+image+`"}`))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", image, err, want)
		}
	}
}

func TestScriptPluginNeedsCommands(t *testing.T) {
	all, err := pluginsD(t, map[string]string{
		"p/plugin.yaml": "methods:\n  go:\n    needs: {commands: [sh, tfw-no-such-program]}\n", "p/go": "echo ran"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = all[0].Methods()[0].Call(t.Context(), plugintest.Local(t), nil)
	if got := wantFailed(t, err, 69).Reason; got != "tfw-no-such-program is not installed on this host" {
		t.Errorf("reason %q", got)
	}
}

func TestLoadDirNamesFileAndLine(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"unknown key", "summary: x\nmethods:\n  go:\n    scrpt: go\n", "p/plugin.yaml:4:5: unknown field"},
		{"no yaml", "summary: [x\n", "p/plugin.yaml:1:"},
		{"duplicate", "summary: x\nsummary: y\n", "p/plugin.yaml:2:1: "},
		{"no methods", "summary: x\n", "p/plugin.yaml:1:8: a plugin needs methods"},
		{"wrong type", "methods:\n  go:\n    positional: 7\n", "p/plugin.yaml:3:17: "},
		{"bad schema", "methods:\n  go:\n    parameters:\n      a:\n        type: strin\n", "p/plugin.yaml:5:13: a: is no JSON Schema: schema: not valid at /type"},
		{"bad default", "methods:\n  go:\n    parameters:\n      a: {type: integer, default: x}\n", "p/plugin.yaml:4:35: default: want integer, got string"},
		{"a reference outside", "methods:\n  go:\n    parameters:\n      a: {$ref: 'file:///etc/passwd'}\n", "is no JSON Schema"},
		{"bad duration", "methods:\n  go:\n    timeout: soon\n", `p/plugin.yaml:3:14: want a duration`},
		{"script outside", "methods:\n  go:\n    script: ../../etc/passwd\n", "p/plugin.yaml:3:13: script: want a file within"},
		{"no script", "methods:\n  stop: {summary: x}\n", `p/plugin.yaml:2:`},
		{"bad positional", "methods:\n  go:\n    positional: [b]\n    parameters:\n      bb: {}\n", `p/plugin.yaml:3:18: positional: there is no parameter "b" (did you mean bb?)`},
		{"twins", "methods:\n  go:\n    parameters:\n      a: {}\n      A: {}\n", "both would be TFW_PARAM_A"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, err := pluginsD(t, map[string]string{"p/plugin.yaml": tt.yaml, "p/go.sh": "true",
				"good/plugin.yaml": "methods: {go: {}}", "good/go": "true"})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if len(all) != 1 || all[0].Name() != "good" {
				t.Errorf("the good plugin was not given: %v", all)
			}
		})
	}
	if _, err := pluginsD(t, map[string]string{"Bad-Name/plugin.yaml": ""}); err == nil || !strings.Contains(err.Error(), "a-z, 0-9") {
		t.Errorf("a bad name: %v", err)
	}
	if all, err := plugins.LoadDir(filepath.Join(t.TempDir(), "none")); err != nil || all != nil {
		t.Errorf("no directory: %v, %v", all, err)
	}
}

// FuzzPluginYAML: whatever an admin writes, loading ends with plugins that work or with errors.
func FuzzPluginYAML(f *testing.F) {
	f.Add(boardYAML)
	f.Add("methods: {go: {parameters: {a: {default: 1, required: true}}}}")
	f.Add("a: &a [*a]\nmethods: {go: null}")
	dir := f.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "p"), 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "p", "go"), []byte("true"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, "p", "plugin.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := plugins.LoadDir(dir)
		if err != nil {
			return
		}
		if _, err := plugins.NewRegistry(all...); err != nil {
			t.Errorf("loaded, but not fit to register: %v", err)
		}
		if _, err := json.Marshal(plugins.Describe(all[0])); err != nil {
			t.Errorf("no catalogue: %v", err)
		}
	})
}
