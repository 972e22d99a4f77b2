package inventory

import (
	"fmt"
	"sort"
)

// counted holds Expect and the groups' max_hosts.
func (inv *Inventory) counted(hosts []*Host, q *Query) error {
	if q.Expect < 0 {
		return &TargetError{Target: q.Target, Message: "the expected number of hosts is negative", Fix: "expect 1 or more"}
	}
	if q.Expect > 0 && len(hosts) != q.Expect {
		return &TargetError{Target: q.Target, Term: q.Target, Message: fmt.Sprintf("selects %s, not the %d expected", hostCount(hosts), q.Expect), Fix: "correct the target or the number"}
	}
	if !q.AdHoc || q.Expect > 0 {
		return nil
	}
	in := map[string]int{}
	for _, h := range hosts {
		for _, g := range h.Groups {
			in[g]++
		}
	}
	for _, g := range inv.groups {
		if g.MaxHosts > 0 && in[g.Name] > g.MaxHosts {
			return &TargetError{
				Target: q.Target, Term: q.Target,
				Message: fmt.Sprintf("selects %d hosts of group %s, which allows %d at once", in[g.Name], g.Name, g.MaxHosts),
				Fix:     fmt.Sprintf("narrow the target, or confirm with --expect %d", len(hosts)),
			}
		}
	}
	return nil
}

func hostCount(hosts []*Host) string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	sort.Strings(names)
	word := "hosts"
	if len(names) == 1 {
		word = "host"
	}
	folded := Fold(names)
	if len(folded) > 80 {
		folded = folded[:77] + "..."
	}
	return fmt.Sprintf("%d %s: %s", len(names), word, folded)
}
