package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tfw/api"
)

func newPlugins(a *app) *cobra.Command {
	return &cobra.Command{
		Aliases: []string{"plugin"}, Use: "plugins [NAME[.METHOD]]", Short: "List what can be run",
		Example: "  tfwctl plugins\n  tfwctl plugins linux_system\n  tfwctl plugins linux_system.run_shell\n  tfwctl plugins linux_system -o json",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: a.completeMethod,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				all, err := client.Plugins(cmd.Context())
				if err != nil {
					return err
				}
				return a.emit(all, func() error { return a.printPlugins(all) })
			}
			name, method, one := strings.Cut(args[0], ".")
			if one {
				m, err := methodOf(cmd, client, name, method)
				if err != nil {
					return err
				}
				return a.emit(m, func() error { return a.showMethod(name, m) })
			}
			p, err := client.Plugin(cmd.Context(), name)
			if err != nil {
				return err
			}
			return a.emit(p, func() error { return a.showPlugin(p) })
		},
	}
}

func (a *app) printPlugins(all []api.Plugin) error {
	g := grid{head: []string{"METHOD", "SUMMARY", "NEEDS"}, wide: 1, wrap: true}
	for _, p := range all {
		for _, m := range p.Methods {
			g.rows = append(g.rows, plainRow(p.Name+"."+m.Name, m.Summary, needs(m)))
		}
	}
	return g.print(a, a.out)
}

func needs(m api.Method) string {
	var all []string
	if m.Needs.Exclusive {
		all = append(all, "exclusive")
	}
	if m.Needs.Destructive {
		all = append(all, "destructive")
	}
	return strings.Join(all, ",")
}

func (a *app) showPlugin(p api.Plugin) error {
	a.printf("%s: %s\n", p.Name, p.Summary)
	for _, m := range p.Methods {
		a.printf("\n")
		if err := a.showMethod(p.Name, m); err != nil {
			return err
		}
	}
	return nil
}

// showMethod prints a method with its parameters, as a manual would.
func (a *app) showMethod(plugin string, m api.Method) error {
	a.printf("%s.%s: %s\n", plugin, m.Name, m.Summary)
	if n := needs(m); n != "" {
		a.printf("  needs: %s\n", n)
	}
	s := readSchema(m.Parameters)
	if len(s.Order) == 0 {
		return nil
	}
	g := grid{head: []string{"  PARAMETER", "TYPE", "DESCRIPTION"}, wide: 2, wrap: true}
	for _, name := range inOrder(s, m) {
		p := s.Properties[name]
		label := "  " + name
		if slices.Contains(s.Required, name) {
			label += " (required)"
		}
		g.rows = append(g.rows, plainRow(label, typeOf(p), describe(p)))
	}
	return g.print(a, a.out)
}

// inOrder lists parameters: those without "key=" first, then the required, then the rest.
func inOrder(s schema, m api.Method) []string {
	names := slices.Clone(m.Positional)
	for _, group := range [][]string{s.Required, s.Order} {
		for _, n := range group {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

func typeOf(s schema) string {
	kinds := s.kinds()
	slices.Sort(kinds)
	return strings.Join(slices.Compact(kinds), "|")
}

func describe(s schema) string {
	text := s.Description
	if s.Default != nil {
		text += fmt.Sprintf(" (default %v)", s.Default)
	}
	if len(s.Enum) > 0 {
		text += fmt.Sprintf(" %v", s.Enum)
	}
	return strings.TrimSpace(text)
}
