package main

import (
	"slices"

	"tfw/api"
)

// branch is a group in the tree of groups, with the hosts that stand in it directly.
type branch struct {
	Group  string    `json:"group"` // "" for the hosts of no group
	Hosts  []string  `json:"hosts,omitempty"`
	Groups []*branch `json:"groups,omitempty"`
}

// treeOf puts hosts below their groups. A group that several contain stands in
// each of them; groups without any of the hosts are left out.
func treeOf(groups []api.Group, hosts []api.Host) []*branch {
	chosen := map[string]bool{}
	var loose []string
	for _, h := range hosts {
		chosen[h.Name] = true
		if len(h.Groups) == 0 {
			loose = append(loose, h.Name)
		}
	}
	byName := map[string]api.Group{}
	for _, g := range groups {
		byName[g.Name] = g
	}
	var grow func(name string) *branch
	grow = func(name string) *branch {
		g, ok := byName[name]
		if !ok || !slices.ContainsFunc(g.Hosts, func(h string) bool { return chosen[h] }) {
			return nil
		}
		b := &branch{Group: name}
		for _, h := range g.Direct {
			if chosen[h] {
				b.Hosts = append(b.Hosts, h)
			}
		}
		for _, child := range g.Children {
			if below := grow(child); below != nil {
				b.Groups = append(b.Groups, below)
			}
		}
		return b
	}
	roots := []*branch{}
	for _, g := range groups {
		if len(g.Parents) == 0 {
			if b := grow(g.Name); b != nil {
				roots = append(roots, b)
			}
		}
	}
	if loose != nil {
		roots = append(roots, &branch{Hosts: loose})
	}
	return roots
}

// printTree draws the tree, hosts folded.
func (a *app) printTree(roots []*branch) error {
	for _, b := range roots {
		if b.Group == "" {
			a.printf("(no group)\n")
		} else {
			a.printf("%s\n", b.Group)
		}
		a.printBranch(b, "")
	}
	return nil
}

func (a *app) printBranch(b *branch, indent string) {
	if len(b.Hosts) > 0 {
		a.printf("%s%s%s (%d)\n", indent, corner(len(b.Groups) == 0), fold(b.Hosts), len(b.Hosts))
	}
	for i, c := range b.Groups {
		last := i == len(b.Groups)-1
		a.printf("%s%s%s\n", indent, corner(last), c.Group)
		a.printBranch(c, indent+map[bool]string{true: "   ", false: "│  "}[last])
	}
}

func corner(last bool) string {
	if last {
		return "└─ "
	}
	return "├─ "
}
