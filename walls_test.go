// Package tfw has no code: its tests hold the walls of the house.
package tfw

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rooms says what each room may import of ours, and why no more. A folder below a room is part of it.
var rooms = map[string]struct {
	may []string
	why string
}{
	"inventory":             {nil, "who the hosts are must be told without knowing what is done to them"},
	"plugins":               {nil, "a plugin's author needs one contract, not the machinery behind it"},
	"executor":              {[]string{"inventory", "plugins"}, "it declares the Transport and Store that it needs; knowing one of them would tie every test to SSH or a disk"},
	"executor/ssh":          {[]string{"executor", "inventory", "plugins"}, "a transport is a dumb end: it holds no policy, so it sees no plan and no store"},
	"executor/bolt":         {[]string{"executor"}, "a store keeps bytes; what they mean is not its business"},
	"executor/age":          {[]string{"executor"}, "a keeper of secrets keeps them; who may name one is decided by the executor"},
	"executor/executortest": {[]string{"executor", "inventory"}, "the exam must not know who sits it"},
	"plan":                  {[]string{"executor", "inventory", "plugins"}, "a plan drives runs; how they reach a host or a disk is decided below it"},
	"api":                   {[]string{"plan", "executor", "inventory", "plugins"}, "the door translates; it is given the transport and store by cmd"},
	"api/ui":                {nil, "the page is files"},
	"plugins/plugintest":    {[]string{"plugins"}, "a plugin is tried without a controller"},
	"cmd":                   {[]string{"*"}, "keys: configuration and wiring"},
	"docs":                  {nil, "pages, and the tests that keep them true"},
	"":                      {nil, "the module's root has no code"},
}

// libraries says which rooms may import a library that we may have to change one day.
var libraries = []struct {
	prefix string
	rooms  []string
	why    string
}{
	{"github.com/gofiber/", []string{"api"}, "fiber v2 is being replaced by v3: one room to change"},
	{"github.com/valyala/fasthttp", []string{"api"}, "it belongs to fiber"},
	{"github.com/danielgtaylor/huma/", []string{"api"}, "routes and OpenAPI live at the door"},
	{"go.etcd.io/bbolt", []string{"executor/bolt"}, "the store can be another one as long as only one room knows"},
	{"filippo.io/age", []string{"executor/age"}, "the file format of secrets is one room's business"},
	{"github.com/coreos/go-oidc/", []string{"api"}, "who users are to an OpenID provider is asked at the door"},
	{"golang.org/x/oauth2", []string{"api"}, "as for go-oidc"},
	{"golang.org/x/crypto/ssh", []string{"executor/ssh", "executor/executortest"}, "everybody else asks a Transport: pooling, host keys and durability are decided in one place"},
	{"github.com/pkg/sftp", []string{"executor/ssh", "executor/executortest"}, "as for x/crypto/ssh"},
	{"github.com/knadh/koanf/", []string{"cmd"}, "settings are read once, at the keys, and passed on as values"},
	{"github.com/spf13/", []string{"cmd"}, "so is a command line"},
	{"testing", []string{"executor/executortest", "plugins/plugintest"}, "a daemon does not carry the test framework and its flags"},
}

type pkg struct {
	ImportPath           string
	Imports, TestImports []string
}

func (p pkg) folder() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "tfw"), "/") }

// roomOf finds the room that a folder is part of.
func roomOf(folder string) (string, bool) {
	for f := folder; f != "." && f != ""; f = path.Dir(f) {
		if _, known := rooms[f]; known {
			return f, true
		}
	}
	return "", folder == ""
}

// mayImport reports whether a room may import a package of ours.
func mayImport(room, im string, also ...string) bool {
	to, _ := roomOf(strings.TrimPrefix(im, "tfw/"))
	may := append(also, rooms[room].may...)
	return to == room || slices.Contains(may, "*") || slices.Contains(may, to)
}

