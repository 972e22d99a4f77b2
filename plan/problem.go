package plan

import (
	"fmt"
	"sort"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"tfw/inventory"
)

// Problem is one fault of a plan: where, what, and what to do about it.
type Problem = inventory.Problem

// Problems are all faults of a plan in one go.
type Problems = inventory.Problems

const maxProblems = 100

func (r *reader) add(p Problem) {
	if len(r.problems) >= maxProblems {
		return
	}
	p.File, p.Severity = r.file, inventory.SeverityError
	if p.Line > 0 && p.Line <= len(r.lines) && p.Text == "" {
		p.Text = string(r.lines[p.Line-1])
	}
	r.problems = append(r.problems, p)
}

func (r *reader) error(n *yaml.Node, fix, format string, args ...any) {
	r.add(Problem{Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// errorAt points at a byte within a string node, as far as it stands on one line.
func (r *reader) errorAt(n *yaml.Node, offset int, fix, format string, args ...any) {
	column := n.Column
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 && offset <= len(n.Value) {
		column += utf8.RuneCountInString(n.Value[:offset])
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			column++
		}
	}
	r.add(Problem{Line: n.Line, Column: column, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func keysOf[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
