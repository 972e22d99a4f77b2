package main

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"tfw/executor"
	testplan "tfw/plan"
)

func (a *app) printPlans(all []testplan.TestPlan, more bool) error {
	if len(all) == 0 {
		a.say("no test plans (start one with: tfwctl plan run FILE)")
		return nil
	}
	g := grid{head: []string{"ID", "NAME", "STEPS", "VERDICT", "CREATED", "TOOK", "BY"}, wide: 1}
	for i := range all {
		t := &all[i]
		g.rows = append(g.rows, []cell{{text: t.ID}, {text: t.Name}, {text: stepCounts(t)}, planCell(t.State, t.Verdict),
			{text: since(t.Created)}, {text: tookBetween(t.Started, t.Finished)}, {text: t.By}})
	}
	if err := g.print(a, a.out); err != nil {
		return err
	}
	if more {
		a.say("there are more (see them with: tfwctl plan list -n %d)", 10*len(all))
	}
	return nil
}

// stepCounts is how many steps are done, of how many.
func stepCounts(t *testplan.TestPlan) string {
	done := 0
	for _, s := range t.Steps {
		if s.State == executor.Done {
			done++
		}
	}
	return itoa(done) + "/" + itoa(len(t.Steps))
}

// planCell is the verdict once there is one, else the state.
func planCell(state executor.State, v executor.Verdict) cell {
	if state == executor.Done {
		return cell{spoken(v), verdictColour(v)}
	}
	return cell{string(state), cyan}
}

func tookBetween(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	return short(to.Sub(from))
}

