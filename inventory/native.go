package inventory

import (
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"
)

var nativeFields = []string{"version", "include", "defaults", "groups", "hosts"}

// native reads our own format into the draft, what it includes first.
func (r *reader) native(d *draft, root *yaml.Node, include func(ref)) {
	pairs := r.pairs(root, "the inventory")
	r.version(pairs, root)
	for _, p := range pairs {
		if p.key == "include" {
			for _, inc := range r.refs(p.value, "include") {
				include(inc)
			}
		}
	}
	for _, p := range pairs {
		switch p.key {
		case "version", "include":
		case "defaults":
			s := r.settings(r.pairs(p.value, "defaults"), commonFields, "defaults", "")
			d.defaults = append(d.defaults, &layer{label: "defaults", settings: s})
		case "groups":
			for _, g := range r.pairs(p.value, "groups") {
				r.group(d, g)
			}
		case "hosts":
			r.hosts(d, p.value, -1)
		default:
			r.unknown(p, "the inventory", nativeFields)
		}
	}
}

func (r *reader) version(pairs []pair, root *yaml.Node) {
	for _, p := range pairs {
		if p.key == "version" {
			if n := r.real(p.value); n.Kind != yaml.ScalarNode || n.Value != "1" {
				r.rep.errorf(r.at(n), "write `version: 1`", "version %s is not known: this tfw reads version 1", quoted(n.Value))
			}
			return
		}
	}
	r.rep.warnf(r.at(root), "begin the file with `version: 1`", "the file does not say its version")
}

// refs reads a list of names with their places.
func (r *reader) refs(n *yaml.Node, what string) []ref {
	n = r.real(n)
	if isNull(n) {
		return nil
	}
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	out := make([]ref, 0, len(items))
	for _, c := range items {
		c = r.real(c)
		if c.Kind != yaml.ScalarNode || isNull(c) || c.Value == "" {
			fix := "write `" + what + ": [one, two]`"
			if what == "hosts" && c.Kind == yaml.MappingNode {
				fix = "hosts with settings are no list: write `NAME: {address: ...}` lines, without dashes"
			}
			r.rep.errorf(r.at(c), fix, "%s must be a list of names, not %s", what, kindName(c))
			continue
		}
		out = append(out, ref{name: c.Value, at: r.at(c)})
	}
	return out
}

func (r *reader) group(d *draft, p pair) {
	at := r.at(p.keyNode)
	if why, fix := badName(p.key); why != "" {
		r.rep.errorf(at, fix, "%s", why)
		return
	}
	g := d.group(p.key, at)
	if g.defined {
		r.rep.errorf(at, "keep one of the two", "group %s is defined twice, first at %s", quoted(p.key), g.at)
		return
	}
	g.defined, g.at = true, at
	what := "group " + p.key
	pairs := r.pairs(p.value, what)
	own := &layer{label: what}
	for _, s := range r.settings(pairs, groupFields, what, "", "hosts", "groups") {
		if !g.set(s) {
			own.settings = append(own.settings, s)
		}
	}
	g.layers = append(g.layers, own)
	for _, p := range pairs {
		switch p.key {
		case "groups":
			g.children = append(g.children, r.refs(p.value, "groups")...)
		case "hosts":
			r.hosts(d, p.value, d.groupAt[g.name])
		}
	}
	if g.capacity > 0 && g.isolation == IsolationExclusive {
		r.rep.errorf(at, "remove capacity, or write `isolation: shared`", "group %s is exclusive: one run at a time, so a capacity says nothing", quoted(g.name))
	}
}

// set takes the settings that belong to the group itself.
func (g *groupDraft) set(s setting) bool {
	switch s.path {
	case "priority":
		g.priority = s.value.(int)
	case "capacity":
		g.capacity = s.value.(int)
	case "max_hosts":
		g.maxHosts = s.value.(int)
	case "isolation":
		g.isolation = Isolation(s.value.(string))
	case "owner":
		g.owner = s.value.(string)
	default:
		return false
	}
	return true
}

// hosts reads a map of names to settings, or a list of names, into a group (-1: none).
func (r *reader) hosts(d *draft, n *yaml.Node, group int) {
	n = r.real(n)
	mentioned := map[string]position{}
	if n.Kind == yaml.SequenceNode || n.Kind == yaml.ScalarNode && !isNull(n) {
		for _, ref := range r.refs(n, "hosts") {
			r.hostEntry(d, ref.name, ref.at, nil, group, mentioned)
		}
		return
	}
	for _, p := range r.pairs(n, "hosts") {
		r.hostEntry(d, p.key, r.at(p.keyNode), p.value, group, mentioned)
	}
}

