package plan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"tfw/inventory"
	"tfw/plugins"
)

// World is what a plan is checked against: the methods there are, and the hosts as the asker sees them.
type World struct {
	Plugins   *plugins.Registry
	Inventory *inventory.Inventory
	Files     map[string][]byte // the plans that "uses: plan:FILE" may name
	Facts     func(host string) map[string]any

	whole *whole // of the check that is under way
}

// Check finds what the text alone cannot tell: unknown plugins, methods and
// parameters, a with that does not fit its method, a role that no host can fill, a nested plan that is
// missing or wrong. given are the plan's parameters as far as they are known. No host is touched.
func (p *Plan) Check(w World, given map[string]any) error {
	return p.check(w, given, nil, false)
}

// ParseAndCheck is [Parse] and [Plan.Check] in one: it finds the faults of both in one go, as far as a plan with faults can be checked.
func ParseAndCheck(file string, text []byte, w World, given map[string]any) (*Plan, error) {
	p, all := parse(file, text)
	if p == nil {
		return nil, all
	}
	if err := p.check(w, given, nil, len(all) > 0); err != nil {
		var more Problems
		if !errors.As(err, &more) {
			return nil, err
		}
		all = append(all, more...)
	}
	if len(all) == 0 {
		return p, nil
	}
	slices.SortStableFunc(all, func(a, b Problem) int {
		if a.File != b.File {
			return boolInt(a.File != file) - boolInt(b.File != file) // plans within it come after it
		}
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return nil, slices.CompactFunc(all, func(a, b Problem) bool {
		return a.File == b.File && a.Line == b.Line && a.Column == b.Column && a.Message == b.Message
	})
}

// maxNesting bounds plans within plans.
const maxNesting = 8

// check looks at what there is of a plan; around are the plans that it is part of, the outermost first, and
// partial says that it could not be read as a whole.
func (p *Plan) check(w World, given map[string]any, around []*Plan, partial bool) error {
	if w.whole == nil {
		w.whole = newWhole(p)
	}
	c := &checker{reader: reader{file: p.file}, p: p, w: w, path: append(slices.Clone(around), p)}
	params, err := p.accept(given, true)
	if err != nil && !partial {
		c.add(Problem{Message: err.Error(), Fix: "give parameters with -p name=value"})
	}
	c.params = params
	for _, role := range p.Roles {
		if role.Target != "" {
			c.role(role)
		}
	}
	c.bombs()
	c.outputs()
	for _, s := range p.all() {
		if s.Nested != "" {
			c.nested(s)
			continue
		}
		if s.Plugin != "" {
			c.method(s)
		}
	}
	if !partial {
		c.crowded()
	}
	if len(c.problems) > 0 {
		return c.problems
	}
	return nil
}

// all gives every step of the plan.
func (p *Plan) all() []*Step {
	var all []*Step
	for _, g := range [][]*Step{p.Steps, p.OnFailure, p.Finally} {
		all = append(all, g...)
	}
	return all
}

// accept checks given parameters and fills in defaults. Partial lets missing ones pass.
func (p *Plan) accept(given map[string]any, partial bool) (map[string]any, error) {
	out := map[string]any{}
	var wrong []string
	known := map[string]bool{}
	for _, q := range p.Parameters {
		known[q.Name] = true
		v, ok := given[q.Name]
		if !ok {
			v = q.Default
		}
		if v == nil {
			if !partial {
				wrong = append(wrong, fmt.Sprintf("parameter %q must be given", q.Name))
			}
			continue
		}
		got, err := q.accept(v)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("parameter %q %v", q.Name, err))
			continue
		}
		out[q.Name] = got
	}
	for _, name := range keysOf(given) {
		if !known[name] {
			wrong = append(wrong, fmt.Sprintf("the plan has no parameter %q", name))
		}
	}
	if len(wrong) > 0 {
		return out, errors.New(strings.Join(wrong, "; "))
	}
	return out, nil
}

type checker struct {
	reader
	p      *Plan
	w      World
	params map[string]any
	path   []*Plan // the plans around this one, and itself
}

func (c *checker) role(role Role) {
	if c.w.Inventory == nil {
		return
	}
	hosts, err := candidates(c.w, role)
	if err != nil {
		c.error(role.at, "see: tfwctl hosts", "role %q: %v", role.Name, err)
		return
	}
	n, err := wanted(role, scope{"params": c.params})
	if err == nil && n > len(hosts) {
		err = fmt.Errorf("wants %d hosts, %d fit", n, len(hosts))
	}
	if err != nil {
		c.error(role.at, "see: tfwctl hosts '"+role.Target+"'", "role %q: %v", role.Name, err)
		return
	}
	c.carries(role, hosts)
}

