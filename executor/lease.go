package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tfw/inventory"
)

// Lease reserves hosts for one holder until an end time.
type Lease struct {
	ID       string     `json:"id"`
	Holder   string     `json:"holder"`
	Purpose  string     `json:"purpose,omitempty"`
	Hosts    []string   `json:"hosts"`            // all of them once held; the candidates while waiting
	Count    int        `json:"count,omitempty"`  // how many of the candidates are wanted; 0: all
	Shared   bool       `json:"shared,omitempty"` // read only: many may hold it, no exclusive run may start
	Priority int        `json:"priority,omitempty"`
	State    LeaseState `json:"state"`
	Created  time.Time  `json:"created"`
	For      Duration   `json:"for"`               // from when it is held
	Held     time.Time  `json:"held,omitzero"`     // since when
	Expires  time.Time  `json:"expires,omitzero"`  // once held, by the controller's clock
	Deadline time.Time  `json:"deadline,omitzero"` // of waiting
	Ended    string     `json:"ended,omitempty"`   // why it is over
	Over     time.Time  `json:"over,omitzero"`     // since when

	RequestID string `json:"request_id,omitempty"` // of the request that asked for it
}

// LeaseState says how far a lease is.
type LeaseState string

// The states of a lease.
const (
	LeaseWaiting LeaseState = "waiting"
	LeaseHeld    LeaseState = "held"
	LeaseEnded   LeaseState = "ended"
)

// LeaseRequest asks for a lease. All hosts or none are given.
type LeaseRequest struct {
	Target   string   `json:"target"`
	Where    string   `json:"where,omitempty"`
	Count    int      `json:"count,omitempty"` // any so many of the target's hosts; 0: all of them
	For      Duration `json:"for"`             // at most MaxLease
	Purpose  string   `json:"purpose,omitempty"`
	Shared   bool     `json:"shared,omitempty"`
	Priority int      `json:"priority,omitempty"`
	Wait     Duration `json:"wait,omitempty"` // how long to queue; 0: refuse when it is not free now
}

const (
	maxLease         = 7 * 24 * time.Hour
	maxLeasesPerUser = 64
	tableLeases      = "leases"
	// TopicLeases is the [Store.Changed] topic that rings when a lease changes.
	TopicLeases = "leases"
)

// Lease reserves hosts, or queues for them when the request says so: the lease is then waiting, and
// [Executor.WaitLease] tells when it is held. The error wraps [ErrLeased] and names the
// holder, the purpose and the time left.
func (e *Executor) Lease(ctx context.Context, p Principal, req LeaseRequest) (Lease, error) {
	l, err := e.newLease(p, req)
	if err != nil {
		return Lease{}, err
	}
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	mine := 0
	for _, other := range e.desk.leases {
		if other.Holder == p.Name {
			mine++
		}
	}
	if mine >= p.leaseLimit() {
		return Lease{}, fmt.Errorf("%s holds or waits for %d leases already: %w (see: tfwctl leases)", p.Name, mine, ErrLeased)
	}
	e.desk.add(&l)
	e.desk.settle()
	if l.State == LeaseWaiting && req.Wait == 0 {
		refusal := func(why string) error {
			return fmt.Errorf("%w: %s (see: tfwctl leases, or queue for it with --wait)", ErrLeased, why)
		}
		onRecord := e.desk.why(&l, nil)
		err := &leaseRefusal{refusal(e.desk.why(&l, e.seesAll(p))), refusal(onRecord).Error()}
		e.desk.drop(l.ID)
		e.recordAudit(ctx, p, AuditEntry{Action: "lease", Hosts: l.Hosts, Outcome: "refused", Detail: onRecord})
		return Lease{}, err
	}
	if err := e.storeDesk(ctx, p, "lease", &l); err != nil {
		e.desk.drop(l.ID)
		e.desk.settle()
		return Lease{}, err
	}
	e.desk.turn()
	return l, nil
}

func (e *Executor) newLease(p Principal, req LeaseRequest) (Lease, error) {
	if !p.May(Operator) {
		return Lease{}, fmt.Errorf("%s may not lease hosts: %w (needs the role operator)", p.Name, ErrForbidden)
	}
	if d := time.Duration(req.For); d <= 0 || d > maxLease {
		return Lease{}, fmt.Errorf("for: %w: want a time up to %s", ErrBadRequest, maxLease)
	}
	if d := time.Duration(req.Wait); d < 0 || d > maxLease {
		return Lease{}, fmt.Errorf("wait: %w: want a time up to %s", ErrBadRequest, maxLease)
	}
	if max(len(req.Purpose), len(req.Target), len(req.Where)) > 4096 {
		return Lease{}, fmt.Errorf("purpose, target, where: %w: at most 4096 bytes each", ErrBadRequest)
	}
	if req.Priority > 0 && !p.May(Admin) || req.Priority < -100 || req.Priority > 100 {
		return Lease{}, fmt.Errorf("priority: %w: want -100 to 100; above 0 is for admins", ErrBadRequest)
	}
	sel, err := e.Select(context.Background(), p, inventory.Query{Target: req.Target, Where: req.Where})
	if err != nil {
		return Lease{}, err
	}
	l := Lease{ID: NewID(), Holder: p.Name, Purpose: req.Purpose, Count: req.Count, Shared: req.Shared, Priority: req.Priority,
		State: LeaseWaiting, Created: e.now(), For: req.For, RequestID: p.Request}
	if req.Wait > 0 {
		l.Deadline = l.Created.Add(time.Duration(req.Wait))
	}
	for _, h := range sel.Hosts {
		if h.State == inventory.Active {
			l.Hosts = append(l.Hosts, h.Name)
		}
	}
	if n := max(1, req.Count); req.Count < 0 || len(l.Hosts) < n {
		return Lease{}, fmt.Errorf("count: %w: %d wanted, the target has %d active hosts", ErrBadRequest, n, len(l.Hosts))
	}
	return l, nil
}

