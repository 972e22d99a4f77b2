package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// tellEvery is how often a test plan that waits for hosts says again for which.
const tellEvery = time.Minute

// bind chooses a host for every place of every role and leases them all, or none.
// The choice is stored: a restart, or a resume, keeps it.
func (w *walking) bind() error {
	if len(w.plan.Roles) == 0 {
		return nil
	}
	patience := max(w.plan.LeaseWait, 0)
	if w.plan.LeaseWait == 0 {
		patience = 10 * time.Minute
	}
	var told time.Time
	for {
		chosen, err := w.choose()
		if err != nil {
			return err
		}
		err = w.lease(chosen, patience)
		if err == nil || !errors.Is(err, executor.ErrLeased) || w.e.cfg.Executor.Since(w.r.Created) > patience {
			return err
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			text := strings.TrimPrefix(executor.OnRecord(err), executor.ErrLeased.Error()+": ")
			if err := w.save(func(r *record) { r.Waiting = text }); err != nil {
				return err
			}
		}
		bell := w.e.cfg.Store.Changed(executor.TopicLeases)
		select { // someone gave a host back, or a run ended: choose again
		case <-bell:
		case <-time.After(2 * time.Second):
		case <-w.ctx.Done():
			return context.Cause(w.ctx)
		}
	}
}

// choose fills the roles: what is on record, else hosts that are free first. Roles never share a host.
func (w *walking) choose() (map[string][]*inventory.Host, error) {
	busy, err := w.busy()
	if err != nil {
		return nil, err
	}
	var world World
	world.Inventory, world.Facts = w.e.cfg.Executor.Snapshot(w.r.Principal) // hosts may have come back since
	w.inv = world.Inventory
	taken := map[string]bool{}
	chosen := map[string][]*inventory.Host{}
	roles := slices.Clone(w.plan.Roles)
	slices.SortStableFunc(roles, func(a, b Role) int { // those that take all of their hosts first
		return boolInt(a.Count != nil) - boolInt(b.Count != nil)
	})
	for _, role := range roles {
		hosts, err := w.fill(world, role, taken, busy)
		if err != nil {
			return nil, fmt.Errorf("role %q: %w", role.Name, err)
		}
		for _, h := range hosts {
			taken[h.Name] = true
		}
		chosen[role.Name] = hosts
	}
	return chosen, nil
}

func (w *walking) fill(world World, role Role, taken, busy map[string]bool) ([]*inventory.Host, error) {
	if names := w.r.Hosts[role.Name]; len(names) > 0 {
		var hosts []*inventory.Host
		for _, name := range names {
			h, ok := w.inv.Host(name)
			if !ok {
				return nil, fmt.Errorf("host %q was bound and is not in the inventory any more", name)
			}
			hosts = append(hosts, h)
		}
		return hosts, nil
	}
	all, err := candidates(world, role)
	if err != nil {
		return nil, err
	}
	n, err := wanted(role, scope{"params": w.r.Parameters})
	if err != nil {
		return nil, err
	}
	if n == 0 {
		for _, h := range all {
			if taken[h.Name] {
				return nil, fmt.Errorf("%s is in another role already (give the roles a count, or targets of their own)", h.Name)
			}
		}
		return all, nil
	}
	all = slices.DeleteFunc(all, func(h *inventory.Host) bool { return taken[h.Name] })
	slices.SortStableFunc(all, func(a, b *inventory.Host) int { return boolInt(busy[a.Name]) - boolInt(busy[b.Name]) })
	if len(all) < n {
		return nil, fmt.Errorf("wants %d hosts, %d fit", n, len(all))
	}
	return all[:n], nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// busy gives the hosts that others have leased.
func (w *walking) busy() (map[string]bool, error) {
	leases, err := w.e.cfg.Executor.Leases(context.Background(), executor.Local("tfw"))
	busy := map[string]bool{}
	for _, l := range leases {
		if l.State == executor.LeaseHeld && l.Holder != w.r.By {
			for _, h := range l.Hosts {
				busy[h] = true
			}
		}
	}
	return busy, err
}

// lease takes the chosen hosts, all or none, and stores the choice.
func (w *walking) lease(chosen map[string][]*inventory.Host, patience time.Duration) error {
	names := map[string][]string{}
	var all []string
	for role, hosts := range chosen {
		names[role] = namesOf(hosts)
		all = append(all, names[role]...)
	}
	w.mu.Lock()
	w.roles = chosen
	w.mu.Unlock()
	if w.r.Lease != "" || w.r.Parent != "" { // taken before a restart; a nested plan works under its parent's
		return w.save(func(r *record) { r.Hosts = names }, record.index)
	}
	slices.Sort(all)
	purpose := "test plan " + w.r.Name + " " + w.r.ID
	id, err := w.leased(purpose, all)
	if err != nil {
		return err
	}
	if id != "" {
		return w.save(func(r *record) { r.Hosts, r.Lease = names, id }, record.index)
	}
	if w.ctx.Err() != nil { // it was ended before it had hosts: it takes none
		return context.Cause(w.ctx)
	}
	length := w.plan.LeaseFor
	if length == 0 {
		length = max(w.plan.Timeout, 4*time.Hour)
	}
	l, err := w.e.cfg.Executor.Lease(context.Background(), w.principal(), executor.LeaseRequest{
		Target: strings.Join(all, ","), For: executor.Duration(length), Purpose: purpose,
	})
	if err != nil {
		if w.e.cfg.Executor.Since(w.r.Created) > patience {
			return fmt.Errorf("no hosts within the lease wait: %w", err)
		}
		return err
	}
	return w.save(func(r *record) { r.Hosts, r.Lease = names, l.ID }, record.index)
}

// leased finds the lease that a controller took right before it was killed. One of
// other hosts is given back: nothing has run under it.
func (w *walking) leased(purpose string, hosts []string) (id string, err error) {
	leases, err := w.e.cfg.Executor.Leases(context.Background(), w.r.Principal)
	for _, l := range leases {
		if l.Holder != w.r.By || l.Purpose != purpose || l.State != executor.LeaseHeld {
			continue
		}
		if have := slices.Sorted(slices.Values(l.Hosts)); slices.Equal(have, hosts) {
			return l.ID, nil
		}
		if err := w.e.cfg.Executor.Release(context.Background(), w.r.Principal, l.ID, "chosen anew after a restart"); err != nil {
			return "", err
		}
	}
	return "", err
}

// release gives the hosts back.
func (w *walking) release() {
	if w.r.Lease == "" {
		return
	}
	err := w.e.cfg.Executor.Release(context.Background(), w.r.Principal, w.r.Lease, "the test plan is over")
	if err != nil && !errors.Is(err, executor.ErrConflict) && !errors.Is(err, executor.ErrNotFound) {
		w.e.cfg.Log.Warn("cannot give the lease of a test plan back", "testplan", w.r.ID, "lease", w.r.Lease, "error", err)
	}
}
