package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tfw/executor"
)

func newCp(a *app) *cobra.Command {
	var f copyFlags
	cmd := &cobra.Command{
		Use:   "cp SRC... TARGET:DST | cp TARGET:SRC... DIR",
		Short: "Copy files and directories to and from many hosts",
		Long: `Copy files or directories to every host of a target, or from them into a local
directory. A file is complete under its name or not there at all; what a host
has already is not sent again. Modes, times and links within directories are kept.
A copy that broke off, by a cut connection, Ctrl-C or worse, goes on where it
was when the same is asked again; what arrives is checked by its hash.

To hosts: a DST that ends in "/" is a directory to copy into, else the name that the one
SRC gets. From hosts: what comes from host H as NAME is put into DIR as NAME.H.
A file that grows is copied as long as it was at the beginning, and that is told;
one that is changed while it is read is read again, or refused.`,
		Example: `  tfwctl cp kernel.img duts:/boot/kernel.img
  tfwctl cp suite/ tools/probe 'duts,!dut07:/opt/lab/'
  tfwctl cp duts:/var/log/syslog logs/
  tfwctl cp build01:out/ results/`,
		Args: cobra.MinimumNArgs(2), ValidArgsFunction: a.completeCopy,
		RunE: func(cmd *cobra.Command, args []string) error {
			last := args[len(args)-1]
			if target, dst, remote := splitRemote(last); remote {
				return a.copyTo(cmd.Context(), args[:len(args)-1], target, dst, &f)
			}
			return a.copyFrom(cmd.Context(), args[:len(args)-1], last, &f)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.where, "where", "", "only hosts for which the `EXPR`ession holds")
	fs.BoolVar(&f.allowMissing, "allow-missing", false, "leave unknown names of the target out")
	fs.IntVar(&f.expect, "expect", 0, "refuse unless the target is exactly `N` hosts")
	fs.IntVarP(&f.parallel, "parallel", "p", 0, "at most `N` hosts at a time")
	fs.DurationVar(&f.timeout, "timeout", 0, "give up on a file after this long")
	fs.StringVar(&f.mode, "mode", "", "permission bits of the files on the hosts (default those of the source)")
	fs.StringVar(&f.become, "become", "", "read or write as another user: --become or --become=`USER`")
	fs.Lookup("become").NoOptDefVal = "true"
	fs.Int64Var(&f.limit, "limit", 0, "refuse files from hosts over so many `BYTES`")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "print no summary")
	return cmd
}

type copyFlags struct {
	runFlags
	mode, become string
	limit        int64
}

func (f *copyFlags) who() any {
	switch f.become {
	case "":
		return nil
	case "true":
		return true
	}
	return f.become
}

// splitRemote cuts TARGET:PATH. A colon within brackets, or after a slash, is none of ours.
func splitRemote(arg string) (target, path string, remote bool) {
	depth := 0
	for i, c := range arg {
		switch c {
		case '[':
			depth++
		case ']':
			depth--
		case '/':
			return "", "", false
		case ':':
			if depth == 0 && i > 0 {
				return arg[:i], arg[i+1:], true
			}
		}
	}
	return "", "", false
}

// tally counts what became of many copies, and keeps the worst exit status.
type tally struct {
	done, skipped int
	bytes         int64
	verdict       executor.Verdict
	bad           []string // a line for each file that did not get through
	notes         []string // and for what happened to a file while it was read
}

// add takes in the hosts of one run; each gives the outputs of those that passed.
func (t *tally) add(what string, run *executor.Run, each func(h executor.HostResult) error) error {
	t.verdict = executor.Worst(t.verdict, run.Verdict)
	var alike reasons
	for _, h := range run.Hosts {
		if h.Verdict != executor.Passed {
			h.Reason = strings.TrimPrefix(h.Reason, "get "+what+": ") // it is said already
			alike.add(h)
			continue
		}
		if err := each(h); err != nil {
			return err
		}
	}
	if alike.hosts > 0 {
		t.bad = append(t.bad, fmt.Sprintf("%s: %s", what, alike.String()))
	}
	return nil
}

// noted remembers what a person should know of a file that was copied all the same.
func (t *tally) noted(what, host, note string) {
	if host != "" {
		what += " of " + host
	}
	t.notes = append(t.notes, what+": "+note)
}

// report says how it went, and gives the exit status.
func (t *tally) report(a *app, direction string, quiet bool) error {
	for _, line := range slices.Concat(t.notes, t.bad) {
		a.say("tfwctl: %s", safeLine(line))
	}
	if !quiet {
		parts := []string{counted(t.done, "file")}
		if t.skipped > 0 {
			parts = append(parts, fmt.Sprintf("%d there already", t.skipped))
		}
		a.say("%s: %s, %s", direction, strings.Join(parts, ", "), size(t.bytes))
	}
	if code := exitOfVerdict(t.verdict); code != 0 {
		return statusError(code)
	}
	return nil
}
