package inventory

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// isAnsible tells an Ansible inventory from our own format by its keys.
func isAnsible(r *reader, root *yaml.Node) bool {
	if root.Kind != yaml.MappingNode {
		return false
	}
	ours, theirs, groups := false, false, 0
	for i := 0; i+1 < len(root.Content); i += 2 {
		switch key := root.Content[i].Value; key {
		case "version":
			return false
		case "all", "_meta", "ungrouped":
			theirs = true
		case "include", "defaults", "groups", "hosts":
			ours = true
		default:
			if looksLikeGroup(r.real(root.Content[i+1])) {
				groups++
			}
		}
	}
	return theirs || !ours && groups > 0
}

// looksLikeGroup is true for what can only be a group of an Ansible file.
func looksLikeGroup(n *yaml.Node) bool {
	if n.Kind == yaml.SequenceNode {
		return true // {"web": ["a", "b"]} of --list
	}
	if n.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case "hosts", "children", "vars":
			return true
		}
	}
	return false
}

// ansibleReader reads an Ansible YAML inventory or the JSON of --list: both are
// groups of hosts, children and vars.
type ansibleReader struct {
	*reader
	d     *draft
	depth int
}

func (a *ansibleReader) read(root *yaml.Node) {
	for _, p := range a.pairs(root, "the inventory") {
		if p.key == "_meta" {
			a.meta(p.value)
			continue
		}
		a.group(p)
	}
}

// In place of a group's number: all and ungrouped are no groups of ours, and
// _meta says nothing of groups.
const implied, noGroup, loose = -1, -2, -3

// group reads one group, top-level or a child. It returns the group's name, ""
// for all and ungrouped.
func (a *ansibleReader) group(p pair) string {
	at := a.at(p.keyNode)
	g := a.groupFor(p.key, at)
	if a.depth++; a.depth > maxDepth {
		a.rep.errorf(at, "nest less deeply", "groups nested deeper than %d levels", maxDepth)
		return ""
	}
	defer func() { a.depth-- }()
	n := a.real(p.value)
	if n.Kind == yaml.SequenceNode {
		a.members(n, g)
		return a.named(g)
	}
	for _, q := range a.pairs(n, "group "+p.key) {
		switch q.key {
		case "hosts":
			a.members(q.value, g)
		case "children":
			a.childGroups(q.value, g)
		case "vars":
			a.groupVars(p.key, g, q.value)
		default:
			a.rep.warnf(a.at(q.keyNode), Hint(q.key, []string{"hosts", "children", "vars"}, "only hosts, children and vars belong here"),
				"%s in group %s is passed over, as Ansible does", quoted(q.key), p.key)
		}
	}
	return a.named(g)
}

func (a *ansibleReader) groupFor(name string, at position) int {
	switch name {
	case "all":
		return implied
	case "ungrouped": // nobody's own host: being in no group is what makes it so
		return loose
	}
	a.d.group(name, at)
	return a.d.groupAt[name]
}

func (a *ansibleReader) named(g int) string {
	if g < 0 {
		return ""
	}
	return a.d.groups[g].name
}

func (a *ansibleReader) childGroups(n *yaml.Node, parent int) {
	n = a.real(n)
	add := func(name string, at position) { a.d.adopt(parent, name, at) }
	if n.Kind == yaml.SequenceNode { // --list names them only
		for _, c := range a.refs(n, "children") {
			add(a.named(a.groupFor(c.name, c.at)), c.at)
		}
		return
	}
	for _, p := range a.pairs(n, "children") {
		add(a.group(p), a.at(p.keyNode))
	}
}

// adopt makes a group a child of another, or of all.
func (d *draft) adopt(parent int, child string, at position) {
	switch {
	case child == "":
	case parent >= 0:
		d.groups[parent].children = append(d.groups[parent].children, ref{name: child, at: at})
	case parent == implied:
		d.topGroups = append(d.topGroups, d.groupAt[child])
	}
}

// members reads the hosts of a group: a map of names to variables, or a list.
func (a *ansibleReader) members(n *yaml.Node, g int) {
	n = a.real(n)
	if n.Kind == yaml.SequenceNode {
		for _, c := range a.refs(n, "hosts") {
			a.host(c.name, c.at, nil, g)
		}
		return
	}
	for _, p := range a.pairs(n, "hosts") {
		a.hostKey(p.key, a.at(p.keyNode), a.hostLayer("host "+p.key, p.value), g)
	}
}

