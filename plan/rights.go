package plan

import (
	"context"
	"errors"
	"slices"

	"tfw/executor"
)

// A principal of limited groups sees of a test plan what it sees of runs: the part on its own hosts. Steps, cells
// and rows of other hosts are not there, verdicts are those of its own, and what may tell of the rest is taken out:
// parameters, outputs, reasons. It sees nothing of a test plan that has none of its hosts.

// veil is what stands between a reader and the whole of a test plan.
type veil struct {
	mine   map[string]bool // hosts of the test plan that exist for the reader
	hidden []string        // those that do not
}

// sight is what a principal's groups leave of a test plan and those within it.
type sight struct {
	veil
	known  bool              // some hosts are chosen
	gone   bool              // a plan within it is not on record any more: nobody can tell whose hosts it had
	within map[string]record // plans within it, as they are seen; those that are not seen are not there
}

// reduce leaves what the principal may see of a test plan, and reports whether that is anything. Its own it sees
// before hosts are chosen, and after a host has left the inventory.
func (e *Engine) reduce(tx executor.Tx, p executor.Principal, r record) (record, bool) {
	return e.reduceAt(tx, p, r, 0)
}

func (e *Engine) reduceAt(tx executor.Tx, p executor.Principal, r record, depth int) (record, bool) {
	if p.Groups == nil {
		return r, true
	}
	own := p.Was(r.Principal)
	s := e.sight(tx, p, r, own, depth)
	switch {
	case !s.known && !s.gone:
		return r, own
	case len(s.hidden) == 0 && own:
		return r, true
	case len(s.hidden) == 0 && !s.gone:
		r.unsay(s)
		return r, true
	case len(s.mine) == 0:
		return record{}, false
	}
	r.hide(s)
	return r, true
}

func (e *Engine) sight(tx executor.Tx, p executor.Principal, r record, own bool, depth int) sight {
	s := sight{veil: veil{mine: map[string]bool{}}, within: map[string]record{}}
	inv := e.cfg.Inventory()
	for _, hosts := range r.Hosts {
		for _, name := range hosts {
			s.known = true
			if h, ok := inv.Host(name); ok && p.Sees(h) || !ok && own {
				s.mine[name] = true
			} else if !slices.Contains(s.hidden, name) {
				s.hidden = append(s.hidden, name)
			}
		}
	}
	for _, step := range r.Steps {
		for _, c := range step.Cells {
			if c.Plan == "" || depth > maxNesting {
				continue
			}
			e.sightWithin(tx, p, &s, c.Plan, depth+1)
		}
	}
	return s
}

func (e *Engine) sightWithin(tx executor.Tx, p executor.Principal, s *sight, id string, depth int) {
	inner, err := load(tx, id)
	if err != nil {
		s.gone = true
		return
	}
	if seen, ok := e.reduceAt(tx, p, inner, depth); ok {
		s.within[id] = seen
	}
	below := e.sight(tx, p, inner, p.Was(inner.Principal), depth)
	s.known, s.gone = s.known || below.known, s.gone || below.gone
	for name := range below.mine {
		s.mine[name] = true
	}
	for _, name := range below.hidden {
		if !slices.Contains(s.hidden, name) {
			s.hidden = append(s.hidden, name)
		}
	}
}

// unsay takes out what may tell of a plan within it that has no hosts, yet or ever: why it came to nothing, what it was given
// and why all was cancelled may name and count hosts, and nobody can tell whose. Who started it is told.
func (r *record) unsay(s sight) {
	any := false
	for i := range r.Steps {
		x := &r.Steps[i]
		unseen := func(c CellState) bool { _, ok := s.within[c.Plan]; return !ok }
		if r.owes(*x) && (len(x.Cells) == 0 || slices.ContainsFunc(x.Cells, unseen)) {
			x.Reason, x.unsaid, any = "", true, true
		}
	}
	if any {
		r.Parameters, r.Outputs, r.Reason, r.Cancel = nil, nil, "", ""
	}
}

// hide takes out what is not the reader's.
func (r *record) hide(s sight) {
	r.veil = &s.veil
	r.Parameters, r.Outputs, r.Reason, r.Waiting, r.Cancel, r.Lease = nil, nil, "", "", "", ""
	r.Name = s.word(r.Name)
	roles := map[string][]string{}
	for role, hosts := range r.Hosts {
		if mine := s.only(hosts); len(mine) > 0 {
			roles[s.word(role)] = mine
		}
	}
	var steps []StepState
	shown := map[string]bool{}
	for _, step := range r.Steps {
		if step.hide(s, r.Hosts[step.On]) {
			steps = append(steps, step)
			shown[step.Name] = true
		}
	}
	for i := range steps {
		steps[i].After = slices.DeleteFunc(slices.Clone(steps[i].After), func(name string) bool { return !shown[s.word(name)] })
		for j, name := range steps[i].After {
			steps[i].After[j] = s.word(name)
		}
	}
	if r.Verdict != "" {
		r.Verdict = r.seenVerdict(steps)
	}
	r.Hosts, r.Steps = roles, steps
}

