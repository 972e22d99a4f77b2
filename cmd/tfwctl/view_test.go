package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfw/api"
	"tfw/executor"
	testplan "tfw/plan"
)

func runWith(verdicts ...string) *executor.Run {
	run := &executor.Run{ID: "abc", State: executor.Done}
	for i, v := range verdicts {
		run.Hosts = append(run.Hosts, executor.HostResult{Host: "n" + itoa(i+1), Verdict: executor.Verdict(v)})
		run.Verdict = executor.Worst(run.Verdict, executor.Verdict(v))
	}
	return run
}

func noPaint(_, text string) string { return text }

func TestSummaryFolds(t *testing.T) {
	run := runWith("passed", "passed", "failed", "failed", "errored")
	run.Hosts[2].Reason, run.Hosts[3].Reason = "exit status 7", "exit status 7"
	run.Hosts[4].Reason = "n5: connect: refused"
	run.Started = time.Unix(100, 0)
	run.Finished = run.Started.Add(1200 * time.Millisecond)
	got := summary(run, noPaint)
	want := "run abc: 2 passed, 2 failed (n[3-4]: exit status 7), 1 errored (n5: connect: refused) in 1.2s"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestWhatDidNotPassFolds(t *testing.T) {
	row := func(step, host string, v executor.Verdict, message string, took time.Duration) testplan.Row {
		return testplan.Row{Step: step, Name: step, Host: host, Verdict: v, Message: message, Duration: executor.Duration(took)}
	}
	got := ""
	for _, r := range alikeRows([]testplan.Row{
		row("a", "n2", executor.Failed, "exit status 1", time.Second), row("a", "n1", executor.Failed, "exit status 1", 3*time.Second),
		row("a", "n3", executor.Failed, "exit status 2", time.Second), row("a", "n4", executor.TimedOut, "exit status 1", time.Second),
		row("b", "n1", executor.Failed, "exit status 1", time.Second), row("c", "", executor.Errored, "no", 0), row("a", "n2", executor.Failed, "exit status 1", 0),
	}) {
		got += fmt.Sprintln(r.Step, r.Host, r.Verdict, r.Message, time.Duration(r.Duration))
	}
	want := "a n[1-2] failed exit status 1 3s\na n3 failed exit status 2 1s\na n4 timed_out exit status 1 1s\nb n1 failed exit status 1 1s\nc  errored no 0s\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestProgressNamesTheSlowest(t *testing.T) {
	run := runWith("passed", "failed", "", "", "")
	now := time.Unix(1000, 0)
	run.Hosts[2].Started = now.Add(-5 * time.Second)
	run.Hosts[3].Started = now.Add(-72 * time.Second)
	got := progressLine(run, now, noPaint)
	if want := "2/5 done, 1 not passed, 2 running, slowest n4 (1m12s)"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0ms", 15 * time.Millisecond: "15ms", 1500 * time.Millisecond: "1.5s", 61 * time.Second: "1m01s",
		3*time.Hour + 2*time.Minute: "3h02m", 72 * time.Hour: "3d",
	} {
		if got := short(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}

func TestFirstWordReachesTheShellWhole(t *testing.T) {
	for in, want := range map[string]string{
		"uname": "uname", "/bin/ls": "/bin/ls", "if": "'if'", "a b": "'a b'", "A=b": "'A=b'", "~x": "'~x'",
	} {
		got, err := firstWord(in)
		if err != nil || got != want {
			t.Errorf("%q: got %q (%v), want %q", in, got, err, want)
		}
	}
}

// Every command has a summary, a usage line and an example: help is complete.
func TestHelpIsComplete(t *testing.T) {
	root := newRoot(newApp())
	for _, c := range allCommands(root) {
		if c.Hidden {
			continue
		}
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s: has no summary or no example", c.CommandPath())
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the summary ends with a dot", c.CommandPath())
		}
	}
}

// A controller that comes back tells how all things stand: what was said already is not said again.
func TestEndsAreSaidOnce(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v := newPlanLines(&app{out: f, err: f, env: func(string) string { return "" }})
	for range 2 {
		for _, e := range []testplan.Event{
			{Type: "cell", Step: "a", Cell: "x=1", State: executor.Done, Verdict: executor.Passed},
			{Type: "step", Step: "a", State: executor.Done, Verdict: executor.Passed, Now: &testplan.StepState{}},
		} {
			if err := v.event(api.TestplanEvent{Event: e}); err != nil {
				t.Fatal(err)
			}
		}
	}
	said, err := os.ReadFile(f.Name())
	if want := "step a[x=1]: passed\nstep a: passed\n"; err != nil || string(said) != want {
		t.Errorf("%q, want %q: %v", said, want, err)
	}
}
