package inventory

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sort"
)

// base is what hosts in the same groups share before their own settings.
type base struct {
	host   Host
	groups []int // all groups, direct or inherited, in the file's order
	layers []*layer
}

// baseOf merges defaults and groups for hosts that are named in these groups.
func (b *builder) baseOf(direct []int) *base {
	key := signature(direct)
	if have, ok := b.bases[key]; ok {
		return have
	}
	bs := &base{groups: b.ancestry(direct)}
	if b.weight += len(bs.groups); b.weight > maxMemberships/3 {
		b.tooMany()
		return &base{}
	}
	byRank := slices.Clone(bs.groups)
	sort.Slice(byRank, func(i, j int) bool { return b.rank(byRank[i], byRank[j]) < 0 })
	bs.layers = slices.Clone(b.defaults)
	for _, g := range byRank {
		bs.layers = append(bs.layers, b.groups[g].layers...)
	}
	bs.layers = append(bs.layers, b.late...)
	for _, g := range byRank {
		bs.layers = append(bs.layers, b.groups[g].late...)
	}
	for _, l := range bs.layers {
		for _, s := range l.settings {
			bs.host.apply(s, !l.flat)
		}
	}
	for _, g := range bs.groups {
		bs.host.Groups = append(bs.host.Groups, b.groups[g].name)
		bs.host.isolate(b.groups[g])
	}
	b.bases[key] = bs
	return bs
}

// rank orders groups from the weakest to the strongest.
func (b *builder) rank(i, j int) int {
	x, y := b.groups[i], b.groups[j]
	return cmp.Or(cmp.Compare(b.depth[i], b.depth[j]), cmp.Compare(x.priority, y.priority), cmp.Compare(x.name, y.name))
}

func (b *builder) tooMany() {
	if !b.said {
		b.said = true
		b.rep.errorf(b.groups[0].at, "nest groups less deeply", "hosts are in too many groups")
	}
}

func signature(groups []int) string {
	key := make([]byte, 0, 4*len(groups))
	for _, g := range groups {
		key = binary.AppendUvarint(key, uint64(g))
	}
	return string(key)
}

// ancestry is the groups themselves and all that contain them, in the file's order.
func (b *builder) ancestry(direct []int) []int {
	seen := map[int]bool{}
	todo := slices.Clone(direct)
	var all []int
	for len(todo) > 0 {
		g := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !seen[g] {
			seen[g] = true
			all = append(all, g)
			todo = append(todo, b.parents[g]...)
		}
	}
	sort.Ints(all)
	return all
}

// isolate takes over how strictly a group keeps its hosts.
func (h *Host) isolate(g *groupDraft) {
	strictness := map[Isolation]int{IsolationShared: 1, IsolationExclusive: 2}
	if strictness[g.isolation] > strictness[h.Isolation] || h.Isolation == "" {
		h.Isolation = g.isolation
	}
	if g.isolation == IsolationShared && g.capacity > 0 && (h.Capacity == 0 || g.capacity < h.Capacity) {
		h.Capacity = g.capacity
	}
	if g.owner != "" && strictness[g.isolation] > 0 && h.Owner == "" {
		h.Owner = g.owner
	}
	if h.Isolation == IsolationExclusive {
		h.Capacity = 0
	}
}