// hostEntry reads one host or range of hosts. Without settings it only says
// that the hosts belong to the group.
func (r *reader) hostEntry(d *draft, key string, at position, value *yaml.Node, group int, mentioned map[string]position) {
	names, ok := r.expand(key, at, maxHosts-len(d.hosts))
	if !ok {
		return
	}
	own, address, addressAt := r.hostSettings(key, value)
	addresses := r.addresses(names, address, addressAt)
	if own != nil && len(names) > 1 {
		r.single(own, len(names))
	}
	for i, name := range names {
		if why, fix := badName(name); why != "" {
			r.rep.errorf(at, fix, "%s", why)
			return
		}
		if first, twice := mentioned[name]; twice {
			r.rep.errorf(at, "keep one of the two", "host %s is named twice here, first in line %d", quoted(name), first.line)
			continue
		}
		mentioned[name] = at
		h, ok := d.host(name, at)
		if !ok {
			return
		}
		r.define(d.hosts[h], at, own, addresses, addressAt, i)
		d.join(h, group)
	}
}

func (r *reader) define(h *hostDraft, at position, own *layer, addresses []string, addressAt position, i int) {
	if own == nil {
		return
	}
	if h.defined {
		r.rep.errorf(at, "give the settings in one place and only the name (`"+h.name+":`) in other groups", "host %s is defined twice, first at %s", quoted(h.name), h.at)
		return
	}
	h.defined, h.at, h.own = true, at, append(h.own, own)
	if addresses != nil {
		h.address, h.addrAt = addresses[i], addressAt
	}
}

// expand makes the names of a range and reports what is wrong with it.
func (r *reader) expand(key string, at position, limit int) ([]string, bool) {
	if !strings.ContainsAny(key, "[]") {
		return []string{key}, true
	}
	p, err := parsePattern(key)
	if err != nil {
		r.rep.errorf(at.shift(err.off), err.fix, "%s", err.message)
		return nil, false
	}
	if p.count() > limit {
		r.rep.errorf(at, "write a smaller range", "%s makes more than %d hosts in the file", quoted(key), maxHosts)
		return nil, false
	}
	return p.names(), true
}

// hostSettings reads a host's map; the address is kept apart, as it may be a
// range. own is nil when the host is only mentioned.
func (r *reader) hostSettings(key string, value *yaml.Node) (own *layer, address string, at position) {
	if value == nil || isNull(r.real(value)) {
		return nil, "", position{}
	}
	what := "host " + key
	if n := r.real(value); n.Kind == yaml.ScalarNode {
		fix := "write `{address: " + n.Value + "}` if that is its address"
		if name, rest, ok := strings.Cut(n.Value, ":"); ok && rest != "" {
			if _, known := findField(hostFields, name); known {
				fix = "put a space behind the colon: `" + name + ": " + strings.TrimSpace(rest) + "`"
			}
		}
		r.rep.errorf(r.at(n), fix, "%s must be a map, not %s", what, kindName(n))
		return nil, "", position{}
	}
	own = &layer{label: what}
	for _, s := range r.settings(r.pairs(value, what), hostFields, what, "") {
		if s.path == "address" {
			address, at = s.value.(string), s.at
			continue
		}
		own.settings = append(own.settings, s)
	}
	return own, address, at
}

// addresses is one address a name, or nil when the file gives none.
func (r *reader) addresses(names []string, address string, at position) []string {
	if address == "" {
		return nil
	}
	out := []string{address}
	if inside := strings.Trim(address, "[]"); strings.ContainsAny(inside, "[]") || strings.ContainsAny(address, "[]") && !strings.Contains(inside, ":") {
		p, err := parsePattern(address)
		if err != nil {
			r.rep.errorf(at.shift(err.off), err.fix, "%s", err.message)
			return nil
		}
		if p.count() != len(names) {
			r.rep.errorf(at, "make both ranges the same size", "%d addresses for %d hosts", p.count(), len(names))
			return nil
		}
		out = p.names()
	} else {
		out[0] = inside
	}
	if strings.ContainsFunc(address, func(c rune) bool { return c <= ' ' || c == '@' || c == '/' || c == ',' && len(out) == 1 }) || address[0] == '-' {
		r.rep.errorf(at, "write a host name or an IP address; user and port belong under ssh", "%s is not an address", quoted(address))
		return nil
	}
	if why, fix := notAddress(out[len(out)-1]); why != "" {
		r.rep.errorf(at, fix, "%s %s", quoted(address), why)
		return nil
	}
	for len(out) < len(names) {
		out = append(out, out[0])
	}
	return out
}

// notAddress says why what looks like an address is none.
func notAddress(a string) (why, fix string) {
	if host, port, ok := strings.Cut(a, ":"); ok && !strings.Contains(port, ":") && strings.Trim(port, digits) == "" {
		return "is an address with a port", "write `address: " + host + "` and `ssh: {port: " + port + "}`"
	}
	if _, err := netip.ParseAddr(a); err != nil && strings.Trim(a, digits+".") == "" && strings.Count(a, ".") == 3 {
		return "is not an IPv4 address", "write four numbers from 0 to 255"
	}
	return "", ""
}

// single refuses for a range what can only be one host's.
func (r *reader) single(own *layer, n int) {
	for _, s := range own.settings {
		if s.path == "id" {
			r.rep.errorf(s.at, "give ids host by host, or leave them out: they are assigned and remembered", "one id for %d hosts", n)
		}
	}
}
