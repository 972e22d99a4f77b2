package inventory

import (
	"strings"
)

// Query asks an inventory for hosts.
type Query struct {
	Target string // TERM[,TERM...]; see docs/targeting.md
	Where  string // expression that a selected host must meet; "" is none
	// AllowMissing turns unknown names into [Selection].Missing. Everything
	// else, an empty result too, stays an error.
	AllowMissing bool
	Expect       int  // the number of hosts it must be; 0 is any
	AdHoc        bool // hold the groups' max_hosts, unless Expect confirms the number
	// Facts gives what is known of a host for Where; nil and a nil map are nothing.
	Facts func(host string) map[string]any
}

// Selection is what a [Query] found.
type Selection struct {
	Hosts   []*Host  // in inventory order, each once, at least one
	Missing []string // terms that name nothing, under AllowMissing
}

// Select finds the hosts of a query, or fails closed: the error is a
// [*TargetError] and no host is selected.
func (inv *Inventory) Select(q Query) (Selection, error) {
	terms, err := scanTarget(q.Target)
	if err != nil {
		return Selection{}, err
	}
	r := &resolver{inv: inv, q: &q}
	marks, err := r.combine(terms)
	if err != nil {
		return Selection{}, err
	}
	sel := Selection{Missing: r.missing}
	for i, h := range inv.hosts {
		if marks[i] {
			sel.Hosts = append(sel.Hosts, h)
		}
	}
	if len(sel.Hosts) == 0 {
		return Selection{}, r.nothing()
	}
	if sel.Hosts, err = inv.where(sel.Hosts, &q); err != nil {
		return Selection{}, err
	}
	if err := inv.counted(sel.Hosts, &q); err != nil {
		return Selection{}, err
	}
	return sel, nil
}

// resolver finds the hosts of terms.
type resolver struct {
	inv     *Inventory
	q       *Query
	missing []string
}

// combine unites all plain terms, then intersects, then removes.
func (r *resolver) combine(terms []term) ([]bool, error) {
	found := make([][]int, len(terms))
	plain := false
	for i, t := range terms {
		hosts, err := r.resolve(t)
		if err != nil {
			return nil, err
		}
		found[i] = hosts
		plain = plain || t.op == 0
	}
	marks := make([]bool, len(r.inv.hosts))
	if !plain {
		for i := range marks {
			marks[i] = true
		}
	}
	for i, t := range terms {
		if t.op == 0 {
			setAll(marks, found[i], true)
		}
	}
	for i, t := range terms {
		if t.op == '&' {
			keep := make([]bool, len(marks))
			setAll(keep, found[i], true)
			for j := range marks {
				marks[j] = marks[j] && keep[j]
			}
		}
	}
	for i, t := range terms {
		if t.op == '!' {
			setAll(marks, found[i], false)
		}
	}
	return marks, nil
}

func setAll(marks []bool, at []int, to bool) {
	for _, i := range at {
		marks[i] = to
	}
}

func (r *resolver) nothing() error {
	e := &TargetError{Target: r.q.Target, Term: r.q.Target, Message: "selects no host", Fix: "see: tfwctl hosts"}
	if len(r.missing) > 0 {
		e.Message += ": not in the inventory: " + strings.Join(r.missing, ", ")
	}
	return e
}

// unknown is the error for a term that names nothing, or its note under AllowMissing.
func (r *resolver) unknown(t term, e *TargetError) ([]int, error) {
	if !r.q.AllowMissing {
		return nil, e
	}
	r.missing = append(r.missing, e.Term)
	return nil, nil
}

