package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tfw/executor"
)

// runFlags are the flags of everything that starts a run.
type runFlags struct {
	where              string
	allowMissing       bool
	expect             int
	includeMaintenance bool

	parallel int
	serial   []string
	maxFail  string
	failFast bool

	timeout, commandTimeout, connectTimeout, silenceTimeout, lostAfter, grace, queueTimeout time.Duration
	priority                                                                                int

	detach, dryRun, exitStatus, raw, noPrefix, quiet, all bool
	key, purpose, lease                                   string

	gather, lines, diff bool
}

func (f *runFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.where, "where", "", "run only on hosts for which the `EXPR`ession holds, such as \"vars.board == 'imx8'\"")
	fs.BoolVar(&f.allowMissing, "allow-missing", false, "leave unknown names of the target out")
	fs.IntVar(&f.expect, "expect", 0, "refuse the run unless the target is exactly `N` hosts")
	fs.BoolVar(&f.includeMaintenance, "include-maintenance", false, "run on hosts in maintenance too")
	fs.IntVarP(&f.parallel, "parallel", "p", 0, "run on at most `N` hosts at a time")
	fs.StringSliceVar(&f.serial, "serial", nil, "go in batches, such as 1,5,20%; the last size repeats")
	fs.StringVar(&f.maxFail, "max-fail", "", "start no more hosts once more than `N` or N% did not pass")
	fs.BoolVar(&f.failFast, "fail-fast", false, "start no more hosts once one did not pass")
	fs.DurationVar(&f.timeout, "timeout", 0, "end the whole run after this long")
	fs.DurationVar(&f.commandTimeout, "command-timeout", 0, "end each command after this long")
	fs.DurationVar(&f.connectTimeout, "connect-timeout", 0, "give a host up that has not let us in after this long")
	fs.DurationVar(&f.silenceTimeout, "silence-timeout", 0, "end a command that has written nothing for this long")
	fs.DurationVar(&f.lostAfter, "lost-after", 0, "give a host up that is out of reach for this long in the run")
	fs.DurationVar(&f.grace, "grace", 0, "wait this long between TERM and KILL (default 10s)")
	fs.DurationVar(&f.queueTimeout, "queue-timeout", 0, "wait so long for hosts that are leased or in maintenance (else they refuse the run), or taken by another run (else it waits on)")
	fs.IntVar(&f.priority, "priority", 0, "place in the queue, -100 to 100; above 0 is for admins")
	fs.BoolVar(&f.dryRun, "dry-run", false, "list the hosts and run nothing")
	fs.StringVar(&f.key, "idempotency-key", "", "the same `KEY` never runs twice")
	fs.StringVar(&f.purpose, "purpose", "", "say what for, to those who wait for the hosts")
	fs.StringVar(&f.lease, "lease", "", "run under the lease with this `ID`")
	f.addViews(cmd)
}

// addViews adds the flags about waiting and showing.
func (f *runFlags) addViews(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.detach, "detach", false, "do not wait: print the run's id")
	fs.BoolVar(&f.exitStatus, "exit-status", false, "exit with the command's own status (one host only)")
	fs.BoolVar(&f.raw, "raw", false, "pass escape sequences of hosts on to the terminal")
	fs.BoolVar(&f.all, "all", false, "show what a method's own probes print, too")
	fs.BoolVarP(&f.noPrefix, "no-prefix", "N", false, "print no host names before lines")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "print no summary")
	fs.BoolVarP(&f.gather, "gather", "b", false, "put hosts with the same output together, at the end")
	fs.BoolVarP(&f.lines, "lines", "L", false, "print each host's lines at the end, in order of hosts; with -b prefixed by folded names")
	fs.BoolVar(&f.diff, "diff", false, "show how hosts differ from the majority")
}

func (f *runFlags) check() error {
	if f.diff && f.lines {
		return usageError{"--diff does not go with -L"}
	}
	for name, d := range map[string]time.Duration{"timeout": f.timeout, "command-timeout": f.commandTimeout, "connect-timeout": f.connectTimeout,
		"silence-timeout": f.silenceTimeout, "lost-after": f.lostAfter, "grace": f.grace, "queue-timeout": f.queueTimeout} {
		if d < 0 {
			return usageError{fmt.Sprintf("--%s: got %s, want no negative duration", name, d)}
		}
	}
	if f.parallel < 0 || f.expect < 0 {
		return usageError{"-p and --expect want a number from 1"}
	}
	if f.exitStatus && f.expect > 1 {
		return usageError{"--exit-status is for one host"}
	}
	return nil
}

func (f *runFlags) options() executor.Options {
	o := executor.Options{
		AllowMissing: f.allowMissing, Expect: f.expect, IncludeMaintenance: f.includeMaintenance,
		Parallel: f.parallel, Serial: f.serial, MaxFail: f.maxFail, FailFast: f.failFast,
		Timeout: executor.Duration(f.timeout), CommandTimeout: executor.Duration(f.commandTimeout),
		SilenceTimeout: executor.Duration(f.silenceTimeout), ConnectTimeout: executor.Duration(f.connectTimeout),
		LostAfter: executor.Duration(f.lostAfter), Grace: executor.Duration(f.grace),
		Lease: f.lease, Purpose: f.purpose, Priority: f.priority, QueueTimeout: executor.Duration(f.queueTimeout),
	}
	if f.exitStatus {
		o.Expect = 1
	}
	return o
}

// maxInline bounds what is sent along with a request; larger scripts and input are for cp.
const maxInline = 4 << 20

// readInput reads a file that is sent along, "-" is standard input.
func (a *app) readInput(flag, path string) ([]byte, error) {
	f := a.in
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, usageError{fmt.Sprintf("--%s: %v", flag, err)}
		}
		defer f.Close()
	}
	data, err := readAtMost(f, maxInline)
	if err != nil {
		return nil, usageError{fmt.Sprintf("--%s %s: %v", flag, path, err)}
	}
	return data, nil
}

// pairs reads K=V flags.
func pairs(flag string, all []string) (map[string]string, error) {
	m := map[string]string{}
	for _, p := range all {
		k, v, ok := strings.Cut(p, "=")
		if !ok || k == "" {
			return nil, usageError{fmt.Sprintf("--%s %q: want NAME=VALUE", flag, p)}
		}
		m[k] = v
	}
	return m, nil
}
