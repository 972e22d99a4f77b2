package plan

import (
	"strings"

	"tfw/executor"
)

// TextLine is a line of a graph for a terminal.
type TextLine struct {
	Tree    string // what stands before the name
	Name    string
	Caption string
	Verdict executor.Verdict
	Running bool
	Title   bool // of a part
}

// maxIndent bounds how far a tree goes to the right: in columns.
const maxIndent = 40

// Lines draw the graph as a tree: a step stands below the last one that it comes after. A chain goes straight down.
// ascii takes no other characters than those of ASCII.
func (d Drawing) Lines(ascii bool) (lines []TextLine) {
	marks := treeMarks{"↓ ", "├─ ", "└─ ", "│  ", "   "}
	if ascii {
		marks = treeMarks{"v ", "|- ", "`- ", "|  ", "   "}
	}
	for _, part := range d.Parts {
		if len(d.Parts) > 1 {
			lines = append(lines, TextLine{Name: strings.ReplaceAll(part.Name, "_", " ") + ":", Title: true})
		}
		t := textTree{nodes: part.Nodes, below: make([][]int, len(part.Nodes)), above: make([]int, len(part.Nodes)), marks: marks}
		lines = append(lines, t.draw()...)
	}
	return lines
}

type treeMarks struct{ chain, branch, last, bar, gap string }

type textTree struct {
	nodes []DrawnStep
	below [][]int // those that stand below a node
	above []int
	marks treeMarks
	lines []TextLine
}

func (t *textTree) draw() []TextLine {
	at, rank, order := ranked(t.nodes)
	var roots []int
	placed := make([]bool, len(t.nodes))
	for _, i := range order {
		placed[i] = true
		best := -1
		for _, d := range t.nodes[i].After {
			if j, ok := at[d]; ok && (best < 0 || rank[j] > rank[best]) {
				best = j
			}
		}
		if t.above[i] = best; best < 0 {
			roots = append(roots, i)
		} else {
			t.below[best] = append(t.below[best], i)
		}
	}
	for i := range t.nodes {
		if !placed[i] { // of a cycle: only a plan that was not checked has one
			t.above[i] = -1
			roots = append(roots, i)
		}
	}
	for _, i := range roots {
		t.walk(i, "", "")
	}
	return t.lines
}

// walk draws a node and what is below it. A chain is walked in a loop: it may be as long as the plan.
func (t *textTree) walk(i int, prefix, mark string) {
	for {
		n := t.nodes[i]
		line := TextLine{Tree: prefix + mark, Name: n.Name, Caption: n.Caption, Verdict: n.Verdict, Running: n.Running}
		var also []string
		for _, d := range n.After {
			if t.above[i] < 0 || d != t.nodes[t.above[i]].Name {
				also = append(also, d)
			}
		}
		if len(also) > 3 {
			also = append(also[:3], "...")
		}
		if len(also) > 0 {
			line.Caption += ", also after " + strings.Join(also, ", ")
		}
		t.lines = append(t.lines, line)
		switch mark {
		case t.marks.branch:
			prefix += t.marks.bar
		case t.marks.last:
			prefix += t.marks.gap
		}
		if len([]rune(prefix)) > maxIndent {
			prefix = string([]rune(prefix)[:maxIndent])
		}
		if len(t.below[i]) != 1 {
			break
		}
		i, mark = t.below[i][0], t.marks.chain
	}
	for k, next := range t.below[i] {
		mark := t.marks.branch
		if k == len(t.below[i])-1 {
			mark = t.marks.last
		}
		t.walk(next, prefix, mark)
	}
}
