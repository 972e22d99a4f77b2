package main

import (
	"github.com/spf13/cobra"
	"os"
	"os/signal"
	"syscall"

	"tfw/api"
	"tfw/executor"
)

func newRuns(a *app) *cobra.Command {
	var f executor.RunFilter
	cmd := &cobra.Command{
		Use: "runs", Short: "List runs, newest first", Args: cobra.NoArgs,
		Example: `  tfwctl runs
  tfwctl runs --state running
  tfwctl runs --host dut07 --verdict failed -n 5
  tfwctl runs -o jsonl | jq -r .id`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			runs, more, err := listRuns(cmd, client, f)
			if err != nil {
				return err
			}
			return a.emit(runs, func() error { return a.printRuns(runs, more, f) })
		},
	}
	fs := cmd.Flags()
	fs.StringVar((*string)(&f.State), "state", "", "only runs that are queued, running or done")
	fs.StringVar((*string)(&f.Verdict), "verdict", "", "only runs that ended passed, failed, errored, cancelled, skipped or timed_out")
	fs.StringVar(&f.Host, "host", "", "only runs on this host")
	fs.StringVar(&f.Plugin, "plugin", "", "only runs of this plugin")
	fs.StringVar(&f.Plan, "plan", "", "only runs of this test plan")
	fs.IntVarP(&f.Limit, "limit", "n", 20, "at most so many")
	completeWords(cmd, "state", "queued", "running", "done")
	completeWords(cmd, "verdict", "passed", "failed", "errored", "cancelled", "skipped", "timed_out")
	a.completeFlag(cmd, "host", a.hostNames)
	a.completeFlag(cmd, "plugin", a.pluginNames)
	return cmd
}

// listRuns pages until the limit is reached.
func listRuns(cmd *cobra.Command, client *api.Client, f executor.RunFilter) (runs []*executor.Run, more bool, err error) {
	runs = []*executor.Run{}
	want := f.Limit
	if want < 1 {
		return nil, false, usageError{"-n wants a number from 1"}
	}
	for {
		f.Limit = min(want-len(runs), 1000)
		page, next, err := client.Runs(cmd.Context(), f)
		if err != nil {
			return nil, false, err
		}
		runs = append(runs, page...)
		if next == "" || len(runs) >= want {
			return runs, next != "", nil
		}
		f.Marker = next
	}
}

func (a *app) printRuns(runs []*executor.Run, more bool, f executor.RunFilter) error {
	if len(runs) == 0 && (f.State != "" || f.Verdict != "" || f.Host != "" || f.Plugin != "" || f.Plan != "") {
		a.say("no runs like that (see all with: tfwctl runs)")
		return nil
	}
	if len(runs) == 0 {
		a.say("no runs (start one with: tfwctl exec TARGET -- CMD)")
		return nil
	}
	g := grid{head: []string{"RUN", "WHAT", "TARGET", "HOSTS", "VERDICT", "CREATED", "TOOK", "BY"}, wide: 1, spare: []string{"BY", "TOOK"}}
	for _, r := range runs {
		g.rows = append(g.rows, []cell{{text: string(r.ID)}, {text: what(r)}, {text: targetOf(r)}, {text: counts(r)},
			{stateOf(r), stateColour(r)}, {text: since(r.Created)}, {text: tookOf(r)}, {text: r.By}})
	}
	if err := g.print(a, a.out); err != nil {
		return err
	}
	if more {
		a.say("there are more (see them with: tfwctl runs -n %d)", 10*len(runs))
	}
	return nil
}

// counts is how many hosts passed, of how many.
func counts(r *executor.Run) string {
	return itoa(r.Tally[executor.Passed]) + "/" + itoa(r.HostCount)
}

func newShow(a *app) *cobra.Command {
	var output bool
	cmd := &cobra.Command{
		Use: "show RUN", Short: "Show a run and how each host fared",
		Long:    "Show a run. RUN is its id, the beginning of one that no other has, or \"last\".",
		Example: "  tfwctl show last\n  tfwctl show k3j -o json",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			get := client.Run
			if output {
				get = client.RunWithOutput
			}
			run, err := get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.emit(run, func() error { return a.showRun(run) })
		},
	}
	cmd.Flags().BoolVar(&output, "with-output", false, "with the first 64 KiB of each host's output, in -o json and yaml")
	return cmd
}

func newCancel(a *app) *cobra.Command {
	var reason string
	var wait bool
	cmd := &cobra.Command{
		Use: "cancel RUN...", Short: "End a run and its processes on the hosts",
		Long: `Ask runs to end. Their processes on the hosts get TERM, then KILL; the results
say what was killed. --wait waits for that.`,
		Example: "  tfwctl cancel last --wait\n  tfwctl cancel k3j --reason 'wrong kernel'",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			var runs []*executor.Run
			for _, id := range args {
				run, err := client.Cancel(cmd.Context(), id, reason)
				if err == nil && wait {
					run, err = client.Wait(cmd.Context(), string(run.ID))
				}
				if err != nil {
					return err
				}
				runs = append(runs, run)
			}
			return a.emit(runs, func() error {
				for _, r := range runs {
					if r.State == executor.Done {
						a.printf("%s\n", summary(r, a.painter(a.out)))
					} else {
						a.printf("run %s: asked to cancel on %s (wait for it with: tfwctl wait %s)\n", r.ID, counted(len(r.Hosts), "host"), r.ID)
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "say why, for the record")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until they have ended")
	return cmd
}

func newWait(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "wait RUN...", Short: "Wait until runs are done, and exit as they ended",
		Example: "  tfwctl wait last\n  tfwctl wait $(tfwctl exec duts --detach -- ./soak)",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			runs := []*executor.Run{}
			worst := executor.Verdict("")
			for _, id := range args {
				run, err := client.Run(ctx, id) // only one that is known is worth waiting for a controller
				if err == nil {
					run, err = client.Wait(ctx, string(run.ID))
				}
				if ctx.Err() != nil {
					a.left = true
					a.say("tfwctl: not waiting for run %s any more; cancel it with: tfwctl cancel %s", id, id)
					return statusError(130)
				}
				if err != nil {
					return err
				}
				runs = append(runs, run)
				worst = executor.Worst(worst, run.Verdict)
				if a.setting.output.value == "table" {
					a.printf("%s\n", summary(run, a.painter(a.out)))
				}
			}
			if err := a.emit(runs, func() error { return nil }); err != nil {
				return err
			}
			if code := exitOfVerdict(worst); code != 0 {
				return statusError(code)
			}
			return nil
		},
	}
}

func newRerun(a *app) *cobra.Command {
	var failed bool
	var f runFlags
	cmd := &cobra.Command{
		Use: "rerun RUN", Short: "Run the same again",
		Long:    "Submit a run's request again, as it was: same method, parameters, options and target.",
		Example: "  tfwctl rerun last --failed\n  tfwctl rerun k3j -b",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if f.detach {
				if err := a.keep(cmd.Context()); err != nil {
					return err
				}
			}
			signals, deaf := heed()
			defer deaf()
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			run, err := client.Rerun(cmd.Context(), args[0], failed)
			if err != nil {
				return err
			}
			if f.detach {
				return a.detached(run)
			}
			return a.attend(cmd.Context(), client, run, &f, signals)
		},
	}
	cmd.Flags().BoolVar(&failed, "failed", false, "only on the hosts that did not pass")
	f.addViews(cmd)
	return cmd
}
