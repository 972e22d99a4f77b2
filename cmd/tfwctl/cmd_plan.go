package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/executor"
	testplan "tfw/plan"
	"tfw/plugins"
)

func newPlan(a *app) *cobra.Command {
	return group(&cobra.Command{
		Aliases: []string{"plans", "testplan"}, Use: "plan", Short: "Test plans: many runs in the order that a file gives them",
		Long: `Check, run and look at test plans. A plan is a YAML or JSON file: parameters, roles
that are bound to hosts, and steps with what they need (see docs/plans.md).`,
		Example: "  tfwctl plan check smoke.yaml\n  tfwctl plan run smoke.yaml -p branch=main\n  tfwctl plan show last\n  tfwctl plan resume last",
	}, newPlanCheck(a), newPlanRun(a), newPlanResume(a), newPlanShow(a), newPlanList(a), newPlanCompare(a), newPlanFlaky(a), newPlanCancel(a), newPlanSchema(a))
}

func newPlanCheck(a *app) *cobra.Command {
	var params []string
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Find every fault of a plan before a host is touched",
		Example: "  tfwctl plan check smoke.yaml\n  tfwctl plan check smoke.yaml -p count:=3",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.readPlan(args[0], params)
			if err != nil {
				return err
			}
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			sum, err := client.CheckTestplan(cmd.Context(), s)
			if err != nil {
				return a.planFaults(s, err)
			}
			return a.emit(sum, func() error {
				a.printf("%s: ok, plan %s of %s\n", args[0], sum.Name, counted(len(sum.Steps), "step"))
				return nil
			})
		},
	}
	addParams(cmd, &params)
	return cmd
}

func addParams(cmd *cobra.Command, params *[]string) {
	cmd.Flags().StringArrayVarP(params, "param", "p", nil, "a parameter of the plan: `name=value`, or name:=json")
}

func newPlanRun(a *app) *cobra.Command {
	var params []string
	var detach bool
	var key string
	cmd := &cobra.Command{
		Use: "run FILE", Short: "Run a test plan",
		Long: `Run a test plan and show what happens. On a terminal that is a tree of the steps under way with their hosts, time and
last line of output; what ended stays above it. Elsewhere, or with --lines, each line of output comes with its
step and host in front, each step as it begins and ends. Ctrl-C asks to cancel (the plan's finally steps still
run), once more leaves the plan to itself. Plans named by "uses: plan:FILE" are looked for beside FILE.
The exit status is that of the plan's verdict.`,
		Example: "  tfwctl plan run smoke.yaml\n  tfwctl plan run smoke.yaml -p branch=main -p count:=3\n  tfwctl plan run nightly.yaml --detach",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.readPlan(args[0], params)
			if err != nil {
				return err
			}
			if s.IdempotencyKey = key; key == "" {
				s.IdempotencyKey = rand.Text() // so that asking again after a lost answer is safe
			}
			return a.beginPlan(cmd, detach, func(client *api.Client) (*testplan.TestPlan, error) {
				t, err := client.SubmitTestplan(cmd.Context(), s)
				return t, a.planFaults(s, err)
			})
		},
	}
	addParams(cmd, &params)
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait: print the test plan's id")
	addLines(cmd, a)
	cmd.Flags().StringVar(&key, "idempotency-key", "", "the same `KEY` never runs twice")
	return cmd
}

func newPlanResume(a *app) *cobra.Command {
	var detach, failed bool
	cmd := &cobra.Command{
		Use: "resume ID", Short: "Run again what did not pass of a test plan that is done",
		Long:    "Begin a new test plan on the same hosts. What passed keeps its results and is not run again.",
		Example: "  tfwctl plan resume last",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.beginPlan(cmd, detach, func(client *api.Client) (*testplan.TestPlan, error) {
				return client.ResumeTestplan(cmd.Context(), args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait: print the new test plan's id")
	addLines(cmd, a)
	cmd.Flags().BoolVar(&failed, "failed", true, "only what did not pass; there is no other way")
	_ = cmd.Flags().MarkHidden("failed")
	return cmd
}

func newPlanCancel(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "cancel ID", Short: "End a test plan; its finally steps still run",
		Example: "  tfwctl plan cancel last --reason 'wrong kernel'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			t, err := client.CancelTestplan(cmd.Context(), args[0], reason)
			if err != nil {
				return err
			}
			return a.emit(t, func() error {
				a.printf("test plan %s: asked to cancel (see how it ends with: tfwctl plan show %s)\n", t.ID, t.ID)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "say why, for the record")
	return cmd
}

func newPlanList(a *app) *cobra.Command {
	var limit int
	var name string
	cmd := &cobra.Command{
		Aliases: []string{"ls"}, Use: "list", Short: "List test plans, newest first", Args: cobra.NoArgs,
		Example: "  tfwctl plan list\n  tfwctl plan list -n 100 -o jsonl | jq -r .id",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			all, next := []testplan.TestPlan{}, ""
			for more := true; more && len(all) < limit; more = next != "" {
				var page []testplan.TestPlan
				if page, next, err = client.Testplans(cmd.Context(), name, min(limit-len(all), 1000), next); err != nil {
					return err
				}
				all = append(all, page...)
			}
			return a.emit(all, func() error { return a.printPlans(all, next != "") })
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "at most so many")
	cmd.Flags().StringVar(&name, "name", "", "only those of the plan with this `NAME`")
	return cmd
}

func newPlanShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID|FILE", Short: "Show how a test plan fares, or the graph of a plan's file",
		Long: `Show a test plan: its id, the beginning of one that no other has, or "last". Given a
file, draw the graph of the plan in it: a step stands below the last one that it waits for. -o mermaid and -o svg
draw the graph of either as a Mermaid diagram or as an SVG picture that needs nothing else.`,
		Example: "  tfwctl plan show last\n  tfwctl plan show smoke.yaml\n  tfwctl plan show last -o svg >last.svg",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err == nil {
				return a.showPlanFile(args[0])
			}
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			t, err := client.Testplan(cmd.Context(), args[0])
			if errors.Is(err, executor.ErrNotFound) {
				return usageError{fmt.Sprintf("%q: no such file, and no such test plan (see: tfwctl plan list)", args[0])}
			}
			if err != nil {
				return err
			}
			if drawn, err := a.drawAs(t.Drawing()); drawn || err != nil {
				return err
			}
			return a.emit(t, func() error { return errors.Join(a.showTestplan(t), a.closing(cmd.Context(), client, t)) })
		},
	}
	return cmd
}

func addLines(cmd *cobra.Command, a *app) {
	cmd.Flags().BoolVar(&a.flags.lines, "lines", false, "all output as lines, also on a terminal")
}

func newPlanSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of plan files, for editors",
		Long: `Print the JSON Schema of plan files. The parameters of every method are in it: those of the controller's plugins,
or of the built-in ones where there is no controller.`,
		Example: "  tfwctl plan schema >plan.schema.json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := a.planSchema(cmd)
			if err == nil {
				_, err = a.out.Write(append(doc, '\n'))
			}
			return err
		},
	}
}

func (a *app) planSchema(cmd *cobra.Command) ([]byte, error) {
	client, err := a.client(cmd.Context())
	if err == nil {
		return client.TestplanSchema(cmd.Context())
	}
	a.debug("no controller (%v): the built-in plugins are taken", err)
	registry, err := plugins.NewRegistry(plugins.Builtin()...)
	if err != nil {
		return nil, err
	}
	return testplan.Schema(registry)
}
