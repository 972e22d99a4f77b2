package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/cli.md anew")

// docs/cli.md is made of the commands themselves: go test ./cmd/tfwctl -run Docs -update.
func TestDocsAreCurrent(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "cli.md")
	want := manual()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil { //nolint:gosec // a page for everybody
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/cli.md is not what the commands say (go test ./cmd/tfwctl -run Docs -update)")
	}
}

func manual() []byte {
	var b bytes.Buffer
	root := newRoot(newApp())
	b.WriteString("# tfwctl\n\nMade of the commands themselves; do not edit (`go test ./cmd/tfwctl -run Docs -update`).\n\n")
	b.WriteString(root.Long + "\n\n")
	fmt.Fprintf(&b, "```\n%s\n```\n\nFlags of every command:\n\n```\n%s```\n", root.Example, root.PersistentFlags().FlagUsages())
	for _, c := range allCommands(root) {
		if c.Hidden || c == root {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n", c.CommandPath(), c.Short)
		if c.Long != "" {
			b.WriteString("\n" + strings.TrimSpace(c.Long) + "\n")
		}
		if c.Runnable() && !c.HasAvailableSubCommands() || c.HasLocalFlags() {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", c.UseLine())
		}
		if c.Example != "" {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", c.Example)
		}
		if flags := c.NonInheritedFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(&b, "\n```\n%s```\n", flags)
		}
	}
	return b.Bytes()
}

// allCommands walks the tree in the order of help.
func allCommands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.Name() == "help" { // everybody's, and not ours
			continue
		}
		all = append(all, allCommands(sub)...)
	}
	return all
}
