package plan

import (
	"fmt"
	"slices"
	"strings"

	"tfw/executor"
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

// Drawing is the graph of a plan, or of a test plan with how far it is.
type Drawing struct {
	Name  string
	Parts []DrawnPart // steps, on failure, finally: those that there are
}

// DrawnPart is a graph of its own, after the one before.
type DrawnPart struct {
	Name  string // "steps", "on_failure" or "finally"
	Nodes []DrawnStep
}

// DrawnStep is a node. Edges that others imply are left out of After.
type DrawnStep struct {
	Name, Caption string
	Verdict       executor.Verdict // "" where it has none
	Running       bool
	After         []string
}

// Drawing is the plan's graph.
func (p *Plan) Drawing() Drawing {
	d := Drawing{Name: p.Name}
	for _, g := range []struct {
		name  string
		steps []*Step
	}{{"steps", p.Steps}, {"on_failure", p.OnFailure}, {"finally", p.Finally}} {
		var nodes []DrawnStep
		for _, s := range g.steps {
			nodes = append(nodes, DrawnStep{Name: s.Name, Caption: s.caption(), After: s.deps})
		}
		d.add(g.name, nodes)
	}
	return d
}

// Drawing is the test plan's graph, as it stands.
func (t *TestPlan) Drawing() Drawing {
	d := Drawing{Name: t.Name}
	for _, part := range []string{"", "on_failure", "finally"} {
		var nodes []DrawnStep
		for _, s := range t.Steps {
			if s.Part != part {
				continue
			}
			node := DrawnStep{Name: s.Name, Caption: s.Uses, Verdict: s.Verdict, Running: s.State == executor.Running, After: s.After}
			if s.On != "" {
				node.Caption += " on " + s.On
			}
			nodes = append(nodes, node)
		}
		if part == "" {
			part = "steps"
		}
		d.add(part, nodes)
	}
	return d
}

func (d *Drawing) add(name string, nodes []DrawnStep) {
	if len(nodes) > 0 {
		d.Parts = append(d.Parts, DrawnPart{name, reduced(nodes)})
	}
}

// ranked gives each node's place by name, and its rank: one more than the highest of those before it. Nodes of a cycle have none.
func ranked(nodes []DrawnStep) (at map[string]int, rank []int, order []int) {
	at, rank = make(map[string]int, len(nodes)), make([]int, len(nodes))
	for i, n := range nodes {
		at[n.Name] = i
	}
	left, then := make([]int, len(nodes)), make([][]int, len(nodes))
	for i, n := range nodes {
		for _, d := range n.After {
			if j, ok := at[d]; ok {
				left[i]++
				then[j] = append(then[j], i)
			}
		}
		if left[i] == 0 {
			order = append(order, i)
		}
	}
	for k := 0; k < len(order); k++ {
		for _, next := range then[order[k]] {
			rank[next] = max(rank[next], rank[order[k]]+1)
			if left[next]--; left[next] == 0 {
				order = append(order, next)
			}
		}
	}
	return at, rank, order
}

// reduced leaves out the edges that others imply (the transitive reduction).
func reduced(nodes []DrawnStep) []DrawnStep {
	at, rank, order := ranked(nodes)
	words := (len(nodes) + 63) / 64
	before := make([][]uint64, len(nodes)) // all that a node comes after, as bits
	out := slices.Clone(nodes)
	for _, i := range order {
		before[i] = make([]uint64, words)
		deps := make([]int, 0, len(nodes[i].After))
		for _, d := range nodes[i].After {
			if j, ok := at[d]; ok {
				deps = append(deps, j)
			}
		}
		byRank := slices.Clone(deps)
		slices.SortStableFunc(byRank, func(a, b int) int { return rank[b] - rank[a] })
		kept := map[int]bool{}
		for _, j := range byRank { // the latest first: they imply the earlier ones
			if before[i][j/64]&(1<<(j%64)) == 0 {
				kept[j] = true
				before[i][j/64] |= 1 << (j % 64)
				for w, bits := range before[j] {
					before[i][w] |= bits
				}
			}
		}
		out[i].After = nil
		for _, j := range deps {
			if kept[j] {
				out[i].After = append(out[i].After, nodes[j].Name)
				kept[j] = false
			}
		}
	}
	return out
}

// Mermaid draws the graph for https://mermaid.js.org. Steps of on_failure and
// finally are boxes of their own, after all others.
func (d Drawing) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	last := ""
	for _, part := range d.Parts {
		title := strings.ReplaceAll(part.Name, "_", " ")
		if part.Name == "steps" {
			title = d.Name
		}
		fmt.Fprintf(&b, "  subgraph group_%s[\"%s\"]\n", part.Name, mermaidText(title))
		for _, s := range part.Nodes {
			fmt.Fprintf(&b, "    step_%s[\"%s<br/>%s\"]%s\n", s.Name, s.Name, mermaidText(s.Caption), map[bool]string{true: ":::" + string(s.Verdict)}[s.Verdict != ""])
		}
		b.WriteString("  end\n")
		if last != "" {
			fmt.Fprintf(&b, "  group_%s -.-> group_%s\n", last, part.Name)
		}
		last = part.Name
	}
	coloured := map[executor.Verdict]bool{}
	for _, part := range d.Parts {
		for _, s := range part.Nodes {
			coloured[s.Verdict] = true
			for _, dep := range s.After {
				fmt.Fprintf(&b, "  step_%s --> step_%s\n", dep, s.Name)
			}
		}
	}
	for _, v := range keysOf(verdictFill) {
		if coloured[executor.Verdict(v)] {
			fmt.Fprintf(&b, "  classDef %s fill:%s\n", v, verdictFill[v])
		}
	}
	return b.String()
}

// verdictFill is the colour of a step's box by its verdict.
var verdictFill = map[string]string{"passed": "#c8ebd0", "failed": "#f7c6c5", "errored": "#f2b0c8", "timed_out": "#f8e0a8", "cancelled": "#f8e0a8", "skipped": "#e6e6e6"}

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
	if s.When != nil {
		text += " when " + strings.TrimSpace(s.When.text)
	}
	return text
}

// mermaidText makes a text safe within quotes of a Mermaid label.
func mermaidText(text string) string {
	return strings.NewReplacer("&", "#amp;", "\"", "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ", "\r", " ", "#", "#35;", "`", "#96;").Replace(text)
}
