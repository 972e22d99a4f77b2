package inventory

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// varsBeside reads group_vars/ and host_vars/ beside an Ansible inventory: a
// file NAME, NAME.yml, NAME.yaml or NAME.json, or a directory of files, for each
// group and host, and for all.
func (l *loader) varsBeside(dir string) {
	if !l.draft.lenient {
		return
	}
	groups := l.varFiles(filepath.Join(dir, "group_vars"))
	for _, f := range groups["all"] {
		l.varFile(f, "group_vars/all", func(a *ansibleReader, pairs []pair, label string) {
			l.draft.late = append(l.draft.late, a.layer(label, pairs))
		})
	}
	for _, g := range l.draft.groups {
		for _, f := range groups[g.name] {
			l.varFile(f, "group_vars/"+g.name, func(a *ansibleReader, pairs []pair, label string) {
				a.own(g, a.layer(label, pairs), true)
			})
		}
	}
	hosts := l.varFiles(filepath.Join(dir, "host_vars"))
	for _, h := range l.draft.hosts {
		for _, f := range hosts[h.name] {
			l.varFile(f, "host_vars/"+h.name, func(a *ansibleReader, pairs []pair, label string) {
				h.own = append(h.own, a.layer(label, pairs))
			})
		}
	}
}

// varFiles lists the files of a directory of variables by the name they are for.
func (l *loader) varFiles(dir string) map[string][]string {
	l.draft.stamps[dir] = stampOf(dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	byName := map[string][]string{}
	rank := map[string]int{} // NAME before NAME.yml before NAME.yaml before NAME.json
	for _, e := range entries {
		name, r := e.Name(), 0
		for i, ext := range []string{".yml", ".yaml", ".json"} {
			if strings.HasSuffix(e.Name(), ext) {
				name, r = strings.TrimSuffix(e.Name(), ext), i+1
			}
		}
		if name == "" || name[0] == '.' || hasAnySuffix(name, skipped) {
			continue
		}
		if best, have := rank[name]; have && best < r {
			continue
		}
		path := filepath.Join(dir, e.Name())
		rank[name], byName[name] = r, []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			byName[name] = l.varTree(path)
		}
	}
	return byName
}

// varTree lists the files below a directory in the order of their paths.
func (l *loader) varTree(dir string) []string {
	var files []string
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || len(files) > 1000 {
			return filepath.SkipDir
		}
		if e.IsDir() {
			l.draft.stamps[path] = stampOf(path)
		} else if e.Name()[0] != '.' && !hasAnySuffix(e.Name(), skipped) {
			files = append(files, path)
		}
		return nil
	})
	sort.Strings(files)
	return files
}

// varFile reads one file of variables.
func (l *loader) varFile(path, label string, use func(a *ansibleReader, pairs []pair, label string)) {
	l.draft.stamps[path] = stampOf(path)
	data, _, err := readFile(path)
	if err != nil {
		l.unreadable(ref{name: path}, err)
		return
	}
	src := &source{name: path, dir: filepath.Dir(filepath.Dir(path)), data: data}
	l.draft.sources = append(l.draft.sources, src)
	rep := l.draft.rep
	if bytes.HasPrefix(data, []byte("$ANSIBLE_VAULT;")) {
		rep.warnf(src.at(1, 1), "keep what tfw needs in a plain file beside it", "a file encrypted with ansible-vault is passed over")
		return
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return
	}
	before := len(rep.errors)
	root := parseTree(src, rep)
	if root == nil {
		if len(rep.errors) > before && strings.Contains(rep.errors[len(rep.errors)-1].Message, "is empty") {
			rep.errors = rep.errors[:before] // only comments: no variables
		}
		return
	}
	r := &reader{src: src, rep: rep, opt: l.opt, ansible: true}
	a := &ansibleReader{reader: r, d: l.draft}
	use(a, r.pairs(root, "the variables"), label)
}
