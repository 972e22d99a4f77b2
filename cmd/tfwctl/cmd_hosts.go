package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/cmd/tfwctl/lines"
	"tfw/inventory"
)

func newHosts(a *app) *cobra.Command {
	var find api.HostFilter
	var probe, names, tree bool
	cmd := &cobra.Command{
		Use: "hosts [TARGET]", Short: "List hosts and how they fare",
		Long: `List hosts and how they fare. tfwd asks every host in the background (its setting
probe_every); --probe asks them now. CLOCK is how far a host's clock is from the
controller's, REASON why a host is not active, not reachable or not to be trusted with times.`,
		Example: `  tfwctl hosts
  tfwctl hosts --tree
  tfwctl hosts duts --where "vars.board == 'imx8'"
  tfwctl hosts duts --probe
  tfwctl hosts 'duts,!dut07' --names
  tfwctl hosts -o json | jq -r '.[] | select(.reachable == false) | .name'
  tfwctl hosts set dut07 --state maintenance --reason "eth1 dead"`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if find.Target = args[0]; strings.TrimSpace(find.Target) == "" {
					return usageError{`TARGET is empty (leave it out for all hosts)`}
				}
			}
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			get := client.FindHosts
			if probe {
				get = client.ProbeFound
				if find.Target == "" {
					find.Target = "all"
				}
			}
			hosts, err := get(cmd.Context(), find)
			if err != nil {
				return err
			}
			if names {
				return a.printNames(hosts)
			}
			if tree {
				groups, err := client.Groups(cmd.Context())
				if err != nil {
					return err
				}
				return a.emit(treeOf(groups, hosts), func() error { return a.printTree(treeOf(groups, hosts)) })
			}
			return a.emit(hosts, func() error { return a.printHosts(hosts) })
		},
	}
	cmd.Flags().StringVar(&find.Where, "where", "", "only hosts for which the `EXPR`ession holds")
	cmd.Flags().BoolVar(&find.AllowMissing, "allow-missing", false, "leave unknown names of the target out")
	cmd.Flags().BoolVar(&probe, "probe", false, "ask them now whether they answer, and for their facts")
	cmd.Flags().BoolVar(&names, "names", false, "only the names, one a line")
	cmd.Flags().BoolVar(&tree, "tree", false, "below their groups, as these contain one another")
	cmd.MarkFlagsMutuallyExclusive("names", "tree")
	cmd.AddCommand(newHostsSet(a))
	return cmd
}

func (a *app) printNames(hosts []api.Host) error {
	for _, h := range hosts {
		a.printf("%s\n", h.Name)
	}
	return nil
}

