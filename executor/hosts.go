package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"tfw/inventory"
)

// HostStatus is a host as users see it: the inventory's words and how it fares.
type HostStatus struct {
	*inventory.Host
	ID         int            // of the file, or assigned once and remembered
	Reachable  *bool          // nil: never probed
	LastSeen   time.Time      // when it last answered
	Latency    time.Duration  // of the last probe
	Clock      time.Duration  // its clock minus ours
	Problem    string         // why it is not reachable, with the next step
	Probed     time.Time      // when it was last asked, by a user or in the background
	Facts      map[string]any // of the last system_information
	NotDurable string         // why a command there ends with its connection, "" when it does not
	StateBy    string         // who set the state, "" when the file says so
	Strays     []StrayProcess // what ended runs had left running when it was looked last
	Runs       []RunID        // under way on it now; a host that is not active and has any is draining
}

// stateRecord is a host state that an operator set.
type stateRecord struct {
	State  inventory.State `json:"state"`
	Reason string          `json:"reason,omitempty"`
	By     string          `json:"by"`
	At     time.Time       `json:"at"`
}

// Hosts lists the hosts that the principal sees, of a target and expression;
// both empty is all of them.
func (e *Executor) Hosts(ctx context.Context, p Principal, q inventory.Query) ([]HostStatus, error) {
	hosts, err := e.targets(p, q)
	if err != nil {
		return nil, err
	}
	return e.status(ctx, hosts)
}

func (e *Executor) targets(p Principal, q inventory.Query) ([]*inventory.Host, error) {
	inv := e.inventory(p)
	if q.Target == "" && q.Where == "" {
		return inv.Hosts(), nil
	}
	orElse(&q.Target, "all") // only an expression was given: it filters every host
	q.Facts = e.facts
	sel, err := inv.Select(q)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	return sel.Hosts, nil
}

// Explain tells of each setting of a host where it came from and what it overrode, or gives [ErrNotFound].
func (e *Executor) Explain(ctx context.Context, p Principal, name string) ([]inventory.Setting, error) {
	h, err := e.Host(ctx, p, name)
	if err != nil {
		return nil, err
	}
	settings, err := e.inventory(p).Explain(h.Name)
	if err != nil { // a reload in between
		return nil, fmt.Errorf("host %q: %w (see: tfwctl hosts)", name, ErrNotFound)
	}
	if p.Groups != nil {
		unplace(settings)
	}
	return settings, nil
}

// unplace leaves out in which line of which file settings stand: it moves with the lines before, which are others' hosts.
func unplace(settings []inventory.Setting) {
	for i := range settings {
		settings[i].Origin.File, settings[i].Origin.Line = "", 0
		unplace(settings[i].Overrode)
	}
}

// Host finds one by name, address, id (as digits) or uuid, or gives [ErrNotFound].
func (e *Executor) Host(ctx context.Context, p Principal, name string) (HostStatus, error) {
	inv := e.inventory(p)
	h, ok := inv.Lookup(name)
	if !ok {
		h, ok = e.byNumber(inv, name)
	}
	if !ok {
		return HostStatus{}, fmt.Errorf("host %q: %w (see: tfwctl hosts)", name, ErrNotFound)
	}
	all, err := e.status(ctx, []*inventory.Host{h})
	if err != nil {
		return HostStatus{}, err
	}
	return all[0], nil
}

// byNumber finds a host by its uuid or by its small integer.
func (e *Executor) byNumber(inv *inventory.Inventory, text string) (*inventory.Host, bool) {
	id, err := strconv.Atoi(text)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range inv.Hosts() {
		if h.UUID == text || err == nil && e.idOf(h) == id {
			return h, true
		}
	}
	return nil, false
}

// idOf gives a host's small integer; e.mu is held.
func (e *Executor) idOf(h *inventory.Host) int {
	if h.ID != 0 {
		return h.ID
	}
	return e.hostIDs[h.Name]
}

