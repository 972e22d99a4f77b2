package inventory

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Parse reads an inventory from memory: our own format, an Ansible YAML
// inventory or the JSON of `ansible-inventory --list`, told apart by their
// content. name stands in messages, and relative paths start in its directory;
// no other file is read. The error is [Problems].
func Parse(name string, data []byte, opt Options) (*Inventory, error) {
	l := newLoader(context.Background(), &opt)
	l.content(&source{name: name, dir: filepath.Dir(name), data: data}, func(inc ref) {
		l.draft.rep.errorf(inc.at, "name the inventory as a file", "include works only in files")
	})
	l.draft.defaultRole()
	l.draft.defaultConfig()
	return build(l.draft, l.opt)
}

// Load reads an inventory from a file, from an executable that answers --list
// as Ansible's dynamic inventories do, or from a directory of such, with
// group_vars/ and host_vars/ beside an Ansible one. ctx bounds executables. The
// error is [Problems], also when the path cannot be read.
func Load(ctx context.Context, path string, opt Options) (*Inventory, error) {
	l := newLoader(ctx, &opt)
	l.path(ref{name: path}, 0)
	l.draft.defaultRole()
	l.draft.defaultConfig()
	return build(l.draft, l.opt)
}

// loader gathers sources into one draft.
type loader struct {
	ctx    context.Context
	draft  *draft
	opt    *Options
	read   map[string]bool // absolute paths, so that no file comes twice
	beside []string        // directories whose group_vars and host_vars apply
}

func newLoader(ctx context.Context, opt *Options) *loader {
	return &loader{ctx: ctx, draft: newDraft(&report{}), opt: opt, read: map[string]bool{}}
}

// maxIncludes bounds how deep files may include one another.
const maxIncludes = 8

// path reads a file or directory; depth counts includes.
func (l *loader) path(from ref, depth int) {
	real := from.name
	if abs, err := filepath.Abs(from.name); err == nil {
		real = abs
	}
	if l.read[real] || depth > maxIncludes {
		l.draft.rep.errorf(from.at, "include each file once", "%s is included again", quoted(from.name))
		return
	}
	l.read[real] = true
	l.draft.stamps[from.name] = stampOf(from.name)
	info, err := os.Stat(from.name)
	if err == nil && info.IsDir() {
		l.directory(from, depth)
		return
	}
	data, info, err := readFile(from.name)
	if err != nil {
		l.unreadable(from, err)
		return
	}
	if isProgram(info, data) {
		if data, err = l.run(from.name, info); err != nil {
			l.draft.rep.errorf(l.place(from), "run it by hand with --list and look at its output", "the executable inventory %s: %v", quoted(from.name), err)
			return
		}
		l.draft.dynamic = true
	}
	src := &source{name: from.name, dir: filepath.Dir(from.name), data: data}
	ansible := l.content(src, func(inc ref) {
		if !filepath.IsAbs(inc.name) {
			inc.name = filepath.Join(src.dir, inc.name)
		}
		l.path(inc, depth+1)
	})
	if ansible && !slices.Contains(l.beside, src.dir) {
		l.beside = append(l.beside, src.dir)
		l.varsBeside(src.dir)
	}
}

// place is where the name of a file stands, or the file itself.
func (l *loader) place(from ref) position {
	if from.at.src != nil {
		return from.at
	}
	return position{src: &source{name: from.name}}
}

func (l *loader) unreadable(from ref, err error) {
	p := unreadable(from.name, err)
	if from.at.src != nil {
		if errors.Is(err, fs.ErrNotExist) {
			p.Fix = "correct the path: it starts at the folder of this file"
		}
		l.draft.rep.errorf(from.at, p.Fix, "%s: %s", from.name, p.Message)
		return
	}
	l.draft.rep.errorf(l.place(from), p.Fix, "%s", p.Message)
}

// skipped are names in an inventory directory that are no inventory, as Ansible
// passes them over.
var skipped = []string{"~", ".orig", ".bak", ".cfg", ".retry", ".pyc", ".pyo", ".md", ".rst", ".txt", ".swp", ".rpm"}

// directory reads all inventories of a directory, in the order of their names.
func (l *loader) directory(from ref, depth int) {
	entries, err := os.ReadDir(from.name)
	if err != nil {
		l.unreadable(from, err)
		return
	}
	before := len(l.draft.sources)
	l.beside = append(l.beside, from.name)
	for _, e := range entries {
		if e.Name()[0] == '.' || e.IsDir() || hasAnySuffix(e.Name(), skipped) {
			continue
		}
		if strings.HasSuffix(e.Name(), ".ini") {
			l.draft.rep.warnf(position{src: &source{name: filepath.Join(from.name, e.Name())}}, "rename it, or name it itself with -i or include:",
				"%s is passed over, as Ansible does in a directory", e.Name())
			continue
		}
		l.path(ref{name: filepath.Join(from.name, e.Name()), at: from.at}, depth+1)
	}
	if len(l.draft.sources) == before && len(l.draft.rep.errors) == 0 {
		l.draft.rep.errorf(l.place(from), "name a YAML or JSON file", "is a directory without an inventory file")
		return
	}
	l.varsBeside(from.name)
}

func hasAnySuffix(s string, suffixes []string) bool {
	return slices.ContainsFunc(suffixes, func(x string) bool { return strings.HasSuffix(s, x) })
}

// content reads one source into the draft, what it includes first, and tells
// whether it is an Ansible one.
func (l *loader) content(src *source, include func(ref)) (ansible bool) {
	l.draft.sources = append(l.draft.sources, src)
	r := &reader{src: src, rep: l.draft.rep, opt: l.opt}
	if looksLikeINI(src) {
		if !plausible(src, l.draft.rep) {
			return false
		}
		r.ansible, l.draft.lenient = true, true
		(&ansibleReader{reader: r, d: l.draft}).readINI()
		return true
	}
	root := parseTree(src, l.draft.rep)
	if root == nil {
		return false
	}
	if isAnsible(r, root) {
		r.ansible, l.draft.lenient = true, true
		(&ansibleReader{reader: r, d: l.draft}).read(root)
		return true
	}
	r.native(l.draft, root, include)
	return false
}

// isProgram is true for a file to be run: executable, and a script or a binary.
// The mode alone does not say it, as some file systems mark every file so.
func isProgram(info fs.FileInfo, data []byte) bool {
	head := string(data[:min(len(data), 4)])
	return info.Mode()&0o111 != 0 && (strings.HasPrefix(head, "#!") || head == "\x7fELF")
}
