package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tfw/executor"
)

// drawn is a step of a random plan.
type drawn struct {
	name    string
	role    string
	needs   []string
	when    string
	refs    string // a step that when mentions
	perHost bool
	allow   bool
	cells   int // 0: no matrix
	codes   map[string]int
	retry   int            // further attempts of a host that failed
	flaky   map[string]int // starts that fail on a host before one that does not
	fast    bool           // the matrix: fail_fast, one cell after the other
}

var rolesOf = map[string][]string{"b": {"b1"}, "d": {"d1", "d2", "d3"}}

// drawSteps draws a graph: every step needs some of those before it, so chains, fans and diamonds all come.
func drawSteps(t *rapid.T, prefix string, n int) (all []drawn) {
	for i := range n {
		s := drawn{name: fmt.Sprintf("%s%d", prefix, i), role: rapid.SampledFrom([]string{"b", "d"}).Draw(t, "role"), codes: map[string]int{}, flaky: map[string]int{}}
		for _, before := range all {
			if rapid.IntRange(0, 2).Draw(t, "edge") == 0 {
				s.needs = append(s.needs, before.name)
			}
		}
		s.perHost = rapid.IntRange(0, 3).Draw(t, "per_host") == 0
		s.allow = rapid.IntRange(0, 4).Draw(t, "allow_failure") == 0
		s.cells = rapid.SampledFrom([]int{0, 0, 0, 2}).Draw(t, "cells")
		s.when = rapid.SampledFrom([]string{"", "", "", "success()", "failure()", "always()", "cancelled()", "!cancelled()", "params.x == 'yes'", "params.x == 'no'", "failure() || success()", "verdict"}).Draw(t, "when")
		if s.when == "verdict" {
			if s.when = ""; len(s.needs) > 0 {
				s.refs = rapid.SampledFrom(s.needs).Draw(t, "whose")
				s.when = fmt.Sprintf("steps.%s.verdict == '%s'", s.refs, rapid.SampledFrom([]string{"passed", "failed", "skipped"}).Draw(t, "verdict"))
			}
		}
		for _, h := range rolesOf[s.role] {
			s.codes[h] = rapid.SampledFrom([]int{0, 0, 0, 0, 5}).Draw(t, "code")
		}
		s.retry = rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "retry")
		s.fast = s.cells > 0 && rapid.Bool().Draw(t, "fail_fast")
		for _, h := range rolesOf[s.role] {
			if s.cells == 0 {
				s.flaky[h] = rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "flaky")
			}
		}
		all = append(all, s)
	}
	return all
}

func (s drawn) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s: {uses: work.do, on: %s, needs: [%s], per_host: %t, allow_failure: %t", s.name, s.role, strings.Join(s.needs, ", "), s.perHost, s.allow)
	if s.when != "" {
		fmt.Fprintf(&b, ", when: %q", s.when)
	}
	if s.cells > 0 {
		b.WriteString(", matrix: {n: [1, 2]")
		if s.fast {
			b.WriteString(", fail_fast: true, max_parallel: 1")
		}
		b.WriteString("}")
	}
	if s.retry > 0 {
		fmt.Fprintf(&b, ", retry: {limit: %d, on: [failed]}", s.retry)
	}
	code := "${{ {"
	for _, h := range rolesOf[s.role] {
		code += fmt.Sprintf("'%s': %d, ", h, s.codes[h])
	}
	fmt.Fprintf(&b, ", with: {do: \"act ${{ host.name == 'd1' ? 7 : 1 }} %s}[host.name] }} %s\"}}\n", strings.TrimSuffix(code, ", "), s.name)
	return b.String()
}

// on works out how the step ends on a host where it runs, and how often its command starts there in a cell.
func (s drawn) on(host string) (v executor.Verdict, starts int) {
	switch {
	case s.codes[host] != 0:
		return executor.Failed, s.retry + 1
	case s.flaky[host] > s.retry:
		return executor.Failed, s.retry + 1
	}
	return executor.Passed, s.flaky[host] + 1
}

// oracle works out how the steps end, one after the other, in the plainest way.
type oracle struct {
	of     map[string]drawn
	onHost map[string]map[string]executor.Verdict // step -> host
	whole  map[string]executor.Verdict
}

func (o *oracle) see(step, by drawn, host string) executor.Verdict {
	if by.perHost && step.role == by.role {
		return o.onHost[step.name][host]
	}
	return o.whole[step.name]
}

func (o *oracle) broken(s, by drawn, host string) bool {
	for _, n := range s.needs {
		dep := o.of[n]
		if dep.allow {
			continue
		}
		seen := dep
		v := o.whole[n]
		if by.perHost && seen.role == s.role && s.role == by.role {
			v = o.onHost[n][host]
		}
		if v == executor.Failed || v == executor.Skipped && o.broken(dep, by, host) {
			return true
		}
	}
	return false
}

