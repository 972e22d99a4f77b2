package inventory

import (
	"context"
	"path/filepath"
)

// Load reads an inventory from a file. The error is [Problems], also when the
// path is no readable file.
func Load(ctx context.Context, path string, opt Options) (*Inventory, error) {
	data, _, err := readFile(path)
	if err != nil {
		return nil, Problems{unreadable(path, err)}
	}
	rep := &report{}
	l := &loader{ctx: ctx, draft: newDraft(rep), opt: &opt}
	l.source(&source{name: path, dir: filepath.Dir(path), data: data})
	return l.finish()
}