// carries reports steps whose plugin no host of their role declares.
func (c *checker) carries(role Role, hosts []*inventory.Host) {
	for _, s := range c.p.all() {
		if s.On != role.Name || s.Plugin == "" {
			continue
		}
		var without []string
		for _, h := range hosts {
			if !h.Has(s.Plugin) {
				without = append(without, h.Name)
			}
		}
		if len(without) > 0 {
			c.error(s.at, "add it under plugins: in the inventory, or narrow the role with where: '"+s.Plugin+"' in plugins", "step %q uses %s, which %s does not declare", s.Name, s.Plugin, inventory.Fold(without))
		}
	}
}

// candidates gives the hosts that could fill a role.
func candidates(w World, role Role) ([]*inventory.Host, error) {
	sel, err := w.Inventory.Select(inventory.Query{Target: role.Target, Where: role.Where, Facts: w.Facts})
	if err != nil {
		return nil, err
	}
	var usable []*inventory.Host
	for _, h := range sel.Hosts {
		if h.State == inventory.Active {
			usable = append(usable, h)
		}
	}
	if len(usable) == 0 {
		return nil, fmt.Errorf("none of its hosts is active: %s", inventory.Fold(namesOf(sel.Hosts)))
	}
	return usable, nil
}

func namesOf(hosts []*inventory.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

// wanted evaluates a role's count; 0 is all of them.
func wanted(role Role, env scope) (int, error) {
	if role.Count == nil {
		return 0, nil
	}
	got, err := render(role.Count, env)
	if err != nil {
		return 0, fmt.Errorf("count: %w", err)
	}
	f, ok := asNumber(got)
	if !ok || f < 1 || f != float64(int(f)) {
		return 0, fmt.Errorf("count: want a whole number of at least 1")
	}
	return int(f), nil
}

func (c *checker) method(s *Step) {
	m, err := c.w.Plugins.Method(s.Plugin, s.Method)
	if err != nil {
		fix := inventory.Hint(s.Plugin, c.w.Plugins.Names(), "the plugins are: "+strings.Join(c.w.Plugins.Names(), ", "))
		if p, unknown := c.w.Plugins.Plugin(s.Plugin); unknown == nil {
			fix = inventory.Hint(s.Method, methodNames(p), "its methods are: "+strings.Join(methodNames(p), ", "))
		}
		c.error(orNode(s.usesAt, s.at), fix, "step %q uses %s.%s, which is not there", s.Name, s.Plugin, s.Method)
		return
	}
	c.with(s, m)
	c.sameReport(s, m)
}

// sameReport refuses cells that run side by side on a host and write one report: each would read another's.
func (c *checker) sameReport(s *Step, m plugins.Method) {
	if s.Matrix == nil || s.Matrix.MaxParallel == 1 || s.Sync != "" || m.Needs.Exclusive || c.isolated(s.On) || len(s.Matrix.combine()) < 2 {
		return
	}
	with, _ := s.With.(fields)
	differs := func(v value) (yes bool) {
		walk(v, "", func(_ string, t *template) {
			for _, p := range t.parts {
				yes = yes || p.expr != nil && p.expr.names["matrix"]
			}
		})
		return yes
	}
	var report *field
	for i, f := range with {
		switch {
		case f.name == "cwd" && differs(f.value):
			return
		case f.name == "report" && f.value != "tap:-" && s.Plugin == "testcase":
			report = &with[i]
		}
	}
	if report != nil && !differs(report.value) {
		c.error(report.at, "name it after the cell (report-${{ matrix.AXIS }}.xml), or set max_parallel: 1 in the matrix, or isolation: exclusive for the hosts",
			"the cells of step %q run side by side on a host and write the same report", s.Name)
	}
}

func methodNames(p plugins.Plugin) (names []string) {
	for _, m := range p.Methods() {
		names = append(names, m.Name)
	}
	return names
}

// with checks a step's parameters against the method's schema. What an expression
// will give is not known yet: complaints about those places are left for the run.
func (c *checker) with(s *Step, m plugins.Method) {
	open, secret := map[string]bool{}, map[string]bool{}
	walk(s.With, "parameters", func(path string, t *template) {
		if secret[path] = c.p.secret(t) != ""; !secret[path] {
			open[path] = true
		}
	})
	sample, err := render(c.p.blank(s.With), scope{})
	if err != nil {
		return
	}
	raw, err := json.Marshal(sample)
	if err != nil {
		c.error(s.at, "", "step %q: with: %v", s.Name, err)
		return
	}
	if sample == nil {
		raw = []byte("{}")
	}
	for _, wrong := range parameterErrors(m.Parameters.Check(raw)) {
		if open[wrong.Location] {
			continue
		}
		at := nodeAt(s, wrong.Location)
		if secret[wrong.Location] {
			c.error(at, "give it to the command as env: {NAME: ...} or stdin", "step %q: with: %s: takes no sensitive parameter", s.Name, strings.TrimPrefix(wrong.Location, "parameters."))
			continue
		}
		where := strings.TrimPrefix(strings.TrimPrefix(wrong.Location, "parameters"), ".")
		if where != "" {
			where += ": "
		}
		c.error(at, "see: tfwctl plugins "+s.Plugin, "step %q: with: %s%s", s.Name, where, wrong.Message)
	}
}

// blank replaces expressions by a text, and sensitive parameters by a reference.
func (p *Plan) blank(v value) value {
	switch v := v.(type) {
	case *template:
		if p.secret(v) != "" {
			return fields{{name: "secret", value: "secret:x"}}
		}
		return "x"
	case []value:
		out := make([]value, len(v))
		for i := range v {
			out[i] = p.blank(v[i])
		}
		return out
	case fields:
		out := make(fields, len(v))
		for i, f := range v {
			out[i] = field{f.name, p.blank(f.value), f.at}
		}
		return out
	}
	return v
}

// parameterErrors takes a joined error apart.
func parameterErrors(err error) (all []plugins.ParameterError) {
	if err == nil {
		return nil
	}
	var one plugins.ParameterError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, parameterErrors(e)...)
		}
		return all
	}
	if errors.As(err, &one) {
		return []plugins.ParameterError{one}
	}
	return []plugins.ParameterError{{Location: "parameters", Message: err.Error()}}
}

