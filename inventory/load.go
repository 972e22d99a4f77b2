package inventory

import (
	"context"
	"path/filepath"
)

// Parse reads an inventory from memory: our own format, an Ansible YAML
// inventory or the JSON of `ansible-inventory --list`, told apart by their
// content. name stands in messages, and relative paths start in its directory.
// The error is [Problems].
func Parse(name string, data []byte, opt Options) (*Inventory, error) {
	rep := &report{}
	d := newDraft(rep)
	l := &loader{ctx: context.Background(), draft: d, opt: &opt}
	l.source(&source{name: name, dir: filepath.Dir(name), data: data})
	return l.finish()
}

// loader gathers sources into one draft.
type loader struct {
	ctx   context.Context
	draft *draft
	opt   *Options
}

func (l *loader) source(src *source) {
	l.draft.sources = append(l.draft.sources, src)
	root := parseTree(src, l.draft.rep)
	if root == nil {
		return
	}
	r := &reader{src: src, rep: l.draft.rep, opt: l.opt}
	r.native(l.draft, root)
}

func (l *loader) finish() (*Inventory, error) {
	return build(l.draft, l.opt)
}
