package plan

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"tfw/inventory"
)

// link makes the edges: needs, and every mention of another step. It reports
// mentions of what is not there, and cycles.
func (r *reader) link(p *Plan) {
	for _, group := range [][]*Step{p.Steps, p.OnFailure, p.Finally} {
		for _, s := range group {
			r.linkStep(p, s, group)
		}
	}
	for _, o := range p.outputs {
		walk(o.value, "", func(_ string, t *template) {
			for _, part := range t.parts {
				r.mentions(p, nil, t, part)
			}
		})
	}
	for _, role := range p.Roles {
		walk(role.Count, "", func(_ string, t *template) {
			for _, part := range t.parts {
				r.mentions(p, nil, t, part)
			}
		})
	}
	r.cycles(p.Steps)
	r.cycles(p.OnFailure)
	r.cycles(p.Finally)
	if len(r.problems) == 0 {
		r.meetings(p)
	}
}

func (r *reader) linkStep(p *Plan, s *Step, group []*Step) {
	for i, need := range s.Needs {
		r.need(p, s, need, place(s.needsAt, i, s.at), group)
	}
	walk(s.With, "", func(_ string, t *template) {
		for _, part := range t.parts {
			r.mentions(p, s, t, part)
		}
	})
	if s.When != nil {
		for _, ref := range s.When.refs {
			r.mention(p, s, &template{at: s.whenAt}, ref, s.whenOffset+ref.column)
		}
	}
	if s.On != "" && !r.lost["hosts"] && !slices.ContainsFunc(p.Roles, func(role Role) bool { return role.Name == s.On }) {
		r.error(orNode(s.onAt, s.at), inventory.Hint(s.On, p.roleNames(), "add it under hosts:, or use one that is there"), "step %q runs on the role %q, which is not under hosts", s.Name, s.On)
	}
	if (len(s.Serial) > 0 || s.MaxFail != "") && s.perHost() {
		r.error(s.at, "leave host.* and per_host out of it, or serial and max_fail", "step %q goes host by host, each on its own: serial and max_fail would count nothing", s.Name)
	}
	if s.On == "" && s.Nested == "" && !s.broken {
		r.error(s.at, "write on: ROLE", "step %q does not say on which hosts", s.Name)
	}
}

func (p *Plan) roleNames() (names []string) {
	for _, role := range p.Roles {
		names = append(names, role.Name)
	}
	return names
}

// stepHint is the fix for a step that is not there.
func (p *Plan) stepHint(name string) string {
	names := keysOf(p.byName)
	return inventory.Hint(name, names, "steps are: "+strings.Join(names, ", "))
}

// place is the node of a list's value, or another where it is not known.
func place(nodes []*yaml.Node, i int, otherwise *yaml.Node) *yaml.Node {
	if i < len(nodes) {
		return nodes[i]
	}
	return otherwise
}

func orNode(n, otherwise *yaml.Node) *yaml.Node {
	if n != nil {
		return n
	}
	return otherwise
}

func (r *reader) need(p *Plan, s *Step, need string, at *yaml.Node, group []*Step) {
	other := p.byName[need]
	switch {
	case other == nil:
		r.error(at, p.stepHint(need), "step %q needs %q, which is no step", s.Name, need)
	case other == s:
		r.error(at, "remove it", "step %q needs itself", s.Name)
	case slices.Contains(group, other):
		s.dep(need)
	}
}

// dep adds an edge once.
func (s *Step) dep(name string) {
	if !slices.Contains(s.deps, name) {
		s.deps = append(s.deps, name)
	}
	s.refs[name] = true
}

func (r *reader) mentions(p *Plan, s *Step, t *template, part part) {
	if part.expr == nil {
		return
	}
	for _, ref := range part.expr.refs {
		if !part.expr.lets[ref.of] {
			r.mention(p, s, t, ref, part.offset+ref.column)
		}
	}
}