// nodeAt finds the key that a location such as parameters.env.PATH names, or the step.
func nodeAt(s *Step, location string) (at *yaml.Node) {
	at = s.at
	v := s.With
	for _, name := range strings.Split(location, ".")[1:] {
		in, ok := v.(fields)
		if !ok {
			return at
		}
		found := false
		for _, f := range in {
			if f.name == name {
				at, v, found = f.at, f.value, true
			}
		}
		if !found {
			return at
		}
	}
	return at
}

func (c *checker) nested(s *Step) {
	text, ok := c.w.Files[s.Nested]
	switch {
	case c.w.whole.over:
		return
	case !ok:
		c.error(orNode(s.usesAt, s.at), "put it beside this plan", "step %q uses plan:%s, which is not there", s.Name, s.Nested)
		return
	case c.circle(text) != "":
		c.error(orNode(s.usesAt, s.at), "a plan cannot run itself: take one of these steps out", "step %q uses plan:%s, which is a cycle: %s", s.Name, s.Nested, c.circle(text))
		return
	case len(c.path) > maxNesting:
		c.error(s.at, "flatten the plans", "plans are nested deeper than %d", maxNesting)
		return
	}
	read := c.w.whole.file(s.Nested, text)
	inner, wrong := read.plan, read.problems
	if len(wrong) == 0 && !c.w.whole.within(inner) {
		c.error(orNode(s.usesAt, s.at), "use fewer plans, or a matrix", "step %q uses plan:%s: with the plans within it this one is over %d plans or %d steps", s.Name, s.Nested, maxWithin, maxWholeSteps)
		return
	}
	if len(wrong) == 0 {
		given := map[string]any{}
		if with, ok := s.With.(fields); ok {
			for _, f := range with {
				if t, open := f.value.(*template); !open || c.p.secret(t) != "" {
					given[f.name], _ = render(c.p.blank(f.value), scope{})
				}
			}
		}
		_ = errors.As(inner.check(c.w, given, c.path, false), &wrong) // it gives no others
	}
	c.problems = append(c.problems, wrong...)
}

// circle tells the files by which a text comes back to itself: "a.yaml uses b.yaml uses a.yaml", or "". It goes by the
// text and not by the name, which is another one for the plan that was given than for those within it.
func (c *checker) circle(text []byte) string {
	from := slices.IndexFunc(c.path, func(p *Plan) bool { return bytes.Equal(p.text, text) })
	if from < 0 {
		return ""
	}
	var files []string
	for _, p := range append(slices.Clone(c.path[from:]), c.path[from]) {
		files = append(files, p.file)
	}
	return strings.Join(files, " uses ")
}
