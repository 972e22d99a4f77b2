package main

import (
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"tfw/cmd/tfwctl/lines"
)

// grid is a table for people: a head, rows, and columns that may be cut where
// the terminal is too narrow.
type grid struct {
	head []string
	rows [][]cell
	wide int // the column that gives way first
}

// cell is a text and the colour that means something, or "".
type cell struct{ text, colour string }

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
		g.head = slices.Delete(slices.Clone(g.head), at, at+1)
		for i, row := range g.rows {
			g.rows[i] = slices.Delete(row, at, at+1)
		}
		if at < g.wide {
			g.wide--
		}
	}
	return g
}

// print writes the grid to f. What is piped is never cut.
func (g grid) print(a *app, f *os.File) error {
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
	if limit := width(f); limit > 0 {
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
		shown := string(lines.Safe([]byte(strings.ReplaceAll(c.text, "\n", " "))))
		if shown == "" {
			shown = "-"
		}
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
	leastOther = 8
)

// fit cuts columns so that rows are no longer than limit: the wide one first, then
// whichever is the widest. A terminal too narrow even for that wraps.
func (g grid) fit(limit int) []table.ColumnConfig {
	widths, total := g.widths()
	cut := map[int]bool{}
	for over := total - limit; over > 0; {
		col, least := g.wide, leastWide
		if widths[col] <= least {
			col, least = widest(widths, g.wide), leastOther
		}
		by := min(over, widths[col]-least)
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
		configs = append(configs, table.ColumnConfig{
			Number: col + 1, WidthMax: widths[col],
			WidthMaxEnforcer: func(s string, n int) string { return text.Snip(s, n, "…") },
		})
	}
	return configs
}

// widths are what the columns take, without what is between them; total is with it.
func (g grid) widths() (widths []int, total int) {
	widths = make([]int, len(g.head))
	for i := range widths {
		widths[i] = text.RuneWidthWithoutEscSequences(g.head[i])
		for _, row := range g.rows {
			widths[i] = max(widths[i], text.RuneWidthWithoutEscSequences(row[i].text))
		}
		total += widths[i] + 2
	}
	return widths, total - 2
}

func widest(widths []int, but int) int {
	best := -1
	for i, w := range widths {
		if i != but && (best < 0 || w > widths[best]) {
			best = i
		}
	}
	return max(best, 0)
}
