package plugins_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"tfw/plugins"
	"tfw/plugins/plugintest"
)

// docsBlock gives a code block of docs/plugins.md by the name on its fence.
func docsBlock(t *testing.T, name string) string {
	t.Helper()
	doc, err := os.ReadFile("../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)\n```[a-z]+ " + regexp.QuoteMeta(name) + "\n(.*?\n)```\n").FindSubmatch(doc)
	if found == nil {
		t.Fatalf("docs/plugins.md shows no %s", name)
	}
	return string(found[1])
}

// The plugin that the manual shows whole is compiled into the package, and the
// test that it shows is run, without a line more.
func TestThePluginOfTheManualWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package once more")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for _, name := range []string{"disk_space.go", "disk_space_test.go"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(docsBlock(t, name)), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(here, name)] = file
	}
	overlay := filepath.Join(dir, "overlay.json")
	doc, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-run", "^TestDiskSpace$", "-v", ".").CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?m)^--- PASS: TestDiskSpace`).Match(out) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTheScriptPluginOfTheManualWorks(t *testing.T) {
	all, err := pluginsD(t, map[string]string{
		"board/plugin.yaml": docsBlock(t, "plugins.d/board/plugin.yaml"),
		"board/flash.sh":    docsBlock(t, "plugins.d/board/flash.sh"),
	})
	if err != nil {
		t.Fatal(err)
	}
	h := plugintest.Local(t)
	if err := os.WriteFile(h.Path("image"), []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := call[map[string]int](t, all[0].Methods()[0], h, m{"image": "image"})
	if err != nil || out["bytes"] != 5 {
		t.Errorf("%v, %v", out, err)
	}
}

// The manual's table names every built-in method, and no other.
func TestTheManualNamesEveryMethod(t *testing.T) {
	doc, err := os.ReadFile("../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plugins.Builtin() {
		row := regexp.MustCompile("(?m)^\\| `" + p.Name() + "` \\|([^|]*)\\|").FindSubmatch(doc)
		if row == nil {
			t.Errorf("no row for %s", p.Name())
			continue
		}
		named := regexp.MustCompile("`[a-z_]+`").FindAllString(string(row[1]), -1)
		methods := p.Methods()
		if len(named) != len(methods) {
			t.Errorf("%s: the row names %v, there are %d methods", p.Name(), named, len(methods))
		}
		for i, method := range methods {
			if i < len(named) && named[i] != "`"+method.Name+"`" {
				t.Errorf("%s: the row names %s, the method is %s", p.Name(), named[i], method.Name)
			}
		}
	}
}
