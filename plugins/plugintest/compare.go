package plugintest

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
)

// comparable writes outputs without the ignored fields.
func (r *replay) comparable(outputs json.RawMessage) string {
	var v any
	if json.Unmarshal(outputs, &v) != nil {
		return string(outputs)
	}
	b, err := json.MarshalIndent(without(v, r.ignore), "", " ")
	if err != nil {
		r.t.Fatalf("replay: %v", err)
	}
	return string(b)
}

func without(v any, fields []string) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			if slices.Contains(fields, name) {
				delete(v, name)
				continue
			}
			v[name] = without(v[name], fields)
		}
	case []any:
		for i := range v {
			v[i] = without(v[i], fields)
		}
	}
	return v
}

// tree describes every file under a directory: its mode, and what it holds.
func tree(t testing.TB, root string, ignore []string) map[string]string {
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, _ := filepath.Rel(root, path) // both are absolute
		if slices.ContainsFunc(ignore, func(part string) bool { return strings.Contains(rel, part) }) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files[rel], err = describe(path, info)
		return err
	})
	if err != nil {
		t.Fatalf("replay: %v", err)
	}
	return files
}

func describe(path string, info fs.FileInfo) (string, error) {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		return "link to " + to, err
	case info.Mode().IsRegular():
		b, err := os.ReadFile(path)
		return fmt.Sprintf("%v %d bytes %.12s", info.Mode(), len(b), sumOf(b)), err
	}
	return info.Mode().String(), nil
}

func difference(got, want map[string]string) []string {
	var all []string
	for name, a := range got {
		if b, ok := want[name]; !ok {
			all = append(all, fmt.Sprintf("%s (%s): undisturbed there is none", name, a))
		} else if a != b {
			all = append(all, fmt.Sprintf("%s: %s, undisturbed %s", name, a, b))
		}
	}
	for name, b := range want {
		if _, ok := got[name]; !ok {
			all = append(all, fmt.Sprintf("%s: is missing, undisturbed %s", name, b))
		}
	}
	sort.Strings(all)
	return all
}
