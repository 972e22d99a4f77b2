package plan

import (
	"tfw/executor"
)

// visible: a principal of limited groups sees the test plans all of whose hosts it sees, those of plans within
// them too. There is no partial view: reasons, outputs and verdicts would tell of the other hosts.
// Its own it sees before their hosts are chosen, and after a host has left the inventory.
func (e *Engine) visible(tx executor.Tx, p executor.Principal, r record) bool {
	if p.Groups == nil {
		return true
	}
	known, all := e.seen(tx, p, r, 0)
	return all && (known || r.By == p.Name)
}

// seen reports whether any hosts are known, and whether the principal sees all of them.
func (e *Engine) seen(tx executor.Tx, p executor.Principal, r record, depth int) (known, all bool) {
	inv, own := e.cfg.Inventory(), r.By == p.Name
	for _, hosts := range r.Hosts {
		for _, name := range hosts {
			h, ok := inv.Host(name)
			if ok && !p.Sees(h) || !ok && !own {
				return true, false
			}
			known = true
		}
	}
	for _, s := range r.Steps {
		for _, c := range s.Cells {
			if c.Plan == "" || depth > maxNesting {
				continue
			}
			inner, err := load(tx, c.Plan)
			if err != nil {
				return known, own
			}
			within, ok := e.seen(tx, p, inner, depth+1)
			if !ok || !within && !own {
				return known, false
			}
			known = known || within
		}
	}
	return known, true
}
