package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/executor"
	testplan "tfw/plan"
)

func newResults(a *app) *cobra.Command {
	var o api.ResultsOptions
	var all bool
	cmd := &cobra.Command{
		Use: "results ID", Short: "Results of a test plan or run: cases, hosts, verdicts; as JUnit or TAP too",
		Long: `Show the results of a test plan or run: a row for each case that a command reported,
or for each host where it reported none. ID is that of a test plan or run, the beginning of one, or "last".
-o junit and -o tap write reports that other tools read; what did not pass brings the end of its output along.
A long table shows only what did not pass; --all shows everything.`,
		Example: "  tfwctl results last\n  tfwctl results last -o junit >junit.xml\n  tfwctl results last --failed -o json | jq -r '.rows[].name'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			id, isRun, err := resultsOf(cmd.Context(), client, args[0])
			if err != nil {
				return err
			}
			if format := a.setting.output.value; format == "junit" || format == "tap" {
				return a.writeReport(cmd.Context(), client, id, isRun, format, o)
			}
			get := client.TestplanResults
			if isRun {
				get = client.RunResults
			}
			got, err := get(cmd.Context(), id, o)
			if err != nil {
				return err
			}
			return a.emit(got, func() error { return a.printResults(got, all || o != (api.ResultsOptions{Output: o.Output})) })
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.Step, "step", "", "only this `STEP`, or those within it (\"outer/inner\" in nested plans)")
	fs.StringVar(&o.Cell, "cell", "", "only this `CELL` of a matrix, such as suite=net")
	fs.StringVar(&o.Host, "host", "", "only this `HOST`")
	fs.StringVar((*string)(&o.Verdict), "verdict", "", "only this `VERDICT`: passed, failed, errored, cancelled, skipped or timed_out")
	fs.BoolVar(&o.Bad, "failed", false, "only what neither passed nor was skipped")
	fs.BoolVar(&o.Output, "with-output", false, "with the end of the output of what did not pass, in -o json and yaml")
	fs.BoolVar(&all, "all", false, "a long table too shows what passed")
	return cmd
}

// resultsOf finds out whether an id is a test plan's or a run's. "last" is the newer of the two; a run that is part of a test plan stands for it.
func resultsOf(ctx context.Context, client *api.Client, id string) (full string, isRun bool, err error) {
	t, planErr := client.Testplan(ctx, id)
	if planErr == nil && id != "last" {
		return t.ID, false, nil
	}
	run, runErr := client.Run(ctx, id)
	switch {
	case planErr == nil && (runErr != nil || run.Plan != "" || run.Created.Before(t.Created)):
		return t.ID, false, nil //nolint:nilerr // there is no such run, but a test plan
	case runErr == nil:
		return string(run.ID), true, nil
	case errors.Is(planErr, executor.ErrNotFound) && errors.Is(runErr, executor.ErrNotFound):
		return "", false, usageError{fmt.Sprintf("%q: no such test plan or run (see: tfwctl plan list, tfwctl runs)", id)}
	case errors.Is(planErr, executor.ErrNotFound):
		return "", false, runErr
	}
	return "", false, planErr
}

func (a *app) writeReport(ctx context.Context, client *api.Client, id string, isRun bool, format string, o api.ResultsOptions) error {
	write := client.TestplanReport
	if isRun {
		write = client.RunReport
	}
	b := bufio.NewWriterSize(a.out, 64<<10)
	return errors.Join(write(ctx, id, format, o, b), b.Flush())
}

// maxResultRows is how long a table may be that nobody asked to be long.
const maxResultRows = 200

func (a *app) printResults(r api.Results, all bool) error {
	shown := r.Rows
	if !all && len(shown) > maxResultRows {
		shown = nil
		for _, row := range r.Rows {
			if (testplan.RowFilter{Bad: true}).Fits(row) {
				shown = append(shown, row)
			}
		}
	}
	if len(shown) > 0 {
		if err := rowGrid(shown).print(a, a.out); err != nil {
			return err
		}
	}
	if left := len(r.Rows) - len(shown); left > 0 {
		a.say("%d that passed or were skipped are not shown (see them with --all)", left)
	}
	state := planCell(r.State, r.Verdict)
	counts := testplan.Counts(r.Counts).String()
	if counts == "" {
		counts = "no results yet"
	}
	a.say("%s (%s): %s: %s", r.ID, r.Name, a.painter(a.err)(state.colour, state.text), counts)
	return nil
}

// rowGrid is a table of results.
func rowGrid(rows []testplan.Row) grid {
	g := grid{head: []string{"STEP", "CELL", "HOST", "CASE", "VERDICT", "TOOK", "MESSAGE"}, wide: 6, wrap: true, spare: []string{"TOOK"}, firm: []string{"HOST"}}
	for _, r := range rows {
		took, verdict := "", cell{spoken(r.Verdict), verdictColour(r.Verdict)}
		if r.Duration > 0 {
			took = short(time.Duration(r.Duration))
		}
		if r.Allowed && r.Verdict != executor.Passed && r.Verdict != executor.Skipped {
			verdict = cell{spoken(r.Verdict) + " (allowed)", yellow}
		}
		g.rows = append(g.rows, []cell{{text: r.Step}, {text: r.Cell}, {text: r.Host}, {text: r.Name}, verdict, {text: took}, {text: messageOf(r)}})
	}
	return g
}

// messageOf is a row's message with what else a person should know.
func messageOf(r testplan.Row) string {
	text := r.Message
	add := func(more string) {
		if text != "" {
			text += "; "
		}
		text += more
	}
	if r.Attempts > 1 {
		add(fmt.Sprintf("at attempt %d", r.Attempts))
	}
	if r.Kept {
		add("kept from before")
	}
	return text
}
