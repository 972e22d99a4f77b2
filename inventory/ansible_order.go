package inventory

import "slices"

// addSlices gives the groups of an inventory with Ansible sources the order in
// which Ansible counts their hosts: the group's own first, then those of its
// children, level by level. Slices such as web[0:3] then mean the same hosts.
func (b *builder) addSlices(inv *Inventory) {
	if !b.lenient || len(b.rep.errors) > 0 {
		return
	}
	inv.slices = make([][]int, len(b.groups))
	for i := range b.groups {
		inv.slices[i] = b.counted(nil, []int{i})
	}
	own, roots := slices.Clone(b.topHosts), slices.Clone(b.topGroups)
	for i, h := range b.hosts {
		if len(h.groups) == 0 {
			own = append(own, i)
		}
	}
	for i := range b.groups {
		if len(b.parents[i]) == 0 {
			roots = append(roots, i)
		}
	}
	inv.allSlice = b.counted(own, roots)
}

// counted lists hosts and then those of groups, level by level, each once.
func (b *builder) counted(own, level []int) []int {
	var out []int
	hosts, groups := map[int]bool{}, map[int]bool{}
	add := func(some []int) {
		for _, h := range some {
			if !hosts[h] {
				hosts[h] = true
				out = append(out, h)
			}
		}
	}
	add(own)
	for len(level) > 0 {
		var next []int
		for _, g := range level {
			if groups[g] {
				continue
			}
			groups[g] = true
			add(b.groups[g].hosts)
			next = append(next, b.children[g]...)
		}
		level = next
	}
	return out
}
