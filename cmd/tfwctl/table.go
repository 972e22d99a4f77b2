package main

import (
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// grid is a table for people: a head, rows, and columns that may be cut where
// the terminal is too narrow.
type grid struct {
	head  []string
	rows  [][]cell
	wide  int      // the column that gives way first
	wrap  bool     // it goes on in further lines instead of being cut: it holds what matters
	spare []string // columns left out, in this order, where there is no room even then
	firm  []string // columns that are not cut to little while there are spare ones: they tell rows apart, or mean nothing when cut
}

// cell is a text and the colour that means something, or "".
type cell struct{ text, colour string }

// shown is the text on one line, safe, and never empty.
func (c cell) shown() string {
	if shown := safe(c.text); shown != "" {
		return shown
	}
	return "-"
}

func plainRow(texts ...string) []cell {
	row := make([]cell, len(texts))
	for i, t := range texts {
		row[i] = cell{text: t}
	}
	return row
}

// without leaves out those of the columns named that say nothing in any row.
func (g grid) without(names ...string) grid {
	for _, name := range names {
		at := slices.Index(g.head, name)
		if at < 0 || slices.ContainsFunc(g.rows, func(row []cell) bool { return row[at].text != "" }) {
			continue
		}
		g = g.drop(at)
	}
	return g
}

func (g grid) drop(at int) grid {
	g.head = slices.Delete(slices.Clone(g.head), at, at+1)
	rows := g.rows
	g.rows = make([][]cell, len(rows))
	for i, row := range rows {
		g.rows[i] = slices.Delete(slices.Clone(row), at, at+1)
	}
	if at < g.wide {
		g.wide--
	}
	return g
}

// print writes the grid to f. What is piped is never cut.
func (g grid) print(a *app, f *os.File) error {
	limit := width(f)
	if limit > 0 {
		g = g.narrowed(limit)
	}
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.AppendHeader(pretty(plainRow(g.head...), nil))
	painted := a.painter(f)
	for _, row := range g.rows {
		t.AppendRow(pretty(row, painted))
	}
	if limit > 0 {
		t.SetColumnConfigs(g.fit(limit))
	}
	var b strings.Builder
	for line := range strings.SplitSeq(t.Render(), "\n") {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := f.WriteString(b.String())
	return err
}

func pretty(row []cell, painted func(code, text string) string) table.Row {
	out := make(table.Row, len(row))
	for i, c := range row {
		shown := c.shown()
		if c.colour != "" && painted != nil {
			shown = painted(c.colour, shown)
		}
		out[i] = shown
	}
	return out
}

// Widths that columns keep when they are cut.
const (
	leastWide  = 12 // of the column that gives way first
	leastWrap  = 20 // of one that goes on in further lines
	leastOther = 8
	leastFirm  = 24
	mostLines  = 6 // of such a column
)

// uncut are the columns that are of no use when they are cut: they are typed elsewhere, or say in a word how it went.
var uncut = []string{"RUN", "RUNS", "ID", "LEASE", "VERDICT", "STATE", "CHANGE", "TIME"}

// least is how narrow a column may become.
func (g grid) least(col, width int) int {
	switch {
	case slices.Contains(uncut, g.head[col]):
		return width
	case col != g.wide:
		return min(width, leastOther)
	case g.wrap:
		return min(width, leastWrap)
	}
	return min(width, leastWide)
}

// narrowed leaves spare columns out until rows of limit are possible.
func (g grid) narrowed(limit int) grid {
	for _, name := range g.spare {
		widths, _ := g.widths()
		total := -2
		for col, w := range widths {
			keep := g.least(col, w)
			if slices.Contains(g.firm, g.head[col]) {
				keep = min(w, leastFirm)
			}
			total += keep + 2
		}
		if total <= limit {
			break
		}
		if at := slices.Index(g.head, name); at >= 0 {
			g = g.drop(at)
		}
	}
	return g
}

// fit cuts columns so that rows are no longer than limit: the wide one first, then
// whichever is the widest. A terminal too narrow even for that wraps.
func (g grid) fit(limit int) []table.ColumnConfig {
	widths, total := g.widths()
	cut := map[int]bool{}
	for over := total - limit; over > 0; {
		col := g.wide
		if widths[col] <= g.least(col, widths[col]) {
			col = g.widest(widths)
		}
		by := min(over, widths[col]-g.least(col, widths[col]))
		if col != g.wide { // little by little, so that the widest columns share
			by = min(by, 1)
		}
		if by <= 0 {
			break
		}
		widths[col] -= by
		over -= by
		cut[col] = true
	}
	var configs []table.ColumnConfig
	for col := range cut {
		enforce := func(s string, n int) string { return text.Snip(s, n, "…") }
		if g.head[col] == "TREND" { // the newest is the last
			enforce = lastOf
		}
		if g.wrap && col == g.wide {
			enforce = func(s string, n int) string { return text.WrapSoft(text.Snip(s, mostLines*n, "…"), n) }
		}
		configs = append(configs, table.ColumnConfig{Number: col + 1, WidthMax: widths[col], WidthMaxEnforcer: enforce})
	}
	return configs
}

// lastOf cuts a text of ASCII at its beginning.
func lastOf(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "…" + s[len(s)-n+1:]
}

// widths are what the columns take, without what is between them; total is with it.
func (g grid) widths() (widths []int, total int) {
	widths = make([]int, len(g.head))
	for i := range widths {
		widths[i] = text.RuneWidthWithoutEscSequences(g.head[i])
		for _, row := range g.rows {
			widths[i] = max(widths[i], text.RuneWidthWithoutEscSequences(row[i].shown()))
		}
		total += widths[i] + 2
	}
	return widths, total - 2
}

// widest is the widest of the other columns that may become narrower.
func (g grid) widest(widths []int) int {
	best := -1
	for i, w := range widths {
		if i != g.wide && w > g.least(i, w) && (best < 0 || w > widths[best]) {
			best = i
		}
	}
	return max(best, 0)
}
