package main

import (
	"context"
	"fmt"
	"strings"

	"tfw/executor"
	testplan "tfw/plan"
)

// show takes one event.
func (w *planWatch) show(ctx context.Context, e planEvent) error {
	switch {
	case e.err != nil && e.step == "" && e.within == "":
		w.err = e.err
	case e.err != nil:
		w.say("tfwctl: %v", e.err)
	case e.plan != nil:
		w.changed(ctx, e.plan, e.within)
	case e.over:
		w.over(ctx, e)
	case e.entry != nil && !w.quiet:
		e.entry.Host = e.label + " " + e.entry.Host
		if err := w.live.entry(*e.entry); err != nil {
			return err
		}
	}
	if len(w.events) > 0 {
		return nil
	}
	return w.live.flush()
}

// over takes a reader's end. What a step's end was held back for may be told now.
func (w *planWatch) over(ctx context.Context, e planEvent) {
	w.readers--
	for _, host := range e.hosts { // lines that the run left without an end
		w.live.p.End(e.label + " " + host)
	}
	if e.step == "" {
		return
	}
	w.open[e.step]--
	if t := w.plans[e.within]; t != nil {
		w.changed(ctx, t, e.within)
	}
}

// say prints a line about the plan after the output that came before it.
func (w *planWatch) say(format string, args ...any) {
	if w.quiet {
		return
	}
	if err := w.live.flush(); err == nil { // a broken output is told by the next entry
		w.a.say(format, args...)
	}
}

// changed tells what is new about a test plan, and follows the runs and plans that are new.
func (w *planWatch) changed(ctx context.Context, t *testplan.TestPlan, within string) {
	if w.plans[within] == nil {
		w.say("test plan %s (%s)", t.ID, t.Name)
	}
	w.plans[within] = t
	for i := range t.Steps {
		s := &t.Steps[i]
		name := within + s.Name
		w.begun(name, s, t)
		for _, c := range s.Cells {
			w.cell(ctx, source{within: within, step: name}, s, c)
		}
		w.ended(name, s)
	}
}

func (w *planWatch) begun(name string, s *testplan.StepState, t *testplan.TestPlan) {
	before := w.seen[name]
	if before.state != "" || s.Started.IsZero() {
		return
	}
	before.state = executor.Running
	w.seen[name] = before
	on := ""
	if hosts := t.Hosts[s.On]; len(hosts) > 0 {
		on = " on " + fold(hosts)
	}
	w.say("step %s: running %s%s", name, s.Uses, on)
}

func (w *planWatch) cell(ctx context.Context, from source, s *testplan.StepState, c testplan.CellState) {
	label := from.step
	if c.Cell != "" {
		label += "[" + c.Cell + "]"
	}
	from.label = label
	for _, id := range c.Runs {
		if !w.runs[id] {
			w.runs[id] = true
			w.readRun(ctx, id, from)
		}
	}
	if nested := from.step + "/"; c.Plan != "" && w.open[nested] == 0 {
		w.open[nested] = 1 // once only
		w.readPlan(ctx, c.Plan, nested)
	}
	key := label + "\x00cell"
	if !hasCells(s) || c.Verdict == "" || w.open[from.step] > 0 || w.seen[key].verdict == c.Verdict {
		return
	}
	w.seen[key] = planSeen{verdict: c.Verdict}
	w.say("step %s: %s", label, w.painted(c.Verdict))
}

func (w *planWatch) ended(name string, s *testplan.StepState) {
	before := w.seen[name]
	if s.State != executor.Done || before.state == executor.Done || w.open[name] > 0 {
		return
	}
	before.state = executor.Done
	w.seen[name] = before
	line := fmt.Sprintf("step %s: %s", name, w.painted(s.Verdict))
	if took := tookBetween(s.Started, s.Finished); took != "" {
		line += " in " + took
	}
	if s.Reason != "" {
		line += " (" + s.Reason + ")"
	}
	w.say("%s", line)
}

func (w *planWatch) painted(v executor.Verdict) string {
	return w.a.painter(w.a.err)(verdictColour(v), strings.ReplaceAll(string(v), "_", " "))
}
