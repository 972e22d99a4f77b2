package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageArgs makes every complaint about arguments a usage error with the next step,
// and refuses what is empty: nothing empty ever means "all", or "none of it".
func usageArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil && cmd.HasParent() {
		cmd.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			var ours usageError
			switch {
			case errors.As(err, &ours):
				return err
			case err != nil:
				return cobraUsage{fmt.Errorf("%s; usage: %s (see: %s --help)", countFault(c, check, args), c.UseLine(), c.CommandPath())}
			}
			return firstError(notEmpty(c, args), possible(c), together(c))
		}
	}
	for _, c := range cmd.Commands() {
		usageArgs(c)
	}
}

// countFault says in our words what is wrong with the number of arguments: whether more of them would do.
func countFault(c *cobra.Command, check cobra.PositionalArgs, args []string) string {
	longer := slices.Clone(args)
	for range 3 {
		if longer = append(longer, "x"); check(c, longer) == nil {
			return "an argument is missing"
		}
	}
	return fmt.Sprintf("too many arguments: %q", args)
}

// mayBeEmpty are the flags whose text is for people, or whose emptiness says something.
var mayBeEmpty = []string{"reason", "purpose", "env", "serial"}

// notEmpty refuses arguments and flags that were given as "", as a variable that is not
// set makes them: --where "" would be every host, --lease "" no lease.
func notEmpty(c *cobra.Command, args []string) error {
	if at := c.ArgsLenAtDash(); at >= 0 {
		args = args[:at] // the words of a command are its own business
	}
	if slices.Contains(args, "") {
		return usageError{fmt.Sprintf("an argument is empty; usage: %s (see: %s --help)", c.UseLine(), c.CommandPath())}
	}
	var err error
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && !slices.Contains(mayBeEmpty, f.Name) {
			err = usageError{fmt.Sprintf("--%s: is empty (name something, or leave the flag out)", f.Name)}
		}
	})
	return err
}

// wordsOf marks a flag that takes one of a few words.
const wordsOf = "tfw_words"

// possible refuses values of flags that no controller would take, before one is asked.
func possible(c *cobra.Command) error {
	var err error
	c.Flags().Visit(func(f *pflag.Flag) {
		words := f.Annotations[wordsOf]
		if at := len(words) - 1; at > 0 && !slices.Contains(words, f.Value.String()) {
			err = usageError{fmt.Sprintf("--%s %q: want %s or %s", f.Name, f.Value, strings.Join(words[:at], ", "), words[at])}
		}
		if f.Value.Type() == "duration" && strings.HasPrefix(f.Value.String(), "-") {
			err = usageError{fmt.Sprintf("--%s: got %s, want no negative duration", f.Name, f.Value)}
		}
	})
	return err
}

// together refuses flags that exclude one another, in our words and as a usage error; [cobra.Command.ValidateFlagGroups] knows them.
func together(c *cobra.Command) error {
	if c.ValidateFlagGroups() == nil {
		return nil
	}
	var given []string
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Annotations["cobra_annotation_mutually_exclusive"] != nil {
			given = append(given, "--"+f.Name)
		}
	})
	return usageError{fmt.Sprintf("%s do not go together (see: %s --help)", strings.Join(given, " and "), c.CommandPath())}
}

// wantOf says of a flag's value what is wanted in the place of how Go failed to read it.
func wantOf(err error) error {
	var bad *pflag.InvalidValueError
	if !errors.As(err, &bad) {
		return err
	}
	want := map[string]string{
		"duration": `a duration such as "90s" or "2h30m"`, "int": "a whole number", "int64": "a whole number", "uint64": "a whole number, not negative",
		"bool": "true or false",
	}[bad.GetFlag().Value.Type()]
	if want == "" {
		return err
	}
	return fmt.Errorf("--%s: got %q, want %s", bad.GetFlag().Name, bad.GetValue(), want)
}
