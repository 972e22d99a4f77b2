package main

import (
	"fmt"
	"strings"

	"tfw/cmd/tfwctl/lines"
	"tfw/executor"
)

// summary is one line about how a run went, hosts folded:
// "run k3j5: 3 passed, 1 failed (dut04: exit status 7) in 1.2s".
func summary(run *executor.Run, p func(code, text string) string) string {
	var parts []string
	for _, v := range []executor.Verdict{executor.Passed, executor.Failed, executor.Errored, executor.TimedOut, executor.Cancelled, executor.Skipped, ""} {
		var alike reasons
		for _, h := range run.Hosts {
			if h.Verdict == v {
				alike.add(h)
			}
		}
		if alike.hosts == 0 {
			continue
		}
		part := fmt.Sprintf("%d %s", alike.hosts, word(v, run))
		if v != executor.Passed {
			part += " (" + alike.String() + ")"
		}
		parts = append(parts, p(verdictColour(v), part))
	}
	line := fmt.Sprintf("run %s: %s", run.ID, strings.Join(parts, ", "))
	if took := tookOf(run); took != "" {
		line += " in " + took
	}
	if run.Reason != "" && !strings.Contains(line, run.Reason) {
		line += ": " + safe(run.Reason)
	}
	return line
}

func word(v executor.Verdict, run *executor.Run) string {
	if v == "" {
		return string(run.State)
	}
	return spoken(v)
}

// spoken is a verdict as people read it: "timed out". Flags and JSON have the wire's word.
func spoken(v executor.Verdict) string { return strings.ReplaceAll(string(v), "_", " ") }

// reasons are the hosts of one verdict, those with the same reason together.
type reasons struct {
	hosts int
	order []string
	names map[string][]string
}

func (r *reasons) add(h executor.HostResult) {
	why := ownWords(h)
	if r.names == nil {
		r.names = map[string][]string{}
	}
	if r.names[why] == nil {
		r.order = append(r.order, why)
	}
	r.names[why] = append(r.names[why], h.Host)
	r.hosts++
}

// shownReasons bounds a summary; the rest is for tfwctl show.
const shownReasons = 4

// String is "dut[01-02]: exit status 1; dut04: exit status 3".
func (r *reasons) String() string {
	var parts []string
	for i, why := range r.order {
		if i == shownReasons {
			parts = append(parts, fmt.Sprintf("and %d more reasons, see: tfwctl show last", len(r.order)-i))
			break
		}
		part := fold(r.names[why])
		if why != "" {
			part += ": " + string(lines.Safe([]byte(strings.ReplaceAll(why, "\n", " "))))
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}
