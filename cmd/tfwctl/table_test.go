package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"tfw/executor"
	testplan "tfw/plan"
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
	cut := g.fit(30)
	if at := slices.IndexFunc(cut, func(c table.ColumnConfig) bool { return c.Number == 4 }); at >= 0 {
		t.Errorf("STATE is cut to %d", cut[at].WidthMax)
	}
	if got := text.Snip("reason", 3, "…"); got != "re…" {
		t.Errorf("got %q", got)
	}
}

// What tells rows apart is not cut while a column that matters less is there.
func TestSpareColumnsGoFirst(t *testing.T) {
	plan := &testplan.TestPlan{Hosts: map[string][]string{"dut": {"dut01", "dut02"}}, Steps: []testplan.StepState{{Name: "suites", Uses: "testcase.run", On: "dut", State: executor.Done, Verdict: executor.Passed}}}
	for _, cell := range []string{"suite=network,size=1", "suite=network,size=2"} {
		plan.Steps[0].Cells = append(plan.Steps[0].Cells, testplan.CellState{Cell: cell, Runs: []executor.RunID{"cc5vteg45xwe"}, Verdict: executor.Passed, Hosts: map[string]executor.Verdict{"dut01": executor.Passed}})
	}
	for limit, want := range map[int]string{80: "STEP HOSTS VERDICT TOOK RUNS REASON", 100: "STEP USES HOSTS VERDICT TOOK RUNS REASON"} {
		g := stepGrid(plan).narrowed(limit)
		if got := strings.Join(g.head, " "); got != want {
			t.Errorf("%d: %s, want %s", limit, got, want)
		}
		if cut := g.fit(limit); len(cut) > 0 {
			t.Errorf("%d: %+v is cut", limit, cut)
		}
	}
}

// Of a trend the newest is what matters.
func TestTrendsKeepTheirEnd(t *testing.T) {
	g := grid{head: []string{"CASE", "TREND", "WHY"}, wide: 2}
	g.rows = append(g.rows, plainRow("boot", strings.Repeat(".", 29)+"F", strings.Repeat("why ", 20)))
	cut := g.fit(40)
	at := slices.IndexFunc(cut, func(c table.ColumnConfig) bool { return c.Number == 2 })
	if at < 0 {
		t.Fatalf("%v", cut)
	}
	c := cut[at]
	if got := c.WidthMaxEnforcer(g.rows[0][1].text, c.WidthMax); !strings.HasPrefix(got, "…..") || !strings.HasSuffix(got, ".F") || text.RuneWidthWithoutEscSequences(got) != c.WidthMax {
		t.Errorf("%q for %d columns", got, c.WidthMax)
	}
	if got := c.WidthMaxEnforcer("TREND", c.WidthMax); got != "TREND" {
		t.Errorf("%q", got)
	}
}

// Where there is no room the spare columns go, in their order; what matters goes on in further lines.
func TestNarrowTables(t *testing.T) {
	g := grid{head: []string{"STEP", "USES", "HOSTS", "VERDICT", "TOOK", "RUNS", "REASON"}, wide: 6, wrap: true, spare: []string{"USES", "TOOK"}}
	g.rows = append(g.rows, plainRow("flash", "deploy.install", "dut[01-24,30,77]", "timed_out", "1h12m", "cc5vteg45xwe", strings.Repeat("the host did not come back; ", 3)))
	for limit, want := range map[int]string{200: "STEP USES HOSTS VERDICT TOOK RUNS REASON", 76: "STEP HOSTS VERDICT TOOK RUNS REASON", 66: "STEP HOSTS VERDICT RUNS REASON"} {
		if got := strings.Join(g.narrowed(limit).head, " "); got != want {
			t.Errorf("%d: %s, want %s", limit, got, want)
		}
	}
	if len(g.rows[0]) != 7 {
		t.Errorf("the grid itself has lost columns: %v", g.rows[0])
	}
	for _, c := range g.fit(100) {
		if said := c.WidthMaxEnforcer(g.rows[0][6].text, c.WidthMax); c.Number == 7 && strings.Join(strings.Fields(said), " ") != strings.TrimSpace(g.rows[0][6].text) {
			t.Errorf("the reason is not whole: %q", said)
		}
	}
}
