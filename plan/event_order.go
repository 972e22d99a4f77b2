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
}

// inOrder puts what one look has found into the order in which it came about: a step's begin before
// its output, its ends after it, and the end of a step before the begin of the next. Output keeps its own order.
func inOrder(news, output []Event) []Event {
	all := places(news, output)
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Or(cmp.Compare(a.before, b.before), a.at.Compare(b.at)) })
	o := ordering{rest: all, ordered: make([]Event, 0, len(news)+len(output))}
	for i := 0; i <= len(output); i++ {
		for len(o.rest) > 0 && o.rest[0].before <= i {
			o.take(0, i)
		}
		if i < len(output) {
			o.ordered = append(o.ordered, output[i])
		}
	}
	return o.ordered
}

type ordering struct {
	rest    []placed
	ordered []Event
}

// take moves one event, and before the begin of a step what is told of those it waited for: a clock may be too coarse to tell.
func (o *ordering) take(at, now int) {
	e := o.rest[at]
	o.rest = slices.Delete(o.rest, at, at+1)
	if e.Type == "step" && e.State != executor.Done {
		around := e.Step[:strings.LastIndexByte(e.Step, '/')+1]
		for i := 0; i < len(o.rest); {
			if p := o.rest[i]; p.before <= now && strings.HasPrefix(p.Step, around) && slices.Contains(e.Now.After, p.Step[len(around):]) {
				o.take(i, now)
				i = 0
				continue
			}
			i++
		}
	}
	o.ordered = append(o.ordered, e.Event)
}

func places(news, output []Event) []placed {
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
		first, last := spanOf(e.Step, output)
		switch {
		case e.Type == "plan":
			all = append(all, placed{e, first, e.Plan.Created})
		case e.Type == "case" || e.State == executor.Done:
			all = append(all, placed{e, max(last, begun[e.Step]), ended[e.Step]})
		default: // it begins
			begun[e.Step] = first
			all = append(all, placed{e, first, began[e.Step]})
		}
	}
	return all
}

// spanOf tells where the output of a step, and of those in it, begins and ends; first is
// len(output) where there is none, last is 0.
func spanOf(step string, output []Event) (first, last int) {
	first = len(output)
	for i, o := range output {
		if step == "" || o.Step == step || strings.HasPrefix(o.Step, step+"/") {
			first, last = min(first, i), i+1
		}
	}
	return first, last
}
