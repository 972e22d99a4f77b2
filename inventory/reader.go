package inventory

import (
	"math"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader walks the tree of one source and reports what does not fit.
type reader struct {
	src     *source
	rep     *report
	opt     *Options
	ansible bool // Ansible's looser rules: yes and no are true and false
	visits  int
	spent   bool // the budget of visits is gone, and that was said
	broken  map[*yaml.Node]bool
}

func (r *reader) at(n *yaml.Node) position { return r.src.at(n.Line, n.Column) }

// pair is one key of a map.
type pair struct {
	key      string
	keyNode  *yaml.Node
	value    *yaml.Node
	inserted bool // came by "<<", so it may be overridden
}

// real follows an alias. The budget turns a bomb of aliases, or one that
// contains itself, into one error.
func (r *reader) real(n *yaml.Node) *yaml.Node {
	r.visits++
	if r.visits > maxVisits {
		if !r.spent {
			r.spent = true
			r.rep.errorf(r.at(n), "use a group's vars in place of anchors that repeat one another", "aliases (*name) make this file larger than any inventory")
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// isNull is true for a key without a value.
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// pairs lists the keys of a map in order, merge keys (<<) resolved, and reports
// duplicates. what names the thing in messages. null is an empty map.
func (r *reader) pairs(n *yaml.Node, what string) []pair {
	n = r.real(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.rep.errorf(r.at(n), "write `key: value` lines, indented, below it", "%s must be a map, not %s", what, kindName(n))
		return nil
	}
	return r.pairsOf(n, 0)
}

func (r *reader) pairsOf(n *yaml.Node, depth int) []pair {
	out := make([]pair, 0, len(n.Content)/2)
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := r.real(n.Content[i]), n.Content[i+1]
		if r.spent {
			return nil
		}
		if k.ShortTag() == "!!merge" {
			out = r.merge(out, seen, v, depth)
			continue
		}
		if k.Kind != yaml.ScalarNode || isNull(k) {
			r.rep.errorf(r.at(k), "put the key in quotes", "a key must be a word, not %s", kindName(k))
			continue
		}
		p := pair{key: k.Value, keyNode: k, value: v}
		j, dup := seen[k.Value]
		switch {
		case !dup:
			seen[k.Value] = len(out)
			out = append(out, p)
		case out[j].inserted:
			out[j] = p
		default:
			r.duplicate(p, out[j])
		}
	}
	return out
}

// duplicate reports once a node, however many aliases lead to it.
func (r *reader) duplicate(p, first pair) {
	if r.broken[p.keyNode] {
		return
	}
	if r.broken == nil {
		r.broken = map[*yaml.Node]bool{}
	}
	r.broken[p.keyNode] = true
	r.rep.errorf(r.at(p.keyNode), "remove one of the two", "%s is given twice, first in line %d", quoted(p.key), first.keyNode.Line)
}

// merge adds what "<<: *base" or "<<: [*a, *b]" brings and is not there yet.
func (r *reader) merge(out []pair, seen map[string]int, v *yaml.Node, depth int) []pair {
	v = r.real(v)
	switch {
	case depth > maxDepth || r.spent:
		return out
	case v.Kind == yaml.SequenceNode:
		for _, c := range v.Content {
			out = r.merge(out, seen, c, depth+1)
		}
	case v.Kind == yaml.MappingNode:
		for _, p := range r.pairsOf(v, depth+1) {
			if _, have := seen[p.key]; !have {
				p.inserted = true
				seen[p.key] = len(out)
				out = append(out, p)
			}
		}
	default:
		r.rep.errorf(r.at(v), "write `<<: *anchor`", "only a map can be merged with <<, not %s", kindName(v))
	}
	return out
}

// unknown reports a key that is none of those allowed.
func (r *reader) unknown(p pair, what string, allowed []string) {
	fix := misplaced(p, r.real(p.value), what)
	if fix == "" {
		fix = Hint(p.key, allowed, "the keys here are: "+strings.Join(allowed, ", "))
	}
	r.rep.errorf(r.at(p.keyNode), fix, "unknown key %s in %s", quoted(p.key), what)
}

// elsewhere are words that other tools have for keys of ours.
var elsewhere = map[string]string{
	"children": "groups", "members": "hosts", "hostname": "address", "ip": "address", "ansible_host": "address",
	"ansible_user": "ssh: {user: ...}", "ansible_port": "ssh: {port: ...}", "ansible_ssh_private_key_file": "ssh: {identity_file: ...}",
	"roles": "plugins", "username": "ssh: {user: ...}", "proxy_jump": "ssh: {jump: [...]}", "variables": "vars",
}

// misplaced is the fix for a key that has its place elsewhere; "" for one that has none.
func misplaced(p pair, value *yaml.Node, what string) string {
	_, ofSSH := findField(sshFields, p.key)
	_, ofHost := findField(hostFields, p.key)
	inside, top := strings.HasPrefix(what, "host ") || strings.HasPrefix(what, "group ") || what == "defaults", what == "the inventory"
	switch {
	case inside && ofSSH:
		return "it belongs under ssh: write `ssh: {" + p.key + ": ...}`"
	case what == "ssh" && ofHost:
		return "it stands beside ssh, not in it"
	case inside && elsewhere[p.key] != "":
		return "write `" + elsewhere[p.key] + "` for it"
	case strings.TrimSpace(p.key) != p.key || strings.ContainsRune(p.key, '\u00a0'):
		return "indent with plain spaces: there is another kind of blank here, as web pages have"
	case inside && (isNull(value) && strings.Contains(p.key, " ")):
		name, _, _ := strings.Cut(p.key, " ")
		return "put a colon behind " + quoted(name)
	case strings.HasPrefix(what, "group ") && value.Kind == yaml.MappingNode && Nearest(p.key, fieldNames(groupFields)) == "":
		return "if it is a host, put it under `hosts:` of the group"
	case top && value.Kind == yaml.MappingNode && Nearest(p.key, nativeFields) == "":
		return "if it is a group, put it under `groups:`; if it is a host, under `hosts:`"
	}
	return ""
}

// value turns a node into plain Go values: nil, bool, int, float64, string,
// []any and map[string]any.
func (r *reader) value(n *yaml.Node) any { return r.valueAt(n, 0) }

func (r *reader) valueAt(n *yaml.Node, depth int) any {
	n = r.real(n)
	if depth > maxDepth {
		if !r.spent {
			r.spent = true
			r.rep.errorf(r.at(n), "nest less deeply", "nested deeper than %d levels", maxDepth)
		}
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		pairs := r.pairsOf(n, depth)
		m := make(map[string]any, len(pairs))
		for _, p := range pairs {
			m[p.key] = r.valueAt(p.value, depth+1)
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			list = append(list, r.valueAt(c, depth+1))
		}
		return list
	}
	return r.scalar(n)
}

// finite keeps out what JSON has no word for: a host with it could not be shown.
func (r *reader) finite(n *yaml.Node, f float64) any {
	if !math.IsInf(f, 0) && !math.IsNaN(f) {
		return f
	}
	if !r.ansible {
		r.rep.errorf(r.at(n), "write it as text, in quotes", "%s is no number that JSON can hold", n.Value)
	}
	return n.Value
}

func (r *reader) scalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case "!!int":
		var i int
		if n.Decode(&i) == nil {
			return i
		}
		var f float64
		if n.Decode(&f) == nil {
			return f
		}
	case "!!float":
		var f float64
		if n.Decode(&f) == nil {
			return r.finite(n, f)
		}
	}
	if r.ansible && n.Style == 0 {
		switch strings.ToLower(n.Value) { // YAML 1.1, which Ansible reads
		case "yes", "on":
			return true
		case "no", "off":
			return false
		}
	}
	return n.Value
}
