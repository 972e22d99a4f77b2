package main

import (
	"fmt"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"tfw/executor"
)

// progress is one line at the bottom of the terminal that tells how far a run
// on many hosts is. A nil progress shows nothing.
type progress struct {
	f     *os.File
	paint func(code, text string) string
	shown bool
	hosts int
}

// newProgress is nil where nobody would see it: on one host, or when standard error is no terminal that can.
func newProgress(a *app, hosts int) *progress {
	if hosts < 2 || !a.redraws(a.err) {
		return nil
	}
	return &progress{f: a.err, paint: a.painter(a.err), hosts: hosts}
}

// every is how often the run is looked at: less often when that is more to read.
func (p *progress) every() time.Duration {
	return 300*time.Millisecond + time.Duration(p.hosts)*time.Millisecond
}

func (p *progress) hide() {
	if p != nil && p.shown {
		fmt.Fprint(p.f, "\r\x1b[K")
		p.shown = false
	}
}

func (p *progress) show(run *executor.Run) {
	if p == nil || run.State == executor.Done {
		return
	}
	line := progressLine(run, time.Now(), p.paint)
	if w := width(p.f); w > 0 {
		line = text.Trim(line, w-1)
	}
	fmt.Fprint(p.f, "\r"+line+"\x1b[K")
	p.shown = true
}

// progressLine reads "12/40 done, 1 failed, 27 running, slowest dut07 (1m12s)".
func progressLine(run *executor.Run, now time.Time, paint func(code, text string) string) string {
	var done, bad, running int
	var slowest *executor.HostResult
	for i := range run.Hosts {
		switch h := &run.Hosts[i]; {
		case h.Verdict != "":
			done++
			if h.Verdict != executor.Passed {
				bad++
			}
		case !h.Started.IsZero():
			running++
			if slowest == nil || h.Started.Before(slowest.Started) {
				slowest = h
			}
		}
	}
	line := fmt.Sprintf("%d/%d done", done, len(run.Hosts))
	if bad > 0 {
		line += ", " + paint(red, fmt.Sprintf("%d not passed", bad))
	}
	line += fmt.Sprintf(", %d running", running)
	if slowest != nil {
		line += fmt.Sprintf(", slowest %s (%s)", slowest.Host, short(now.Sub(slowest.Started)))
	}
	return line
}
