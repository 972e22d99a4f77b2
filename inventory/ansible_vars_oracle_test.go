package inventory

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// varsFiles writes host_vars and group_vars beside an inventory, in the ways Ansible reads them.
func (d *dice) varsFiles(t *testing.T, dir string, hosts []string) {
	t.Helper()
	value := 0
	text := func(ext string) string {
		value++
		key := d.of("a", "b", "c", "e")
		if ext == ".json" {
			return fmt.Sprintf("{%q: %d, \"f\": {\"x\": [%d, null, true]}}", key, value, value)
		}
		return fmt.Sprintf("---\n%s: %d\nf: {%s: %d}\n", key, value, d.of("x", "y"), value)
	}
	put := func(path, s string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for kind, names := range map[string][]string{"group_vars": append([]string{"all"}, d.groups...), "host_vars": hosts} {
		for _, name := range names {
			at := filepath.Join(dir, kind, name)
			if strings.HasPrefix(name, "fe80") || d.chance(40) {
				continue
			}
			if d.chance(30) {
				for _, file := range []string{"main.yml", "00-first", "z.yaml", "q.json", ".hidden.yml", "old.yml~", "deep/er.yml", "notes.txt"} {
					if d.chance(40) {
						put(filepath.Join(at, file), text(filepath.Ext(file)))
					}
				}
				continue
			}
			if d.chance(10) {
				put(at+d.of("", ".yml"), d.of("", "---\n", "# nothing\n"))
				continue
			}
			ext := d.of("", ".yml", ".yaml", ".json")
			put(at+ext, text(ext))
		}
	}
}

// Variables of host_vars and group_vars, files and folders, are merged as ansible-core merges them.
func TestVarsFilesAsAnsible(t *testing.T) {
	n, seed := oracleCount(12)
	root := t.TempDir()
	var cases []oracleCase
	var ours []*Inventory
	var rolled []*dice
	for i := range n {
		d := &dice{Rand: rand.New(rand.NewPCG(seed, uint64(i)+1<<32))}
		d.setUp()
		dir := filepath.Join(root, strconv.Itoa(i))
		name, text := "hosts.yml", d.yaml()
		if i%2 == 0 {
			name, text = "hosts", d.ini()
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		inv, err := Load(t.Context(), path, Options{})
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		d.varsFiles(t, dir, hostNames(inv.Hosts()))
		if inv, err = Load(t.Context(), path, Options{}); err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		cases, ours, rolled = append(cases, oracleCase{Path: path, Patterns: []string{"all"}}), append(ours, inv), append(rolled, d)
	}
	for i, theirs := range askAnsible(t, cases) {
		if !sameAsAnsible(t, ours[i], theirs, rolled[i]) {
			var b strings.Builder
			_ = filepath.Walk(filepath.Dir(cases[i].Path), func(path string, info os.FileInfo, err error) error {
				if err == nil && !info.IsDir() {
					text, _ := os.ReadFile(path)
					fmt.Fprintf(&b, "== %s\n%s", path, text)
				}
				return err
			})
			t.Fatal(b.String())
		}
	}
}
