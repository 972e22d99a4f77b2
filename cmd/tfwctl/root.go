package main

import (
	"github.com/spf13/cobra"
)

// cobraUsage marks an error of flags or arguments.
type cobraUsage struct{ error }

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "tfwctl",
		Short: "Run things on the hosts of a lab, exactly once",
		Long: `tfwctl runs commands and plugin methods on the hosts of a lab over plain SSH.
What it starts on a host runs exactly once and outlives cut connections, killed
controllers and upgrades; every byte of output is kept.

With --server (or TFW_SERVER, or a context) it speaks to that controller, tfwd.
Without, it speaks to the tfwd of this machine's user if one is running, else it
does the work by itself on the hosts of ./inventory.yaml (or -i FILE).`,
		Example: `  tfwctl lab up                      a throw-away lab to try things on
  tfwctl hosts                       what there is
  tfwctl exec duts -- uname -r       run a command on a group
  tfwctl logs -f last                follow the last run`,
		SilenceErrors: true, SilenceUsage: true,
		Version: versionText(),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return noSuchCommand(c, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.flags.printConfig {
				return a.printConfig()
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.resolve() },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return cobraUsage{otherFlag(cmd, wantOf(err))}
	})
	root.SetVersionTemplate("tfwctl {{.Version}}\n")
	root.SuggestionsMinimumDistance = 2
	fs := root.PersistentFlags()
	fs.StringVar(&a.flags.server, "server", "", "`URL` of the controller: http://HOST:PORT, https://... or unix:///PATH (TFW_SERVER)")
	fs.StringVar(&a.flags.token, "token", "", "token for it (TFW_TOKEN, which other users of the machine cannot see)")
	fs.StringVarP(&a.flags.inventory, "inventory", "i", "", "inventory `FILE` when there is no controller (default inventory.yaml)")
	fs.StringVarP(&a.flags.output, "output", "o", "", "`FORMAT`: table, json, yaml or jsonl")
	fs.StringVar(&a.flags.context, "context", "", "`NAME` of a context (see: tfwctl config)")
	fs.BoolVar(&a.flags.noColor, "no-color", false, "no colours (NO_COLOR)")
	fs.BoolVarP(&a.flags.verbose, "verbose", "v", false, "say what happens, with the ids of requests")
	root.Flags().BoolVar(&a.flags.printConfig, "print-config", false, "show the settings and where each came from")
	for _, c := range commands(a) {
		root.AddCommand(c)
	}
	completeWords(root, "output", "table", "json", "yaml", "jsonl")
	a.completeFlag(root, "context", a.contextNames)
	strictHelp(root)
	usageArgs(root)
	return root
}

// group is a command that only holds others.
func group(cmd *cobra.Command, sub ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(sub...)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return noSuchCommand(c, args)
		}
		return c.Help()
	}
	return cmd
}

// commands lists what tfwctl can do, in the order of the help page's groups.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newExec(a), newRun(a), newPlan(a), newResults(a), newCp(a),
		newTop(a), newRuns(a), newShow(a), newLogs(a), newCancel(a), newWait(a), newRerun(a),
		newHosts(a), newHost(a), newGroups(a), newPlugins(a),
		newLease(a), newLeases(a), newQueue(a), newRenew(a), newRelease(a), newAudit(a),
		newInventory(a), newHostkeys(a), newToken(a), newSecret(a), newLogin(a), newLogout(a), newWhoami(a), newConfig(a), newLab(a),
		newVersion(a), newCompletion(a), newMan(a), newBackground(a),
	}
}

// strictHelp makes cobra's help refuse a word that is no command, instead of telling of something else.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	help.Run = nil
	help.RunE = func(c *cobra.Command, args []string) error {
		found, rest, err := c.Root().Find(args)
		if err != nil {
			return cobraUsage{err}
		}
		if len(rest) > 0 && (found.HasSubCommands() || found == c) {
			return noSuchCommand(found, rest)
		}
		found.InitDefaultHelpFlag()
		return found.Help()
	}
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Tell this program's version", Args: cobra.NoArgs,
		Example: "  tfwctl version\n  tfwctl version -o json",
		RunE: func(*cobra.Command, []string) error {
			return a.emit(map[string]string{"version": versionText(), "go": goVersion()}, func() error {
				a.printf("tfwctl %s (%s)\n", versionText(), goVersion())
				return nil
			})
		},
	}
}
