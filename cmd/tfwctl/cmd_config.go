package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

func newConfig(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "config", Short: "Keep names for controllers (contexts)",
		Long: `A context is a name for a server, its token, an inventory and an output format.
Flags win over the environment (TFW_SERVER, TFW_TOKEN, TFW_INVENTORY,
TFW_OUTPUT, TFW_CONTEXT), the environment over the context. What is in force and
where it came from: tfwctl --print-config.`,
		Example: "  tfwctl config set lab1 --server https://lab1:8774 --token-file ~/.lab1.token\n  tfwctl config use lab1\n  tfwctl config list",
	}, newConfigSet(a), newConfigUse(a), newConfigList(a), newConfigDelete(a))
}

// unresolved lets the contexts be repaired when the ones in force are wrong.
func unresolved(a *app) func(*cobra.Command, []string) error {
	return func(*cobra.Command, []string) error {
		if err := a.resolve(); err != nil {
			a.setting.output = origin{"table", "default"}
		}
		return nil
	}
}

func newConfigSet(a *app) *cobra.Command {
	var tokenFile, caFile, certFile, keyFile string
	cmd := &cobra.Command{
		Aliases: []string{"set-context"}, Use: "set NAME", Short: "Make or change a context from --server, --token, --token-file, --inventory, --output",
		Example: "  tfwctl config set lab1 --server https://lab1:8774 --token-file ~/.lab1.token", Args: cobra.ExactArgs(1),
		PersistentPreRunE: unresolved(a),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.editConfig(func(c *configFile) error {
				if c.Contexts == nil {
					c.Contexts = map[string]contextSpec{}
				}
				s := c.Contexts[args[0]]
				for into, value := range map[*string]string{&s.Server: a.flags.server, &s.Token: a.flags.token, &s.TokenFile: tokenFile,
					&s.CAFile: caFile, &s.CertFile: certFile, &s.KeyFile: keyFile,
					&s.Inventory: a.flags.inventory, &s.Output: a.flags.output} {
					if value != "" {
						*into = value
					}
				}
				if tokenFile != "" {
					s.Token = ""
				}
				c.Contexts[args[0]] = s
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "read the token from this `FILE` each time")
	cmd.Flags().StringVar(&caFile, "ca-file", "", "`FILE` of the authority that signed the server's certificate (TFW_CA_FILE)")
	cmd.Flags().StringVar(&certFile, "cert-file", "", "`FILE` of a client certificate, in the place of a token (TFW_CERT_FILE)")
	cmd.Flags().StringVar(&keyFile, "key-file", "", "`FILE` of its key (TFW_KEY_FILE)")
	return cmd
}

func newConfigUse(a *app) *cobra.Command {
	return &cobra.Command{
		Aliases: []string{"use-context"}, Use: "use NAME|none", Short: "Take a context from now on", Example: "  tfwctl config use lab1", Args: cobra.ExactArgs(1),
		PersistentPreRunE: unresolved(a), ValidArgsFunction: a.completeContext,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.editConfig(func(c *configFile) error {
				if _, ok := c.Contexts[args[0]]; !ok && args[0] != "none" {
					return usageError{fmt.Sprintf("%q: no such context (see: tfwctl config list)", args[0])}
				}
				c.Current = args[0]
				if args[0] == "none" {
					c.Current = ""
				}
				return nil
			})
		},
	}
}

func newConfigDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Aliases: []string{"rm", "delete-context"}, Use: "delete NAME", Short: "Forget a context", Example: "  tfwctl config delete lab1", Args: cobra.ExactArgs(1),
		PersistentPreRunE: unresolved(a), ValidArgsFunction: a.completeContext,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.editConfig(func(c *configFile) error {
				if _, ok := c.Contexts[args[0]]; !ok {
					return usageError{fmt.Sprintf("%q: no such context (see: tfwctl config list)", args[0])}
				}
				delete(c.Contexts, args[0])
				if c.Current == args[0] {
					c.Current = ""
				}
				return nil
			})
		},
	}
}

func newConfigList(a *app) *cobra.Command {
	return &cobra.Command{
		Aliases: []string{"ls", "get-contexts"}, Use: "list", Short: "List contexts", Example: "  tfwctl config list", Args: cobra.NoArgs, PersistentPreRunE: unresolved(a),
		RunE: func(*cobra.Command, []string) error {
			c, err := a.readConfig()
			if err != nil {
				return err
			}
			for name, s := range c.Contexts { // a token is never shown
				if s.Token != "" {
					s.Token = "(set)"
					c.Contexts[name] = s
				}
			}
			return a.emit(c, func() error {
				if len(c.Contexts) == 0 {
					a.say("no contexts (make one with: tfwctl config set NAME --server URL)")
					return nil
				}
				g := grid{head: []string{"", "NAME", "SERVER", "TOKEN", "INVENTORY", "OUTPUT"}, wide: 2}
				for _, name := range c.names() {
					s, mark := c.Contexts[name], " "
					if name == c.Current {
						mark = "*"
					}
					g.rows = append(g.rows, plainRow(mark, name, s.Server, s.Token+s.TokenFile, s.Inventory, s.Output))
				}
				return g.print(a, a.out)
			})
		},
	}
}

func (c configFile) names() []string {
	names := make([]string, 0, len(c.Contexts))
	for n := range c.Contexts {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// editConfig changes the file of contexts, whole or not at all; it may hold tokens, so it is private.
func (a *app) editConfig(edit func(*configFile) error) error {
	c, err := a.readConfig()
	if err != nil {
		return err
	}
	if err := edit(&c); err != nil {
		return err
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	path := a.configPath()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".config-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// setting is one row of --print-config.
type setting struct {
	Name  string `json:"name" yaml:"name"`
	Value string `json:"value" yaml:"value"`
	From  string `json:"from" yaml:"from"`
}

// printConfig shows what is in force and where it came from; a token is never shown.
func (a *app) printConfig() error {
	s := a.setting
	if s.token.value != "" {
		s.token.value = "(set)"
	}
	rows := []setting{
		{"context", s.context.value, s.context.from}, {"server", s.server.value, s.server.from}, {"token", s.token.value, s.token.from},
		{"ca_file", s.ca.value, s.ca.from}, {"cert_file", s.cert.value, s.cert.from}, {"key_file", s.key.value, s.key.from},
		{"inventory", s.inventory.value, s.inventory.from}, {"output", s.output.value, s.output.from}, {"state", a.stateDir(), stateFrom(a)},
	}
	return a.emit(rows, func() error {
		for _, r := range rows {
			if r.Value == "" {
				r.Value = `""`
			}
			a.printf("%-40s # %s\n", r.Name+": "+r.Value, r.From)
		}
		return nil
	})
}

func stateFrom(a *app) string {
	for _, name := range []string{"TFW_DATA", "XDG_STATE_HOME"} {
		if a.env(name) != "" {
			return name
		}
	}
	return "default"
}
