package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tfw/executor"
)

// What one look finds is told in the order in which it came about, whatever order it was found in.
func TestInOrder(t *testing.T) {
	clock := func(second int) time.Time { return time.Unix(1e9+int64(second), 0) }
	begin := func(step string, at int, after ...string) Event {
		return Event{Type: "step", Step: step, State: executor.Running, Now: &StepState{Started: clock(at), After: after}}
	}
	end := func(step string, from, to int) Event {
		return Event{Type: "step", Step: step, State: executor.Done, Now: &StepState{Started: clock(from), Finished: clock(to)}}
	}
	skip := func(step, part string, at int, after ...string) Event {
		return Event{Type: "step", Step: step, State: executor.Done, Now: &StepState{Finished: clock(at), Part: part, After: after}}
	}
	plan := func(step string, at int) Event {
		return Event{Type: "plan", Step: step, Plan: &Brief{Created: clock(at)}}
	}
	one := func(kind, step string) Event { return Event{Type: kind, Step: step} }
	cellEnd := func(step string) Event { return Event{Type: "cell", Step: step, State: executor.Done} }
	for name, c := range map[string]struct {
		news   []Event
		output []string
		want   string
	}{
		"nothing":                   {},
		"output alone":              {nil, []string{"a", "b", "a"}, "a: b: a:"},
		"around its output":         {[]Event{begin("a", 1), one("case", "a"), end("a", 1, 5)}, []string{"a", "a"}, "+a a: a: case(a) -a"},
		"two side by side":          {[]Event{begin("a", 1), end("a", 1, 9), begin("b", 1), end("b", 1, 9)}, []string{"a", "b", "a"}, "+a a: +b b: -b a: -a"},
		"the next after it":         {[]Event{begin("b", 5, "a"), end("b", 5, 7), begin("a", 1), end("a", 1, 5)}, []string{"a", "b"}, "+a a: -a +b b: -b"},
		"a coarse clock":            {[]Event{begin("c", 1, "b"), begin("b", 1, "a"), begin("a", 1), end("a", 1, 1), end("b", 1, 1)}, nil, "+a -a +b -b +c"},
		"a clock that was put back": {[]Event{begin("a", 50), one("case", "a"), end("a", 50, 60), begin("b", 2, "a")}, nil, "+a case(a) -a +b"},
		"a clock that was put back in the beginning": {[]Event{plan("", 9), begin("a", 2), begin("o", 3), plan("o", 4), begin("o/a", 1)}, []string{"a"}, "plan() +a a: +o plan(o) +o/a"},
		"steps that wait":             {[]Event{plan("", 9), {Type: "step", Step: "a", State: executor.Queued, Now: &StepState{}}}, nil, "plan() +a"},
		"of two, as they came":        {[]Event{begin("c", 0, "a", "b"), begin("a", 4), begin("b", 3), end("a", 4, 6), end("b", 3, 5)}, nil, "+b +a -b -a +c"},
		"a plan within, and its own":  {[]Event{plan("", 0), begin("o", 1), plan("o", 2), begin("o/b", 3, "a"), begin("o/a", 3), end("o/a", 3, 3), end("o", 1, 9)}, []string{"x", "o/a"}, "plan() x: +o plan(o) +o/a o/a: -o/a +o/b -o"},
		"within it a clock was ahead": {[]Event{begin("o", 1), end("o", 1, 4), cellEnd("o"), begin("o/a", 2), end("o/a", 2, 9), begin("o/a/x", 3), end("o/a/x", 3, 9)}, nil, "+o +o/a +o/a/x -o/a/x -o/a -o -cell(o)"},
		"skipped for what failed":     {[]Event{skip("c", "", 6, "b"), skip("d", "", 5, "c"), begin("b", 1), end("b", 1, 5)}, []string{"b", "b"}, "+b b: b: -b -c -d"},
		"nothing had failed":          {[]Event{skip("f", "on_failure", 5), begin("b", 1), end("b", 1, 5), {Type: "step", Step: "z", State: executor.Running, Now: &StepState{Started: clock(6), Part: "finally"}}}, []string{"b", "z"}, "+b b: -b -f +z z:"},
		"skipped at once":             {[]Event{skip("s", "", 1), begin("b", 1), end("b", 1, 5)}, []string{"b"}, "-s +b b: -b"},
		"a namesake in another plan":  {[]Event{begin("o/b", 1, "a"), begin("a", 2), end("a", 2, 3)}, nil, "+o/b +a -a"},
		"names that begin alike":      {[]Event{begin("o", 1), end("o", 1, 2)}, []string{"other", "o/a"}, "other: +o o/a: -o"},
		"a cell while others go on":   {[]Event{begin("a", 1), one("case", "a"), cellEnd("a")}, nil, "+a case(a) -cell(a)"},
		"a cell of what began before": {[]Event{begin("b", 1), one("case", "a"), cellEnd("a")}, []string{"a"}, "a: case(a) -cell(a) +b"},
	} {
		var said []Event
		for _, step := range c.output {
			said = append(said, Event{Type: "output", Step: step})
		}
		var got []string
		for _, e := range inOrder(c.news, said) {
			switch {
			case e.Type == "output":
				got = append(got, e.Step+":")
			case e.Type == "step" && e.State == executor.Done:
				got = append(got, "-"+e.Step)
			case e.Type == "step":
				got = append(got, "+"+e.Step)
			case e.State == executor.Done:
				got = append(got, fmt.Sprintf("-%s(%s)", e.Type, e.Step))
			default:
				got = append(got, fmt.Sprintf("%s(%s)", e.Type, e.Step))
			}
		}
		if !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: told %q, want %q", name, got, c.want)
		}
	}
}
