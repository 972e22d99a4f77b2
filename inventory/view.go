package inventory

import (
	"slices"
	"time"
)

// StateOverride is a host's state as an operator set it.
type StateOverride struct {
	State  State
	Reason string
	By     string // who set it
	At     time.Time
}

// WithStates is the same inventory with the states that operators set. Where
// the file itself says a host's state, the file wins. Names that are no hosts
// are passed over: a host may come back with the next reload.
func (inv *Inventory) WithStates(set map[string]StateOverride) *Inventory {
	out := *inv
	out.hosts = slices.Clone(inv.hosts)
	for name, o := range set {
		i, ok := inv.index[name]
		if !ok || slices.Contains(inv.stated, i) {
			continue
		}
		h := *inv.hosts[i]
		h.State, h.Reason, h.StateBy = o.State, o.Reason, o.By
		out.hosts[i] = &h
	}
	return &out
}

// StateInFile is true when the file itself says the host's state, so that an
// operator's override has no effect.
func (inv *Inventory) StateInFile(host string) bool {
	i, ok := inv.index[host]
	return ok && slices.Contains(inv.stated, i)
}

// Restrict is the inventory as somebody sees it who may see only some hosts: for
// them the others do not exist, nor do groups without a host of theirs. Jump
// hosts keep their names in SSH.Jump; connect through the whole inventory.
func (inv *Inventory) Restrict(allowed func(*Host) bool) *Inventory {
	out := &Inventory{
		index: map[string]int{}, groupIndex: map[string]int{}, hops: map[string]*Host{},
		revision: inv.revision, draft: inv.draft, ranks: inv.ranks,
	}
	to := make([]int, len(inv.hosts)) // new place of each host, -1 for hidden
	for i, h := range inv.hosts {
		to[i] = -1
		if allowed(h) {
			to[i] = len(out.hosts)
			out.index[h.Name] = len(out.hosts)
			out.hosts = append(out.hosts, h)
		}
	}
	out.stated, out.allSlice = moved(inv.stated, to), moved(inv.allSlice, to)
	for i, g := range inv.groups {
		members := moved(inv.members[i], to)
		if len(members) == 0 {
			continue
		}
		out.groupIndex[g.Name] = len(out.groups)
		out.groups = append(out.groups, g)
		out.members = append(out.members, members)
		if inv.slices != nil {
			out.slices = append(out.slices, moved(inv.slices[i], to))
		}
	}
	for i, g := range out.groups {
		out.groups[i] = out.cut(g)
	}
	for _, h := range out.hosts {
		for _, j := range h.SSH.Jump {
			if hop, ok := inv.hops[j]; ok {
				out.hops[j] = hop
			}
		}
	}
	return out
}

// moved translates places, without the hidden ones; nil stays nil.
func moved(at, to []int) []int {
	if at == nil {
		return nil
	}
	out := make([]int, 0, len(at))
	for _, i := range at {
		if to[i] >= 0 {
			out = append(out, to[i])
		}
	}
	return out
}

// cut is a group without what is hidden in this view.
func (inv *Inventory) cut(g *Group) *Group {
	c := *g
	visible := func(names []string, in map[string]int) []string {
		out := make([]string, 0, len(names))
		for _, n := range names {
			if _, ok := in[n]; ok {
				out = append(out, n)
			}
		}
		return out
	}
	c.Hosts, c.Direct = visible(g.Hosts, inv.index), visible(g.Direct, inv.index)
	c.Children, c.Parents = visible(g.Children, inv.groupIndex), visible(g.Parents, inv.groupIndex)
	return &c
}
