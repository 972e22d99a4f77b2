package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"tfw/executor"
)

var nameForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// named refuses names that expressions could not mention.
func (r *reader) named(k *yaml.Node, what string) bool {
	if nameForm.MatchString(k.Value) {
		return true
	}
	r.error(k, "use letters, digits and _, so that expressions can say it", "%q is no name for %s", k.Value, what)
	return false
}

var types = []string{"string", "integer", "number", "boolean", "list", "map"}

func (r *reader) parameters(n *yaml.Node) (all []Parameter) {
	r.pairs(n, "parameters", func(k, v *yaml.Node) {
		if !r.named(k, "a parameter") {
			return
		}
		p, before := Parameter{Name: k.Value, Type: "string", at: k}, len(r.problems)
		r.each(v, "parameter "+k.Value, map[string]func(k, v *yaml.Node){
			"type": func(_, v *yaml.Node) {
				if p.Type = r.text(v); !slices.Contains(types, p.Type) {
					r.error(v, "the types are: "+strings.Join(types, ", "), "unknown type %q", p.Type)
				}
			},
			"description": func(_, v *yaml.Node) { p.Summary = r.text(v) },
			"default":     func(_, v *yaml.Node) { p.Default = r.plain(v) },
			"pattern": func(_, v *yaml.Node) {
				p.Pattern = r.text(v)
				if _, err := regexp.Compile(p.Pattern); err != nil {
					r.error(v, "see https://pkg.go.dev/regexp/syntax", "the pattern is no regular expression: %v", err)
				}
			},
			"choices":   func(_, v *yaml.Node) { p.Choices, _ = r.plain(v).([]any) },
			"min":       func(_, v *yaml.Node) { f := r.number(v); p.Min = &f },
			"max":       func(_, v *yaml.Node) { f := r.number(v); p.Max = &f },
			"sensitive": func(_, v *yaml.Node) { p.Sensitive = r.boolean(v) },
		})
		if p.Default != nil && before == len(r.problems) {
			if _, err := p.accept(p.Default); err != nil {
				r.error(k, "mend the default, or the rule", "the default of %s: %v", p.Name, err)
			}
		}
		all = append(all, p)
	})
	return all
}

func (r *reader) roles(n *yaml.Node) (all []Role) {
	r.pairs(n, "hosts", func(k, v *yaml.Node) {
		if !r.named(k, "a role") {
			return
		}
		role := Role{Name: k.Value, at: k}
		if v := r.real(v); v.Kind == yaml.ScalarNode {
			role.Target = r.text(v)
		} else {
			r.each(v, "role "+k.Value, map[string]func(k, v *yaml.Node){
				"target": func(_, v *yaml.Node) { role.Target = r.text(v) },
				"where":  func(_, v *yaml.Node) { role.Where = r.text(v) },
				"count":  func(_, v *yaml.Node) { role.Count = r.value(v, 0) },
			})
		}
		if role.Target == "" {
			r.error(k, "write target: GROUP or a pattern", "role %q has no target", k.Value)
		}
		all = append(all, role)
	})
	return all
}

func (r *reader) steps(p *Plan, n *yaml.Node, where string) (all []*Step) {
	r.pairs(n, where, func(k, v *yaml.Node) {
		if !r.named(k, "a step") {
			return
		}
		if p.byName[k.Value] != nil {
			r.error(k, "give it another name", "step %q is there already", k.Value)
			return
		}
		s := r.step(k, v)
		p.byName[s.Name] = s
		all = append(all, s)
	})
	if len(all) > maxSteps {
		r.error(n, "split the plan, or use a matrix", "%d steps, at most %d", len(all), maxSteps)
	}
	return all
}

