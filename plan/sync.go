package plan

import (
	"context"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"tfw/executor"
	"tfw/inventory"
)

// sync reads "sync: NAME", or "sync: true" for a step whose hosts wait for one another only.
func (r *reader) sync(s *Step, v *yaml.Node) string {
	if v := r.real(v); v.Kind == yaml.ScalarNode && v.Tag == "!!bool" {
		if r.boolean(v) {
			return s.Name
		}
		return ""
	}
	name := r.text(v)
	if !nameForm.MatchString(name) {
		r.error(v, "write a name that the steps share, or true", "%q is no name for a sync", name)
	}
	return name
}

// meetings refuses steps that sync with one another and could never meet.
func (r *reader) meetings(p *Plan) {
	for _, group := range [][]*Step{p.Steps, p.OnFailure, p.Finally} {
		members := map[string][]*Step{}
		for _, s := range group {
			if s.Sync != "" {
				members[s.Sync] = append(members[s.Sync], s)
			}
		}
		for _, name := range keysOf(members) {
			r.meeting(p, name, members[name])
		}
	}
}

func (r *reader) meeting(p *Plan, name string, steps []*Step) {
	for i, s := range steps {
		switch {
		case s.Nested != "":
			r.error(s.at, "put sync: on steps of the inner plan", "step %q: a nested plan cannot sync", s.Name)
		case s.Retry.Limit > 0:
			r.error(s.at, "leave retry out", "step %q: sync and retry do not go together: the others would not wait again", s.Name)
		case len(s.Serial) > 0:
			r.error(s.at, "leave serial out", "step %q: sync and serial do not go together: hosts would wait for those whose turn comes after them", s.Name)
		case i > 0 && !s.sameCells(steps[0]):
			r.error(s.at, "give both the same matrix, or none", "steps %q and %q sync as %q and have different cells", steps[0].Name, s.Name, name)
		}
		for _, other := range steps {
			if other != s && p.behind(s, other, map[*Step]bool{}) {
				r.error(s.at, "take the edge out, or the sync", "step %q syncs with %q and begins only after it has ended", s.Name, other.Name)
			}
		}
	}
	if p.Parallel > 0 && len(steps) > p.Parallel {
		r.error(steps[0].at, "raise parallel", "%d steps sync as %q, and parallel: %d lets no more go side by side", len(steps), name, p.Parallel)
	}
}

// behind reports whether s needs other, directly or through others.
func (p *Plan) behind(s, other *Step, seen map[*Step]bool) bool {
	if seen[s] {
		return false
	}
	seen[s] = true
	for _, name := range s.deps {
		if dep := p.byName[name]; dep == other || p.behind(dep, other, seen) {
			return true
		}
	}
	return false
}

func (s *Step) sameCells(o *Step) bool {
	keys := func(s *Step) (all []string) {
		if s.Matrix != nil {
			for _, values := range s.Matrix.combine() {
				all = append(all, keyOf(s.Matrix, values))
			}
		}
		return all
	}
	return slices.Equal(keys(s), keys(o))
}

// crowded finds steps that wait for one another and would stand in line for one host.
func (c *checker) crowded() {
	for i, s := range c.p.Steps {
		for _, o := range c.p.Steps[:i] {
			if s.Sync == "" || s.Sync != o.Sync || s.On != o.On {
				continue
			}
			if m, err := c.w.Plugins.Method(s.Plugin, s.Method); err == nil && m.Needs.Exclusive || c.isolated(s.On) {
				c.error(s.at, "give each of them a role of its own", "steps %q and %q sync and both need the hosts of %q for themselves", o.Name, s.Name, s.On)
			}
		}
	}
}

func (c *checker) isolated(name string) bool {
	if c.w.Inventory == nil {
		return false
	}
	for _, role := range c.p.Roles {
		if role.Name == name {
			hosts, err := candidates(c.w, role)
			return err == nil && slices.ContainsFunc(hosts, func(h *inventory.Host) bool { return h.Isolation == inventory.IsolationExclusive })
		}
	}
	return false
}

// meeting names the meeting of a cell, "" where the step does not sync.
func (x *stepWalk) meeting(cell string) string {
	if x.s.Sync == "" {
		return ""
	}
	return x.w.r.ID + "/" + x.s.Sync + "/" + cell
}

// meet makes the meeting of a cell: the hosts of every step that syncs by this name.
func (x *stepWalk) meet(key string) (string, error) {
	id := x.meeting(key)
	if id == "" {
		return "", nil
	}
	var parties []executor.Party
	for _, s := range x.w.plan.all() {
		if s.Sync != x.s.Sync || !sameGroup(x.w.plan, s, x.s) {
			continue
		}
		for _, c := range s.cells(x.w.bound(s.On)) {
			for _, h := range c.hosts {
				if c.key == key {
					parties = append(parties, executor.Party{Step: s.Name, Host: h.Name})
				}
			}
		}
	}
	return id, x.w.e.cfg.Executor.Meet(context.Background(), id, parties)
}

// absent tells those who wait for this step that it will not come, on one host or on all.
func (x *stepWalk) absent(hosts []*inventory.Host, why string) {
	if x.s.Sync == "" || x.w.draining() {
		return
	}
	for _, c := range x.s.cells(hosts) {
		id, err := x.meet(c.key)
		for _, h := range c.hosts {
			if err == nil {
				err = x.w.e.cfg.Executor.Leave(context.Background(), id, executor.Party{Step: x.s.Name, Host: h.Name}, why)
			}
		}
		if err != nil {
			x.w.e.cfg.Log.Error("cannot tell who waits that a step is over", "testplan", x.w.r.ID, "step", x.s.Name, "error", err)
		}
	}
}

// adjourn forgets the plan's meetings.
func (w *walking) adjourn() {
	for _, s := range w.plan.all() {
		if s.Sync == "" {
			continue
		}
		for _, c := range s.cells(w.bound(s.On)) {
			if err := w.e.cfg.Executor.Adjourn(context.Background(), w.steps[s.Name].meeting(c.key)); err != nil {
				w.e.cfg.Log.Warn("cannot forget a meeting", "testplan", w.r.ID, "error", fmt.Errorf("step %s: %w", s.Name, err))
			}
		}
	}
}