// resolve finds the hosts of one term.
func (r *resolver) resolve(t term) ([]int, error) {
	switch {
	case t.text[0] == '~':
		return r.regex(t)
	case isIPv6(t.text):
		return r.set(t, nameKind{hosts: true})
	}
	k := nameKind{hosts: true}
	body := t.text
	if body[0] == '@' {
		k.hosts, body = false, body[1:]
		if body == "" || body[0] == '@' {
			return nil, termError(r.q.Target, t, 0, "write @group", "a group's name is missing")
		}
	}
	base, inside, sliced := cutSlice(body)
	if sliced && (r.inv.isGroup(base) || isGlob(base)) && !r.nameForm(body, inside, base, k) {
		return r.slice(t, base, inside, k)
	}
	if isGlob(body) {
		return r.glob(t, body, k)
	}
	if base, inside, _ := strings.Cut(body, "["); r.inv.isGroup(base) && strings.Contains(inside, ":") && strings.Contains(inside, ",") {
		first, rest, _ := strings.Cut(strings.TrimSuffix(inside, "]"), ",")
		return nil, termError(r.q.Target, t, 0, "write "+base+"["+first+"],"+base+"["+rest+"]", "a slice is one number or one range")
	}
	if sliced && strings.Contains(inside, ":") {
		return r.unknown(t, r.noSuch(t, base, k, "a slice needs a group; hosts are written "+base+"["+strings.Replace(inside, ":", "-", 1)+"]"))
	}
	return r.set(t, k)
}

// nameKind says what a name may stand for: a group always, a host unless it is
// written @group.
type nameKind struct{ hosts bool }

func (inv *Inventory) isGroup(name string) bool {
	_, ok := inv.groupIndex[name]
	return ok || name == "all" || name == "ungrouped"
}

// find looks a name up. A group wins over a host of the same name, which only
// an Ansible file can have.
func (r *resolver) find(name string, k nameKind) ([]int, bool) {
	if at, ok := r.inv.groupMembers(name); ok {
		return at, true
	}
	if k.hosts {
		if i, ok := r.inv.index[name]; ok {
			return []int{i}, true
		}
	}
	return nil, false
}

// groupMembers are the hosts of a group in the order that slices count.
func (inv *Inventory) groupMembers(name string) ([]int, bool) {
	switch name {
	case "all":
		if inv.allSlice != nil {
			return inv.allSlice, true
		}
		all := make([]int, len(inv.hosts))
		for i := range all {
			all[i] = i
		}
		return all, true
	case "ungrouped":
		var out []int
		for i, h := range inv.hosts {
			if len(h.Groups) == 0 {
				out = append(out, i)
			}
		}
		return out, true
	}
	i, ok := inv.groupIndex[name]
	if !ok {
		return nil, false
	}
	if inv.slices != nil {
		return inv.slices[i], true
	}
	return inv.members[i], true
}

// set resolves a name or a folded set of names.
func (r *resolver) set(t term, k nameKind) ([]int, error) {
	body := strings.TrimPrefix(t.text, "@")
	shift := len(t.text) - len(body)
	if name := strings.Trim(body, "[]"); isIPv6(body) && !strings.ContainsAny(name, "[]") {
		at, ok := r.find(name, k)
		if !ok {
			return r.unknown(t, r.noSuch(t, name, k, ""))
		}
		return at, nil
	}
	names, serr := expandPattern(body, maxHosts)
	if serr != nil {
		return nil, termError(r.q.Target, t, shift+serr.off, serr.fix, "%s", serr.message)
	}
	var out []int
	var missing []string
	for _, n := range names {
		at, ok := r.find(n, k)
		if !ok {
			missing = append(missing, n)
			continue
		}
		out = append(out, at...)
	}
	if len(missing) == 0 {
		return out, nil
	}
	name := Fold(missing)
	if shift > 0 {
		name = "@" + name
	}
	_, err := r.unknown(t, r.noSuch(t, name, k, ""))
	return out, err
}

// noSuch words that a name is unknown, with the nearest one that is known.
func (r *resolver) noSuch(t term, name string, k nameKind, fix string) *TargetError {
	e := termError(r.q.Target, t, 0, fix, "no such host or group")
	e.Term = name
	see := "see: tfwctl hosts"
	if !k.hosts {
		e.Message, see = "no such group", "see: tfwctl groups"
	}
	if h, ok := r.inv.Lookup(name); ok && e.Fix == "" && k.hosts {
		e.Fix = "that is the address of " + h.Name
	}
	if e.Fix == "" {
		e.Fix = Hint(strings.TrimPrefix(name, "@"), r.inv.names(k), see)
	}
	return e
}

func (inv *Inventory) names(k nameKind) []string {
	var out []string
	if k.hosts {
		for _, h := range inv.hosts {
			out = append(out, h.Name)
		}
	}
	for _, g := range inv.groups {
		out = append(out, g.Name)
	}
	return out
}
