package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tfw/api"
	"tfw/cmd/tfwctl/lines"
	"tfw/cmd/tfwctl/screen"
	"tfw/executor"
	"tfw/inventory"
)

var (
	topTitle = screen.Style{Reverse: true}
	topHead  = screen.Style{Bold: true}
)

func inColour(code string) screen.Style { return screen.Style{Colour: code} }

// draw lays everything out, and tells which rows hold the log.
func (m *topModel) draw(g *screen.Grid, now time.Time) screen.Rows {
	width, height := g.Size()
	m.title(g, now)
	hosts, folded := m.hostRows(), m.resultRows(now)
	share := shareRows(height-2, len(hosts), len(m.runs), len(folded))
	row := 1
	row = pane(g, row, share.hosts, fmt.Sprintf("HOSTS %d", len(m.hosts)), hosts)
	if share.runs > 0 {
		m.runsPane(g, row, share.runs, width, now)
		row += share.runs
	}
	row = pane(g, row, share.results, m.runTitle(now), folded)
	log := screen.Rows{First: row + 1, End: row + share.log}
	m.logPane(g, row, log)
	m.keysBar(g, height-1)
	return log
}

// topShare is how many rows each pane has, its head included; 0 is none.
type topShare struct{ hosts, runs, results, log int }

// shareRows divides the screen. The log has at least half; on a short screen
// hosts give way first, then results, then runs.
func shareRows(height, hosts, runs, results int) topShare {
	s := topShare{}
	room := height / 2
	take := func(want, least int) int {
		n := min(want+1, room)
		if want == 0 || n < least {
			return 0
		}
		room -= n
		return n
	}
	s.runs = take(min(max(runs, 1), max(height/5, 2)), 2)
	s.results = take(min(results, max(height/8, 2)), 2)
	s.hosts = take(min(hosts, max(height/8, 1)), 2)
	s.log = max(height-s.hosts-s.runs-s.results, 1)
	return s
}

func (m *topModel) title(g *screen.Grid, now time.Time) {
	running := 0
	for _, r := range m.runs {
		if r.State != executor.Done {
			running++
		}
	}
	g.Fill(0, 0, topTitle)
	width, _ := g.Size()
	text := fmt.Sprintf(" tfwctl top  %s  %s, %s going on", safe(m.server), counted(len(m.hosts), "host"), counted(running, "run"))
	col := g.Put(0, 0, text, topTitle)
	if !m.lost.IsZero() {
		style := screen.Style{Reverse: true, Colour: red}
		text := fmt.Sprintf("  LOST for %s, trying again: %s ", whole(now.Sub(m.lost)), safe(m.trouble))
		g.Put(0, max(min(col, width-len(text)), 0), text, style)
		return
	}
	if clock := now.Format("15:04:05 "); col+2+len(clock) <= width {
		g.Put(0, width-len(clock), clock, topTitle)
	}
}

// topRow is a row of a pane: texts one after another.
type topRow []topText

type topText struct {
	text  string
	style screen.Style
}

// pane draws a head and rows; the last row tells of those that do not fit.
func pane(g *screen.Grid, row, height int, head string, rows []topRow) int {
	if height == 0 {
		return row
	}
	g.Put(row, 0, head, topHead)
	for i := 1; i < height && i <= len(rows); i++ {
		if i == height-1 && len(rows) > i {
			g.Put(row+i, 2, fmt.Sprintf("and %d more rows", len(rows)-i+1), inColour(grey))
			break
		}
		col := 2
		for _, t := range rows[i-1] {
			col = g.Put(row+i, col, safe(t.text), t.style)
		}
	}
	return row + height
}

// hostRows are the hosts, those that fare alike in one row: what needs an eye first.
func (m *topModel) hostRows() []topRow {
	type kind struct {
		rank      int
		name, why string
		colour    string
	}
	names := map[kind][]string{}
	for _, h := range m.hosts {
		k := kind{3, "reachable", "", green}
		switch {
		case h.State != inventory.Active:
			k = kind{1, string(h.State), h.Reason, yellow}
		case h.Reachable == nil:
			k = kind{2, "not asked yet", "", grey}
		case !*h.Reachable:
			k = kind{0, "unreachable", ownProblem(h), red}
		}
		names[k] = append(names[k], h.Name)
	}
	var kinds []kind
	for k := range names {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b kind) int {
		return strings.Compare(fmt.Sprint(a.rank, a.name, a.why), fmt.Sprint(b.rank, b.name, b.why))
	})
	var rows []topRow
	for _, k := range kinds {
		rows = append(rows, foldedRow(k.name, k.colour, names[k], k.why))
	}
	return rows
}

func ownProblem(h api.Host) string { return strings.TrimPrefix(h.Problem, h.Name+": ") }

func foldedRow(what, colour string, hosts []string, why string) topRow {
	row := topRow{{fmt.Sprintf("%-14s", what), inColour(colour)}, {fmt.Sprintf("%4d  ", len(hosts)), screen.Style{}}, {fold(hosts), inColour(blue)}}
	if why != "" {
		row = append(row, topText{"  " + why, screen.Style{}})
	}
	return row
}

// resultRows are the hosts of the selected run, those that fare alike in one row.
func (m *topModel) resultRows(now time.Time) []topRow {
	r := m.whole()
	if r == nil {
		return nil
	}
	type kind struct{ state, why, colour string }
	names := map[kind][]string{}
	var order []kind
	var slowest time.Time
	for _, h := range r.Hosts {
		k := kind{spoken(h.Verdict), ownWords(h), verdictColour(h.Verdict)}
		if h.Verdict == "" {
			if k = (kind{"queued", "", grey}); !h.Started.IsZero() {
				k = kind{"running", "", cyan}
				if slowest.IsZero() || h.Started.Before(slowest) {
					slowest = h.Started
				}
			}
		}
		if names[k] == nil {
			order = append(order, k)
		}
		names[k] = append(names[k], h.Host)
	}
	slices.SortStableFunc(order, func(a, b kind) int { return resultRank(a.state) - resultRank(b.state) })
	var rows []topRow
	for _, k := range order {
		why := k.why
		if k.state == "running" {
			why = "for " + whole(now.Sub(slowest))
		}
		rows = append(rows, foldedRow(k.state, k.colour, names[k], why))
	}
	return rows
}

// resultRank puts what goes on first, then what went wrong.
func resultRank(state string) int {
	return slices.Index([]string{"running", "errored", "failed", "timed out", "cancelled", "skipped", "queued", "passed"}, state)
}

func (m *topModel) runTitle(now time.Time) string {
	r := m.run()
	if r == nil {
		return "NO RUN"
	}
	return fmt.Sprintf("RUN %s  %s  %s", r.ID, stateOf(r), safe(what(r)))
}

// safe makes any text one line that cannot speak to the terminal.
func safe(text string) string {
	return string(lines.Safe([]byte(strings.ReplaceAll(text, "\n", " "))))
}