func (o *oracle) runs(s drawn, host string) bool {
	ok := true
	for _, n := range s.needs {
		ok = ok && (o.of[n].allow || o.see(o.of[n], s, host) == executor.Passed)
	}
	switch s.when {
	case "", "success()", "params.x == 'yes'":
		return ok
	case "failure()":
		return o.broken(s, s, host)
	case "failure() || success()":
		return ok || o.broken(s, s, host)
	case "always()", "!cancelled()":
		return true
	case "cancelled()", "params.x == 'no'":
		return false
	}
	want := strings.Split(s.when, "'")[1]
	return string(o.see(o.of[s.refs], s, host)) == want
}

func (o *oracle) end(s drawn) {
	o.of[s.name] = s
	o.onHost[s.name] = map[string]executor.Verdict{}
	for _, h := range rolesOf[s.role] {
		v := executor.Skipped
		if o.runs(s, h) {
			v, _ = s.on(h)
		}
		o.onHost[s.name][h] = v
		o.whole[s.name] = executor.Worst(o.whole[s.name], v)
	}
}

func (o *oracle) verdict(steps []drawn) executor.Verdict {
	worst := executor.Passed
	for _, s := range steps {
		if !s.allow {
			worst = executor.Worst(worst, o.whole[s.name])
		}
	}
	return worst
}

// TestOracle: random plans end as the oracle says, step by step and host by host, every
// command runs once, and none before what it needs is over.
func TestOracle(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		groups := map[string][]drawn{
			"steps":      drawSteps(r, "s", rapid.IntRange(1, 9).Draw(r, "steps")),
			"on_failure": drawSteps(r, "f", rapid.IntRange(0, 2).Draw(r, "on_failure")),
			"finally":    drawSteps(r, "z", rapid.IntRange(0, 2).Draw(r, "finally")),
		}
		text := "name: t\nparameters: {x: {default: 'yes'}}\nhosts:\n  b: {target: b1}\n  d: {target: 'd[1-3]'}\n"
		for _, g := range []string{"steps", "on_failure", "finally"} {
			if len(groups[g]) == 0 {
				continue
			}
			text += g + ":\n"
			for _, s := range groups[g] {
				text += s.yaml()
			}
		}
		l := newLab(t)
		for _, g := range groups {
			for _, s := range g {
				for h, n := range s.flaky {
					l.hosts.broken[h+" "+s.name] = n
				}
			}
		}
		got := l.wait(l.submit(text, nil))
		o := &oracle{of: map[string]drawn{}, onHost: map[string]map[string]executor.Verdict{}, whole: map[string]executor.Verdict{}}
		for _, s := range groups["steps"] {
			o.end(s)
		}
		verdict := o.verdict(groups["steps"])
		for _, s := range groups["on_failure"] {
			if o.end(s); verdict == executor.Passed {
				o.whole[s.name] = executor.Skipped
				for h := range o.onHost[s.name] {
					o.onHost[s.name][h] = executor.Skipped
				}
			}
		}
		for _, s := range groups["finally"] {
			o.end(s)
		}
		verdict = executor.Worst(verdict, o.verdict(groups["finally"]))
		if got.Verdict != verdict {
			r.Errorf("the plan %s, want %s", got.Verdict, verdict)
		}
		starts := 0
		for _, step := range got.Steps {
			if step.Verdict != o.whole[step.Name] {
				r.Errorf("%s %s (%s), want %s", step.Name, step.Verdict, step.Reason, o.whole[step.Name])
			}
			s := o.of[step.Name]
			for _, h := range rolesOf[s.role] {
				if o.onHost[s.name][h] == executor.Skipped {
					continue
				}
				_, n := s.on(h)
				starts += n * s.ran(o.onHost[s.name], h)
				o.order(r, l.hosts.trace, s, h)
			}
		}
		if len(l.hosts.trace) != 2*starts {
			r.Errorf("%d starts and ends, want %d each", len(l.hosts.trace), starts)
		}
		l.drain()
		if r.Failed() {
			r.Logf("%s\n%s", text, strings.Join(l.hosts.trace, "\n"))
		}
	})
}

// ran is how many cells of the step start on a host, of hosts that end so. With fail_fast a failure in the first cell keeps
// the second from starting: on every host, or on that host alone where each goes its own way.
func (s drawn) ran(ends map[string]executor.Verdict, host string) int {
	failed := ends[host] == executor.Failed
	if !s.perHost {
		for _, v := range ends {
			failed = failed || v == executor.Failed
		}
	}
	if s.fast && failed {
		return 1
	}
	return max(1, s.cells)
}

// order: the first start of the step on the host comes after the last end of all that it needs.
func (o *oracle) order(r *rapid.T, trace []string, s drawn, host string) {
	first := slices.Index(trace, "+"+host+" "+s.name)
	if first < 0 {
		r.Errorf("%s did not run on %s", s.name, host)
		return
	}
	for _, n := range s.needs {
		dep := o.of[n]
		for i, line := range trace {
			at, what, _ := strings.Cut(line[1:], " ")
			if what != n || i < first || s.perHost && dep.role == s.role && at != host {
				continue
			}
			r.Errorf("%s ran on %s before %s was over on %s", s.name, host, n, at)
			return
		}
	}
}
