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
	var where string
	var probe, names bool
	cmd := &cobra.Command{
		Use: "hosts [TARGET]", Short: "List hosts and how they fare",
		Example: `  tfwctl hosts
  tfwctl hosts duts --where "vars.board == 'imx8'"
  tfwctl hosts duts --probe
  tfwctl hosts 'duts,!dut07' --names
  tfwctl hosts -o json | jq -r '.[] | select(.reachable == false) | .name'
  tfwctl hosts set dut07 --state maintenance --reason "eth1 dead"`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			target := ""
			if len(args) > 0 {
				if target = args[0]; strings.TrimSpace(target) == "" {
					return usageError{`TARGET is empty (leave it out for all hosts)`}
				}
			}
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			get := client.Hosts
			if probe {
				get = client.ProbeHosts
				if target == "" {
					target = "all"
				}
			}
			hosts, err := get(cmd.Context(), target, where)
			if err != nil {
				return err
			}
			if names {
				return a.printNames(hosts)
			}
			return a.emit(hosts, func() error { return a.printHosts(hosts) })
		},
	}
	cmd.Flags().StringVar(&where, "where", "", "only hosts for which the `EXPR`ession holds")
	cmd.Flags().BoolVar(&probe, "probe", false, "ask them now whether they answer, and for their facts")
	cmd.Flags().BoolVar(&names, "names", false, "only the names, one a line")
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
		Long: `Set the state of hosts, with the reason that others will read. Runs leave out
hosts that are not active. What the inventory file says wins.`,
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
	g := grid{head: []string{"NAME", "ADDRESS", "GROUPS", "PLUGINS", "STATE", "REACHABLE", "REASON"}, wide: 6}
	for _, h := range hosts {
		reach := reachOf(h)
		g.rows = append(g.rows, []cell{{text: h.Name}, {text: addressOf(h)}, {text: strings.Join(h.Groups, ",")},
			{text: strings.Join(h.Plugins, ",")}, {string(h.State), hostColour(h.State)}, reach, {text: why(h)}})
	}
	return g.print(a, a.out)
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
	if h.Reason != "" {
		return h.Reason
	}
	return h.Problem
}

func newHost(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "host HOST", Short: "Show all that is known of one host",
		Example: "  tfwctl host dut07\n  tfwctl host 10.0.3.7 -o yaml",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.completeHost,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			h, err := client.Host(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.emit(h, func() error { return a.showHost(h) })
		},
	}
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
	a.field("state", p(hostColour(h.State), string(h.State)))
	a.field("reason", h.Reason)
	a.field("set by", h.StateBy)
	reach := reachOf(h)
	a.field("reachable", p(reach.colour, reach.text))
	a.field("problem", h.Problem)
	if !h.LastSeen.IsZero() {
		a.field("last seen", since(h.LastSeen)+", in "+short(time.Duration(h.Latency)))
	}
	a.field("clock", string(h.Clock))
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

func newGroups(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "groups [GROUP]", Short: "List groups and their hosts",
		Example: "  tfwctl groups\n  tfwctl groups duts -o json",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: a.completeGroup,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			var groups []api.Group
			var shown any
			if len(args) == 1 {
				g, err := client.Group(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				groups, shown = []api.Group{g}, g
			} else {
				if groups, err = client.Groups(cmd.Context()); err != nil {
					return err
				}
				shown = groups
			}
			return a.emit(shown, func() error { return a.printGroups(groups) })
		},
	}
}

func (a *app) printGroups(groups []api.Group) error {
	g := grid{head: []string{"NAME", "COUNT", "HOSTS", "GROUPS", "PLUGINS", "ISOLATION", "TAGS"}, wide: 2}
	for _, gr := range groups {
		g.rows = append(g.rows, plainRow(gr.Name, fmt.Sprint(len(gr.Hosts)), fold(gr.Hosts), strings.Join(gr.Children, ","),
			strings.Join(gr.Plugins, ","), gr.Isolation, strings.Join(gr.Tags, ",")))
	}
	return g.print(a, a.out)
}
