package main

import (
	"fmt"
	"strings"

	"tfw/executor"
)

// summary is one line about how a run went, hosts folded:
// "run k3j5: 3 passed, 1 failed (dut04: exit status 7) in 1.2s".
func summary(run *executor.Run, p func(code, text string) string) string {
	var parts []string
	for _, v := range []executor.Verdict{executor.Passed, executor.Failed, executor.Errored, executor.TimedOut, executor.Cancelled, executor.Skipped, ""} {
		var names, reasons []string
		for _, h := range run.Hosts {
			if h.Verdict == v {
				names = append(names, h.Host)
				reasons = append(reasons, ownWords(h))
			}
		}
		if len(names) == 0 {
			continue
		}
		part := fmt.Sprintf("%d %s", len(names), word(v, run))
		if v != executor.Passed {
			part += " (" + fold(names) + common(reasons) + ")"
		}
		parts = append(parts, p(verdictColour(v), part))
	}
	line := fmt.Sprintf("run %s: %s", run.ID, strings.Join(parts, ", "))
	if took := tookOf(run); took != "" {
		line += " in " + took
	}
	if run.Reason != "" && !strings.Contains(line, run.Reason) {
		line += ": " + run.Reason
	}
	return line
}

func word(v executor.Verdict, run *executor.Run) string {
	if v == "" {
		return string(run.State)
	}
	return strings.ReplaceAll(string(v), "_", " ")
}

// common is the reason that all share; with several, the first and how many more there are.
func common(reasons []string) string {
	kinds := map[string]bool{}
	for _, r := range reasons {
		kinds[r] = true
	}
	switch {
	case reasons[0] == "":
		return ""
	case len(kinds) == 1:
		return ": " + reasons[0]
	}
	return fmt.Sprintf(": %s, and %d other reasons", reasons[0], len(kinds)-1)
}
