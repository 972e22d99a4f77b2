package plan

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tfw/executor"
)

// placed is an event with its place: before which piece of output it comes, and among those there, when.
type placed struct {
	Event
	before int
	at     time.Time
	told   bool
}

// inOrder puts what one look has found into the order in which it came about: a step's begin before
// its output, its ends after it, and the end of a step before the begin of the next. Output keeps its own order.
func inOrder(news, output []Event) []Event {
	all := places(news, output)
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Or(cmp.Compare(a.before, b.before), a.at.Compare(b.at)) })
	o := ordering{all: all, of: map[string][]int{}, in: map[string][]int{}, ordered: make([]Event, 0, len(news)+len(output))}
	for i, e := range all {
		o.of[e.Step] = append(o.of[e.Step], i)
		for around := trimSlash(withinOf(e.Step)); around != ""; around = trimSlash(withinOf(around)) {
			o.in[around] = append(o.in[around], i)
		}
	}
	next := 0
	for i := 0; i <= len(output); i++ {
		for ; next < len(all) && all[next].before <= i; next++ {
			o.tell(next, i)
		}
		if i < len(output) {
			o.ordered = append(o.ordered, output[i])
		}
	}
	return o.ordered
}

type ordering struct {
	all     []placed
	of      map[string][]int // by step
	in      map[string][]int // of the steps within a step
	ordered []Event
}

// tell adds one event, and before it those that it cannot come before: a clock may be too coarse to tell, or be put back.
func (o *ordering) tell(which, now int) {
	e := &o.all[which]
	if e.told {
		return
	}
	e.told = true
	first := o.first(e.Event)
	slices.Sort(first)
	for _, i := range first {
		if o.all[i].before <= now {
			o.tell(i, now)
		}
	}
	o.ordered = append(o.ordered, e.Event)
}

// first finds what comes before the begin of a step, or before the end of one that never began: the begin of its plan, and
// all that is told of the steps it waited for; before a plan: the begin of the step that it is; and before that step's end
// all that is told of those within it.
func (o *ordering) first(e Event) (first []int) {
	if e.Type != "plan" && e.State == executor.Done {
		first = slices.Clone(o.in[e.Step])
	}
	switch {
	case e.Type == "plan":
		for _, i := range o.of[e.Step] {
			if o.all[i].begins() {
				first = append(first, i)
			}
		}
	case e.begins() || e.passedOver():
		within := withinOf(e.Step)
		for _, i := range o.of[trimSlash(within)] {
			if o.all[i].Type == "plan" {
				first = append(first, i)
			}
		}
		for _, name := range e.Now.After {
			first = append(first, o.of[within+name]...)
		}
		for i := range o.all {
			if other := &o.all[i]; e.passedOver() && e.Now.Part != "" && other.Type == "step" && other.Now.Part == "" && withinOf(other.Step) == within {
				first = append(first, i)
			}
		}
	}
	return first
}

// begins reports whether the event is a step that is not over.
func (e Event) begins() bool { return e.Type == "step" && e.State != executor.Done }

// passedOver reports whether the event is the end of a step that never began.
func (e Event) passedOver() bool {
	return e.Type == "step" && e.State == executor.Done && e.Now.Started.IsZero()
}

// withinOf names the steps around one, with the slash: "outer/" of "outer/inner".
func withinOf(step string) string { return step[:strings.LastIndexByte(step, '/')+1] }

func places(news, output []Event) []placed {
	spans := spansOf(output)
	begun, began, ended := map[string]int{}, map[string]time.Time{}, map[string]time.Time{}
	for _, e := range news {
		if e.Type == "step" {
			began[e.Step] = e.Now.Started
			if e.State == executor.Done {
				ended[e.Step] = e.Now.Finished
			}
		}
	}
	all := make([]placed, 0, len(news))
	for _, e := range news {
		out, said := spans[e.Step]
		if !said {
			out.first = len(output)
		}
		switch {
		case e.Type == "plan":
			all = append(all, placed{Event: e, before: out.first, at: e.Plan.Created})
		case e.Type == "case" || e.State == executor.Done:
			at := ended[e.Step]
			if at.IsZero() { // other cells go on: this one ended after the begin, which is told before it
				at = began[e.Step]
			}
			all = append(all, placed{Event: e, before: max(out.last, begun[e.Step]), at: at})
		default: // it begins
			begun[e.Step] = out.first
			all = append(all, placed{Event: e, before: out.first, at: began[e.Step]})
		}
	}
	placePassedOver(all)
	return all
}

// placePassedOver puts steps that never began, and said nothing, behind the ends of those for which they did not: of those
// that they waited for, and for on_failure and finally of all steps.
func placePassedOver(all []placed) {
	ends := map[string]*placed{}
	for i := range all {
		if all[i].Type == "step" && all[i].State == executor.Done {
			ends[all[i].Step] = &all[i]
		}
	}
	settled := map[*placed]bool{}
	var settle func(e *placed) int
	settle = func(e *placed) int {
		if e.passedOver() && !settled[e] {
			settled[e] = true
			for _, name := range e.Now.After {
				if dep := ends[withinOf(e.Step)+name]; dep != nil {
					e.before = max(e.before, settle(dep))
				}
			}
		}
		return e.before
	}
	last := map[string]int{} // by plan, where the last of its steps ended
	for step, e := range ends {
		if before := settle(e); e.Now.Part == "" {
			last[withinOf(step)] = max(last[withinOf(step)], before)
		}
	}
	for step, e := range ends {
		if e.passedOver() && e.Now.Part != "" {
			e.before = max(e.before, last[withinOf(step)])
		}
	}
}

// span is where the output of a step, and of those in it, begins and ends.
type span struct{ first, last int }

// spansOf tells the spans of all steps that said something; that of "" is of the plan as a whole.
func spansOf(output []Event) map[string]span {
	spans := map[string]span{}
	for i, o := range output {
		for step := o.Step; ; step = trimSlash(withinOf(step)) {
			s, known := spans[step]
			if !known {
				s.first = i
			}
			s.last = i + 1
			spans[step] = s
			if step == "" {
				break
			}
		}
	}
	return spans
}