// seenVerdict is what the steps that are seen make of a test plan that is done.
func (r *record) seenVerdict(steps []StepState) executor.Verdict {
	allowed := map[string]bool{}
	if p, err := Parse(r.File, []byte(r.Text)); err == nil {
		for _, s := range p.all() {
			allowed[s.Name] = s.AllowFailure
		}
	}
	worst := executor.Passed
	for _, s := range steps {
		if !allowed[s.Name] && s.Part != "on_failure" {
			worst = executor.Worst(worst, s.Verdict)
		}
	}
	return worst
}

// hide takes out of a step, which runs on the hosts, what is not the reader's, and reports whether anything is left.
func (x *StepState) hide(s sight, hosts []string) bool {
	mine := s.only(hosts)
	x.mixed = len(mine) < len(hosts)
	var cells []CellState
	for _, c := range x.Cells {
		if c.hide(s, len(mine) > 0) {
			cells = append(cells, c)
		}
	}
	if len(mine) == 0 && len(cells) == 0 {
		return false
	}
	if x.Verdict != "" && len(x.Cells) > 0 && (x.mixed || len(hosts) == 0) {
		x.Verdict = executor.Skipped // on the reader's hosts, if no cell is left
		for _, c := range cells {
			x.Verdict = executor.Worst(x.Verdict, c.Verdict)
		}
	}
	x.Reason = "" // it tells of the first host that did not pass, or of a step that this one needs
	x.Cells, x.Name, x.On, x.Uses = cells, s.word(x.Name), s.word(x.On), s.word(x.Uses)
	return true
}

func (c *CellState) hide(s sight, here bool) bool {
	if c.Plan != "" {
		inner, ok := s.within[c.Plan]
		if ok && c.Verdict != "" && inner.veil != nil {
			c.Verdict = inner.Verdict
		}
		c.Cell = s.word(c.Cell)
		return ok
	}
	hosts, worst := map[string]executor.Verdict{}, executor.Verdict("")
	for name, v := range c.Hosts {
		if s.mine[name] {
			hosts[name], worst = v, executor.Worst(worst, v)
		}
	}
	if !here || len(hosts) == 0 && len(c.Hosts) > 0 && c.Verdict != "" {
		return false
	}
	if len(hosts) < len(c.Hosts) && c.Verdict != "" {
		c.Verdict = worst
	}
	c.Hosts, c.Cell = hosts, s.word(c.Cell)
	return true
}

func (v *veil) only(hosts []string) (mine []string) {
	for _, h := range hosts {
		if v.mine[h] {
			mine = append(mine, h)
		}
	}
	return mine
}

// tells reports whether a text names a hidden host.
func (v *veil) tells(text string) bool {
	return executor.Names(text, v.hidden)
}

// word leaves hidden hosts out of what the plan calls something: a cell "peer=dut7".
func (v *veil) word(text string) string {
	return executor.HideNames(text, v.hidden)
}

// rows leaves those on the reader's hosts.
func (v *veil) rows(all []Row) []Row {
	if v == nil {
		return all
	}
	kept := all[:0]
	for _, row := range all {
		if !v.mine[row.Host] {
			continue
		}
		row.Step, row.Cell, row.Name = v.word(row.Step), v.word(row.Cell), v.word(row.Name)
		if row.Verdict == executor.Skipped || row.Run == "" || v.tells(row.Message) { // without a run it is of all hosts of the step
			row.Message = ""
		}
		kept = append(kept, row)
	}
	return kept
}

// hideRuns takes out the runs of which the principal sees nothing, where a step has others' hosts too, and cells that have
// not come to a host of its own: they may never.
func (e *Engine) hideRuns(ctx context.Context, p executor.Principal, t *TestPlan) (err error) {
	for i := range t.Steps {
		if !t.Steps[i].mixed {
			continue
		}
		for j := range t.Steps[i].Cells {
			c := &t.Steps[i].Cells[j]
			c.Runs = slices.DeleteFunc(slices.Clone(c.Runs), func(id executor.RunID) bool {
				_, not := e.cfg.Executor.Run(ctx, p, string(id))
				if not != nil && !errors.Is(not, executor.ErrNotFound) {
					err = errors.Join(err, not)
				}
				return not != nil
			})
		}
		t.Steps[i].Cells = slices.DeleteFunc(t.Steps[i].Cells, func(c CellState) bool {
			return c.Plan == "" && c.Verdict == "" && len(c.Runs)+len(c.Hosts) == 0
		})
	}
	return err
}