func (r *reader) step(k, v *yaml.Node) *Step {
	s, before := &Step{Name: k.Value, at: k, refs: map[string]bool{}}, len(r.problems)
	r.each(v, "step "+k.Value, map[string]func(k, v *yaml.Node){
		"uses":          func(_, v *yaml.Node) { r.uses(s, v) },
		"on":            func(_, v *yaml.Node) { s.On, s.onAt = r.text(v), v },
		"with":          func(_, v *yaml.Node) { s.With = r.value(v, 0) },
		"needs":         func(_, v *yaml.Node) { s.Needs, s.needsAt = r.texts(v), itemsOf(v) },
		"when":          func(_, v *yaml.Node) { s.whenAt = r.real(v); s.When, s.whenOffset = r.when(v) },
		"retry":         func(_, v *yaml.Node) { s.Retry = r.retry(v) },
		"serial":        func(_, v *yaml.Node) { s.Serial = r.texts(v); r.options(v, executor.Options{Serial: s.Serial}) },
		"max_fail":      func(_, v *yaml.Node) { s.MaxFail = r.text(v); r.options(v, executor.Options{MaxFail: s.MaxFail}) },
		"matrix":        func(_, v *yaml.Node) { s.Matrix = r.matrix(v) },
		"timeout":       func(_, v *yaml.Node) { s.Timeout = r.duration(v) },
		"silence":       func(_, v *yaml.Node) { s.Silence = r.duration(v) },
		"per_host":      func(_, v *yaml.Node) { s.PerHost = r.boolean(v) },
		"allow_failure": func(_, v *yaml.Node) { s.AllowFailure = r.boolean(v) },
		"sync":          func(_, v *yaml.Node) { s.Sync = r.sync(s, v) },
	})
	if s.Nested != "" {
		r.outer(s, v)
	}
	s.broken = len(r.problems) > before
	if s.Plugin == "" && s.Nested == "" && !s.broken {
		r.error(k, "write uses: PLUGIN.METHOD", "step %q does not say what it uses", s.Name)
	}
	return s
}

// options refuses what the executor would refuse when the step begins.
func (r *reader) options(v *yaml.Node, o executor.Options) {
	if err := o.Check(); err != nil {
		r.error(v, "", "%v", err)
	}
}

// outer refuses keys that mean nothing to a plan within this one.
func (r *reader) outer(s *Step, v *yaml.Node) {
	r.pairs(v, "step "+s.Name, func(k, _ *yaml.Node) {
		switch k.Value {
		case "on", "serial", "max_fail", "matrix", "retry", "per_host", "silence":
			r.error(k, "put it on steps of "+s.Nested, "step %q runs a plan: %s has no meaning here", s.Name, k.Value)
		}
	})
}

func (r *reader) uses(s *Step, v *yaml.Node) {
	text := r.text(v)
	s.usesAt = v
	if file, ok := strings.CutPrefix(text, "plan:"); ok {
		s.Nested = file
		return
	}
	plugin, method, ok := strings.Cut(text, ".")
	if !ok || plugin == "" || method == "" {
		r.error(v, "write PLUGIN.METHOD such as testcase.run, or plan:FILE", "%q is no method", text)
		return
	}
	s.Plugin, s.Method = plugin, method
}

// when takes an expression with or without ${{ }} around it, and tells where in the text it begins.
func (r *reader) when(v *yaml.Node) (*expression, int) {
	whole := r.text(v)
	text := strings.TrimSpace(whole)
	if inner, ok := strings.CutPrefix(text, "${{"); ok && strings.HasSuffix(inner, "}}") {
		text = strings.TrimSuffix(inner, "}}")
	}
	offset := max(strings.Index(whole, text), 0)
	return r.expression(r.real(v), text, offset), offset
}

// itemsOf gives the values of a list, or the one that stands for it.
func itemsOf(v *yaml.Node) []*yaml.Node {
	if v.Kind == yaml.SequenceNode {
		return v.Content
	}
	return []*yaml.Node{v}
}

func (r *reader) retry(v *yaml.Node) Retry {
	t := Retry{On: []executor.Verdict{executor.Errored, executor.TimedOut}, Factor: 2}
	if v := r.real(v); v.Kind == yaml.ScalarNode {
		t.Limit = r.integer(v, 0, 100)
		return t
	}
	r.each(v, "retry", map[string]func(k, v *yaml.Node){
		"limit": func(_, v *yaml.Node) { t.Limit = r.integer(v, 0, 100) },
		"on": func(_, v *yaml.Node) {
			t.On = nil
			for _, text := range r.texts(v) {
				verdict := executor.Verdict(text)
				if !slices.Contains([]executor.Verdict{executor.Failed, executor.Errored, executor.TimedOut}, verdict) {
					r.error(v, "retry on failed, errored or timed_out", "%q is no verdict to retry on", text)
				}
				t.On = append(t.On, verdict)
			}
		},
		"backoff": func(_, v *yaml.Node) { t.Backoff = r.duration(v) },
		"factor": func(_, v *yaml.Node) {
			if t.Factor = r.number(v); t.Factor < 1 || t.Factor > 100 {
				r.error(v, "", "want a factor from 1 to 100")
			}
		},
		"max": func(_, v *yaml.Node) { t.Max = r.duration(v) },
	})
	return t
}