// mention checks a reference and makes its edge.
func (r *reader) mention(p *Plan, s *Step, t *template, ref reference, offset int) {
	switch ref.of {
	case "steps":
		other := p.byName[ref.name]
		switch {
		case other == nil:
			r.errorAt(t.at, offset, p.stepHint(ref.name), "steps.%s: there is no such step", ref.name)
		case ref.then != "" && !slices.Contains(ofStep, ref.then):
			r.unknownName(t, offset, "steps."+ref.name+"."+ref.then, ref.then, "a step", ofStep)
		case s != nil && other == s:
			r.errorAt(t.at, offset, "a step cannot see its own end", "step %q refers to itself", s.Name)
		case s != nil && sameGroup(p, s, other):
			s.dep(ref.name)
		case s != nil:
			s.refs[ref.name] = true
		}
	case "params":
		q := p.parameter(ref.name)
		switch {
		case q == nil && r.lost["parameters"]:
		case q == nil:
			r.errorAt(t.at, offset, "add it under parameters:", "params.%s: the plan has no such parameter", ref.name)
		case q.Sensitive && (s == nil || p.secret(t) == ""):
			r.errorAt(t.at, offset, `write "${{ params.`+ref.name+` }}" and nothing else, as a value of env or as stdin`, "params.%s is sensitive: it cannot be part of a text, a condition or an output", ref.name)
		}
	case "hosts":
		if !r.lost["hosts"] && !slices.ContainsFunc(p.Roles, func(role Role) bool { return role.Name == ref.name }) {
			r.errorAt(t.at, offset, "add it under hosts:", "hosts.%s: the plan has no such role", ref.name)
		}
	case "host":
		if !slices.Contains(ofHost, ref.name) {
			r.unknownName(t, offset, "host."+ref.name, ref.name, "a host", ofHost)
		}
	case "run":
		if !slices.Contains(ofRun, ref.name) {
			r.unknownName(t, offset, "run."+ref.name, ref.name, "a test plan under way", ofRun)
		}
	case "env":
		if _, ok := p.Env[ref.name]; !ok {
			r.errorAt(t.at, offset, "add it under env: of the plan", "env.%s: the plan has no such text", ref.name)
		}
	case "matrix":
		if s == nil || s.Matrix == nil || !s.Matrix.has(ref.name) {
			r.errorAt(t.at, offset, "add the axis under matrix:", "matrix.%s: the step has no such axis", ref.name)
		}
	}
}

// What expressions see, see scope.
var (
	ofStep = []string{"verdict", "reason", "outputs", "hosts"}
	ofHost = []string{"name", "address", "groups", "plugins", "tags", "vars"}
	ofRun  = []string{"id", "name", "by"}
)

func (r *reader) unknownName(t *template, offset int, path, name, what string, known []string) {
	r.errorAt(t.at, offset, inventory.Hint(name, known, "it has: "+strings.Join(known, ", ")), "%s: %s has no %s", path, what, name)
}

func sameGroup(p *Plan, a, b *Step) bool {
	for _, g := range [][]*Step{p.Steps, p.OnFailure, p.Finally} {
		if slices.Contains(g, a) {
			return slices.Contains(g, b)
		}
	}
	return false
}

func (m *Matrix) has(name string) bool {
	for _, a := range m.Axes {
		if a.Name == name {
			return true
		}
	}
	for _, row := range m.Include {
		if _, ok := row[name]; ok {
			return true
		}
	}
	return false
}

// cycles reports the steps that wait for one another (Kahn's algorithm: what
// cannot be taken off is in, or behind, a cycle), each cycle once.
func (r *reader) cycles(steps []*Step) {
	left := map[string]int{}
	then := map[string][]string{}
	byName := map[string]*Step{}
	var ready []string
	for _, s := range steps {
		byName[s.Name] = s
		left[s.Name] = len(s.deps)
		for _, d := range s.deps {
			then[d] = append(then[d], s.Name)
		}
		if len(s.deps) == 0 {
			ready = append(ready, s.Name)
		}
	}
	for {
		for len(ready) > 0 {
			name := ready[0]
			ready = ready[1:]
			delete(left, name)
			for _, next := range then[name] {
				if _, waits := left[next]; !waits {
					continue
				}
				if left[next]--; left[next] == 0 {
					ready = append(ready, next)
				}
			}
		}
		if len(left) == 0 {
			return
		}
		circle := circleOf(byName, left)
		shown := append(slices.Clone(circle), circle[0])
		if len(shown) > 12 {
			shown = append(append(shown[:8:8], fmt.Sprintf("(%d more)", len(shown)-10)), shown[len(shown)-2:]...)
		}
		r.error(byName[circle[0]].at, "take one of these edges out", "a cycle: %s", strings.Join(shown, " needs "))
		for _, name := range circle { // as if it were mended: there may be another
			left[name] = 0
			ready = append(ready, name)
		}
	}
}

// circleOf walks back from any step that is left until one comes again.
func circleOf(byName map[string]*Step, left map[string]int) []string {
	at := keysOf(left)[0]
	var path []string
	for !slices.Contains(path, at) {
		path = append(path, at)
		for _, d := range byName[at].deps {
			if _, in := left[d]; in {
				at = d
				break
			}
		}
	}
	return path[slices.Index(path, at):]
}
