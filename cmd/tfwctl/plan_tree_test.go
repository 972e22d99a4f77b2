package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"pgregory.net/rapid"

	"tfw/api"
	"tfw/executor"
	testplan "tfw/plan"
)

// paper is a terminal that wraps its lines anew when it is resized. Its lines are those that were
// written, wrapped or not; the cursor is always at the end of the last one.
type paper struct {
	t     *rapid.T
	width int
	lines []string
}

var control = regexp.MustCompile(`^\x1b\[(\d*)([A-Za-z])`)

func (s *paper) Write(p []byte) (int, error) {
	rest := string(p)
	for rest != "" {
		if m := control.FindStringSubmatch(rest); m != nil {
			rest = rest[len(m[0]):]
			switch m[2] {
			case "A":
				n, _ := strconv.Atoi(m[1])
				s.up(n)
			case "J", "m":
			default:
				s.t.Fatalf("an escape sequence that was not meant: %q", m[0])
			}
			continue
		}
		switch rest[0] {
		case '\n':
			s.lines = append(s.lines, "")
		case '\r':
			s.lines[len(s.lines)-1] = ""
		default:
			s.lines[len(s.lines)-1] += rest[:1]
		}
		rest = rest[1:]
	}
	return len(p), nil
}

// up goes up so many rows, to the beginning of a line, and clears from there (what erase sends).
func (s *paper) up(rows int) {
	last := len(s.lines) - 1
	for rows > 0 && last > 0 {
		last--
		rows -= s.rows(s.lines[last])
	}
	if rows != 0 {
		s.t.Fatalf("the cursor ends in the middle of a line: %d rows", rows)
	}
	s.lines = append(s.lines[:last:last], "")
}

func (s *paper) rows(line string) int {
	return max(1, (text.RuneWidthWithoutEscSequences(line)+s.width-1)/s.width)
}

// Whatever happens in a test plan, and however the terminal is resized meanwhile: there is one tree, it is never wider or
// higher than the terminal was when it was drawn, it is gone at the end, and no line that should stay is lost.
func TestPlanTreeLeavesNothingBehind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &paper{t: t, width: rapid.IntRange(10, 120).Draw(t, "width"), lines: []string{""}}
		height := rapid.IntRange(5, 50).Draw(t, "height")
		now := time.Unix(1e9, 0)
		a := newApp()
		tree := newPlanTree(a)
		tree.out, tree.now = nil, func() time.Time { return now }
		tree.area = area{f: s, size: func() (int, int) { return s.width, 1000 }}
		say := []string{"\x1b[31mred\x1b[0m", "ok\n", strings.Repeat("long ", 60) + "\n", "\x1b[2J\x1b[H", "ünï😀\t\x00\n", "half a line", "\xff\xfe\n"}
		stay := 0
		send := func(e api.TestplanEvent) {
			if err := tree.event(e); err != nil {
				t.Fatal(err)
			}
		}
		brief := testplan.Brief{ID: "abc", Name: "nightly", Created: now}
		send(api.TestplanEvent{Event: testplan.Event{Type: "plan", Plan: &brief}})
		stay++
		n := rapid.IntRange(1, 60).Draw(t, "steps")
		for i := range n {
			send(stepEvent(i, executor.Queued, "", now))
		}
		for k := range rapid.IntRange(1, 60).Draw(t, "events") {
			i := rapid.IntRange(0, n-1).Draw(t, "step")
			name := fmt.Sprintf("step%d", i)
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				send(stepEvent(i, executor.Running, "", now))
			case 1, 2:
				out := api.LogEntry{Seq: uint64(k), Host: "dut01", Stream: executor.Stdout, Data: []byte(rapid.SampledFrom(say).Draw(t, "data"))}
				send(api.TestplanEvent{Event: testplan.Event{Type: "output", Step: name, Host: "dut01"}, Output: &out})
			case 3:
				send(api.TestplanEvent{Event: testplan.Event{Type: "case", Step: name, Host: "dut01", Verdict: executor.Failed}})
			case 4:
				if told := tree.steps[name]; !told.told {
					stay++
				}
				send(stepEvent(i, executor.Done, executor.Failed, now))
			}
			if rapid.Bool().Draw(t, "resize") {
				s.width, height = rapid.IntRange(10, 120).Draw(t, "width"), rapid.IntRange(5, 50).Draw(t, "height")
			}
			now = now.Add(time.Second)
			tree.area.draw(tree.lines(s.width, height, now))
			if len(tree.area.shown) > height-1 {
				t.Fatalf("%d lines on a terminal of %d", len(tree.area.shown), height)
			}
			for _, line := range tree.area.shown {
				if w := text.RuneWidthWithoutEscSequences(line); w >= s.width {
					t.Fatalf("%q is %d wide, the terminal %d", line, w, s.width)
				}
			}
			if heads := strings.Count(strings.Join(s.lines, "\n"), "nightly:"); heads != 1 {
				t.Fatalf("%d trees:\n%s", heads, strings.Join(s.lines, "\n"))
			}
		}
		if err := tree.close(); err != nil {
			t.Fatal(err)
		}
		left := strings.Join(s.lines, "\n")
		if strings.Contains(left, "nightly:") || s.lines[len(s.lines)-1] != "" {
			t.Fatalf("something is left:\n%s", left)
		}
		if ended := strings.Count("\n"+left, "\nstep step") + strings.Count(left, "test plan abc"); ended != stay {
			t.Fatalf("%d lines stayed of %d:\n%s", ended, stay, left)
		}
	})
}

// One more that waits is told by its name: a line that says so takes no less room.
func TestPlanTreeNamesTheLastThatWaits(t *testing.T) {
	for n, want := range map[int]string{4: "  . step3", 5: "  ... 2 more waiting"} {
		a := &app{err: os.Stderr, out: os.Stdout, env: func(string) string { return "" }}
		tree := newPlanTree(a)
		tree.name = "nightly"
		for i := range n {
			e := stepEvent(i, executor.Queued, "", time.Time{})
			tree.step(e)
		}
		got := tree.lines(80, 24, time.Now())
		if len(got) != 5 || got[4] != want {
			t.Errorf("%d that wait: %q, want %q in the end", n, got, want)
		}
	}
}

func stepEvent(i int, state executor.State, v executor.Verdict, now time.Time) api.TestplanEvent {
	as := &testplan.StepState{Name: fmt.Sprintf("step%d", i), Uses: "testcase.run", State: state, Verdict: v}
	if state != executor.Queued {
		as.Started = now
	}
	return api.TestplanEvent{Event: testplan.Event{Type: "step", Step: as.Name, State: state, Verdict: v, Now: as, Hosts: []string{"dut01", "dut02"}}}
}
