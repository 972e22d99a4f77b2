package plan

import (
	"fmt"
	"slices"
	"strings"
)

// After gives the steps that must be over before this one begins: what it needs and what it refers to.
func (s *Step) After() []string { return slices.Clone(s.deps) }

// Uses is what the step runs, PLUGIN.METHOD or plan:FILE.
func (s *Step) Uses() string { return s.uses() }

// Files names the plans that steps use, each once, as they are written.
func (p *Plan) Files() (names []string) {
	for _, s := range p.all() {
		if s.Nested != "" && !slices.Contains(names, s.Nested) {
			names = append(names, s.Nested)
		}
	}
	return names
}

// Mermaid draws the graph for https://mermaid.js.org. Steps of on_failure and
// finally are boxes of their own, after all others.
func (p *Plan) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	groups := []struct {
		name, title string
		steps       []*Step
	}{{"steps", mermaidText(p.Name), p.Steps}, {"on_failure", "on failure", p.OnFailure}, {"finally", "finally", p.Finally}}
	last := ""
	for _, g := range groups {
		if len(g.steps) == 0 {
			continue
		}
		fmt.Fprintf(&b, "  subgraph group_%s[\"%s\"]\n", g.name, g.title)
		for _, s := range g.steps {
			fmt.Fprintf(&b, "    step_%s[\"%s<br/>%s\"]\n", s.Name, s.Name, mermaidText(s.caption()))
		}
		b.WriteString("  end\n")
		if last != "" {
			fmt.Fprintf(&b, "  group_%s -.-> group_%s\n", last, g.name)
		}
		last = g.name
	}
	for _, s := range p.all() {
		for _, d := range s.deps {
			fmt.Fprintf(&b, "  step_%s --> step_%s\n", d, s.Name)
		}
	}
	return b.String()
}

// caption tells what a step runs where.
func (s *Step) caption() string {
	text := s.uses()
	if s.On != "" {
		text += " on " + s.On
	}
	if s.Matrix != nil {
		var axes []string
		for _, a := range s.Matrix.Axes {
			axes = append(axes, a.Name)
		}
		text += " by " + strings.Join(axes, " x ")
	}
	return text
}

// mermaidText makes a text safe within quotes of a Mermaid label.
func mermaidText(text string) string {
	return strings.NewReplacer("&", "#amp;", "\"", "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ", "\r", " ", "#", "#35;").Replace(text)
}
