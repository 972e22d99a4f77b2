package executor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tfw/inventory"
)

// Waiting is somebody's place in the queue: of a run for one host, for all of them
// where Host is "", or of a lease for its hosts.
type Waiting struct {
	Run      RunID     `json:"run,omitempty"`
	Lease    string    `json:"lease,omitempty"`
	Host     string    `json:"host,omitempty"`
	By       string    `json:"by"`
	Plugin   string    `json:"plugin,omitempty"`
	Method   string    `json:"method,omitempty"`
	Plan     string    `json:"plan,omitempty"`
	Step     string    `json:"step,omitempty"`
	Purpose  string    `json:"purpose,omitempty"`
	Priority int       `json:"priority"`
	Position int       `json:"position"` // from 1, among those who wait for the same and whom the reader sees
	Why      string    `json:"why"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"` // then it is given up; absent: it waits for as long as it takes
}

// Queue lists who waits, as far as the principal sees the hosts: runs for their
// hosts in the order of their turn, runs that wait for others to end (max_runs), then leases.
func (e *Executor) Queue(_ context.Context, p Principal) ([]Waiting, error) {
	all := e.tenantsWaiting(p)
	e.mu.Lock()
	for i := range all {
		if a := e.active[all[i].Run]; a != nil {
			all[i].describe(a, e.seesAll(p))
		}
	}
	e.mu.Unlock()
	all = append(all, e.runsWaiting(p)...)
	return append(all, e.leasesWaiting(p)...), nil
}

func (w *Waiting) describe(a *active, sees func(hosts []string) bool) {
	w.Plugin, w.Method, w.Plan = a.run.Plugin, a.run.Method, a.run.Plan
	if sees(a.names()) { // else they may tell of the others
		w.Purpose, w.Step = a.options().Purpose, a.run.Step
	}
}

func (e *Executor) tenantsWaiting(p Principal) []Waiting {
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	all := []Waiting{}
	c := e.desk.census()
	place := map[string]int{}
	for _, t := range e.desk.queue {
		place[t.host]++
		if len(e.seen(p, []string{t.host})) == 0 {
			continue
		}
		all = append(all, Waiting{Run: t.run, Host: t.host, By: t.by, Priority: t.priority, Position: place[t.host], Why: e.desk.reason(t, c), Since: t.since, Until: t.until})
	}
	return all
}

// runsWaiting gives the runs that no host was begun of because so many others are under way.
func (e *Executor) runsWaiting(p Principal) []Waiting {
	var all []Waiting
	for _, a := range e.slots.waiting() {
		if p.Groups == nil || len(e.seen(p, a.names())) > 0 {
			w := Waiting{Run: a.run.ID, By: a.run.By, Priority: a.options().Priority, Position: len(all) + 1, Since: a.run.Created, Why: a.why}
			w.describe(a.active, e.seesAll(p))
			all = append(all, w)
		}
	}
	return all
}

func (e *Executor) leasesWaiting(p Principal) []Waiting {
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	var all []Waiting
	for _, l := range e.desk.waiting() {
		shown := *l
		if !e.reduceLease(p, &shown) {
			continue
		}
		why := "others have the hosts"
		if len(shown.Hosts) == len(l.Hosts) {
			why = e.desk.why(l, e.seesAll(p))
		}
		all = append(all, Waiting{Lease: l.ID, Host: inventory.Fold(shown.Hosts), By: l.Holder, Purpose: shown.Purpose, Priority: l.Priority, Position: len(all) + 1, Why: why, Since: l.Created, Until: l.Deadline})
	}
	return all
}

// reason says why a tenant of the queue is not inside. The desk is locked.
func (d *desk) reason(t *tenant, c *census) string {
	if why, _ := d.blocked(t, c); why != "" {
		return why
	}
	return "others wait before it"
}

// waits tells of each host of a run why it has not begun, and who is before it.
func (e *Executor) waits(id RunID) map[string]string {
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	var out map[string]string
	for _, t := range e.desk.queue {
		if t.run != id {
			continue
		}
		why, before := e.desk.line(t)
		if before > 0 {
			why = fmt.Sprintf("%s, %d before it in line", why, before)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[t.host] = why
	}
	return out
}

// runsOn names the runs that are on a host now.
func (e *Executor) runsOn(host string) []RunID {
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	var ids []RunID
	for _, t := range e.desk.tenants[host] {
		ids = append(ids, t.run)
	}
	return ids
}

// closeHosts tells the desk which hosts take no new work: what is on them goes on,
// what waits for one in maintenance waits on, and what waits for one that will not
// come back is let go. Call it when states or the inventory may have changed.
func (e *Executor) closeHosts() {
	shut, lost := map[string]string{}, map[string]bool{}
	for _, h := range e.inventory(Local("tfwd")).Hosts() {
		if h.State == inventory.Active || h.State == "" {
			continue
		}
		why := string(h.State)
		if h.State == inventory.Maintenance {
			why = "in maintenance"
		} else {
			lost[h.Name] = true
		}
		if h.Reason != "" {
			why += " (" + h.Reason + ")"
		}
		shut[h.Name] = why
	}
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	e.desk.shut, e.desk.lost = shut, lost
	e.desk.dismiss()
	e.desk.turn()
}

// dismiss lets go of who waits for a host that will not come back. The desk is locked.
func (d *desk) dismiss() {
	d.queue = slices.DeleteFunc(d.queue, func(t *tenant) bool {
		if !d.lost[t.host] {
			return false
		}
		t.lost = "the host is " + d.shut[t.host]
		close(t.enter)
		return true
	})
}
