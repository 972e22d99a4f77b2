package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/executor"
)

func newLogs(a *app) *cobra.Command {
	var l logFlags
	cmd := &cobra.Command{
		Aliases: []string{"log"}, Use: "logs RUN", Short: "Print a run's output",
		Long: `Print what the hosts of a run wrote, in the order in which it arrived. Standard
output goes to standard output, standard error to standard error, notes of
plugins and of tfw as lines that begin with "tfw:".

-o raw with --host writes the exact bytes of one stream, -o jsonl the log's
entries with sequence number, time, host, command, stream and offset.`,
		Example: `  tfwctl logs last
  tfwctl logs -f last
  tfwctl logs k3j --host dut07 --stream stderr --since 10m
  tfwctl logs k3j -o raw --host dut07 --stream stdout >build.log
  tfwctl logs last -b`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error { return a.logs(cmd, args[0], &l) },
	}
	fs := cmd.Flags()
	fs.BoolVarP(&l.follow, "follow", "f", false, "go on until the run is done")
	fs.StringVar(&l.host, "host", "", "only of this host")
	fs.StringVar(&l.stream, "stream", "", "only of this stream: stdout, stderr or event")
	fs.StringVar(&l.since, "since", "", "only what arrived since a time (RFC 3339) or in the last `AGE` (10m)")
	fs.IntVarP(&l.tail, "tail", "n", 0, "begin with the last `N` entries of the log")
	fs.BoolVarP(&l.view.gather, "gather", "b", false, "put hosts with the same output together")
	fs.BoolVarP(&l.view.lines, "lines", "L", false, "print each host's lines, in order of hosts; with -b prefixed by folded names")
	fs.BoolVar(&l.view.diff, "diff", false, "show how hosts differ from the majority")
	fs.BoolVar(&l.view.all, "all", false, "print what a method's own probes printed, too (-o raw and jsonl always do)")
	fs.BoolVarP(&l.view.noPrefix, "no-prefix", "N", false, "print no host names before lines")
	fs.BoolVar(&l.view.raw, "raw", false, "pass escape sequences of hosts on to the terminal")
	completeWords(cmd, "stream", "stdout", "stderr", "event")
	a.completeFlag(cmd, "host", a.hostNames)
	return cmd
}

type logFlags struct {
	follow              bool
	host, stream, since string
	tail                int
	view                runFlags
}

func (l *logFlags) options() (api.LogOptions, error) {
	o := api.LogOptions{Host: l.host, Stream: executor.Stream(l.stream), Tail: l.tail, Follow: l.follow}
	switch o.Stream {
	case "", executor.Stdout, executor.Stderr, executor.Events:
	default:
		return o, usageError{fmt.Sprintf("--stream %q: want stdout, stderr or event", l.stream)}
	}
	if l.tail < 0 {
		return o, usageError{"-n wants a number from 1"}
	}
	if l.since == "" {
		return o, nil
	}
	if age, err := time.ParseDuration(l.since); err == nil && age >= 0 {
		o.Since = time.Now().Add(-age)
		return o, nil
	}
	at, err := time.Parse(time.RFC3339Nano, l.since)
	if err != nil {
		return o, usageError{fmt.Sprintf("--since %q: want an age such as 10m, or a time such as 2026-01-31T10:00:00Z", l.since)}
	}
	o.Since = at
	return o, nil
}

func (a *app) logs(cmd *cobra.Command, id string, l *logFlags) error {
	o, err := l.options()
	if err != nil {
		return err
	}
	if err := l.view.check(); err != nil {
		return err
	}
	client, err := a.client(cmd.Context())
	if err != nil {
		return err
	}
	run, err := client.Run(cmd.Context(), id)
	if err != nil {
		return err
	}
	switch a.setting.output.value {
	case "raw":
		if o.Host == "" && len(run.Hosts) != 1 {
			return usageError{fmt.Sprintf("-o raw: want --host, run %s has %s: %s", run.ID, counted(len(run.Hosts), "host"), fold(hostsOf(run)))}
		}
		_, err := client.RawLog(cmd.Context(), string(run.ID), o, a.out)
		return err
	case "json", "yaml":
		return usageError{"-o " + a.setting.output.value + ": a log is a stream, take -o jsonl"}
	}
	w := &watch{a: a, client: client, run: run, opts: o, sink: a.sinkFor(run, &l.view), looking: true, all: l.view.all}
	if a.setting.output.value == "jsonl" {
		w.sink, w.all = newJSONLines(a), true
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	_, err = w.follow(cmd.Context(), signals)
	return err
}

func hostsOf(run *executor.Run) []string {
	names := make([]string, len(run.Hosts))
	for i, h := range run.Hosts {
		names[i] = h.Host
	}
	return names
}
