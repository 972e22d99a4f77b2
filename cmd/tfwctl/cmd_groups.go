package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tfw/api"
)

func newGroups(a *app) *cobra.Command {
	return &cobra.Command{
		Aliases: []string{"group"}, Use: "groups [GROUP]", Short: "List groups: their hosts, the groups in them, what may run there",
		Long: `List groups: their hosts, the groups in them, the plugins that they declare and how they
isolate their hosts. With GROUP all of that one. Admins are told who may use a group, by
tokens and the policy file.`,
		Example: "  tfwctl groups\n  tfwctl groups duts -o json",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: a.completeGroup,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 1 {
				g, err := client.Group(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.emit(g, func() error { return a.showGroup(g) })
			}
			groups, err := client.Groups(cmd.Context())
			if err != nil {
				return err
			}
			return a.emit(groups, func() error { return a.printGroups(groups) })
		},
	}
}

func (a *app) printGroups(groups []api.Group) error {
	g := grid{head: []string{"NAME", "COUNT", "HOSTS", "GROUPS", "PLUGINS", "ISOLATION", "OWNER", "TAGS", "USERS"}, wide: 2}
	for _, gr := range groups {
		g.rows = append(g.rows, plainRow(gr.Name, fmt.Sprint(len(gr.Hosts)), fold(gr.Hosts), strings.Join(gr.Children, ","),
			strings.Join(gr.Plugins, ","), isolationOf(gr), gr.Owner, strings.Join(gr.Tags, ","), strings.Join(usersOf(gr), ", ")))
	}
	return g.without("OWNER", "TAGS", "USERS").print(a, a.out)
}

func isolationOf(g api.Group) string {
	if g.Capacity > 0 {
		return fmt.Sprintf("%s, %d", g.Isolation, g.Capacity)
	}
	return g.Isolation
}

// usersOf names who may use a group, with the role.
func usersOf(g api.Group) []string {
	var names []string
	for _, u := range g.Users {
		names = append(names, fmt.Sprintf("%s (%s)", u.Name, u.Role))
	}
	return names
}

// showGroup tells all of one group.
func (a *app) showGroup(g api.Group) error {
	a.field("name", g.Name)
	a.field("hosts", fmt.Sprintf("%s (%d)", orDash(fold(g.Hosts)), len(g.Hosts)))
	if len(g.Direct) != len(g.Hosts) {
		a.field("direct", orDash(fold(g.Direct)))
	}
	a.field("groups", strings.Join(g.Children, ", "))
	a.field("in", strings.Join(g.Parents, ", "))
	a.field("plugins", strings.Join(g.Plugins, ", "))
	a.field("tags", strings.Join(g.Tags, ", "))
	a.field("isolation", isolationOf(g))
	a.field("owner", g.Owner)
	if g.MaxHosts > 0 {
		a.field("max hosts", fmt.Sprint(g.MaxHosts))
	}
	for i, u := range g.Users {
		a.field(map[bool]string{true: "users", false: ""}[i == 0], userLine(u))
	}
	a.nested("vars", g.Vars)
	return nil
}

func userLine(u api.GroupUser) string {
	s := fmt.Sprintf("%s (%s", u.Name, u.Role)
	if u.AllGroups {
		s += ", of all groups"
	}
	if len(u.Allow) > 0 {
		s += ", only " + strings.Join(u.Allow, " ")
	}
	if len(u.Deny) > 0 {
		s += ", not " + strings.Join(u.Deny, " ")
	}
	return s + ")"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
