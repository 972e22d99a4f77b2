package main

import (
	"fmt"
	"time"

	"tfw/cmd/tfwctl/screen"
	"tfw/executor"
)

// runsPane lists runs, newest first, scrolled so that the selected one is in it.
func (m *topModel) runsPane(g *screen.Grid, row, height, width int, now time.Time) {
	g.Put(row, 0, m.runsHead(width), topHead)
	if len(m.runs) == 0 {
		g.Put(row+1, 2, "no runs yet (start one with: tfwctl exec TARGET -- CMD)", inColour(grey))
		return
	}
	shown := height - 1
	first := max(0, min(m.at()-shown/2, len(m.runs)-shown))
	for i := 0; i < shown && first+i < len(m.runs); i++ {
		m.runRow(g, row+1+i, m.runs[first+i], width, now)
	}
}

// The columns that fit: narrow terminals do without the target, then without times.
func (m *topModel) runsHead(width int) string {
	switch {
	case width >= 76:
		return fmt.Sprintf("  %-13s%-10s%9s%9s  %-16s %s", "RUN", "STATE", "PASSED", "TOOK", "TARGET", "WHAT")
	case width >= 50:
		return fmt.Sprintf("  %-13s%-10s%9s  %s", "RUN", "STATE", "PASSED", "WHAT")
	}
	return fmt.Sprintf("  %-10s %s", "STATE", "WHAT")
}

func (m *topModel) runRow(g *screen.Grid, row int, r *executor.Run, width int, now time.Time) {
	base := screen.Style{}
	mark := "  "
	if r.ID == m.selected {
		base.Reverse, mark = true, "> "
		g.Fill(row, 0, base)
	}
	state := base
	state.Colour = stateColour(r)
	col := g.Put(row, 0, mark, base)
	if width >= 50 {
		col = g.Put(row, col, fmt.Sprintf("%-13s", r.ID), base)
	}
	col = g.Put(row, col, fmt.Sprintf("%-10s", stateOf(r)), state)
	if width >= 50 {
		col = g.Put(row, col, fmt.Sprintf("%9s", counts(r)), base)
	}
	if width >= 76 {
		col = g.Put(row, col, fmt.Sprintf("%9s  %-16s", tookSoFar(r, now), cut(safe(targetOf(r)), 16)), base)
	}
	if width >= 50 {
		col = g.Put(row, col, " ", base)
	}
	g.Put(row, col+1, safe(what(r)), base)
}

// tookSoFar is how long a run took, or has been going on, in whole seconds while it does.
func tookSoFar(r *executor.Run, now time.Time) string {
	if took := tookOf(r); took != "" || r.Started.IsZero() {
		return took
	}
	return whole(now.Sub(r.Started))
}

// whole is a duration of something that goes on: its seconds are whole, so that it changes once a second.
func whole(d time.Duration) string {
	if d = max(d, 0); d < time.Minute {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return short(d)
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "~"
	}
	return s
}

// logPane shows the end of the log, or what the person scrolled to.
func (m *topModel) logPane(g *screen.Grid, head int, rows screen.Rows) {
	m.height = rows.End - rows.First
	var all []topLine
	if m.log != nil && m.shown == m.wants() {
		all = m.log.lines
	}
	m.scroll = max(min(m.scroll, len(all)-m.height), 0)
	g.Put(head, 0, m.logTitle(len(all)), topHead)
	end := len(all) - m.scroll
	for i, line := range all[max(end-m.height, 0):end] {
		m.logLine(g, rows.First+i, line)
	}
}

func (m *topModel) logTitle(n int) string {
	title := "LOG"
	if m.host != "" {
		title += " of " + m.host
	}
	if m.all {
		title += ", probes too"
	}
	if m.scroll > 0 {
		title += fmt.Sprintf(", %d lines further up than its end", m.scroll)
	}
	if n == 0 && m.selected != "" {
		title += " (nothing yet)"
	}
	return title
}

func (m *topModel) logLine(g *screen.Grid, row int, line topLine) {
	style := inColour(blue)
	if line.stderr {
		style = inColour(red)
	}
	col := g.Put(row, 0, line.prefix, style)
	text := line.text
	if m.right > 0 {
		r := []rune(text)
		text = string(r[min(m.right, len(r)):])
	}
	g.Put(row, col, text, screen.Style{})
}

// keysBar tells the keys, asks, or says what came of the last one.
func (m *topModel) keysBar(g *screen.Grid, row int) {
	g.Fill(row, 0, topTitle)
	width, _ := g.Size()
	text := " q quit  up/down run  pgup/pgdn/end log  left/right  / host  a probes  c cancel  ctrl-l redraw"
	switch r := m.run(); {
	case m.typing:
		text = " host (empty: all, esc: back): " + m.typed + "_"
	case m.asking && r != nil:
		text = fmt.Sprintf(" cancel run %s on %s? y/n", r.ID, counted(r.HostCount, "host"))
	case m.notice != "":
		text = " " + safe(m.notice)
	case width < 60 && m.unknown:
		text = " no such key: q quit  up/down run  c cancel"
	case m.unknown:
		text = " no such key:" + text
	case width < 60:
		text = " q quit  up/down run  pgup/pgdn log  c cancel"
	}
	g.Put(row, 0, text, topTitle)
}
