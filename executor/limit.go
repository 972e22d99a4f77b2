package executor

import (
	"fmt"
	"path"
	"slices"
)

// Limit bounds how many runs may be under way at a time: of each user, on the
// hosts of each group, or on each host whose name matches. Exactly one of User, Group
// and Host is given, a pattern in the way of path.Match. Runs beyond it wait in the queue.
type Limit struct {
	User    string `json:"user,omitempty"`
	Group   string `json:"group,omitempty"`
	Host    string `json:"host,omitempty"`
	MaxRuns int    `json:"max_runs"`
}

func (l Limit) check() error {
	given := 0
	for _, pattern := range []string{l.User, l.Group, l.Host} {
		if pattern == "" {
			continue
		}
		given++
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("%q: %w", pattern, err)
		}
	}
	if given != 1 {
		return fmt.Errorf("give one of user, group and host")
	}
	if l.MaxRuns < 1 {
		return fmt.Errorf("max_runs: %d: want a number from 1", l.MaxRuns)
	}
	return nil
}

// concerns lists what of the tenant the limit counts: its user, its host, or each of its groups that match.
func (l Limit) concerns(t *tenant) []string {
	match := func(pattern string, names ...string) (out []string) {
		for _, n := range names {
			if ok, err := path.Match(pattern, n); ok && err == nil {
				out = append(out, n)
			}
		}
		return out
	}
	switch {
	case l.User != "":
		return match(l.User, t.by)
	case l.Host != "":
		return match(l.Host, t.host)
	}
	return match(l.Group, t.groups...)
}

// kind is the limit's word for what it counts.
func (l Limit) kind() string {
	switch {
	case l.User != "":
		return "user"
	case l.Host != "":
		return "host"
	}
	return "group"
}

// census counts the runs inside for the limits in force: without any it costs nothing.
type census struct {
	limits []Limit
	runs   map[string][]RunID // by limit and name
}

// census counts who is inside now. The desk is locked.
func (d *desk) census() *census {
	c := &census{limits: d.limits()}
	if len(c.limits) == 0 || len(d.queue) == 0 {
		return c
	}
	c.runs = map[string][]RunID{}
	for _, inside := range d.tenants {
		for _, t := range inside {
			c.enter(t)
		}
	}
	return c
}

func (c *census) enter(t *tenant) {
	for i, l := range c.limits {
		for _, name := range l.concerns(t) {
			key := fmt.Sprint(i, " ", name)
			if c.runs == nil {
				c.runs = map[string][]RunID{}
			}
			if !slices.Contains(c.runs[key], t.run) {
				c.runs[key] = append(c.runs[key], t.run)
			}
		}
	}
}

// full says which limit stands against the tenant, or "". A run that is counted
// already may go on to its other hosts.
func (c *census) full(t *tenant) string {
	for i, l := range c.limits {
		for _, name := range l.concerns(t) {
			runs := c.runs[fmt.Sprint(i, " ", name)]
			if len(runs) >= l.MaxRuns && !slices.Contains(runs, t.run) {
				return fmt.Sprintf("%s %s has as many runs under way as the policy allows (%d)", l.kind(), name, l.MaxRuns) // not how many: they may be hidden
			}
		}
	}
	return ""
}
