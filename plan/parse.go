package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"tfw/executor"
	"tfw/inventory"
)

// MaxFile bounds a plan's text, in bytes.
const MaxFile = 4 << 20

// Bounds of what is in it.
const (
	maxNodes = 200_000 // YAML nodes, aliases followed
	maxDepth = 64
	maxSteps = 5000
	maxName  = 200 // bytes of the plan's
)

// Parse reads a plan. It checks all that can be told from the text alone; see
// [Plan.Check] for the rest. The error is [Problems].
func Parse(file string, text []byte) (*Plan, error) {
	p, wrong := parse(file, text)
	if len(wrong) > 0 {
		return nil, wrong
	}
	return p, nil
}

// parse gives as much of a plan as can be read, nil for none, and what is wrong with it.
func parse(file string, text []byte) (*Plan, Problems) {
	r := &reader{file: file, lost: map[string]bool{}}
	if len(text) <= MaxFile {
		r.lines = bytes.Split(text, []byte("\n"))
	}
	p := r.plan(text)
	return p, r.problems
}

// reader walks the YAML tree and collects what does not fit.
type reader struct {
	file     string
	lines    [][]byte
	problems Problems
	visits   int
	lost     map[string]bool // parts that could not be read: what refers to them is not complained about
}

func (r *reader) plan(text []byte) *Plan {
	root := r.tree(text)
	if root == nil {
		return nil
	}
	p := &Plan{file: r.file, text: text, byName: map[string]*Step{}, Env: map[string]string{}}
	r.each(root, "the plan", map[string]func(k, v *yaml.Node){
		"name":       func(_, v *yaml.Node) { r.part("name", func() { p.Name = r.planName(v) }) },
		"parameters": func(_, v *yaml.Node) { r.part("parameters", func() { p.Parameters = r.parameters(v) }) },
		"hosts":      func(_, v *yaml.Node) { r.part("hosts", func() { p.Roles = r.roles(v) }) },
		"timeout":    func(_, v *yaml.Node) { p.Timeout = r.duration(v) },
		"lease_wait": func(_, v *yaml.Node) { p.LeaseWait = r.duration(v) },
		"lease_for":  func(_, v *yaml.Node) { p.LeaseFor = r.duration(v) },
		"parallel":   func(_, v *yaml.Node) { p.Parallel = r.integer(v, 1, 10000) },
		"env":        func(_, v *yaml.Node) { r.pairs(v, "env", func(k, v *yaml.Node) { p.Env[k.Value] = r.text(v) }) },
		"steps":      func(_, v *yaml.Node) { r.part("steps", func() { p.Steps = r.steps(p, v, "steps") }) },
		"on_failure": func(_, v *yaml.Node) { p.OnFailure = r.steps(p, v, "on_failure") },
		"finally":    func(_, v *yaml.Node) { p.Finally = r.steps(p, v, "finally") },
		"outputs": func(_, v *yaml.Node) {
			r.pairs(v, "outputs", func(k, v *yaml.Node) { p.outputs = append(p.outputs, output{k.Value, r.value(v, 0)}) })
		},
	})
	if p.Name == "" && !r.lost["name"] {
		r.error(root, "write name: WORD", "the plan has no name")
	}
	if len(p.Steps) == 0 && !r.lost["steps"] {
		r.error(root, "write steps: with at least one step", "the plan has no steps")
	}
	if r.visits < maxNodes {
		r.link(p)
	}
	return p
}

// part reads a part of the plan, and remembers when something of it was lost.
func (r *reader) part(name string, read func()) {
	before := len(r.problems)
	read()
	r.lost[name] = len(r.problems) > before
}

// planName reads a name that fits on a line of a table.
func (r *reader) planName(n *yaml.Node) string {
	name := r.text(n)
	if len(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
		r.error(n, "a short one on one line", "a plan's name is at most %d bytes without control characters", maxName)
		return ""
	}
	return name
}

// tree parses the YAML within bounds.
func (r *reader) tree(text []byte) *yaml.Node {
	if len(text) > MaxFile {
		r.add(Problem{Line: 1 + bytes.Count(text[:MaxFile], []byte("\n")), Column: 1, Message: fmt.Sprintf("the plan is larger than %d MiB, which ends here", MaxFile>>20), Fix: "put data into artifacts or files on the hosts"})
		return nil
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		r.add(Problem{Line: 1 + bytes.Count(text[:i], []byte("\n")), Column: 1, Message: "a NUL byte: this is no text", Fix: "give a YAML or JSON file"})
		return nil
	}
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&doc); err != nil {
		r.syntax(err)
		return nil
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		r.add(Problem{Message: "a second YAML document follows the plan", Fix: "one plan a file"})
		return nil
	}
	return doc.Content[0]
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

