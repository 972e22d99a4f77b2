package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/executor"
	testplan "tfw/plan"
)

func newPlanCompare(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "compare ID [OTHER]", Short: "What went otherwise than the last time",
		Long: `Set a test plan beside OTHER, or beside the one of the same name before it: what fails
now and did not, what was fixed, what passed and took more than twice as long.`,
		Example: "  tfwctl plan compare last\n  tfwctl plan compare last k3j -o json | jq '.new_failures[].host'",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			other := ""
			if len(args) > 1 {
				other = args[1]
			}
			c, err := client.CompareTestplan(cmd.Context(), args[0], other)
			if err != nil {
				return err
			}
			return a.emit(c, func() error { return a.printComparison(c) })
		},
	}
}

func (a *app) printComparison(c *testplan.Comparison) error {
	if c.Reason != "" {
		a.say("nothing to compare: %s", safeLine(c.Reason))
		return nil
	}
	if c.Before == nil {
		a.say("test plan %s is the first of %s: there is nothing to compare with", c.Plan.ID, c.Plan.Name)
		return nil
	}
	g := grid{head: []string{"CHANGE", "STEP", "CELL", "HOST", "CASE", "BEFORE", "NOW", "MESSAGE"}, wide: 7, wrap: true}
	for _, part := range []struct {
		what, colour string
		list         []testplan.Change
	}{{"new failure", red, c.NewFailures}, {"fixed", green, c.Fixed}, {"slower", yellow, c.Slower}, {"still failing", grey, c.Still}} {
		for _, one := range part.list {
			before, now := spoken(one.Before), spoken(one.Verdict)
			if part.what == "slower" {
				before, now = short(time.Duration(one.BeforeTook)), short(time.Duration(one.Duration))
			}
			if one.BeforeHost != "" {
				before += " on " + one.BeforeHost
			}
			g.rows = append(g.rows, []cell{{part.what, part.colour}, {text: one.Step}, {text: one.Cell}, {text: one.Host}, {text: one.Name}, {text: before}, {text: now}, {text: one.Message}})
		}
	}
	if len(g.rows) > 0 {
		if err := g.without("CELL").print(a, a.out); err != nil {
			return err
		}
	}
	a.say("%s", comparedLine(c))
	if c.Truncated {
		a.say("there are more results than are compared")
	}
	return nil
}

// comparedLine reads "compared with k3j (3h00m ago, failed): 2 new failures, 1 fixed".
func comparedLine(c *testplan.Comparison) string {
	n := c.Counts
	var parts []string
	add := func(count int, text string) {
		if count > 0 {
			parts = append(parts, text)
		}
	}
	add(n.NewFailures, counted(n.NewFailures, "new failure"))
	add(n.Fixed, fmt.Sprintf("%d fixed", n.Fixed))
	add(n.Slower, fmt.Sprintf("%d slower by more than 2x", n.Slower))
	add(n.Still, fmt.Sprintf("%d still failing", n.Still))
	add(n.NotRun, fmt.Sprintf("%d ran before and did not run now", n.NotRun))
	add(n.Added, fmt.Sprintf("%d added", n.Added))
	add(n.Gone, fmt.Sprintf("%d gone", n.Gone))
	if len(parts) == 0 {
		parts = []string{"no change"}
	}
	return fmt.Sprintf("compared with %s (%s, %s): %s", c.Before.ID, since(c.Before.Created), spoken(c.Before.Verdict), strings.Join(parts, ", "))
}

// shownFailures bounds what the end of a test plan tells; the rest is for tfwctl results.
const shownFailures = 15

// closing tells, below the table of steps, what did not pass and what went otherwise than before.
// It helps to read the end: where it cannot be had, nothing is said.
func (a *app) closing(ctx context.Context, client *api.Client, t *testplan.TestPlan) error {
	if t.State != executor.Done {
		return nil
	}
	got, err := client.TestplanResults(ctx, t.ID, api.ResultsOptions{RowFilter: testplan.RowFilter{Bad: true}})
	if err != nil {
		return nil //nolint:nilerr // said above
	}
	if len(got.Rows) > 0 {
		a.say("\nwhat did not pass:")
		rows := alikeRows(got.Rows)
		if err := rowGrid(rows[:min(len(rows), shownFailures)]).print(a, a.err); err != nil {
			return err
		}
		if left := len(rows) - shownFailures; left > 0 {
			a.say("and %d more (see: tfwctl results %s --failed)", left, t.ID)
		}
	}
	c, err := client.CompareTestplan(ctx, t.ID, "")
	if err != nil || c.Before == nil || c.Reason != "" {
		return nil //nolint:nilerr // said above
	}
	a.say("\n%s", comparedLine(c))
	if c.Counts.NewFailures+c.Counts.Fixed+c.Counts.Slower > 0 {
		a.say("see: tfwctl plan compare %s", t.ID)
	}
	return nil
}

