package inventory

import (
	"bytes"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// An Ansible INI inventory: [group], [group:vars] and [group:children] sections.
// The rules are those of Ansible's own reader, as its documentation ("How to
// build your inventory") and ansible-inventory tell them; where that one stops at
// the first mistake, all are reported.

var (
	iniSection = regexp.MustCompile(`^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?$`)
	iniGroup   = regexp.MustCompile(`^([^:\]\s]+)\s*(?:#.*)?$`)
	iniHost    = regexp.MustCompile(`^[\w.\-\[\]:]+(?:\s+[A-Za-z_]\w*=.*)?\s*(?:#.*)?$`)
	iniPlain   = regexp.MustCompile(`^[\w.\-\[\]:]*[\w\]]\s*(?:#.*)?$`)
)

// looksLikeINI tells an INI inventory from YAML by its lines. A section or a host
// with key=value is proof; a plain list of names is taken for one only in a file
// whose name does not say YAML or JSON, so that a slip in YAML stays a slip.
func looksLikeINI(src *source) bool {
	plain := !hasAnySuffix(src.name, []string{".yml", ".yaml", ".json"})
	for line := range bytes.Lines(src.data) {
		text := strings.TrimSpace(string(line[:min(len(line), 4096)]))
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
		case iniSection.MatchString(text):
			return true
		case !iniHost.MatchString(text) || text == "---":
			return false
		case strings.Contains(text, "="):
			return true
		case !plain || !iniPlain.MatchString(text):
			return false
		}
	}
	return plain && len(bytes.TrimSpace(src.data)) > 0 && !onlyComments(src.data)
}

func onlyComments(data []byte) bool {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// iniReader goes through the lines. Before any section it is in [ungrouped].
type iniReader struct {
	*ansibleReader
	group    string
	g        int    // its number, or implied or loose
	section  string // hosts, vars or children
	vars     []pair // of the section at hand
	met      map[string]bool
	declared map[string]bool
	wanted   []ref              // groups that must be declared somewhere, as :vars and :children name them
	waiting  map[string][]claim // groups named in :children before any section of theirs
}

// claim is a membership that counts from where the child has its section: in
// that order Ansible numbers the hosts of the parent.
type claim struct {
	parent int
	at     position
}

// maxINILines leaves a file of 100,000 hosts, each in two groups more, inside.
const maxINILines = 300000

func (a *ansibleReader) readINI() {
	if n := bytes.Count(a.src.data, []byte{'\n'}); n > maxINILines {
		a.rep.errorf(a.src.at(0, 0), "fold hosts into ranges such as dut[01:24], or split it over the files of a directory", "%d lines are too many to be an inventory of %d hosts", n, maxHosts)
		return
	}
	r := &iniReader{ansibleReader: a, group: "ungrouped", g: loose, section: "hosts", waiting: map[string][]claim{},
		declared: map[string]bool{"all": true, "ungrouped": true}, met: map[string]bool{"all": true, "ungrouped": true}}
	number := 0
	for raw := range strings.Lines(string(a.src.data)) {
		number++
		text := strings.TrimSpace(raw)
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		col := 1 + len([]rune(raw)) - len([]rune(strings.TrimLeft(raw, " \t\r\n\v\f")))
		r.line(text, a.src.at(number, col))
	}
	r.endVars()
	for _, w := range r.wanted {
		if !r.declared[w.name] {
			a.rep.errorf(w.at, Hint(w.name, a.d.groupNames(), "add a section ["+w.name+"]"), "group %s has no section of its own", quoted(w.name))
		}
	}
}

func (d *draft) groupNames() []string {
	out := make([]string, len(d.groups))
	for i, g := range d.groups {
		out[i] = g.name
	}
	return out
}

func (r *iniReader) line(text string, at position) {
	if m := iniSection.FindStringSubmatch(text); m != nil {
		r.begin(m[1], m[2], at)
		return
	}
	if text[0] == '[' && text[len(text)-1] == ']' {
		r.rep.errorf(at, "write [group], [group:vars] or [group:children], without spaces", "%s is no section", quoted(text))
		return
	}
	switch r.section {
	case "hosts":
		r.hostLine(text, at)
	case "vars":
		r.varLine(text, at)
	case "children":
		r.childLine(text, at)
	}
}

// begin opens a section.
func (r *iniReader) begin(group, section string, at position) {
	r.endVars()
	if section == "" {
		section = "hosts"
	}
	r.group, r.section = group, section
	r.g, r.met[group] = r.groupFor(group, at), true
	switch section {
	case "hosts", "children":
		r.declared[group] = true
		for _, c := range r.waiting[group] {
			r.d.adopt(c.parent, group, c.at)
		}
		delete(r.waiting, group)
	case "vars":
		r.wanted = append(r.wanted, ref{name: group, at: at})
	default:
		r.rep.errorf(at, Hint(section, []string{"vars", "children"}, "write [group], [group:vars] or [group:children]"), "a section cannot be of the kind %s", quoted(section))
	}
}

// hostLine is NAME, NAME:PORT or a range of names, and key=value words behind it.
func (r *iniReader) hostLine(text string, at position) {
	words, off, ok := iniWords(text)
	if !ok {
		r.rep.errorf(at.shift(off), "close the quote, or write the value without it", "a quote that is not closed")
		return
	}
	if len(words) == 0 {
		return
	}
	name := words[0].text
	if strings.HasSuffix(name, ":") && !isIPv6(name) {
		r.rep.errorf(at, "write NAME:PORT, or remove the colon; for a YAML inventory see docs/inventory.md", "a host ends in a colon: %s", quoted(name))
		return
	}
	var pairs []pair
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w.text, "=")
		if !ok || key == "" {
			r.rep.errorf(at.shift(w.off), "write key=value, in quotes where the value has spaces: key=\"a b\"", "%s is not a variable of the host %s", quoted(w.text), quoted(name))
			continue
		}
		pairs = r.assign(pairs, key, value, at.shift(w.off), at.shift(w.off+len(key)+1))
	}
	var own *layer
	if pairs != nil {
		own = r.layer("host "+name, pairs)
	}
	r.hostKey(name, at, own, r.g)
}

