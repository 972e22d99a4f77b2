package plan

import (
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"tfw/inventory"
)

// expressions calls fn for each one of the plan: the step whose with it is in (nil for any other place), where it stands, and at which byte.
func (p *Plan) expressions(fn func(with *Step, at *yaml.Node, x *expression, offset int)) {
	in := func(s *Step, v value) {
		walk(v, "", func(_ string, t *template) {
			for _, part := range t.parts {
				if part.expr != nil {
					fn(s, t.at, part.expr, part.offset)
				}
			}
		})
	}
	for _, role := range p.Roles {
		in(nil, role.Count)
	}
	for _, s := range p.all() {
		if in(s, s.With); s.When != nil {
			fn(nil, s.whenAt, s.When, s.whenOffset)
		}
	}
	for _, o := range p.outputs {
		in(nil, o.value)
	}
}

// bombs refuses expressions that would go on for ever, or fill the memory.
func (c *checker) bombs() {
	env := scope{"params": c.p.shown(c.params), "env": anyMap(c.p.Env)}
	c.p.expressions(func(s *Step, at *yaml.Node, x *expression, offset int) {
		around := env
		if s != nil && s.Matrix != nil && x.names["matrix"] {
			around = scope{"params": env["params"], "env": env["env"], "matrix": s.Matrix.largest()}
		}
		if over := x.measure(around, &c.w.whole.patience); over != nil {
			c.errorAt(at, offset+over.column, "make its lists and texts smaller, or work it out on a host", "the expression cannot be evaluated: %s", over.text)
		}
	})
}

func anyMap(texts map[string]string) map[string]any {
	out := make(map[string]any, len(texts))
	for k, v := range texts {
		out[k] = v
	}
	return out
}

// outputs refuses mentions of outputs that a method, or a plan within this one, does not have.
func (c *checker) outputs() {
	c.p.expressions(func(_ *Step, at *yaml.Node, x *expression, offset int) {
		for _, ref := range x.refs {
			of := c.p.byName[ref.name]
			if ref.of != "steps" || ref.then != "outputs" || ref.last == "" || of == nil || x.lets["steps"] {
				continue
			}
			known, ok := c.outputsOf(of)
			if !ok || slices.Contains(known, ref.last) {
				continue
			}
			list := "it has none"
			if len(known) > 0 {
				list = "its outputs are: " + strings.Join(known, ", ")
			}
			c.errorAt(at, offset+ref.column, inventory.Hint(ref.last, known, list), "steps.%s.outputs.%s: %s has no such output", ref.name, ref.last, of.uses())
		}
	})
}

// outputsOf names what a step may give, where that is fixed.
func (c *checker) outputsOf(s *Step) (names []string, fixed bool) {
	if s.Nested != "" {
		inner := c.w.whole.file(s.Nested, c.w.Files[s.Nested]).plan
		if inner == nil {
			return nil, false
		}
		for _, o := range inner.outputs {
			names = append(names, o.name)
		}
		return names, true
	}
	m, err := c.w.Plugins.Method(s.Plugin, s.Method)
	if err != nil || m.Outputs == nil {
		return nil, false
	}
	doc, err := m.Outputs.MarshalJSON()
	var schema struct {
		Properties map[string]any `json:"properties"`
		More       any            `json:"additionalProperties"`
	}
	if err != nil || json.Unmarshal(doc, &schema) != nil || schema.More != false {
		return nil, false
	}
	return keysOf(schema.Properties), true
}