// Leases lists those that wait or are held, oldest first, as far as the principal sees their hosts.
func (e *Executor) Leases(_ context.Context, p Principal) ([]Lease, error) {
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	all := []Lease{}
	for _, l := range e.desk.leases {
		if shown := *l; e.reduceLease(p, &shown) {
			all = append(all, shown)
		}
	}
	slices.SortFunc(all, func(a, b Lease) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

// reduceLease leaves only what the principal may see of a lease and reports whether that is anything.
func (e *Executor) reduceLease(p Principal, l *Lease) bool {
	if p.Groups == nil || e.holds(p, l) {
		return true
	}
	seen := e.seen(p, l.Hosts)
	if len(seen) < len(l.Hosts) {
		l.Purpose, l.Ended, l.RequestID, l.Count = "", "", "", 0 // they may tell of what is not theirs
	}
	l.Hosts = seen
	return len(seen) > 0
}

// seen gives those of the hosts that exist for the principal.
func (e *Executor) seen(p Principal, names []string) []string {
	if p.Groups == nil {
		return names
	}
	inv := e.cfg.Inventory()
	out := []string{}
	for _, name := range names {
		if h, ok := inv.Host(name); ok && p.Sees(h) {
			out = append(out, name)
		}
	}
	return out
}

// holds reports whether the lease is the principal's own. A name alone is not enough: none of the hosts may be
// others'. One that has left the inventory is nobody's.
func (e *Executor) holds(p Principal, l *Lease) bool {
	inv := e.cfg.Inventory()
	return l.Holder == p.Name && !slices.ContainsFunc(l.Hosts, func(name string) bool { h, ok := inv.Host(name); return ok && !p.Sees(h) })
}

func (e *Executor) seesAll(p Principal) func([]string) bool {
	return func(names []string) bool { return len(e.seen(p, names)) == len(names) }
}

// FindLease gives a lease as far as the principal sees it, ended ones too, or [ErrNotFound].
func (e *Executor) FindLease(ctx context.Context, p Principal, id string) (Lease, error) {
	var l Lease
	err := e.view(ctx, func(tx Tx) error {
		ok, err := get(tx, tableLeases, id, &l)
		if err == nil && (!ok || !e.reduceLease(p, &l)) {
			err = fmt.Errorf("lease %q: %w (see: tfwctl leases)", id, ErrNotFound)
		}
		return err
	})
	if err != nil {
		return Lease{}, err
	}
	return l, nil
}

// WaitLease returns the lease once it is held, or with an error that wraps
// [ErrLeased] when it ended first, or with ctx's error.
func (e *Executor) WaitLease(ctx context.Context, p Principal, id string) (Lease, error) {
	for {
		bell := e.store.Changed(TopicLeases)
		l, err := e.leaseOf(ctx, p, id)
		switch {
		case err != nil:
			return l, err
		case l.State == LeaseHeld:
			return l, nil
		case l.State == LeaseEnded:
			return l, fmt.Errorf("lease %s: %s: %w", id, l.Ended, ErrLeased)
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return l, ctx.Err()
		}
	}
}

// leaseOf gives a lease that the principal may act on: its own, or for an admin
// one whose hosts it all sees.
func (e *Executor) leaseOf(ctx context.Context, p Principal, id string) (Lease, error) {
	var l Lease
	err := e.view(ctx, func(tx Tx) error {
		ok, err := get(tx, tableLeases, id, &l)
		if err == nil && (!ok || !e.holds(p, &l) && (!p.May(Admin) || len(e.seen(p, l.Hosts)) < len(l.Hosts))) {
			err = fmt.Errorf("lease %q: %w (see: tfwctl leases)", id, ErrNotFound)
		}
		return err
	})
	return l, err
}

// Release ends a lease. Another's may be broken by an admin with a reason, which the holder is shown.
func (e *Executor) Release(ctx context.Context, p Principal, id, reason string) error {
	return e.changeLease(ctx, p, id, "release", func(l *Lease) error {
		l.Ended = "released by " + p.Name
		if l.Holder != p.Name {
			if reason == "" {
				return fmt.Errorf("lease %s is held by %s: %w: breaking it needs a reason", id, l.Holder, ErrBadRequest)
			}
			l.Ended = fmt.Sprintf("broken by %s: %s", p.Name, reason)
		}
		l.State, l.Over = LeaseEnded, e.now()
		return nil
	})
}

// Renew makes a held lease end so long from now.
func (e *Executor) Renew(ctx context.Context, p Principal, id string, d Duration) error {
	if d <= 0 || time.Duration(d) > maxLease {
		return fmt.Errorf("for: %w: want a time up to %s", ErrBadRequest, maxLease)
	}
	return e.changeLease(ctx, p, id, "renew", func(l *Lease) error {
		if l.State != LeaseHeld {
			return fmt.Errorf("lease %s is %s, not held: %w", id, l.State, ErrConflict)
		}
		l.Expires = e.now().Add(time.Duration(d))
		return nil
	})
}

// changeLease alters a live lease, stores it, and only then lets others profit.
func (e *Executor) changeLease(ctx context.Context, p Principal, id, action string, change func(*Lease) error) error {
	if !p.May(Operator) {
		return fmt.Errorf("%s may not change leases: %w", p.Name, ErrForbidden)
	}
	if _, err := e.leaseOf(ctx, p, id); err != nil {
		return err
	}
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	e.desk.settle()
	e.desk.wake() // whatever comes of it, the keeper writes what was settled
	l := e.desk.leases[id]
	if l == nil {
		return fmt.Errorf("lease %s is over: %w", id, ErrConflict)
	}
	before := *l
	if err := change(l); err != nil {
		*l = before
		return err
	}
	if err := e.storeDesk(ctx, p, action, l); err != nil {
		*l = before
		return err
	}
	e.desk.settle()
	e.desk.turn()
	return nil
}

// storeDesk writes what settle changed, and the lease at hand. The desk is locked.
func (e *Executor) storeDesk(ctx context.Context, p Principal, action string, l *Lease) error {
	changed, moved := e.desk.changed, e.desk.moved
	err := e.store.Update(ctx, func(tx Tx) error {
		tx.Ring(TopicLeases)
		if moved != e.desk.movedStored {
			err := put(tx, tableClock, keyClock, e.clock.state(moved))
			for _, l := range e.desk.leases {
				if l.State != LeaseEnded && l.State != "" {
					err = errors.Join(err, put(tx, tableLeases, l.ID, l))
				}
			}
			if err != nil {
				return err
			}
		}
		for _, c := range changed {
			if c == l { // told below, by who did it
				continue
			}
			entry := AuditEntry{Action: "lease." + string(c.State), Object: c.ID, Hosts: c.Hosts, Outcome: string(c.State), Detail: c.Ended}
			if err := errors.Join(put(tx, tableLeases, c.ID, c), e.audit(tx, Principal{Name: c.Holder, Source: "clock", Request: c.RequestID}, entry)); err != nil {
				return err
			}
		}
		if l == nil {
			return nil
		}
		entry := AuditEntry{Action: action, Object: l.ID, Hosts: l.Hosts, Outcome: string(l.State), Detail: strings.TrimSpace(l.Purpose + " " + l.Ended)}
		return errors.Join(put(tx, tableLeases, l.ID, l), e.audit(tx, p, entry))
	})
	if err == nil {
		e.desk.changed, e.desk.movedStored = nil, moved
	}
	return err
}

// recoverLeases takes up what is on record.
func (e *Executor) recoverLeases(ctx context.Context) error {
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	return e.view(ctx, func(tx Tx) error {
		clear(e.desk.leases)
		return rangePrefix(tx, tableLeases, "", func(_ string, l Lease) error {
			if l.State != LeaseEnded {
				e.desk.add(&l)
			}
			return nil
		})
	})
}

// limitsEvery is how soon a change of the policy's limits is felt by who waits.
const limitsEvery = 2 * time.Second

// keepLeases ends leases and gives hosts to who waits, when their time comes.
func (e *Executor) keepLeases() {
	for {
		e.desk.mu.Lock()
		e.desk.settle()
		wait := e.desk.next(e.clock.now())
		if len(e.desk.queue) > 0 {
			wait = min(wait, limitsEvery) // the policy may have changed
		}
		if len(e.desk.changed) > 0 || e.desk.moved != e.desk.movedStored {
			if err := e.storeDesk(e.background, Principal{}, "", nil); err != nil && e.background.Err() == nil {
				e.log.Error("cannot store leases, trying again", "error", err)
				wait = min(wait, time.Second) // who waits learns of it from the store only
			}
		}
		e.desk.turn()
		woken := e.desk.woken
		e.desk.mu.Unlock()
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-woken:
			t.Stop()
		case <-e.background.Done():
			t.Stop()
			return
		}
	}
}
