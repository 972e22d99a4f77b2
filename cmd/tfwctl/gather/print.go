package gather

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Names knows how host names are ordered and folded.
type Names interface {
	// Sort gives the names in the order of a folded set.
	Sort(names []string) []string
	// Fold gives the folded set of sorted names.
	Fold(names []string) string
}

// Style says how to print. The zero value is clubak's -b without colour.
type Style struct {
	Names  Names
	Lines  bool                      // -L: "hosts: line" instead of blocks
	ByHost bool                      // do not put hosts together
	Diff   bool                      // how each group differs from the first
	Status func(string) int          // groups of a lower status come first; nil: all the same
	Paint  func(Part, string) string // nil: no colour
	Show   func(line []byte) []byte  // what a line of a host looks like where it is printed; nil: as it is
}

// Part is a piece of the picture that may have a colour.
type Part int

// The parts.
const (
	Header Part = iota
	DiffHeader
	DiffHunk
	DiffAdd
	DiffDelete
)

// group is a set of hosts that said the same.
type group struct {
	status int
	hosts  []string
	out    *node
}

// Print writes what the hosts of the tree said. hosts that said nothing are
// shown by Diff only, as a difference.
func (t *Tree) Print(w io.Writer, hosts []string, s Style) error {
	for h := range t.hosts {
		if err := t.End(h); err != nil {
			return err
		}
	}
	if s.Paint == nil {
		s.Paint = func(_ Part, text string) string { return text }
	}
	if s.Show == nil {
		s.Show = func(line []byte) []byte { return line }
	}
	b := bufio.NewWriterSize(w, 64<<10)
	groups := t.groups(hosts, s)
	switch {
	case s.Diff:
		printDiff(b, groups, s)
	case s.Lines:
		printLines(b, groups, s)
	default:
		printBlocks(b, groups, s)
	}
	return b.Flush()
}

// groups puts hosts together by status and output, the larger groups of a status first, then by
// the first host's name. Silent hosts of a status come after the others, and only for Diff.
func (t *Tree) groups(hosts []string, s Style) []group {
	type key struct {
		status int
		out    *node
		host   string
	}
	at := map[key]int{}
	var all []group
	for _, h := range hosts {
		out := &t.root
		if p := t.hosts[h]; p != nil {
			out = p.at
		}
		if out == &t.root && !s.Diff {
			continue
		}
		k := key{out: out}
		if s.Status != nil {
			k.status = s.Status(h)
		}
		if s.ByHost {
			k.host = h
		}
		i, seen := at[k]
		if !seen {
			i = len(all)
			at[k] = i
			all = append(all, group{status: k.status, out: out})
		}
		all[i].hosts = append(all[i].hosts, h)
	}
	for i := range all {
		all[i].hosts = s.Names.Sort(all[i].hosts)
	}
	if s.ByHost {
		return inOrder(all, s.Names)
	}
	slices.SortStableFunc(all, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.status, b.status), cmp.Compare(silent(a), silent(b)),
			cmp.Compare(len(b.hosts), len(a.hosts)), cmp.Compare(a.hosts[0], b.hosts[0]))
	})
	return all
}

func silent(g group) int {
	if g.out.depth == 0 {
		return 1
	}
	return 0
}

// inOrder sorts groups of one host each by the order of names.
func inOrder(all []group, names Names) []group {
	by := make(map[string]group, len(all))
	var hosts []string
	for _, g := range all {
		hosts = append(hosts, g.hosts[0])
		by[g.hosts[0]] = g
	}
	sorted := all[:0]
	for _, h := range names.Sort(hosts) {
		sorted = append(sorted, by[h])
	}
	return sorted
}

const rule = "---------------"

func printBlocks(b *bufio.Writer, groups []group, s Style) {
	for _, g := range groups {
		fmt.Fprintln(b, s.Paint(Header, rule+"\n"+title(g, s)+"\n"+rule))
		for _, line := range g.out.lines() {
			fmt.Fprintf(b, "%s\n", s.Show(line))
		}
	}
}

func printLines(b *bufio.Writer, groups []group, s Style) {
	for _, g := range groups {
		prefix := s.Paint(Header, s.Names.Fold(g.hosts)+": ")
		for _, line := range g.out.lines() {
			fmt.Fprintf(b, "%s%s\n", prefix, s.Show(line))
		}
	}
}

func printDiff(b *bufio.Writer, groups []group, s Style) {
	if len(groups) == 0 || silent(groups[0]) == 1 {
		return
	}
	first := text(groups[0])
	for _, g := range groups[1:] {
		for _, line := range Unified(first, text(g), title(groups[0], s), title(g, s)) {
			fmt.Fprintln(b, paintDiff(string(s.Show([]byte(line))), s))
		}
	}
}

func paintDiff(line string, s Style) string {
	switch {
	case strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"):
		return s.Paint(DiffHeader, strings.TrimRight(line, " \t\r\v\f"))
	case strings.HasPrefix(line, "@@"):
		return s.Paint(DiffHunk, line)
	case strings.HasPrefix(line, "+"):
		return s.Paint(DiffAdd, line)
	case strings.HasPrefix(line, "-"):
		return s.Paint(DiffDelete, line)
	}
	return line
}

// text is a group's output as text: what is no UTF-8 is left out, as clubak does.
func text(g group) []string {
	lines := g.out.lines()
	all := make([]string, len(lines))
	for i, l := range lines {
		all[i] = strings.ToValidUTF8(string(l), "")
	}
	return all
}

func title(g group, s Style) string {
	name := s.Names.Fold(g.hosts)
	if len(g.hosts) > 1 {
		return fmt.Sprintf("%s (%d)", name, len(g.hosts))
	}
	return name
}
