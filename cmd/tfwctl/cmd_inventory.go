package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/cmd/controller"
	"tfw/inventory"
)

func newInventory(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "inventory", Short: "Check the inventory file, and reckon with sets of hosts",
		Example: "  tfwctl inventory check\n  tfwctl inventory status\n  tfwctl inventory expand 'dut[01-24/2],gw'",
	}, newInventoryCheck(a), newInventoryStatus(a), newInventoryExpand(a), newInventoryFold(a),
		newInventoryConvert(a), newInventorySchema(a))
}

func newInventoryCheck(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE]", Short: "Find every mistake in an inventory file",
		Long:    "Read an inventory file as the controller would and show every mistake with its line. Nothing is contacted.",
		Example: "  tfwctl inventory check\n  tfwctl inventory check lab/inventory.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			inv, file, err := a.loadInventory(cmd, args)
			var problems inventory.Problems
			if errors.As(err, &problems) {
				if a.setting.output.value != "table" {
					if err := a.emit(problems, nil); err != nil {
						return err
					}
				} else if err := problems.Print(a.err); err != nil {
					return err
				}
				return usageError{fmt.Sprintf("%s: %s", file, counted(len(problems), "problem"))}
			}
			if err != nil {
				return err
			}
			warnings := inventory.Problems(inv.Warnings())
			report := map[string]any{"file": file, "hosts": len(inv.Hosts()), "groups": len(inv.Groups()), "revision": inv.Revision(), "warnings": warnings}
			return a.emit(report, func() error {
				if err := warnings.Print(a.err); err != nil {
					return err
				}
				a.printf("%s: ok, %s in %s\n", file, counted(len(inv.Hosts()), "host"), counted(len(inv.Groups()), "group"))
				return nil
			})
		},
	}
}

// loadInventory reads the file named, or the one in force.
func (a *app) loadInventory(cmd *cobra.Command, args []string) (*inventory.Inventory, string, error) {
	file := a.setting.inventory.value
	if len(args) > 0 {
		file = args[0]
	}
	known, err := a.localPlugins(file)
	if err != nil {
		return nil, file, err
	}
	inv, err := inventory.Load(cmd.Context(), file, inventory.Options{Plugins: known})
	return inv, file, err
}

func newInventoryStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Tell which inventory is in use, and whether the last edit was taken",
		Example: "  tfwctl inventory status", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			s, err := client.InventoryStatus(cmd.Context())
			if err != nil {
				return err
			}
			err = a.emit(s, func() error {
				a.field("source", s.Source)
				a.field("revision", s.Revision)
				a.field("loaded", since(s.Loaded))
				a.field("hosts", fmt.Sprint(s.Hosts))
				a.field("groups", fmt.Sprint(s.Groups))
				return a.showChange(s)
			})
			if err == nil && s.Problem != "" {
				return statusError(exitFailed)
			}
			return err
		},
	}
}

// showChange tells what the last edit brought, or why it was not taken.
func (a *app) showChange(s api.InventoryStatus) error {
	a.field("reloads", fmt.Sprint(s.Reloads))
	for _, d := range []struct {
		what  string
		names []string
	}{{"added", s.Changed.Added}, {"removed", s.Changed.Removed}, {"altered", s.Changed.Altered}} {
		if len(d.names) > 0 {
			a.field(d.what, fmt.Sprintf("%s (%d)", fold(d.names), len(d.names)))
		}
	}
	if len(s.Warnings) > 0 {
		a.field("warnings", fmt.Sprintf("%d (see: tfwctl inventory check)", len(s.Warnings)))
	}
	if s.Problem == "" {
		return nil
	}
	a.printf("\n%s\n", a.painter(a.out)(red, "the edit of "+since(s.Checked)+" was not taken; the inventory above is in use"))
	if len(s.Problems) > 0 {
		all := make(inventory.Problems, len(s.Problems))
		for i, p := range s.Problems {
			all[i] = inventory.Problem(p)
		}
		return all.Print(a.out)
	}
	a.printf("%s\n", s.Problem)
	return nil
}

func newInventoryExpand(a *app) *cobra.Command {
	var places string
	cmd := &cobra.Command{
		Use: "expand SET...", Short: "Print the names of a folded set, one a line",
		Example: "  tfwctl inventory expand 'dut[01-24/2],gw'\n  tfwctl inventory expand 'r[1-2]s[1-8]' | wc -l\n  tfwctl inventory expand --slice 0-3,20 'dut[01-24]'",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := inventory.Expand(strings.Join(args, ","))
			if err != nil {
				return usageError{err.Error()}
			}
			if names, err = sliced(cmd, names, places); err != nil {
				return err
			}
			return a.emitSets(names)
		},
	}
	cmd.Flags().StringVarP(&places, "slice", "I", "", "only the names at these places, as in 0-3,20 (the first is 0)")
	return cmd
}