// hostKey adds the hosts that NAME, NAME:PORT or a range of names stands for.
func (a *ansibleReader) hostKey(whole string, at position, own *layer, g int) {
	key, port := cutPort(whole)
	names, serr := ansibleNames(key, maxHosts-len(a.d.hosts))
	if serr != nil {
		a.rep.errorf(at.shift(serr.off), serr.fix, "%s", serr.message)
		return
	}
	if port > 0 {
		own = withSetting(own, "host "+whole, setting{path: "ssh.port", value: port, at: at})
	}
	for _, name := range names {
		a.host(name, at, own, g)
	}
}

func withSetting(l *layer, label string, s setting) *layer {
	if l == nil {
		l = &layer{label: label, flat: true}
	}
	l.settings = append([]setting{s}, l.settings...)
	return l
}

func (a *ansibleReader) hostLayer(label string, n *yaml.Node) *layer {
	if n == nil || isNull(a.real(n)) {
		return nil
	}
	return a.layer(label, a.pairs(n, label))
}

// host adds a host, its variables and its membership.
func (a *ansibleReader) host(name string, at position, own *layer, g int) {
	if why, _ := badName(name); why != "" {
		a.rep.warnf(at, "a target can select it by a group or a glob only", "%s", why)
	}
	h, ok := a.d.host(name, at)
	if !ok {
		return
	}
	hd := a.d.hosts[h]
	if own != nil {
		hd.own = append(hd.own, own)
	}
	hd.ansible = true
	if g == noGroup || g == loose {
		return
	}
	if g == implied {
		a.d.topHosts = append(a.d.topHosts, h)
		return
	}
	if slices.Contains(hd.groups, g) {
		return
	}
	a.d.join(h, g)
}

// groupVars reads the variables of a group; those of all are the defaults.
func (a *ansibleReader) groupVars(name string, g int, n *yaml.Node) {
	a.groupPairs(name, g, a.at(n), a.pairs(n, "vars"))
}

func (a *ansibleReader) groupPairs(name string, g int, at position, pairs []pair) {
	switch {
	case name == "ungrouped":
		if len(pairs) > 0 {
			a.rep.warnf(at, "give the variables to the hosts", "variables of `ungrouped` are passed over")
		}
	case g < 0:
		a.d.defaults = append(a.d.defaults, a.layer("group all", pairs))
	default:
		a.own(a.d.groups[g], a.layer("group "+name, pairs), false)
	}
}

// own gives a group its layer, after taking out what concerns the group itself.
func (a *ansibleReader) own(g *groupDraft, l *layer, late bool) {
	kept := l.settings[:0]
	for _, s := range l.settings {
		if !g.set(s) {
			kept = append(kept, s)
		}
	}
	l.settings = kept
	if late {
		g.late = append(g.late, l)
		return
	}
	g.layers = append(g.layers, l)
}

// meta reads _meta.hostvars of --list.
func (a *ansibleReader) meta(n *yaml.Node) {
	for _, p := range a.pairs(n, "_meta") {
		if p.key != "hostvars" {
			continue
		}
		for _, h := range a.pairs(p.value, "hostvars") {
			a.host(h.key, a.at(h.keyNode), a.hostLayer("host "+h.key, h.value), noGroup)
		}
	}
}

// assumed is a setting's value that nobody gave, and that a person would expect.
type assumed bool

// defaultConfig lets ~/.ssh/config count for hosts of Ansible files, as it does for
// Ansible, which runs ssh. Any word about tfw_ssh_config is the stronger one; where a
// file of our own takes part the hosts say it themselves.
func (d *draft) defaultConfig() {
	for _, h := range d.hosts {
		if !h.ansible || h.defined {
			return
		}
	}
	if d.lenient && len(d.hosts) > 0 {
		d.defaults = append([]*layer{{label: "built in: an Ansible inventory, as ssh has it", settings: []setting{{path: "ssh.config", value: assumed(true)}}}}, d.defaults...)
	}
}

// defaultRole lets commands run on the hosts of files that know nothing of tfw:
// without any tfw_plugins they all have the role linux_system.
func (d *draft) defaultRole() {
	if d.roles || !d.lenient {
		return
	}
	role := &layer{label: "built in: an Ansible inventory without tfw_plugins", settings: []setting{
		{path: "plugins", value: []string{"linux_system"}},
	}}
	for _, h := range d.hosts {
		if h.ansible {
			h.own = append([]*layer{role}, h.own...)
		}
	}
}

// cutPort cuts NAME:PORT, which Ansible allows as a host's key.
func cutPort(key string) (string, int) {
	i := strings.LastIndexByte(key, ':')
	if i < 0 || isIPv6(key) || strings.Contains(key[i:], "]") || strings.Contains(key[:i], ":") && !strings.Contains(key[:i], "]") {
		return key, 0
	}
	port, err := parseNumber(key[i+1:], 0)
	if err != nil || port < 1 || port > 65535 {
		return key, 0
	}
	return key[:i], port
}