// assign adds a variable; a later one of the same name wins, as in Ansible.
func (r *iniReader) assign(pairs []pair, key, value string, at, valueAt position) []pair {
	node := iniValue(value)
	place(node, valueAt)
	p := pair{key: key, keyNode: &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key, Line: at.line, Column: at.col}, value: node}
	for i, q := range pairs {
		if q.key == key {
			r.rep.warnf(at, "remove one of the two", "%s is given twice; the later one counts, as in Ansible", quoted(key))
			pairs[i] = p
			return pairs
		}
	}
	return append(pairs, p)
}

func place(n *yaml.Node, at position) {
	n.Line, n.Column = at.line, at.col
	for _, c := range n.Content {
		place(c, at)
	}
}

// varLine is key = value; nothing is taken off but the space around them.
func (r *iniReader) varLine(text string, at position) {
	key, value, ok := strings.Cut(text, "=")
	key = strings.TrimSpace(key)
	if !ok || key == "" {
		r.rep.errorf(at, "write key=value, or begin the next section", "%s is not a variable of the group %s", quoted(text), r.group)
		return
	}
	lead := len(value) - len(strings.TrimLeft(value, " \t"))
	r.vars = r.assign(r.vars, key, strings.TrimSpace(value), at, at.shift(len(text)-len(value)+lead))
}

// endVars hands the variables of a [group:vars] section over.
func (r *iniReader) endVars() {
	if r.vars != nil {
		at := r.src.at(r.vars[0].keyNode.Line, r.vars[0].keyNode.Column)
		r.groupPairs(r.group, r.g, at, r.vars)
	}
	r.vars = nil
}

func (r *iniReader) childLine(text string, at position) {
	m := iniGroup.FindStringSubmatch(text)
	if m == nil {
		r.rep.errorf(at, "name one group a line; hosts belong under [group]", "%s is not the name of a group", quoted(text))
		return
	}
	name := m[1]
	r.wanted = append(r.wanted, ref{name: name, at: at})
	if !r.met[name] {
		r.waiting[name] = append(r.waiting[name], claim{r.g, at})
		return
	}
	r.d.adopt(r.g, r.named(r.groupFor(name, at)), at)
}
