package plan

import (
	"fmt"
	"maps"
	"strings"

	"tfw/inventory"
)

// cell is one combination of a step's matrix with the hosts it runs on.
type cell struct {
	key    string // "suite=net,size=1", or "" without a matrix
	values map[string]any
	hosts  []*inventory.Host
}

// cells multiplies the matrix out over hosts.
func (s *Step) cells(hosts []*inventory.Host) []cell {
	if s.Matrix == nil {
		return []cell{{values: map[string]any{}, hosts: hosts}}
	}
	var out []cell
	for _, values := range s.Matrix.combine() {
		c := cell{key: keyOf(s.Matrix, values), values: values}
		for _, h := range hosts {
			if !s.Matrix.excluded(values, h) {
				c.hosts = append(c.hosts, h)
			}
		}
		if len(c.hosts) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// combine gives every combination, the last axis fastest, then the included rows.
// An included row that agrees with combinations on every axis it names extends them, else it is one of its own.
func (m *Matrix) combine() []map[string]any {
	all := []map[string]any{{}}
	for _, axis := range m.Axes {
		var next []map[string]any
		for _, row := range all {
			for _, v := range axis.Values {
				one := maps.Clone(row)
				one[axis.Name] = v
				next = append(next, one)
			}
		}
		all = next
	}
	if len(m.Axes) == 0 {
		all = nil
	}
	for _, extra := range m.Include {
		extended := false
		for _, row := range all {
			if m.agrees(row, extra) {
				maps.Copy(row, extra)
				extended = true
			}
		}
		if !extended {
			all = append(all, maps.Clone(extra))
		}
	}
	return all
}

// agrees reports whether extra names at least one axis and contradicts none.
func (m *Matrix) agrees(row, extra map[string]any) bool {
	named := false
	for _, axis := range m.Axes {
		if v, ok := extra[axis.Name]; ok {
			named = true
			if !same(row[axis.Name], v) {
				return false
			}
		}
	}
	return named
}

// largest gives of each axis the value that makes most of an expression.
func (m *Matrix) largest() map[string]any {
	out, worst := map[string]any{}, map[string]*extent{}
	see := func(name string, v any) {
		if x := larger(worst[name], extentOf(v)); x != worst[name] {
			worst[name], out[name] = x, v
		}
	}
	for _, a := range m.Axes {
		for _, v := range a.Values {
			see(a.Name, v)
		}
	}
	for _, row := range m.Include {
		for name, v := range row {
			see(name, v)
		}
	}
	return out
}

// excluded reports whether a row of exclude fits: its keys are axes or host.PATH.
func (m *Matrix) excluded(values map[string]any, h *inventory.Host) bool {
	for _, row := range m.Exclude {
		fits := len(row) > 0
		for key, want := range row {
			var got any
			if path, ok := strings.CutPrefix(key, "host."); ok {
				got = lookup(hostScope(h), strings.Split(path, "."))
			} else {
				got = values[key]
			}
			fits = fits && same(got, want)
		}
		if fits {
			return true
		}
	}
	return false
}

func lookup(v any, path []string) any {
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// hostScope is what expressions see of a host.
func hostScope(h *inventory.Host) map[string]any {
	return map[string]any{"name": h.Name, "address": h.Address, "groups": anys(h.Groups), "plugins": anys(h.Plugins), "tags": anys(h.Tags), "vars": h.Vars}
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// keyOf names a cell: axes in the file's order, then what include added.
func keyOf(m *Matrix, values map[string]any) string {
	var parts []string
	seen := map[string]bool{}
	for _, axis := range m.Axes {
		seen[axis.Name] = true
		if v, ok := values[axis.Name]; ok {
			parts = append(parts, fmt.Sprintf("%s=%v", axis.Name, v))
		}
	}
	for _, name := range keysOf(values) {
		if !seen[name] {
			parts = append(parts, fmt.Sprintf("%s=%v", name, values[name]))
		}
	}
	return strings.Join(parts, ",")
}

// perHost reports whether the step's parameters differ from host to host.
func (s *Step) perHost() bool {
	found := s.PerHost
	walk(s.With, "", func(_ string, t *template) {
		for _, p := range t.parts {
			if p.expr != nil && mentionsHost(p.expr) {
				found = true
			}
		}
	})
	return found || s.When != nil && mentionsHost(s.When)
}

func mentionsHost(x *expression) bool {
	for _, r := range x.refs {
		if r.of == "host" {
			return true
		}
	}
	return false
}
