package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Rows fit every terminal that has room for the least widths; what fits is not cut.
func TestTablesFit(t *testing.T) {
	g := grid{head: []string{"NAME", "ADDRESS", "GROUPS", "STATE", "REASON"}, wide: 4}
	g.rows = append(g.rows, plainRow("build01.lab.example", "127.1.0.2:43589", "builders,lab,everything", "active", "-"),
		plainRow("dut01", "127.1.0.3:22", "duts", "maintenance", strings.Repeat("a long story ", 9)))
	for _, limit := range []int{60, 72, 80, 100, 120, 400} {
		widths, total := g.widths()
		for _, c := range g.fit(limit) {
			total -= widths[c.Number-1] - c.WidthMax
		}
		if total > limit {
			t.Errorf("%d columns for a terminal of %d", total, limit)
		}
	}
	if cut := g.fit(400); len(cut) != 0 {
		t.Errorf("there is room, and yet %v is cut", cut)
	}
	if cut := g.fit(120); len(cut) != 1 || cut[0].Number != 5 {
		t.Errorf("want the reason alone to give way, got %v", cut)
	}
	for _, limit := range []int{1, 10, 30} { // no room: it ends all the same
		if cut := g.fit(limit); !slices.ContainsFunc(cut, func(c table.ColumnConfig) bool { return c.WidthMax == leastOther }) {
			t.Errorf("nothing is cut at %d", limit)
		}
	}
	if got := text.Snip("reason", 3, "…"); got != "re…" {
		t.Errorf("got %q", got)
	}
}
