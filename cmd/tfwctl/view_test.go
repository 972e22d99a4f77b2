package main

import (
	"strings"
	"testing"
	"time"

	"tfw/executor"
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