func (r *reader) syntax(err error) {
	p := Problem{Message: "not YAML: " + strings.TrimPrefix(err.Error(), "yaml: "), Fix: "mend the line, or the one above it"}
	if errors.Is(err, io.EOF) {
		p.Message, p.Fix = "the file is empty", "see examples/ for plans"
	}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Column, p.Message = 1, "not YAML: "+m[2]
	}
	r.add(p)
}

// real follows aliases within the budget of visits: a bomb of aliases ends as one error.
func (r *reader) real(n *yaml.Node) *yaml.Node {
	r.visits++
	if r.visits == maxNodes {
		r.error(n, "write it without anchors that repeat one another", "the plan is too large: more than %d values", maxNodes)
	}
	if r.visits >= maxNodes {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// pairs calls fn for each key of a map, in order, and reports duplicates.
func (r *reader) pairs(n *yaml.Node, what string, fn func(k, v *yaml.Node)) {
	n = r.real(n)
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.error(n, "write key: value lines, indented, below it", "%s must be a map", what)
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := r.real(n.Content[i])
		if k.Kind != yaml.ScalarNode {
			r.error(k, "use a word", "a key must be a word")
			continue
		}
		if first, twice := seen[k.Value]; twice {
			r.error(k, "remove one of the two", "%q is given twice, first in line %d", k.Value, first)
			continue
		}
		seen[k.Value] = k.Line
		fn(k, n.Content[i+1])
	}
}

// each reads a map of known keys.
func (r *reader) each(n *yaml.Node, what string, known map[string]func(k, v *yaml.Node)) {
	r.pairs(n, what, func(k, v *yaml.Node) {
		if fn, ok := known[k.Value]; ok {
			fn(k, v)
			return
		}
		names := keysOf(known)
		r.error(k, inventory.Hint(k.Value, names, "the keys here are: "+strings.Join(names, ", ")), "unknown key %q in %s", k.Value, what)
	})
}

func (r *reader) text(n *yaml.Node) string {
	n = r.real(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		r.error(n, "write a word or a text in quotes", "want a text")
		return ""
	}
	return n.Value
}

func (r *reader) texts(n *yaml.Node) (out []string) {
	n = r.real(n)
	if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
		return []string{n.Value}
	}
	if n.Kind != yaml.SequenceNode {
		r.error(n, "write [a, b]", "want a list")
		return nil
	}
	for _, c := range n.Content {
		out = append(out, r.text(c))
	}
	return out
}

func (r *reader) boolean(n *yaml.Node) bool {
	n = r.real(n)
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		return n.Value == "true" || n.Value == "True" || n.Value == "TRUE"
	}
	r.error(n, "write true or false", "want true or false")
	return false
}

func (r *reader) integer(n *yaml.Node, low, high int) int {
	n = r.real(n)
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || v < low || v > high {
		r.error(n, "", "want a whole number from %d to %d", low, high)
		return low
	}
	return v
}

func (r *reader) number(n *yaml.Node) float64 {
	n = r.real(n)
	v, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || err != nil {
		r.error(n, "", "want a number")
	}
	return v
}

func (r *reader) duration(n *yaml.Node) time.Duration {
	n = r.real(n)
	var d executor.Duration
	raw := strconv.Quote(n.Value)
	if n.ShortTag() == "!!int" || n.ShortTag() == "!!float" {
		raw = n.Value
	}
	if n.Kind != yaml.ScalarNode || d.UnmarshalJSON([]byte(raw)) != nil || d <= 0 {
		r.error(n, "write 90s, 10m or 2h30m", "want a time, longer than none, not %.40q", n.Value)
	}
	return time.Duration(d)
}

// value reads any YAML, compiling the expressions in its strings.
func (r *reader) value(n *yaml.Node, depth int) value {
	n = r.real(n)
	if depth > maxDepth {
		r.error(n, "flatten it", "nested deeper than %d", maxDepth)
		return nil
	}
	switch n.Kind {
	case yaml.SequenceNode:
		out := []value{}
		for _, c := range n.Content {
			out = append(out, r.value(c, depth+1))
		}
		return out
	case yaml.MappingNode:
		out := fields{}
		r.pairs(n, "the map", func(k, v *yaml.Node) { out = append(out, field{k.Value, r.value(v, depth+1), k}) })
		return out
	case yaml.ScalarNode:
		return r.scalar(n)
	}
	return nil
}

func (r *reader) scalar(n *yaml.Node) value {
	var v any
	switch n.ShortTag() {
	case "!!str", "!!timestamp", "!!binary":
		return r.templateOf(n, n.Value)
	}
	if err := n.Decode(&v); err != nil {
		r.error(n, "put it in quotes", "%v", err)
	}
	return v
}

// plain reads YAML that may hold no expressions.
func (r *reader) plain(n *yaml.Node) any {
	v, err := render(r.value(n, 0), nil)
	if err != nil {
		r.error(n, "write the value itself", "an expression has no place here")
	}
	return v
}
