package inventory

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// kind is how a setting is written in the file.
type kind int

const (
	word kind = iota
	number
	boolean
	duration
	secret
	path
	paths // one path or a list
	names // one name or a list
	choice
	freeMap // vars
	section // a map with fields of its own
)

// field describes one key of the file: for reading it, for the advice on
// mistakes and for the JSON Schema that editors use.
type field struct {
	name     string
	kind     kind
	doc      string
	min, max int
	choices  []string
	fields   []field
}

var becomeFields = []field{
	{name: "user", kind: word, doc: "Who commands become; root without it."},
	{name: "method", kind: choice, choices: []string{"sudo", "su", "doas"}, doc: "How they become it; sudo without it."},
	{name: "password", kind: secret, doc: "Reference to the password: env:NAME, file:/path or secret:NAME."},
}

var sshFields = []field{
	{name: "user", kind: word, doc: "User to log in as."},
	{name: "port", kind: number, min: 1, max: 65535, doc: "TCP port; 22 without it."},
	{name: "identity_file", kind: paths, doc: "Private key, or a list of them. ~ is the home directory; a relative path starts at this file."},
	{name: "password", kind: secret, doc: "Reference to the password: env:NAME, file:/path or secret:NAME."},
	{name: "jump", kind: names, doc: "Hosts of this inventory to go through, outermost first; [] for none."},
	{name: "known_hosts", kind: path, doc: "File of known host keys; ~/.ssh/known_hosts without it."},
	{name: "host_key", kind: word, doc: "The one public key the host must show; or accept-new, to take the first that it ever shows."},
	{name: "host_ca", kind: word, doc: "Public key of the authority that signs host certificates."},
	{name: "connect_timeout", kind: duration, doc: "Longest time for connecting and logging in, as 10s."},
	{name: "keepalive", kind: duration, doc: "How often to ask whether the connection lives, as 30s."},
	{name: "max_sessions", kind: number, min: 1, max: 10000, doc: "Channels at a time on one connection; found out without it."},
	{name: "max_spool", kind: number, min: 1, max: math.MaxInt, doc: "Bytes of output that may wait on the host."},
	{name: "become", kind: section, fields: becomeFields, doc: "How commands change user when asked to."},
	{name: "config", kind: boolean, doc: "Read ~/.ssh/config for the address too."},
}

// commonFields may stand in defaults, a group and a host.
var commonFields = []field{
	{name: "plugins", kind: names, doc: "Declared roles: the plugins that may run there. Those of defaults, groups and host unite."},
	{name: "tags", kind: names, doc: "Words to select by. Those of defaults, groups and host unite."},
	{name: "vars", kind: freeMap, doc: "Values for plans and --where. Maps merge, anything else replaces."},
	{name: "state", kind: choice, choices: []string{"active", "maintenance", "quarantined", "retired"}, doc: "Only active hosts take runs without being asked for."},
	{name: "reason", kind: word, doc: "Why the state is not active."},
	{name: "ssh", kind: section, fields: sshFields, doc: "How the host is reached."},
}

var hostFields = append([]field{
	{name: "address", kind: word, doc: "What is dialled; the name without it. A range advances with the name's."},
	{name: "id", kind: number, min: 1, max: math.MaxInt32, doc: "Stable small integer for /slaves/{id}."},
}, commonFields...)

var groupFields = append([]field{
	{name: "hosts", doc: "Its hosts: a map of names (or ranges) to settings, or a list of names."},
	{name: "groups", kind: names, doc: "Groups whose hosts belong to this one too."},
	{name: "priority", kind: number, min: math.MinInt32, max: math.MaxInt32, doc: "Among groups of one depth the higher wins."},
	{name: "isolation", kind: choice, choices: []string{"none", "shared", "exclusive"}, doc: "How many runs may share a host: exclusive is one, shared up to capacity."},
	{name: "capacity", kind: number, min: 1, max: 10000, doc: "Runs at a time on a host under isolation: shared."},
	{name: "max_hosts", kind: number, min: 1, max: maxHosts, doc: "Ad hoc runs on more of its hosts need --expect."},
	{name: "owner", kind: word, doc: "The team that the group belongs to."},
}, commonFields...)

func fieldNames(fields []field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return out
}

