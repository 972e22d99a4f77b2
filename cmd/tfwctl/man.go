package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newMan(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "man [COMMAND]", Short: "Print a manual page, or write all of them",
		Long:    "Print the manual page of tfwctl, or of one of its commands, for man(1). It says what --help says.",
		Example: "  tfwctl man exec | man -l -\n  tfwctl man --dir /usr/local/share/man/man1",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, c := range manCommands(cmd.Root()) {
				if len(args) == 0 && c.HasParent() {
					names = append(names, c.Name()+"\t"+c.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir != "" {
				return writeMan(cmd.Root(), dir)
			}
			for _, c := range manCommands(cmd.Root()) {
				if len(args) == 0 || c.HasParent() && c.Name() == args[0] {
					_, err := a.out.Write(manPage(c))
					return err
				}
			}
			return usageError{fmt.Sprintf("%q: no such command (see: tfwctl --help)", args[0])}
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write the pages of all commands into this `DIR`ectory")
	return cmd
}

// manCommands are those with a page of their own: tfwctl first, then its commands.
func manCommands(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if !c.Hidden && c.Name() != "help" {
			all = append(all, c)
		}
	}
	return all
}

func writeMan(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // pages for everybody
		return err
	}
	for _, c := range manCommands(root) {
		if err := os.WriteFile(filepath.Join(dir, manName(c)+".1"), manPage(c), 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	return nil
}

func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manPage writes a page in the macros of man(7).
func manPage(c *cobra.Command) []byte {
	var b bytes.Buffer
	name := manName(c)
	fmt.Fprintf(&b, ".TH \"%s\" \"1\" \"\" \"tfw %s\" \"tfw\"\n.nh\n.ad l\n", strings.ToUpper(name), roff(versionText()))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(strings.ToLower(c.Short[:1])+c.Short[1:]))
	manBody(&b, c, ".SH")
	if subs := manSubcommands(c); c.HasParent() {
		for _, s := range subs {
			fmt.Fprintf(&b, ".SH %s\n%s.\n", roff(strings.ToUpper(s.CommandPath())), roff(s.Short))
			manBody(&b, s, ".SS")
		}
	} else {
		b.WriteString(".SH COMMANDS\n")
		for _, s := range subs {
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR(1)\n%s.\n", roff(manName(s)), roff(s.Short))
		}
	}
	b.WriteString(exitStatuses)
	if c.HasParent() {
		b.WriteString(".SH SEE ALSO\n\\fBtfwctl\\fR(1) tells the flags that every command takes.\n")
	}
	return b.Bytes()
}

const exitStatuses = `.SH EXIT STATUS
0 all passed; 1 some host failed; 2 usage, target or parameters refused; 3 some host errored: unreachable, not let in, host key;
4 timed out; 5 cancelled; 6 refused by a lease or by rights. The worst of 3, 4, 5, 1 in this order wins.
`

func manSubcommands(c *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, s := range c.Commands() {
		if !s.Hidden && s.Name() != "help" {
			all = append(all, s)
		}
	}
	return all
}

// manBody is what a command can do: how it is called, what it does, examples, flags.
func manBody(b *bytes.Buffer, c *cobra.Command, head string) {
	fmt.Fprintf(b, "%s SYNOPSIS\n.nf\n\\fB%s\\fR\n.fi\n", head, roff(c.UseLine()))
	if c.Long != "" {
		fmt.Fprintf(b, "%s DESCRIPTION\n", head)
		for i, paragraph := range strings.Split(strings.TrimSpace(c.Long), "\n\n") {
			if i > 0 {
				b.WriteString(".PP\n")
			}
			b.WriteString(roff(paragraph) + "\n")
		}
	}
	if c.Example != "" {
		fmt.Fprintf(b, "%s EXAMPLES\n.nf\n%s\n.fi\n", head, roff(strings.TrimRight(c.Example, "\n")))
	}
	flags := c.NonInheritedFlags()
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, "%s OPTIONS\n", head)
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			manFlag(b, f)
		}
	})
}

func manFlag(b *bytes.Buffer, f *pflag.Flag) {
	value, usage := pflag.UnquoteUsage(f)
	b.WriteString(".TP\n")
	if f.Shorthand != "" {
		fmt.Fprintf(b, "\\fB%s\\fR, ", roff("-"+f.Shorthand))
	}
	fmt.Fprintf(b, "\\fB%s\\fR", roff("--"+f.Name))
	if value != "" {
		fmt.Fprintf(b, " \\fI%s\\fR", roff(value))
	}
	fmt.Fprintf(b, "\n%s\n", roff(usage))
}

var roffSpecial = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", "\\`", `^`, `\(ha`, `~`, `\(ti`)

// roff makes text one that troff sets as it is: no requests, no escapes.
func roff(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if lines[i] = roffSpecial.Replace(line); strings.HasPrefix(line, ".") {
			lines[i] = `\&` + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}
