package main

import (
	"fmt"
	"strings"

	"tfw/api"
	"tfw/cmd/tfwctl/lines"
	"tfw/executor"
)

// planLines shows a test plan as lines: output with its step and host in front on
// standard output, what happens to steps on standard error.
type planLines struct {
	a       *app
	live    *liveSink
	begun   map[string]bool
	ended   map[string]bool // steps and cells: a controller that comes back tells of all of them again
	started map[string]bool // plans, by the step that they are
	hosts   map[string]map[string]bool
}

func newPlanLines(a *app) *planLines {
	return &planLines{a: a, live: a.newLive(true, false), begun: map[string]bool{}, ended: map[string]bool{}, started: map[string]bool{}, hosts: map[string]map[string]bool{}}
}

func (v *planLines) event(e api.TestplanEvent) error {
	switch e.Type {
	case "output":
		return v.output(e)
	case "plan":
		if !v.started[e.Step] {
			v.started[e.Step] = true
			v.say("test plan %s (%s)", e.Plan.ID, e.Plan.Name)
		}
		if e.Plan.Waiting != "" {
			v.say("waits for hosts: %s", safeLine(e.Plan.Waiting))
		}
	case "cell":
		if e.State == executor.Done && e.Cell != "" && v.ends(labelOf(e)) {
			v.end(labelOf(e))
			v.say("step %s: %s", labelOf(e), v.painted(e.Verdict))
		}
	case "step":
		v.step(e)
	}
	return nil
}

func (v *planLines) output(e api.TestplanEvent) error {
	if e.Output.Quiet {
		return nil
	}
	label := labelOf(e)
	if v.hosts[label] == nil {
		v.hosts[label] = map[string]bool{}
	}
	entry := *e.Output
	entry.Host = label + " " + entry.Host
	v.hosts[label][entry.Host] = true
	return v.live.entry(entry)
}

// end prints the lines of a cell that never got an end.
func (v *planLines) end(label string) {
	for _, host := range sortedKeys(v.hosts[label]) {
		v.live.p.End(host)
	}
	delete(v.hosts, label)
}

func (v *planLines) step(e api.TestplanEvent) {
	if line := begunLine(e); line != "" && !v.begun[e.Step] {
		v.begun[e.Step] = true
		v.say("%s", line)
	}
	if e.State == executor.Done && v.ends(e.Step) {
		v.end(e.Step)
		v.say("%s", endedLine(e, v.painted(e.Verdict)))
	}
}

// ends reports whether the end of a step or cell is news.
func (v *planLines) ends(label string) bool {
	known := v.ended[label]
	v.ended[label] = true
	return !known
}

// begunLine reads "step build: running build_server.build on build01"; "" for a step that never began.
func begunLine(e api.TestplanEvent) string {
	if e.Now == nil || e.Now.Started.IsZero() {
		return ""
	}
	line := fmt.Sprintf("step %s: running %s", e.Step, e.Now.Uses)
	if len(e.Hosts) > 0 {
		line += " on " + fold(e.Hosts)
	}
	return line
}

// endedLine reads "step build: failed in 3.1s (build01: exit status 2)".
func endedLine(e api.TestplanEvent, verdict string) string {
	line := fmt.Sprintf("step %s: %s", e.Step, verdict)
	if e.Now != nil {
		if took := tookBetween(e.Now.Started, e.Now.Finished); took != "" {
			line += " in " + took
		}
	}
	if e.Reason != "" {
		line += " (" + safeLine(e.Reason) + ")"
	}
	return line
}

func safeLine(text string) string {
	return string(lines.Safe([]byte(strings.Join(strings.Fields(text), " "))))
}

func labelOf(e api.TestplanEvent) string {
	if e.Cell == "" {
		return e.Step
	}
	return e.Step + "[" + e.Cell + "]"
}

// say prints a line about the plan after the output that came before it.
func (v *planLines) say(format string, args ...any) {
	if err := v.live.flush(); err == nil { // a broken output is told by the next entry
		v.a.say(format, args...)
	}
}

func (v *planLines) tick() error  { return v.live.flush() }
func (v *planLines) close() error { return v.live.close(nil) }

func (v *planLines) painted(verdict executor.Verdict) string { return paintedVerdict(v.a, verdict) }

func paintedVerdict(a *app, v executor.Verdict) string {
	return a.painter(a.err)(verdictColour(v), spoken(v))
}
