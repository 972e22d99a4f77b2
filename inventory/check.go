package inventory

import (
	"net"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// allLayers calls fn for every place that gives settings, each once.
func (b *builder) allLayers(fn func(l *layer, host string)) {
	for _, l := range slices.Concat(b.defaults, b.late) {
		fn(l, "")
	}
	for _, g := range b.groups {
		for _, l := range slices.Concat(g.layers, g.late) {
			fn(l, "")
		}
	}
	seen := map[*layer]bool{}
	for _, h := range b.hosts {
		for _, l := range h.own {
			if !seen[l] {
				seen[l] = true
				fn(l, h.name)
			}
		}
	}
}

// checkSettings checks values against the rest of the inventory, where they are written.
func (b *builder) checkSettings() {
	b.allLayers(func(l *layer, host string) {
		for _, s := range l.settings {
			switch s.path {
			case "plugins":
				b.checkPlugins(s)
			case "ssh.jump":
				b.checkJump(s, l, host)
			}
		}
	})
}

func (b *builder) checkPlugins(s setting) {
	for _, p := range s.value.([]string) {
		if b.opt.Plugins != nil && !slices.Contains(b.opt.Plugins, p) {
			b.rep.errorf(s.at, Hint(p, b.opt.Plugins, "see: tfwctl plugins"), "plugin %s is not known", quoted(p))
		}
	}
}

func (b *builder) checkJump(s setting, l *layer, host string) {
	for _, j := range s.value.([]string) {
		_, known := b.hostAt[j]
		switch {
		case j == host:
			b.rep.errorf(s.at, "remove it from its own jump hosts", "host %s would be reached through itself", quoted(j))
		case known || b.hops[j] != nil:
		case b.groupAt[j] != 0 || len(b.groups) > 0 && b.groups[0].name == j:
			b.rep.errorf(s.at, "name one of its hosts", "the jump host %s is a group", quoted(j))
		default:
			b.rep.errorf(s.at, b.jumpFix(j), "the jump host %s is not in the inventory", quoted(j))
		}
	}
}

func (b *builder) jumpFix(name string) string {
	all := make([]string, len(b.hosts))
	for i, h := range b.hosts {
		all[i] = h.name
	}
	return Hint(name, all, "declare it as a host, with its address, user and port")
}

// checkHosts finds what shows only in merged hosts.
func (b *builder) checkHosts(inv *Inventory) {
	b.checkIDs(inv)
	b.checkWays(inv)
	b.checkOwners()
}

func (b *builder) checkIDs(inv *Inventory) {
	byID := map[int]string{}
	for i, h := range inv.hosts {
		if h.ID == 0 {
			continue
		}
		if other, twice := byID[h.ID]; twice {
			b.rep.errorf(b.hosts[i].at, "give each host its own id, or none", "host %s has id %d, as %s has", quoted(h.Name), h.ID, quoted(other))
		}
		byID[h.ID] = h.Name
	}
}

// checkWays refuses jump hosts that lead in a circle.
func (b *builder) checkWays(inv *Inventory) {
	const open, done = 1, 2
	state := map[string]int{}
	var visit func(name string) bool
	visit = func(name string) bool {
		i, ok := inv.index[name]
		if !ok || state[name] == done {
			return true
		}
		if state[name] == open {
			b.rep.errorf(b.hosts[i].at, "give one of them a direct way: ssh: {jump: []}", "the way to %s leads through itself", quoted(name))
			return false
		}
		state[name] = open
		for _, j := range inv.hosts[i].SSH.Jump {
			if !visit(j) {
				return false
			}
		}
		state[name] = done
		return true
	}
	for _, h := range inv.hosts {
		if len(h.SSH.Jump) > 0 && !visit(h.Name) {
			return
		}
	}
}

// checkOwners refuses a host in isolated groups of different teams.
func (b *builder) checkOwners() {
	for _, h := range b.hosts {
		var first *groupDraft
		for _, i := range b.baseOf(h.groups).groups {
			g := b.groups[i]
			if g.owner == "" || g.isolation != IsolationExclusive && g.isolation != IsolationShared {
				continue
			}
			if first != nil && first.owner != g.owner {
				b.rep.errorf(h.at, "take it out of one of the two groups", "host %s is in isolated groups of two owners: %s (%s) and %s (%s)",
					quoted(h.name), first.name, first.owner, g.name, g.owner)
				break
			}
			first = g
		}
	}
}

// lint warns of what is allowed but looks like a slip.
func (b *builder) lint(inv *Inventory) {
	b.lintAddresses(inv)
	b.lintUnused(inv)
	b.lintKeys()
	carried := map[string]bool{}
	for _, h := range inv.hosts {
		for _, p := range h.Plugins {
			carried[p] = true
		}
	}
	for i, g := range b.groups {
		if len(inv.members[i]) == 0 {
			b.rep.warnf(g.at, "give it hosts, or remove it", "group %s is empty", quoted(g.name))
		}
	}
	var idle []string
	for _, p := range b.opt.Plugins {
		if !carried[p] {
			idle = append(idle, p)
		}
	}
	if len(idle) > 0 && len(b.sources) > 0 && (b.roles || !b.lenient) { // an Ansible file need not know of plugins
		sort.Strings(idle)
		b.rep.warnf(position{src: b.sources[0]}, "declare it under plugins: where it may run", "no host carries the plugin %s", strings.Join(idle, ", "))
	}
	if len(inv.hosts) == 0 && len(b.sources) > 0 {
		b.rep.warnf(position{src: b.sources[0]}, "add hosts under hosts: or groups:", "the inventory has no hosts")
	}
}

// lintUnused warns of hosts that nothing can be done with: no plugin may run there, as
// on a jump host, and no host is reached through them.
func (b *builder) lintUnused(inv *Inventory) {
	through := map[string]bool{}
	for _, h := range inv.hosts {
		for _, j := range h.SSH.Jump {
			through[j] = true
		}
	}
	var unused []string
	var at position
	for i, h := range inv.hosts {
		if len(h.Plugins) == 0 && !through[h.Name] {
			if unused == nil {
				at = b.hosts[i].at
			}
			unused = append(unused, h.Name)
		}
	}
	if unused != nil {
		b.rep.warnf(at, "name it in the ssh.jump of other hosts, or say under plugins: what may run there", "%s: no plugin may run there, and no host is reached through it", Fold(unused))
	}
}

// lintAddresses warns of two hosts at one address and port.
func (b *builder) lintAddresses(inv *Inventory) {
	first := make(map[string]string, len(inv.hosts))
	for i, h := range inv.hosts {
		port := h.SSH.Port
		if port == 0 {
			port = 22
		}
		// Through different jump hosts one address may be two machines.
		key := strings.Join(append([]string{net.JoinHostPort(h.Address, strconv.Itoa(port))}, h.SSH.Jump...), " ")
		if other, twice := first[key]; twice {
			b.rep.warnf(b.hosts[i].at, "correct one address, or make them one host", "%s and %s have the same address %s", quoted(other), quoted(h.Name), h.Address)
			continue
		}
		first[key] = h.Name
	}
}