func (r *reader) matrix(n *yaml.Node) *Matrix {
	m := &Matrix{}
	r.pairs(n, "matrix", func(k, v *yaml.Node) {
		switch k.Value {
		case "include":
			m.Include = r.rows(v)
		case "exclude":
			m.Exclude = r.rows(v)
		case "fail_fast":
			m.FailFast = r.boolean(v)
		case "max_parallel":
			m.MaxParallel = r.integer(v, 1, 10000)
		default:
			if !r.named(k, "a matrix axis") {
				return
			}
			values, ok := r.plain(v).([]any)
			if !ok || len(values) == 0 {
				r.error(v, "write [a, b]", "axis %q wants a list of values", k.Value)
				return
			}
			m.Axes = append(m.Axes, Axis{k.Value, values})
		}
	})
	cells := 1
	for _, a := range m.Axes {
		cells = min(cells*len(a.Values), maxCells+1)
	}
	if cells+len(m.Include) > maxCells { // the rows of include are more, or are held against each
		r.error(n, "split the step, or take values out", "the matrix has more than %d cells", maxCells)
		return m
	}
	if len(m.Axes) == 0 && len(m.Include) == 0 {
		r.error(n, "write an axis such as suite: [net, disk]", "the matrix has no axis")
	}
	return m
}

func (r *reader) rows(n *yaml.Node) (out []map[string]any) {
	list, ok := r.plain(n).([]any)
	for _, one := range list {
		row, isMap := one.(map[string]any)
		if !isMap {
			ok = false
			continue
		}
		out = append(out, row)
	}
	if !ok {
		r.error(n, "write [{axis: value}]", "want a list of maps")
	}
	return out
}

// accept checks a parameter's value and gives it in the type's form.
func (p Parameter) accept(v any) (any, error) {
	if p.Sensitive {
		return p.reference(v)
	}
	v, err := p.typed(v)
	if err != nil {
		return nil, err
	}
	if text, ok := v.(string); ok && p.Pattern != "" {
		if !regexp.MustCompile(`^(?:` + p.Pattern + `)$`).MatchString(text) {
			return nil, fmt.Errorf("does not fit the pattern %s", p.Pattern)
		}
	}
	if len(p.Choices) > 0 && !slices.ContainsFunc(p.Choices, func(c any) bool { return same(c, v) }) {
		return nil, fmt.Errorf("is none of the choices %v", p.Choices)
	}
	if f, ok := asNumber(v); ok && (p.Min != nil && f < *p.Min || p.Max != nil && f > *p.Max) {
		return nil, fmt.Errorf("is out of bounds (min %s, max %s)", bound(p.Min), bound(p.Max))
	}
	return v, nil
}

func bound(f *float64) string {
	if f == nil {
		return "none"
	}
	return fmt.Sprint(*f)
}

func asNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func same(a, b any) bool {
	x, xn := asNumber(a)
	y, yn := asNumber(b)
	if xn && yn {
		return x == y
	}
	return fmt.Sprintf("%T %v", a, a) == fmt.Sprintf("%T %v", b, b)
}

// typed converts what JSON and YAML may both have made of a value.
func (p Parameter) typed(v any) (any, error) {
	wrong := fmt.Errorf("want a %s", p.Type)
	switch p.Type {
	case "string":
		if s, ok := v.(string); ok {
			return s, nil
		}
	case "integer":
		if f, ok := asNumber(v); ok && f == float64(int(f)) {
			return int(f), nil
		}
		wrong = fmt.Errorf("want a whole number")
	case "number":
		if f, ok := asNumber(v); ok {
			return f, nil
		}
	case "boolean":
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case "list":
		if l, ok := v.([]any); ok {
			return l, nil
		}
	case "map":
		if m, ok := v.(map[string]any); ok {
			return m, nil
		}
	}
	return nil, wrong
}
