package inventory

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Convert writes an inventory in our own format. What it writes is read back and
// compared, so that it means the same: settings stay with their groups where
// that is so, and else move to the hosts.
func Convert(inv *Inventory) ([]byte, error) {
	c := &converter{inv: inv, named: map[string]string{}}
	c.nameHops()
	for _, layered := range []bool{true, false} {
		out, err := c.convert(layered)
		if err != nil {
			return nil, err
		}
		if back, err := Parse("converted", out, Options{}); err == nil && c.same(back) {
			return out, nil
		} else if !layered {
			if err == nil {
				err = fmt.Errorf("the converted inventory would not mean the same")
			}
			return nil, fmt.Errorf("convert: %w", err)
		}
	}
	return nil, nil // not reached
}

type converter struct {
	inv   *Inventory
	named map[string]string // jump hosts without a name of their own, by what they are called now
}

// nameHops gives the jump hosts of an Ansible file (user@host:port) a name that
// our format allows.
func (c *converter) nameHops() {
	for _, hop := range slices.Sorted(maps.Keys(c.inv.hops)) {
		if _, real := c.inv.index[hop]; real {
			continue
		}
		name := "jump-" + strings.Trim(strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.' || r == '-' || r == '_' {
				return r
			}
			return '-'
		}, hop), "-.")
		for c.taken(name) {
			name += "-x"
		}
		c.named[hop] = name
	}
}

func (c *converter) taken(name string) bool {
	_, host := c.inv.index[name]
	return host || c.inv.isGroup(name) || slices.Contains(slices.Collect(maps.Values(c.named)), name)
}

// convert writes the groups with what they declare (or only their hosts), reads
// that, and gives each host what is still missing.
func (c *converter) convert(layered bool) ([]byte, error) {
	bare, err := c.write(layered, nil)
	if err != nil {
		return nil, err
	}
	base, err := Parse("converted", bare, Options{})
	if err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	return c.write(layered, base)
}

// write makes the file; without base the hosts have no settings.
func (c *converter) write(layered bool, base *Inventory) ([]byte, error) {
	top := newMap()
	top.put("version", 1)
	if layered {
		if d := c.declared(c.inv.draft.defaults, c.inv.draft.late); len(d.Content) > 0 {
			top.put("defaults", d)
		}
	}
	top.put("hosts", c.hosts(base))
	if groups := c.groups(layered); len(groups.Content) > 0 {
		top.put("groups", groups)
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(top.node()); err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	return b.Bytes(), enc.Close()
}

// declared is what some layers say, as a map of settings.
func (c *converter) declared(layers ...[]*layer) *mapNode {
	var h Host
	for _, l := range slices.Concat(layers...) {
		for _, s := range l.settings {
			if text, ok := s.value.(string); ok && strings.Contains(text, "{{") && strings.HasPrefix(s.path, "ssh.") {
				continue // a template: filled in host by host
			}
			h.apply(s, !l.flat)
		}
	}
	return c.settings(&h, &Host{})
}

func (c *converter) groups(layered bool) *mapNode {
	out := newMap()
	for i, g := range c.inv.groups {
		m := newMap()
		if layered {
			d := c.inv.draft.groups[c.inv.draft.groupAt[g.Name]]
			m = c.declared(d.layers, d.late)
		}
		for _, f := range []struct {
			name  string
			value any
			given bool
		}{
			{"priority", g.Priority, g.Priority != 0}, {"isolation", string(g.Isolation), g.Isolation != ""}, {"capacity", g.Capacity, g.Capacity != 0},
			{"max_hosts", g.MaxHosts, g.MaxHosts != 0}, {"owner", g.Owner, g.Owner != ""}, {"groups", g.Children, len(g.Children) > 0},
			{"hosts", strings.Split(foldInOrder(g.Direct), " "), len(g.Direct) > 0},
		} {
			if f.given {
				m.put(f.name, f.value)
			}
		}
		out.put(c.inv.groups[i].Name, m)
	}
	return out
}

// foldInOrder folds runs of names without changing their order.
func foldInOrder(names []string) string {
	var out []string
	for len(names) > 0 {
		n := len(names)
		for ; n > 1; n = n / 2 {
			if back, err := Expand(Fold(names[:n])); err == nil && slices.Equal(back, names[:n]) && !strings.Contains(Fold(names[:n]), " ") {
				break
			}
		}
		out = append(out, splitSets(Fold(names[:n]))...)
		names = names[n:]
	}
	return strings.Join(out, " ")
}

// splitSets cuts a folded set at its outer commas.
func splitSets(set string) []string {
	var out []string
	depth, start := 0, 0
	for i := range len(set) {
		switch set[i] {
		case '[':
			depth++
		case ']':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, set[start:i])
				start = i + 1
			}
		}
	}
	return append(out, set[start:])
}