// alikeRows puts hosts where a case went alike into one row, with the longest time that it took.
func alikeRows(rows []testplan.Row) (folded []testplan.Row) {
	type alike struct{ step, cell, name, verdict, message string }
	at, hosts := map[alike]int{}, [][]string{}
	for _, r := range rows {
		k := alike{r.Step, r.Cell, r.Name, string(r.Verdict), messageOf(r)}
		i, seen := at[k]
		if !seen {
			i = len(folded)
			at[k] = i
			folded, hosts = append(folded, r), append(hosts, nil)
		}
		if r.Host != "" {
			hosts[i] = append(hosts[i], r.Host)
		}
		folded[i].Duration = max(folded[i].Duration, r.Duration)
	}
	for i := range folded {
		folded[i].Host = fold(hosts[i])
	}
	return folded
}

func newPlanFlaky(a *app) *cobra.Command {
	var last int
	cmd := &cobra.Command{
		Use: "flaky ID|NAME", Short: "Which cases pass now and fail then: is it the test or the board?",
		Long: `Look at the newest test plans of a plan, given by its name or by any of them: which cases go now one way
and now the other, on which hosts, and whether that looks like the test or like the host. TREND
has a letter for each test plan, the newest last: "." passed, "r" passed when tried again, "F" failed, "E" errored, "T" timed out, "-" did not run.`,
		Example: "  tfwctl plan flaky last\n  tfwctl plan flaky nightly --last 100",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			id, err := planNamed(cmd.Context(), client, args[0])
			if err != nil {
				return err
			}
			h, err := client.TestplanHistory(cmd.Context(), id, last)
			if err != nil {
				return err
			}
			return a.emit(h, func() error { return a.printHistory(h) })
		},
	}
	cmd.Flags().IntVar(&last, "last", 30, "at most so many test plans, up to 200")
	return cmd
}

// planNamed gives the id of a test plan: the newest one of that name, or the one with that id.
func planNamed(ctx context.Context, client *api.Client, word string) (string, error) {
	if word != "last" {
		named, _, err := client.Testplans(ctx, word, 1, "")
		if err != nil {
			return "", err
		}
		if len(named) > 0 {
			return named[0].ID, nil
		}
	}
	t, err := client.Testplan(ctx, word)
	if errors.Is(err, executor.ErrNotFound) {
		return "", usageError{fmt.Sprintf("%q: no test plan of that name or id (see: tfwctl plan list)", word)}
	}
	if err != nil {
		return "", err
	}
	return t.ID, nil
}

func (a *app) printHistory(h *testplan.History) error {
	g := grid{head: []string{"STEP", "CELL", "CASE", "LOOKS LIKE", "HOST", "FAILED", "TREND", "WHY"}, wide: 7, wrap: true}
	for _, c := range h.Cases {
		first := true
		for _, on := range c.On {
			if on.Failed+on.Retried == 0 {
				continue
			}
			row := []cell{{}, {}, {}, {}, {text: on.Host}, {text: fmt.Sprintf("%d/%d", on.Failed, on.Ran)}, {text: on.Trend}, {}}
			if first {
				row[0], row[1], row[2], row[7] = cell{text: c.Step}, cell{text: c.Cell}, cell{text: c.Name}, cell{text: c.Why}
				row[3] = cell{c.Suspect, map[string]string{"test": yellow, "host": yellow, "broken": red, "mended": green}[c.Suspect]}
			} else {
				row[0], row[1], row[2], row[3], row[7] = blank, blank, blank, blank, blank
			}
			first = false
			g.rows = append(g.rows, row)
		}
	}
	if len(g.rows) > 0 {
		if err := g.print(a, a.out); err != nil {
			return err
		}
		a.printf("\n")
	}
	if err := a.printFlakyHosts(h); err != nil {
		return err
	}
	a.say("%s: %s, %d results; %s always passed at the first attempt", h.Name, counted(len(h.Plans), "test plan"), h.Ran, counted(h.Steady, "case"))
	if h.Truncated {
		a.say("there are more results than are looked at: this is about the newest ones (see --last)")
	}
	return nil
}

// blank is a cell that shows nothing, not even that there is nothing.
var blank = cell{text: " "}

func (a *app) printFlakyHosts(h *testplan.History) error {
	g := grid{head: []string{"HOST", "FAILED", "OTHERS", "CASES", "OUT OF REACH", "LOOKS LIKE"}, wide: 0}
	for _, one := range h.Hosts {
		if one.Failed == 0 {
			continue
		}
		verdict := cell{text: "-"}
		if one.Suspect {
			verdict = cell{"a bad host", red}
		}
		g.rows = append(g.rows, []cell{{text: one.Host}, {text: percent(float64(one.Failed) / float64(max(one.Ran, 1)))}, {text: percent(one.Others)}, {text: itoa(one.Cases)}, {text: itoa(one.Lost)}, verdict})
	}
	if len(g.rows) == 0 {
		return nil
	}
	if err := g.print(a, a.out); err != nil {
		return err
	}
	a.printf("\n")
	return nil
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }
