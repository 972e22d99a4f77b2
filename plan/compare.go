package plan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tfw/executor"
)

// Brief is a test plan in few words.
type Brief struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	State    executor.State    `json:"state"`
	Verdict  executor.Verdict  `json:"verdict"`
	Waiting  string            `json:"waiting,omitempty"` // for which hosts it waits, before it begins
	Created  time.Time         `json:"created"`
	Duration executor.Duration `json:"duration,omitempty"`
}

// Brief is the test plan in few words.
func (t *TestPlan) Brief() Brief {
	b := Brief{ID: t.ID, Name: t.Name, State: t.State, Verdict: t.Verdict, Waiting: t.Waiting, Created: t.Created}
	if !t.Started.IsZero() && t.Finished.After(t.Started) {
		b.Duration = executor.Duration(t.Finished.Sub(t.Started))
	}
	return b
}

// Change is a case that went otherwise than before.
type Change struct {
	Row
	Before     executor.Verdict  `json:"before,omitempty"` // "" where there was no such case
	BeforeHost string            `json:"before_host,omitempty"`
	BeforeTook executor.Duration `json:"before_duration,omitempty"`
}

// Comparison sets a test plan beside an earlier one. Lists hold at most [maxChanges] each; Counts tell all.
type Comparison struct {
	Plan        Brief        `json:"testplan"`
	Before      *Brief       `json:"before"`           // null: there is none to compare with
	Reason      string       `json:"reason,omitempty"` // why nothing is compared: one of the two never ran
	NewFailures []Change     `json:"new_failures"`
	Fixed       []Change     `json:"fixed"`
	Slower      []Change     `json:"slower"` // passed both times, and took more than twice as long
	Still       []Change     `json:"still_failing"`
	Counts      ChangeCounts `json:"counts"`
	Truncated   bool         `json:"truncated,omitempty"` // there are more rows than are compared
}

// ChangeCounts tell how many there are, also beyond what the lists hold.
type ChangeCounts struct {
	NewFailures int `json:"new_failures"`
	Fixed       int `json:"fixed"`
	Slower      int `json:"slower"`
	Still       int `json:"still_failing"`
	NotRun      int `json:"not_run"` // ran before, and did not get that far now
	Added       int `json:"added"`   // cases that there were not
	Gone        int `json:"gone"`    // cases that there are no more
}

const (
	maxChanges  = 500
	maxCompared = 300_000         // rows of a test plan that are compared
	slowerBy    = 2               // times
	slowerThan  = 1 * time.Second // less is noise
)

// Compare sets a test plan beside the one with the id before, or with "" beside
// the one of the same name that ran and ended before it began. Of one that never got its hosts nothing is compared.
func (e *Engine) Compare(ctx context.Context, p executor.Principal, id, before string) (*Comparison, error) {
	now, err := e.Results(ctx, p, id, false)
	if err != nil {
		return nil, err
	}
	c := &Comparison{Plan: now.Plan.Brief(), NewFailures: []Change{}, Fixed: []Change{}, Slower: []Change{}, Still: []Change{}}
	if c.Reason = neverRan(now.Plan); c.Reason != "" {
		return c, nil
	}
	if before == "" {
		if before, err = e.previous(ctx, p, now.Plan); err != nil || before == "" {
			return c, err
		}
	}
	then, err := e.Results(ctx, p, before, false)
	if err != nil {
		return nil, err
	}
	was := then.Plan.Brief()
	c.Before = &was
	if c.Reason = neverRan(then.Plan); c.Reason != "" {
		return c, nil
	}
	old := newBaseline()
	if c.Truncated, err = eachRow(ctx, then, maxCompared, old.add); err != nil {
		return nil, err
	}
	more, err := eachRow(ctx, now, maxCompared, func(r Row) { c.take(r, old) })
	c.Truncated = c.Truncated || more
	c.Counts.Gone = old.gone()
	return c, err
}

// neverRan says of a test plan that did not get its hosts that nothing of it ran, and why; "" of one that began.
func neverRan(t *TestPlan) string {
	switch {
	case !t.Started.IsZero():
		return ""
	case t.State == executor.Done:
		return fmt.Sprintf("nothing of test plan %s ran (%s)", t.ID, strings.TrimSuffix(spoken(t.Verdict)+": "+t.Reason, ": "))
	case t.Waiting != "":
		return fmt.Sprintf("test plan %s has not begun (it waits for hosts: %s)", t.ID, t.Waiting)
	}
	return fmt.Sprintf("test plan %s has not begun", t.ID)
}

// previous is the newest test plan of the same name that had run and was done when this one was created.
func (e *Engine) previous(ctx context.Context, p executor.Principal, t *TestPlan) (id string, err error) {
	err = e.cfg.Store.View(ctx, func(tx executor.Tx) error {
		id = ""
		this, err := load(tx, t.ID)
		if err != nil {
			return err
		}
		return e.newest(tx, p, this.Name, placeOf(this.Seq), func(_ string, r record) bool {
			if r.ID != t.ID && r.Name == t.Name && r.State == executor.Done && !r.Started.IsZero() && !r.Finished.After(t.Created) {
				id = r.ID
			}
			return id == ""
		})
	})
	return id, err
}

// eachRow gives at most limit rows to fn and reports whether there are more.
func eachRow(ctx context.Context, r *Results, limit int, fn func(Row)) (more bool, err error) {
	for n := 0; ; {
		rows, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		for _, row := range rows {
			if n++; n > limit {
				return true, nil
			}
			fn(row)
		}
	}
}

type caseKey struct{ step, cell, name string }

func (r Row) key() caseKey { return caseKey{r.Step, r.Cell, r.Name} }

// baseline holds what was before: by case and host, and where the hosts are others now, by case.
type baseline struct {
	cases map[caseKey]map[string]*past
}

type past struct {
	verdict executor.Verdict
	took    executor.Duration
	met     bool
}

func newBaseline() *baseline { return &baseline{map[caseKey]map[string]*past{}} }

func (b *baseline) add(r Row) {
	hosts := b.cases[r.key()]
	if hosts == nil {
		hosts = map[string]*past{}
		b.cases[r.key()] = hosts
	}
	one := hosts[r.Host]
	if one == nil {
		one = &past{}
		hosts[r.Host] = one
	}
	one.verdict, one.took = executor.Worst(one.verdict, r.Verdict), max(one.took, r.Duration)
}

// of gives what was of a case on the host, or else on the host where it went best: a plan takes what is free.
func (b *baseline) of(r Row) (host string, was *past) {
	hosts := b.cases[r.key()]
	if one := hosts[r.Host]; one != nil {
		one.met = true
		return r.Host, one
	}
	for _, name := range keysOf(hosts) {
		if one := hosts[name]; was == nil || executor.Worst(one.verdict, was.verdict) == was.verdict && one.verdict != was.verdict {
			host, was = name, one
		}
	}
	if was != nil {
		was.met = true
	}
	return host, was
}

func (b *baseline) gone() (n int) {
	for _, hosts := range b.cases {
		met := false
		for _, one := range hosts {
			met = met || one.met
		}
		if !met {
			n++
		}
	}
	return n
}

// bad verdicts tell of a test or a host, not of somebody who did not want to wait.
func bad(v executor.Verdict) bool {
	return v == executor.Failed || v == executor.Errored || v == executor.TimedOut
}

func (c *Comparison) take(r Row, old *baseline) {
	change := Change{Row: r}
	host, was := old.of(r)
	if was == nil {
		c.Counts.Added++
		was = &past{}
	} else if change.Before, change.BeforeTook = was.verdict, was.took; host != r.Host {
		change.BeforeHost = host
	}
	note := func(n *int, list *[]Change) {
		*n++
		if len(*list) < maxChanges {
			*list = append(*list, change)
		}
	}
	switch passed := r.Verdict == executor.Passed; {
	case bad(r.Verdict) && bad(was.verdict):
		note(&c.Counts.Still, &c.Still)
	case bad(r.Verdict):
		note(&c.Counts.NewFailures, &c.NewFailures)
	case passed && bad(was.verdict):
		note(&c.Counts.Fixed, &c.Fixed)
	case passed && was.verdict == executor.Passed:
		if r.Duration > slowerBy*was.took && time.Duration(r.Duration-was.took) >= slowerThan {
			note(&c.Counts.Slower, &c.Slower)
		}
	case was.verdict == executor.Passed || bad(was.verdict):
		c.Counts.NotRun++
	}
}