// hosts writes all hosts in inventory order; neighbours that differ only in name
// and address become one range.
func (c *converter) hosts(base *Inventory) *mapNode {
	out := newMap()
	hops := slices.Sorted(maps.Keys(c.named))
	all := c.inv.hosts
	for i := 0; i < len(all); {
		own := c.ownOf(all[i], base)
		j := i + 1
		for j < len(all) && sameOwn(own, c.ownOf(all[j], base)) {
			j++
		}
		for i < j {
			n := c.run(out, all[i:j], own)
			i += n
		}
	}
	for _, hop := range hops {
		h := *c.inv.hops[hop]
		h.Name = c.named[hop]
		out.put(h.Name, c.withAddress(c.settings(&h, &Host{State: Active}), h.Address, h.Name))
	}
	return out
}

func sameOwn(a, b *mapNode) bool { return reflect.DeepEqual(a, b) }

// ownOf is what a host needs beyond what the file gives it already.
func (c *converter) ownOf(h *Host, base *Inventory) *mapNode {
	if base == nil {
		return newMap()
	}
	have, _ := base.Host(h.Name)
	return c.settings(h, have)
}

// run writes the longest beginning of hosts that folds into one range and
// returns how many that is.
func (c *converter) run(out *mapNode, hosts []*Host, own *mapNode) int {
	for n := len(hosts); n > 1; n /= 2 {
		names, addresses := make([]string, n), make([]string, n)
		plain := true
		for i, h := range hosts[:n] {
			names[i], addresses[i] = h.Name, h.Address
			plain = plain && h.Address == h.Name
		}
		set := Fold(names)
		if len(splitSets(set)) != 1 || !expandsTo(set, names) || isIPv6(hosts[0].Name) {
			continue
		}
		if plain {
			out.put(set, own)
			return n
		}
		if to := Fold(addresses); len(splitSets(to)) == 1 && expandsTo(to, addresses) && !isIPv6(to) {
			out.put(set, c.withAddress(own, to, ""))
			return n
		}
	}
	out.put(hosts[0].Name, c.withAddress(own, hosts[0].Address, hosts[0].Name))
	return 1
}

func expandsTo(set string, names []string) bool {
	back, err := expandPattern(set, maxHosts)
	return err == nil && slices.Equal(back, names)
}

func (c *converter) withAddress(own *mapNode, address, name string) *mapNode {
	if address == name {
		return own
	}
	m := newMap()
	m.put("address", address)
	m.Content = append(m.Content, own.Content...)
	return m
}

// same compares what matters of two inventories.
func (c *converter) same(back *Inventory) bool {
	if len(back.hosts) != len(c.inv.hosts)+len(c.named) || len(back.groups) != len(c.inv.groups) {
		return false
	}
	for i, h := range c.inv.hosts {
		a, b := *h, *back.hosts[i]
		a.SSH.Jump = c.renamed(a.SSH.Jump)
		a.Vars, b.Vars = withoutConnection(a.Vars), withoutConnection(b.Vars)
		a.StateBy, b.StateBy = "", ""
		a.SSH.ConfigLoose = false // in a file of our own it is asked for
		slices.Sort(a.Groups)
		slices.Sort(b.Groups)
		if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
			return false
		}
	}
	for i, g := range c.inv.groups {
		if o := back.groups[i]; g.Name != o.Name || !slices.Equal(g.Hosts, o.Hosts) || g.MaxHosts != o.MaxHosts {
			return false
		}
	}
	return true
}

func (c *converter) renamed(jump []string) []string {
	out := slices.Clone(jump)
	for i, j := range out {
		if to, ok := c.named[j]; ok {
			out[i] = to
		}
	}
	return out
}
