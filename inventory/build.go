package inventory

import (
	"slices"
	"sort"
	"strings"
)

// builder turns a draft into an Inventory: it checks what only the whole can
// show and merges the settings.
type builder struct {
	*draft
	opt      *Options
	children [][]int
	depth    []int
	bases    map[string]*base
	weight   int  // groups that all bases name together
	said     bool // that it is too much
}

func build(d *draft, opt *Options) (*Inventory, error) {
	b := &builder{draft: d, opt: opt, bases: map[string]*base{}}
	b.link()
	b.sharedNames()
	if d.rep.err() != nil || !b.order() {
		b.checkSettings()
		return nil, d.rep.err()
	}
	b.checkSettings()
	inv := &Inventory{draft: d, index: make(map[string]int, len(d.hosts)), groupIndex: make(map[string]int, len(d.groups)), hops: d.hops}
	inv.ranks = b.depth
	b.addHosts(inv)
	b.addGroups(inv)
	if b.said {
		return nil, d.rep.err()
	}
	b.addSlices(inv)
	b.checkHosts(inv)
	if err := d.rep.err(); err != nil {
		return nil, err
	}
	b.lint(inv)
	inv.warnings = d.rep.warnings
	inv.revision = revision(d.sources)
	return inv, nil
}

// link resolves the names of child groups.
func (b *builder) link() {
	b.children = make([][]int, len(b.groups))
	b.draft.parents = make([][]int, len(b.groups))
	for i, g := range b.groups {
		for _, c := range g.children {
			j, ok := b.groupAt[c.name]
			if !ok {
				b.rep.errorf(c.at, Hint(c.name, b.groupNames(), "define it under groups"), "%s: no such group", quoted(c.name))
				continue
			}
			if !slices.Contains(b.children[i], j) {
				b.children[i], b.parents[j] = append(b.children[i], j), append(b.parents[j], i)
			}
		}
	}
}

// sharedNames refuses a host and a group of one name: a target could mean either.
func (b *builder) sharedNames() {
	for _, g := range b.groups {
		if i, both := b.hostAt[g.name]; both {
			if b.lenient {
				b.rep.warnf(g.at, "rename one of them; the name means the group", "%s is a group and a host", quoted(g.name))
				continue
			}
			b.rep.errorf(g.at, "rename one of them: a target could mean either", "%s is a group and a host (at %s)", quoted(g.name), b.hosts[i].at)
		}
	}
}

// order finds each group's depth, the longest path from a root. It is false
// after reporting a cycle.
func (b *builder) order() bool {
	const unseen, open, done = 0, 1, 2
	state := make([]int, len(b.groups))
	sorted := make([]int, 0, len(b.groups))
	var trail []int
	var visit func(i int) bool
	visit = func(i int) bool {
		if state[i] == open {
			b.cycle(append(trail[slices.Index(trail, i):], i))
			return false
		}
		if state[i] == done {
			return true
		}
		state[i] = open
		trail = append(trail, i)
		for _, c := range b.children[i] {
			if !visit(c) {
				return false
			}
		}
		trail = trail[:len(trail)-1]
		state[i] = done
		sorted = append(sorted, i)
		return true
	}
	for i := range b.groups {
		if !visit(i) {
			return false
		}
	}
	b.depth = make([]int, len(b.groups))
	for k := len(sorted) - 1; k >= 0; k-- { // parents before children
		i := sorted[k]
		b.depth[i] = max(b.depth[i], 1)
		for _, c := range b.children[i] {
			b.depth[c] = max(b.depth[c], b.depth[i]+1)
		}
	}
	return true
}

func (b *builder) cycle(loop []int) {
	names := make([]string, len(loop))
	for i, g := range loop {
		names[i] = b.groups[g].name
	}
	if len(names) > 8 {
		names = append(names[:7], "...", names[0])
	}
	at := b.groups[loop[0]].at
	for _, c := range b.groups[loop[0]].children {
		if j := b.groupAt[c.name]; j == loop[1] {
			at = c.at
		}
	}
	b.rep.errorf(at, "remove one of these memberships", "groups contain one another: %s", strings.Join(names, " > "))
}

func (b *builder) addHosts(inv *Inventory) {
	inv.hosts = make([]*Host, 0, len(b.hosts))
	for i, d := range b.hosts {
		bs := b.baseOf(d.groups)
		if b.said {
			return
		}
		h := bs.host
		h.Name, h.Address, h.UUID = d.name, d.name, uuidOf(d.name)
		if d.address != "" {
			h.Address = d.address
		}
		for _, l := range d.own {
			for _, s := range l.settings {
				h.apply(s, !l.flat)
			}
		}
		if b.lenient && !h.fill(pendingPort(bs.layers, d.own)) {
			b.rep.warnf(d.at, "tfw fills in {{ variable }} only: write the value", "host %s has a template in its connection that tfw cannot fill in", quoted(h.Name))
		}
		if h.State == "" {
			h.State = Active
		} else {
			inv.stated = append(inv.stated, i)
		}
		if at := slices.Index(h.SSH.Jump, h.Name); at >= 0 {
			h.SSH.Jump = h.SSH.Jump[:at:at] // an inherited way ends where it meets itself
		}
		inv.index[h.Name] = len(inv.hosts)
		inv.hosts = append(inv.hosts, &h)
	}
}

// maxMemberships bounds hosts times the groups they are in.
const maxMemberships = 3000000

func (b *builder) addGroups(inv *Inventory) {
	members := make([][]int, len(b.groups))
	total := 0
	for i, d := range b.hosts {
		if b.said {
			return
		}
		for _, g := range b.baseOf(d.groups).groups {
			members[g] = append(members[g], i)
			total++
		}
		if total > maxMemberships {
			b.tooMany()
			return
		}
	}
	for i, d := range b.groups {
		g := &Group{Name: d.name, Isolation: d.isolation, Capacity: d.capacity, MaxHosts: d.maxHosts, Owner: d.owner, Priority: d.priority}
		g.Hosts = b.hostNames(members[i])
		g.Direct = b.hostNames(d.hosts)
		for _, c := range b.children[i] {
			g.Children = append(g.Children, b.groups[c].name)
		}
		for _, p := range b.parents[i] {
			g.Parents = append(g.Parents, b.groups[p].name)
		}
		sort.Strings(g.Parents)
		b.declared(g, d)
		inv.groupIndex[g.Name] = i
		inv.groups = append(inv.groups, g)
	}
	inv.members = members
}

func (b *builder) hostNames(at []int) []string {
	out := make([]string, len(at))
	for i, h := range at {
		out[i] = b.hosts[h].name
	}
	return out
}

// declared is what the group itself says, before anything is inherited.
func (b *builder) declared(g *Group, d *groupDraft) {
	var h Host
	for _, l := range slices.Concat(d.layers, d.late) {
		for _, s := range l.settings {
			h.apply(s, !l.flat)
		}
	}
	g.Plugins, g.Tags, g.Vars = h.Plugins, h.Tags, h.Vars
}