// sliced keeps the names that --slice asks for, all where it is not given.
func sliced(cmd *cobra.Command, names []string, places string) ([]string, error) {
	if !cmd.Flags().Changed("slice") {
		return names, nil
	}
	names, err := inventory.Slice(names, places)
	if err != nil {
		return nil, usageError{"--slice: " + err.Error()}
	}
	return names, nil
}

func newInventoryFold(a *app) *cobra.Command {
	var places string
	var parts int
	var contiguous bool
	cmd := &cobra.Command{
		Use: "fold [NAME...]", Short: "Print one folded set of names",
		Long:    "Fold the names given as arguments, or on standard input (between spaces, commas or newlines). Folded sets are names too.",
		Example: "  tfwctl inventory fold dut01 dut02 dut03\n  tfwctl hosts --names | tfwctl inventory fold\n  tfwctl inventory fold --split 4 'dut[01-24]'",
		Args:    cobra.ArbitraryArgs, ValidArgsFunction: a.completeHost,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				text, err := readAtMost(a.in, 16<<20)
				if err != nil {
					return usageError{"standard input: " + err.Error()}
				}
				args = strings.Fields(string(text))
			}
			names, err := namesIn(args)
			if err != nil {
				return err
			}
			if names, err = sliced(cmd, names, places); err != nil {
				return err
			}
			switch {
			case contiguous:
				return a.emitSets(inventory.Contiguous(names))
			case cmd.Flags().Changed("split"):
				return a.emitParts(names, parts)
			}
			folded := fold(names)
			return a.emit(folded, func() error {
				a.printf("%s\n", folded)
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&places, "slice", "I", "", "only the names at these places in folded order, as in 0-3,20 (the first is 0)")
	cmd.Flags().IntVar(&parts, "split", 0, "deal the names into so many sets, one a line")
	cmd.Flags().BoolVar(&contiguous, "contiguous", false, "a set a line for every run of names without a gap")
	cmd.MarkFlagsMutuallyExclusive("split", "contiguous")
	return cmd
}

// emitParts prints the names dealt into n sets.
func (a *app) emitParts(names []string, n int) error {
	parts, err := inventory.Split(names, n)
	if err != nil {
		return usageError{fmt.Sprintf("--split: got %d, %s", n, err)}
	}
	sets := make([]string, len(parts))
	for i, p := range parts {
		sets[i] = fold(p)
	}
	return a.emitSets(sets)
}

// emitSets prints names or sets one a line.
func (a *app) emitSets(sets []string) error {
	return a.emit(sets, func() error {
		w := bufio.NewWriter(a.out)
		for _, n := range sets {
			fmt.Fprintln(w, n)
		}
		return w.Flush()
	})
}

// namesIn expands what is folded already, and leaves the other names as they are.
func namesIn(words []string) ([]string, error) {
	var names []string
	for _, w := range words {
		w = strings.Trim(w, ",")
		if w == "" {
			continue
		}
		if !strings.ContainsAny(w, "[],") {
			names = append(names, w)
			continue
		}
		more, err := inventory.Expand(w)
		if err != nil {
			return nil, usageError{err.Error()}
		}
		names = append(names, more...)
	}
	if len(names) == 0 {
		return nil, usageError{"no names given (as arguments, or on standard input)"}
	}
	return names, nil
}

// localPlugins names the plugins that an inventory may declare here.
func (a *app) localPlugins(file string) ([]string, error) {
	registry, err := controller.Registry(file, a.env("TFW_PLUGINS_DIR"))
	if err != nil {
		return nil, err
	}
	return registry.Names(), nil
}

func newInventoryConvert(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "convert [FILE]", Short: "Print an inventory in tfw's own format",
		Long:    "Read an Ansible inventory (YAML, INI, the JSON of ansible-inventory --list, or an executable that prints it), or one of tfw's own, and print it in tfw's own format.",
		Example: "  tfwctl inventory convert hosts.yml >inventory.yaml", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			inv, _, err := a.loadInventory(cmd, args)
			if err != nil {
				return err
			}
			text, err := inventory.Convert(inv)
			if err != nil {
				return err
			}
			_, err = a.out.Write(text)
			return err
		},
	}
}

func newInventorySchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of inventory files, for editors",
		Example: "  tfwctl inventory schema >inventory.schema.json", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(append(inventory.JSONSchema(), '\n'))
			return err
		},
	}
}