// showTestplan prints a test plan for people.
func (a *app) showTestplan(t *testplan.TestPlan) error {
	p := a.painter(a.out)
	a.field("test plan", t.ID)
	a.field("name", t.Name)
	state := planCell(t.State, t.Verdict)
	a.field("state", p(state.colour, state.text))
	a.field("reason", t.Reason)
	a.field("waits for", t.Waiting)
	a.field("created", fmt.Sprintf("%s (%s) by %s", t.Created.Local().Format("2006-01-02 15:04:05"), since(t.Created), t.By))
	a.field("took", tookBetween(t.Started, t.Finished))
	a.field("resumes", t.ResumeOf)
	a.field("part of", t.Parent)
	a.field("lease", t.Lease)
	a.field("cancelled", t.Cancel)
	a.nested("with", t.Parameters)
	for _, role := range sortedKeys(t.Hosts) {
		a.field(role, fold(t.Hosts[role]))
	}
	a.nested("outputs", t.Outputs)
	a.printf("\n")
	return stepGrid(t).print(a, a.out)
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// stepGrid is a row for each step, and below it one for each cell of a matrix.
func stepGrid(t *testplan.TestPlan) grid {
	g := grid{head: []string{"STEP", "USES", "HOSTS", "VERDICT", "TOOK", "RUNS", "REASON"}, wide: 6, wrap: true, spare: []string{"USES", "TOOK"}, firm: []string{"STEP", "USES", "HOSTS"}}
	for i := range t.Steps {
		s := &t.Steps[i]
		runs, hosts := "", fold(t.Hosts[s.On])
		if !hasCells(s) && len(s.Cells) == 1 {
			runs = runsOf(s.Cells[0])
		}
		g.rows = append(g.rows, []cell{{text: s.Name}, {text: s.Uses}, {text: hosts}, planCell(s.State, s.Verdict),
			{text: tookBetween(s.Started, s.Finished)}, {text: runs}, {text: s.Reason}})
		if !hasCells(s) {
			continue
		}
		for _, c := range s.Cells {
			state := executor.Running
			if c.Verdict != "" {
				state = executor.Done
			}
			g.rows = append(g.rows, []cell{{text: "  " + c.Cell}, {}, {text: fold(sortedKeys(c.Hosts))}, planCell(state, c.Verdict), {}, {text: runsOf(c)}, {}})
		}
	}
	return g
}

func hasCells(s *testplan.StepState) bool {
	return len(s.Cells) > 1 || len(s.Cells) == 1 && s.Cells[0].Cell != ""
}

// runsOf names where the details of a cell are: its last run and how many there were before, or its nested plan.
func runsOf(c testplan.CellState) string {
	switch n := len(c.Runs); {
	case c.Plan != "":
		return "plan " + c.Plan
	case n == 0:
		return ""
	case n == 1:
		return string(c.Runs[0])
	default:
		return fmt.Sprintf("%s and %d more", c.Runs[n-1], n-1)
	}
}

// planSummary is one line about how a test plan went.
func planSummary(t *testplan.TestPlan, p func(code, text string) string) string {
	state := planCell(t.State, t.Verdict)
	line := fmt.Sprintf("test plan %s (%s): %s", t.ID, t.Name, p(state.colour, state.text))
	if took := tookBetween(t.Started, t.Finished); took != "" {
		line += " in " + took
	}
	if t.Reason != "" {
		line += ": " + safeLine(t.Reason)
	}
	return line
}

// showPlanFile shows what is in a plan's file, without a controller.
func (a *app) showPlanFile(file string) error {
	content, err := a.readPlanText(file)
	if err != nil {
		return usageError{err.Error()}
	}
	parsed, err := testplan.Parse(file, content)
	var wrong testplan.Problems
	if errors.As(err, &wrong) {
		return a.printFaults(file, wrong)
	}
	if err != nil {
		return err
	}
	if drawn, err := a.drawAs(parsed.Drawing()); drawn || err != nil {
		return err
	}
	steps := stepsOf(parsed)
	return a.emit(steps, func() error {
		a.printf("plan %s of %s\n\n", parsed.Name, counted(len(steps), "step"))
		return a.printGraph(parsed.Drawing())
	})
}

// drawAs writes the graph where -o names a format for graphs.
func (a *app) drawAs(d testplan.Drawing) (bool, error) {
	var text string
	switch a.setting.output.value {
	case "mermaid":
		text = d.Mermaid()
	case "svg":
		text = d.SVG()
	default:
		return false, nil
	}
	_, err := a.out.WriteString(text)
	return true, err
}

// printGraph draws the graph for a terminal; what is piped is never cut.
func (a *app) printGraph(d testplan.Drawing) error {
	p := a.painter(a.out)
	drawn := d.Lines(glyphsFor(a.env).passed == "+")
	names := 0
	for _, l := range drawn {
		if !l.Title {
			names = max(names, text.RuneWidthWithoutEscSequences(l.Tree+l.Name))
		}
	}
	limit := width(a.out)
	for _, l := range drawn {
		if l.Title {
			a.printf("%s\n", p(grey, l.Name))
			continue
		}
		colour := verdictColour(l.Verdict)
		if l.Verdict == "" {
			colour = ""
		}
		if l.Running {
			colour = cyan
		}
		room := strings.Repeat(" ", names-text.RuneWidthWithoutEscSequences(l.Tree+l.Name))
		caption := safeLine(l.Caption)
		if left := limit - names - 3; limit > 0 && left > 8 {
			caption = text.Snip(caption, left, "…")
		}
		if _, err := fmt.Fprintf(a.out, "%s%s%s  %s\n", p(grey, l.Tree), p(colour, l.Name), room, caption); err != nil {
			return err
		}
	}
	return nil
}

// planStep is a step of a plan's file as it is shown.
type planStep struct {
	Name  string   `json:"name"`
	Uses  string   `json:"uses"`
	On    string   `json:"on,omitempty"`
	After []string `json:"after"` // steps that must be over before it
	Part  string   `json:"part"`  // steps, on_failure or finally
}

func stepsOf(p *testplan.Plan) []planStep {
	all := []planStep{}
	for _, group := range []struct {
		part  string
		steps []*testplan.Step
	}{{"steps", p.Steps}, {"on_failure", p.OnFailure}, {"finally", p.Finally}} {
		for _, s := range group.steps {
			all = append(all, planStep{s.Name, s.Uses(), s.On, append([]string{}, s.After()...), group.part})
		}
	}
	return all
}