// identify assigns the small integers of hosts that the file gives none, once and
// for good, and never one that the file uses.
func (e *Executor) identify(ctx context.Context, inv *inventory.Inventory) error {
	known := map[string]int{}
	err := e.store.Update(ctx, func(tx Tx) error {
		clear(known)
		used, err := usedIDs(tx, inv, known)
		if err != nil {
			return err
		}
		for _, h := range inv.Hosts() {
			if h.ID != 0 || known[h.Name] != 0 {
				continue
			}
			id := 0
			for id == 0 || used[id] {
				n, err := tx.Next(tableHostIDs)
				if err != nil {
					return err
				}
				id = int(n)
			}
			used[id], known[h.Name] = true, id
			if err := tx.Put(tableHostIDs, h.Name, []byte(strconv.Itoa(id))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("host ids: %w", err)
	}
	e.mu.Lock()
	e.hostIDs = known
	e.mu.Unlock()
	return nil
}

// usedIDs collects the ids of the file and those on record, which it puts into known.
func usedIDs(tx Tx, inv *inventory.Inventory, known map[string]int) (map[int]bool, error) {
	used := map[int]bool{}
	for _, h := range inv.Hosts() {
		used[h.ID] = true
	}
	inFile := func(name string) bool { h, ok := inv.Host(name); return ok && h.ID != 0 }
	err := tx.Range(tableHostIDs, "", false, func(name string, raw []byte) bool {
		id, err := strconv.Atoi(string(raw))
		if err == nil && !(used[id] && !inFile(name)) { // the file may have taken the number since
			known[name], used[id] = id, true
		}
		return true
	})
	return used, err
}

// InventoryChanged takes note of a reloaded inventory: new hosts get their ids.
func (e *Executor) InventoryChanged(ctx context.Context) error {
	inv := e.cfg.Inventory()
	e.Took(ctx, "file", InventoryFile, inv.Revision())
	e.closeHosts()
	return e.identify(ctx, inv)
}

// states are the operators' words over the file's.
func (e *Executor) states() map[string]inventory.StateOverride {
	all := map[string]inventory.StateOverride{}
	err := e.view(e.background, func(tx Tx) error {
		return rangePrefix(tx, tableStates, "", func(name string, s stateRecord) error {
			all[name] = inventory.StateOverride{State: s.State, Reason: s.Reason, By: s.By, At: s.At}
			return nil
		})
	})
	if err != nil && e.background.Err() == nil {
		e.log.Error("cannot read host states", "error", err)
	}
	return all
}

// SetState sets the state of a target's hosts on record. Where the inventory
// file says something, it wins and this is [ErrConflict].
func (e *Executor) SetState(ctx context.Context, p Principal, target string, state inventory.State, reason string) ([]HostStatus, error) {
	if !p.May(Admin) {
		return nil, fmt.Errorf("%s may not set host states: %w (needs the role admin)", p.Name, ErrForbidden)
	}
	known := []inventory.State{inventory.Active, inventory.Maintenance, inventory.Quarantined, inventory.Retired}
	if !slices.Contains(known, state) {
		return nil, fmt.Errorf("state %q: %w: want active, maintenance, quarantined or retired", state, ErrBadRequest)
	}
	if target == "" {
		return nil, fmt.Errorf("target: %w: is empty", ErrBadRequest)
	}
	hosts, err := e.targets(p, inventory.Query{Target: target})
	if err != nil {
		return nil, err
	}
	if err := e.fileWins(hosts); err != nil {
		return nil, err
	}
	err = e.store.Update(ctx, func(tx Tx) error {
		for _, h := range hosts {
			if state == inventory.Active {
				if err := tx.Delete(tableStates, h.Name); err != nil {
					return err
				}
				continue
			}
			if err := put(tx, tableStates, h.Name, stateRecord{state, reason, p.Name, e.now()}); err != nil {
				return err
			}
		}
		return e.audit(tx, p, AuditEntry{Action: "host.state", Hosts: hostNames(hosts), Outcome: string(state), Detail: reason})
	})
	if err != nil {
		return nil, err
	}
	e.closeHosts()
	return e.Hosts(ctx, p, inventory.Query{Target: target})
}

func hostNames(hosts []*inventory.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

// fileWins refuses hosts whose state stands in the inventory file.
func (e *Executor) fileWins(hosts []*inventory.Host) error {
	inv := e.cfg.Inventory()
	var fixed []string
	for _, h := range hosts {
		if inv.StateInFile(h.Name) {
			fixed = append(fixed, h.Name)
		}
	}
	if len(fixed) == 0 {
		return nil
	}
	return fmt.Errorf("%s: the state stands in the inventory file: %w (change it there)", inventory.Fold(fixed), ErrConflict)
}

// Groups lists the groups with the members that the principal sees.
func (e *Executor) Groups(_ context.Context, p Principal) ([]*inventory.Group, error) {
	return e.inventory(p).Groups(), nil
}

// status adds what the store knows of the hosts.
func (e *Executor) status(ctx context.Context, hosts []*inventory.Host) ([]HostStatus, error) {
	all := make([]HostStatus, len(hosts))
	err := e.view(ctx, func(tx Tx) error {
		for i, h := range hosts {
			all[i] = HostStatus{Host: h}
			var s stateRecord
			if ok, err := get(tx, tableStates, h.Name, &s); err != nil {
				return err
			} else if ok && s.State == h.State {
				all[i].StateBy = s.By
			}
			var health healthRecord
			if ok, err := get(tx, tableHealth, h.Name, &health); err != nil {
				return err
			} else if ok {
				health.into(&all[i])
			}
		}
		return nil
	})
	for i, h := range hosts {
		all[i].Runs = e.runsOn(h.Name)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range all {
		if all[i].Host != nil {
			all[i].ID = e.idOf(all[i].Host)
		}
	}
	return all, err
}

// facts are what is on record of a host's last system_information.
func (e *Executor) facts(host string) map[string]any {
	var health healthRecord
	err := e.view(e.background, func(tx Tx) error {
		_, err := get(tx, tableHealth, host, &health)
		return err
	})
	if err != nil || len(health.Facts) == 0 {
		return nil
	}
	var facts map[string]any
	if json.Unmarshal(health.Facts, &facts) != nil {
		return nil
	}
	return facts
}
