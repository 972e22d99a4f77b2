package plugins

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds on what a plugin's directory may hold.
const (
	maxPluginFile   = 1 << 20
	maxPluginScript = 4 << 20
	maxPlugins      = 500
)

// LoadDir reads the script plugins of a directory: each DIR/NAME/plugin.yaml
// with its scripts is a plugin NAME (see docs/plugins.md). Scripts are read now: a
// later edit changes nothing until the next load. A directory that does not exist
// holds none. The error joins every fault, each with its file, line and column;
// plugins without a fault are given all the same.
func LoadDir(dir string) ([]Plugin, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("script plugins: %w", err)
	}
	if len(entries) > maxPlugins {
		return nil, fmt.Errorf("script plugins: %s holds more than %d entries", dir, maxPlugins)
	}
	var all []Plugin
	var faults []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path) // a link to a directory is one
		if strings.HasPrefix(e.Name(), ".") || (err == nil && !info.IsDir()) {
			continue
		}
		p, err := loadPlugin(path, e.Name())
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all = append(all, p)
	}
	return all, errors.Join(faults...)
}

// pluginFile is plugin.yaml.
type pluginFile struct {
	Summary string                 `yaml:"summary"`
	Methods map[string]*methodFile `yaml:"methods"`
}

type methodFile struct {
	Summary    string                    `yaml:"summary"`
	Script     string                    `yaml:"script"`
	Parameters map[string]map[string]any `yaml:"parameters"`
	Outputs    map[string]map[string]any `yaml:"outputs"`
	Positional []string                  `yaml:"positional"`
	Needs      struct {
		Exclusive   bool     `yaml:"exclusive"`
		Destructive bool     `yaml:"destructive"`
		Commands    []string `yaml:"commands"` // programs on the host
	} `yaml:"needs"`
	Timeout        string `yaml:"timeout"`
	SilenceTimeout string `yaml:"silence_timeout"`
	Become         any    `yaml:"become"`
}

func loadPlugin(dir, name string) (Plugin, error) {
	f := &faulty{path: filepath.Join(dir, "plugin.yaml")}
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("%s: a plugin's directory has a name of a-z, 0-9 and _ that begins with a letter", dir)
	}
	text, err := readBounded(f.path, maxPluginFile)
	if err != nil {
		return nil, err
	}
	var file pluginFile
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		return nil, f.yaml(err)
	}
	if f.doc, err = parser.ParseBytes(text, 0); err != nil {
		return nil, f.yaml(err)
	}
	p := scriptPlugin{name: name, summary: file.Summary}
	if len(file.Methods) == 0 {
		f.add("$", "a plugin needs methods")
	}
	names := make([]string, 0, len(file.Methods))
	for n := range file.Methods {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		p.methods = append(p.methods, f.method(dir, n, file.Methods[n]))
	}
	return p, errors.Join(f.faults...)
}

// faulty collects the faults of a file with their places.
type faulty struct {
	path   string
	doc    *ast.File
	faults []error
}

func (f *faulty) add(at, format string, args ...any) {
	f.faults = append(f.faults, fmt.Errorf("%s: %s", f.place(at), fmt.Sprintf(format, args...)))
}

// place gives file:line:column of a YAML path, or of its nearest parent that is there.
func (f *faulty) place(at string) string {
	for ; at != ""; at = at[:max(strings.LastIndexByte(at, '.'), 0)] {
		path, err := yaml.PathString(at)
		if err != nil || f.doc == nil {
			continue
		}
		node, err := path.FilterFile(f.doc)
		if err != nil || node == nil || node.GetToken() == nil {
			continue
		}
		pos := node.GetToken().Position
		return fmt.Sprintf("%s:%d:%d", f.path, pos.Line, pos.Column)
	}
	return f.path + ":1:1"
}

// yaml gives a parser's fault with its place.
func (f *faulty) yaml(err error) error {
	if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
		pos := e.GetToken().Position
		return fmt.Errorf("%s:%d:%d: %s", f.path, pos.Line, pos.Column, e.GetMessage())
	}
	return fmt.Errorf("%s: %w", f.path, err)
}

func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err // it names the file
	}
	defer file.Close() // only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no file", path)
	}
	b, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: is over %d KiB", path, limit>>10)
	}
	return b, nil
}