func findField(fields []field, name string) (field, bool) {
	for _, f := range fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

// setting is one value given in one place.
type setting struct {
	path  string // "ssh.user", "vars.board"
	value any    // string, int, bool, time.Duration, Secret, []string, or a var's value
	at    position
}

// settings reads a map by its description. Keys in other are left to the caller.
func (r *reader) settings(pairs []pair, fields []field, what, prefix string, other ...string) []setting {
	out := make([]setting, 0, len(pairs))
next:
	for _, p := range pairs {
		for _, o := range other {
			if p.key == o {
				continue next
			}
		}
		f, ok := findField(fields, p.key)
		if !ok {
			r.unknown(p, what, fieldNames(fields))
			continue
		}
		out = r.setting(out, f, p, prefix)
	}
	return out
}

func (r *reader) setting(out []setting, f field, p pair, prefix string) []setting {
	n := r.real(p.value)
	if isNull(n) {
		return out // a key without a value says nothing
	}
	switch f.kind {
	case section:
		return append(out, r.settings(r.pairs(n, f.name), f.fields, f.name, prefix+f.name+".")...)
	case freeMap:
		return append(out, r.vars(n)...)
	}
	if v, ok := r.typed(f, n); ok {
		out = append(out, setting{path: prefix + f.name, value: v, at: r.at(n)})
	}
	return out
}

func (r *reader) vars(n *yaml.Node) []setting {
	pairs := r.pairs(n, "vars")
	out := make([]setting, 0, len(pairs))
	for _, p := range pairs {
		out = append(out, setting{path: "vars." + p.key, value: r.value(p.value), at: r.at(p.keyNode)})
	}
	return out
}

// typed checks and converts one value.
func (r *reader) typed(f field, n *yaml.Node) (any, bool) {
	switch f.kind {
	case names, paths:
		return r.list(f, n)
	}
	if n.Kind != yaml.ScalarNode {
		r.rep.errorf(r.at(n), "write `"+f.name+": "+example(f)+"`", "%s must be %s, not %s", f.name, describe(f), kindName(n))
		return nil, false
	}
	switch f.kind {
	case number:
		return r.number(f, n)
	case boolean:
		var b bool
		if n.ShortTag() != "!!bool" || n.Decode(&b) != nil {
			return r.wrong(f, n)
		}
		return b, true
	case duration:
		d, err := time.ParseDuration(n.Value)
		if err != nil || d <= 0 {
			return r.wrong(f, n)
		}
		return d, true
	case secret:
		return r.secret(f, n)
	case choice:
		for _, c := range f.choices {
			if n.Value == c {
				return c, true
			}
		}
		r.rep.errorf(r.at(n), Hint(n.Value, f.choices, "it is one of: "+strings.Join(f.choices, ", ")), "%s cannot be %s", f.name, quoted(n.Value))
		return nil, false
	case path:
		return r.resolvePath(n.Value), true
	}
	return r.text(f, n)
}

// text is a word or more that must not be empty nor hold control characters.
func (r *reader) text(f field, n *yaml.Node) (any, bool) {
	if strings.TrimSpace(n.Value) == "" || strings.ContainsFunc(n.Value, isControl) {
		return r.wrong(f, n)
	}
	return n.Value, true
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

func (r *reader) number(f field, n *yaml.Node) (any, bool) {
	i, err := strconv.Atoi(n.Value)
	if err != nil || n.ShortTag() != "!!int" {
		return r.wrong(f, n)
	}
	if i < f.min || i > f.max {
		r.rep.errorf(r.at(n), "write `"+f.name+": "+example(f)+"`", "%s is %d: it must be from %d to %d", f.name, i, f.min, f.max)
		return nil, false
	}
	return i, true
}

func (r *reader) wrong(f field, n *yaml.Node) (any, bool) {
	r.rep.errorf(r.at(n), "write `"+f.name+": "+example(f)+"`", "%s must be %s, not %s", f.name, describe(f), kindName(n))
	return nil, false
}

// secret lets references through only. The value is never repeated: it may be a password.
func (r *reader) secret(f field, n *yaml.Node) (any, bool) {
	s := Secret(n.Value)
	if err := s.valid(); err != nil {
		at := r.at(n)
		fix := "put it in a file only you can read and write `" + f.name + ": file:/path`, or use env:NAME"
		if strings.HasPrefix(n.Value, "$") {
			fix = "for a variable of the environment write `" + f.name + ": env:NAME`, without $"
		}
		p := at.problem(SeverityError, fix, f.name+" is a literal: secrets are given by reference")
		p.Text = "" // the line holds the secret
		r.rep.errors = append(r.rep.errors, p)
		return nil, false
	}
	if rest, ok := strings.CutPrefix(n.Value, "file:"); ok && !strings.HasPrefix(rest, "~/") {
		s = Secret("file:" + r.resolvePath(rest))
	}
	return s, true
}

func (r *reader) list(f field, n *yaml.Node) (any, bool) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	out := make([]string, 0, len(items))
	for _, c := range items {
		c = r.real(c)
		if c.Kind != yaml.ScalarNode || strings.TrimSpace(c.Value) == "" || isNull(c) || strings.ContainsFunc(c.Value, isControl) {
			r.rep.errorf(r.at(c), "write `"+f.name+": "+example(f)+"`", "%s must be %s, not %s", f.name, describe(f), kindName(c))
			return nil, false
		}
		v := c.Value
		if f.kind == paths {
			v = r.resolvePath(v)
		}
		out = append(out, v)
	}
	return out, true
}

// resolvePath makes a path of the file absolute: ~ is the home directory, a
// relative one starts beside the file.
func (r *reader) resolvePath(p string) string {
	if p == "~" || strings.HasPrefix(p, "~/") {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, p[1:])
		}
		return p
	}
	if filepath.IsAbs(p) || r.src.dir == "" {
		return p
	}
	return filepath.Join(r.src.dir, p)
}

func describe(f field) string {
	switch f.kind {
	case number:
		return "a whole number"
	case boolean:
		return "true or false"
	case duration:
		return "a time with a unit"
	case names:
		return "a name or a list of names"
	case path, paths:
		return "a path"
	case choice:
		return "one of " + strings.Join(f.choices, ", ")
	}
	return "text"
}

func example(f field) string {
	switch f.kind {
	case number:
		if f.name == "port" {
			return "22"
		}
		return strconv.Itoa(max(f.min, 1))
	case boolean:
		return "true"
	case duration:
		return "30s"
	case names:
		return "[one, two]"
	case path, paths:
		return "~/.ssh/id_ed25519"
	case choice:
		return f.choices[0]
	}
	return "text"
}
