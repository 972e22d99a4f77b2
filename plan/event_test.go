package plan_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/plan"
)

// follow reads all events of a test plan from now on.
func (l *lab) follow(id string, output bool) (all []plan.Event) {
	l.t.Helper()
	ctx, stop := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer stop()
	f, err := l.Follow(ctx, me, id, 0, output)
	if err != nil {
		l.t.Fatal(err)
	}
	for {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond) // as the server's: it looks whether the client is there
		events, err := f.Next(short)
		cancel()
		if err != nil && !(errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil) {
			l.t.Fatalf("%v after %d events", err, len(all))
		}
		all = append(all, events...)
		if err == nil && len(events) == 0 {
			return all
		}
	}
}

func within(step string) string { return step[:strings.LastIndexByte(step, '/')+1] }

// Whoever follows, from the beginning, in between or afterwards, learns every step and case and all output, output before the ends, and one end.
func TestFollow(t *testing.T) {
	l := newLab(t)
	l.hosts.broken["say flaky"] = 1
	p, err := l.Submit(t.Context(), me, plan.Submission{File: "p.yaml", Plan: everything + "  slowly: {uses: work.do, on: b, with: {do: sleep 150}}\n", Files: map[string]string{"inner.yaml": innerPlan}})
	if err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"live", "afterwards"} {
		events := l.follow(p.ID, true)
		last := map[string]string{}
		out, begun, ended, seen := map[string]string{}, map[string]bool{}, map[string]bool{}, map[uint64]bool{}
		for i, e := range events {
			place := e.Step + "[" + e.Cell + "]"
			switch e.Type {
			case "output":
				if seen[e.Entry.Seq] || ended[e.Step] || !begun[e.Step] {
					t.Errorf("%s: output %q of %s comes twice, after the end, or before the begin", when, e.Entry.Data, place)
				}
				seen[e.Entry.Seq] = true
				if e.Entry.Stream == executor.Stdout {
					out[place+e.Host] += string(e.Entry.Data)
				}
			case "case":
				last[place+e.Host] = string(e.Verdict)
			case "step":
				last[e.Step] = string(e.Verdict)
				begun[e.Step] = begun[e.Step] || e.State == executor.Running
				ended[e.Step] = e.State == executor.Done
				if begun[e.Step] && !ended[e.Step] {
					for _, before := range e.Now.After {
						if !ended[within(e.Step)+before] {
							t.Errorf("%s: %s begins before the end of %s is told", when, e.Step, before)
						}
					}
				}
			case "end":
				if i != len(events)-1 || e.Verdict != executor.Failed {
					t.Errorf("%s: %+v is event %d of %d", when, e, i+1, len(events))
				}
			}
		}
		for place, want := range map[string]string{"build": "passed", "flaky[]b1": "passed", "suite[n=2]d2": "failed", "after": "skipped", "inner": "passed", "inner/deep": "passed", "clean[]d2": "passed", "slowly": "passed"} {
			if last[place] != want {
				t.Errorf("%s: %s is %q, want %s", when, place, last[place], want)
			}
		}
		if out["build[]b1"] != "built\n" || out["inner/deep[]d1"] != "deep\n" || strings.Count(out["flaky[]b1"], "flaky") != 1 {
			t.Errorf("%s: %v", when, out)
		}
		if n := len(events); events[n-1].Type != "end" {
			t.Errorf("%s: no end after %d events", when, n)
		}
	}
	for _, e := range l.follow(p.ID, false) {
		if e.Type == "output" {
			t.Fatal("output that nobody asked for")
		}
	}
}

// TestFollowTellsWhoPassed: of a step that goes on for a while it is told which hosts are over, once, before the others are.
func TestFollowTellsWhoPassed(t *testing.T) {
	l := newLab(t)
	p := l.submit("name: t\nhosts: {d: 'd1,d2'}\nsteps:\n  a: {uses: work.do, on: d, serial: [1], with: {do: sleep 1200}}\n", nil)
	f, err := l.Follow(t.Context(), me, p.ID, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for over := false; !over; {
		events, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			over = over || e.Type == "end"
			if e.Type != "case" {
				continue
			}
			told[e.Host]++
			now, err := l.TestPlan(t.Context(), me, p.ID)
			if err != nil || e.Host == "d1" && now.Steps[0].State != executor.Running {
				t.Errorf("that d1 passed is told when all is over: %+v %v", now.Steps, err)
			}
		}
	}
	if len(told) != 2 || told["d1"] != 1 || told["d2"] != 1 {
		t.Errorf("told so often: %v", told)
	}
}