// packages reads the imports of every Go file, whatever its build tags. It opens the files itself,
// in place of asking go list, so that go test knows when a cached answer is stale.
func packages(t *testing.T) map[string]*pkg {
	t.Helper()
	all := map[string]*pkg{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (d.Name()[0] == '.' || d.Name() == "testdata" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(file) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		name := path.Join("tfw", filepath.ToSlash(filepath.Dir(file)))
		if all[name] == nil {
			all[name] = &pkg{ImportPath: name}
		}
		for _, im := range parsed.Imports {
			to := &all[name].Imports
			if strings.HasSuffix(file, "_test.go") {
				to = &all[name].TestImports
			}
			*to = append(*to, strings.Trim(im.Path.Value, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWalls(t *testing.T) {
	all := packages(t)
	if len(all) < 5 {
		t.Fatalf("found only %d packages", len(all))
	}
	for _, p := range all {
		for _, fault := range faults(*p) {
			t.Error(fault)
		}
	}
}

// faults lists the imports of a package that go through a wall.
func faults(p pkg) (bad []string) {
	room, known := roomOf(p.folder())
	if !known {
		return []string{p.ImportPath + ": no such room in the house (see ARCHITECTURE.md; a new folder needs an issue first)"}
	}
	for _, im := range p.Imports {
		if ours(im) && !mayImport(room, im) {
			bad = append(bad, p.ImportPath+" imports "+im+": "+rooms[room].why)
		}
		bad = append(bad, libraryFaults(p, room, im)...)
	}
	for _, im := range p.TestImports {
		if ours(im) && !mayImport(room, im, inTests[room]...) {
			bad = append(bad, "tests of "+p.ImportPath+" import "+im+": "+rooms[room].why)
		}
		if im != "testing" && !strings.HasPrefix(im, "testing/") { // what a daemon must not carry
			bad = append(bad, libraryFaults(p, room, im)...)
		}
	}
	return bad
}

// inTests says what a room's tests may use on top: the exam room, and above the
// executor its real ends; the exam room's own tests let every implementation sit the exam.
var inTests = map[string][]string{
	"inventory":             nil,
	"plugins":               {"plugins/plugintest"},
	"executor":              {"executor/executortest", "executor/ssh", "executor/bolt"},
	"executor/ssh":          {"executor/executortest"},
	"executor/bolt":         {"executor/executortest"},
	"executor/executortest": {"executor/ssh", "executor/bolt", "inventory", "plugins", "api"},
	"plan":                  {"executor/executortest", "executor/ssh", "executor/bolt"},
	"api":                   {"executor/age", "executor/executortest", "executor/ssh", "executor/bolt"},
	"docs":                  {"*"},
}

func ours(im string) bool { return im == "tfw" || strings.HasPrefix(im, "tfw/") }

func libraryFaults(p pkg, room, im string) (bad []string) {
	for _, l := range libraries {
		if (im == l.prefix || strings.HasPrefix(im, strings.TrimSuffix(l.prefix, "/")+"/")) && !slices.Contains(l.rooms, room) && !testKit(im) {
			bad = append(bad, p.ImportPath+" imports "+im+": "+l.why)
		}
	}
	return bad
}

// testKit are packages below "testing" that programs may use.
func testKit(im string) bool { return im == "testing/fstest" }

// Folders that collect whatever has no name of its own do not come into being.
func TestNoRoomWithoutAName(t *testing.T) {
	for _, p := range packages(t) {
		for dir := p.folder(); dir != "" && dir != "."; dir = path.Dir(dir) {
			switch path.Base(dir) {
			case "pkg", "util", "utils", "common", "types", "helpers", "misc":
				t.Errorf("%s: %q says nothing; name the room for what lives there", p.ImportPath, path.Base(dir))
			}
		}
	}
}

// The check itself must find what it is there for.
func TestWallsAreHeld(t *testing.T) {
	for name, p := range map[string]pkg{
		"an arrow back up":          {ImportPath: "tfw/inventory", Imports: []string{"tfw/executor"}},
		"a library in a wrong room": {ImportPath: "tfw/plan", Imports: []string{"go.etcd.io/bbolt"}},
		"a library's subpackage":    {ImportPath: "tfw/executor", Imports: []string{"golang.org/x/crypto/ssh/agent"}},
		"a folder nobody agreed on": {ImportPath: "tfw/extra"},
		"testing in a program":      {ImportPath: "tfw/cmd/tfwd", Imports: []string{"testing"}},
		"testing's own, there too":  {ImportPath: "tfw/executor", Imports: []string{"testing/synctest"}},
		"a test past the wall":      {ImportPath: "tfw/plugins", TestImports: []string{"tfw/executor/ssh"}},
	} {
		if len(faults(p)) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
	for name, p := range map[string]pkg{
		"a store in bbolt":  {ImportPath: "tfw/executor/bolt", Imports: []string{"go.etcd.io/bbolt", "tfw/executor"}, TestImports: []string{"testing", "testing/synctest", "tfw/executor/executortest"}},
		"the wiring":        {ImportPath: "tfw/cmd/tfwd", Imports: []string{"tfw/executor/bolt", "github.com/knadh/koanf/v2"}},
		"x/crypto's others": {ImportPath: "tfw/executor", Imports: []string{"golang.org/x/crypto/sha3"}},
	} {
		if bad := faults(p); len(bad) > 0 {
			t.Errorf("%s: %v", name, bad)
		}
	}
}