func newHostsSet(a *app) *cobra.Command {
	var state, reason string
	cmd := &cobra.Command{
		Use: "set TARGET", Short: "Set the state of hosts",
		Long: `Set the state of hosts, with the reason that others will read. New runs on a host that
is not active are refused (or with --queue-timeout wait for the end of its maintenance);
those that have begun there end as they would: until then it is shown as draining. What
the inventory file says wins.`,
		Example: `  tfwctl hosts set dut07 --state maintenance --reason "eth1 dead"
  tfwctl hosts set dut07 --state active`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			if state == "" {
				return usageError{"want --state active, maintenance, quarantined or retired"}
			}
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			hosts, err := client.SetHostState(cmd.Context(), args[0], inventory.State(state), reason)
			if err != nil {
				return err
			}
			return a.emit(hosts, func() error {
				a.printf("%s: %s\n", fold(namesOf(hosts)), state)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "active, maintenance, quarantined or retired")
	cmd.Flags().StringVar(&reason, "reason", "", "say why")
	completeWords(cmd, "state", "active", "maintenance", "quarantined", "retired")
	return cmd
}

func namesOf(hosts []api.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

func (a *app) printHosts(hosts []api.Host) error {
	g := grid{head: []string{"NAME", "ADDRESS", "GROUPS", "PLUGINS", "STATE", "REACHABLE", "SEEN", "LATENCY", "CLOCK", "REASON"}, wide: 9, wrap: true, spare: []string{"LATENCY", "CLOCK", "SEEN", "GROUPS"}}
	for _, h := range hosts {
		reach := reachOf(h)
		g.rows = append(g.rows, []cell{{text: h.Name}, {text: addressOf(h)}, {text: strings.Join(h.Groups, ",")},
			{text: strings.Join(h.Plugins, ",")}, {stateText(h), hostColour(h.State)}, reach,
			{text: seen(h)}, {text: latency(h)}, {text: string(h.Clock), colour: clockColour(h)}, {text: why(h)}})
	}
	return g.without("SEEN", "LATENCY", "CLOCK").print(a, a.out)
}

// stateText is the state, and that runs which had begun are still under way.
func stateText(h api.Host) string {
	if h.Draining {
		return string(h.State) + " (draining)"
	}
	return string(h.State)
}

func seen(h api.Host) string {
	if h.LastSeen.IsZero() {
		return ""
	}
	return since(h.LastSeen)
}

func latency(h api.Host) string {
	if h.Latency == 0 {
		return ""
	}
	return short(time.Duration(h.Latency))
}

// drifted is how far a clock may be off before times in logs mislead.
const drifted = 5 * time.Second

func drift(h api.Host) time.Duration {
	d, _ := time.ParseDuration(string(h.Clock))
	if d.Abs() < drifted {
		return 0
	}
	return d
}

func clockColour(h api.Host) string {
	if drift(h) == 0 {
		return ""
	}
	return yellow
}

func addressOf(h api.Host) string {
	if h.SSH.Port != 22 && h.SSH.Port != 0 {
		return fmt.Sprintf("%s:%d", h.Address, h.SSH.Port)
	}
	return h.Address
}

func reachOf(h api.Host) cell {
	switch {
	case h.Reachable == nil:
		return cell{text: "unknown", colour: grey}
	case *h.Reachable:
		return cell{text: "yes", colour: green}
	}
	return cell{text: "no", colour: red}
}

func hostColour(s inventory.State) string {
	if s == inventory.Active {
		return ""
	}
	return yellow
}

func why(h api.Host) string {
	d := drift(h)
	switch {
	case h.Reason != "" && h.StateBy != "":
		return h.Reason + " (" + h.StateBy + ")"
	case h.Reason != "":
		return h.Reason
	case h.Problem != "":
		return h.Problem
	case d > 0:
		return "its clock is " + d.String() + " ahead (see to its time service)"
	case d < 0:
		return "its clock is " + (-d).String() + " behind (see to its time service)"
	}
	return ""
}

func newHost(a *app) *cobra.Command {
	var explain bool
	cmd := &cobra.Command{
		Use: "host HOST", Short: "Show all that is known of one host",
		Long:    "Show all that is known of one host. With --explain: each of its settings, the file and line that it came from, and what it overrode there.",
		Example: "  tfwctl host dut07\n  tfwctl host dut07 --explain\n  tfwctl host 10.0.3.7 -o yaml",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.completeHost,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			if explain {
				settings, err := client.Explain(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.emit(settings, func() error { return a.showSettings(settings) })
			}
			h, err := client.Host(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.emit(h, func() error { return a.showHost(h) })
		},
	}
	cmd.Flags().BoolVar(&explain, "explain", false, "tell of each setting where it came from and what it overrode")
	return cmd
}

func (a *app) showHost(h api.Host) error {
	p := a.painter(a.out)
	a.field("name", h.Name)
	a.field("address", addressOf(h))
	a.field("user", h.SSH.User)
	a.field("jump", strings.Join(h.SSH.Jump, ", "))
	a.field("id", fmt.Sprint(h.ID))
	a.field("uuid", h.UUID)
	a.field("groups", strings.Join(h.Groups, ", "))
	a.field("plugins", strings.Join(h.Plugins, ", "))
	a.field("tags", strings.Join(h.Tags, ", "))
	a.field("state", p(hostColour(h.State), stateText(h)))
	if len(h.Runs) > 0 {
		a.field("runs", fmt.Sprint(h.Runs))
	}
	a.field("reason", h.Reason)
	a.field("set by", h.StateBy)
	reach := reachOf(h)
	a.field("reachable", p(reach.colour, reach.text))
	a.field("problem", h.Problem)
	a.field("last seen", seen(h))
	a.field("latency", latency(h))
	if h.Clock != "" {
		a.field("clock", p(clockColour(h), string(h.Clock)+" from the controller's"))
	}
	if !h.Probed.IsZero() {
		a.field("probed", since(h.Probed))
	}
	a.field("not durable", h.NotDurable)
	for _, s := range h.Strays {
		a.field("stray", fmt.Sprintf("%d %s, of run %s (end it: tfwctl exec %s -- kill %d)", s.PID, lines.Safe([]byte(s.Command)), s.Run, h.Name, s.PID))
	}
	a.nested("vars", h.Vars)
	a.nested("facts", h.Facts)
	return nil
}

// field prints one line of a description, or nothing when there is nothing to say.
func (a *app) field(name, value string) {
	if value != "" {
		a.printf("%-10s %s\n", name, value)
	}
}

// nested prints values as YAML, below one another.
func (a *app) nested(name string, values map[string]any) {
	if len(values) == 0 {
		return
	}
	text, err := yamlOf(values)
	if err != nil {
		return
	}
	for line := range strings.Lines(text) {
		a.printf("%-10s %s", name, lines.Safe([]byte(strings.TrimSuffix(line, "\n"))))
		a.printf("\n")
		name = ""
	}
}
