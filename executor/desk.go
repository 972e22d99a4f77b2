package executor

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"tfw/inventory"
)

// desk decides who may use which host now: the one place every run and every
// lease passes. It is memory only; leases are written by its callers before they
// count, and what runs occupy is rebuilt when the runs are taken up again.
type desk struct {
	mu      sync.Mutex
	leases  map[string]*Lease // waiting and held
	tenants map[string][]*tenant
	queue   []*tenant // those who wait for a host
	seq     uint64
	clock   *clock
	changed []*Lease      // altered by settle, not stored yet
	woken   chan struct{} // closed when the keeper has to look again

	closed             bool          // nobody leaves any more
	moved, movedStored time.Duration // as much of the clock's leaps as the ends of leases have followed

	shut   map[string]string // hosts that take no new work, and why: "in maintenance: eth1 dead"
	lost   map[string]bool   // those of them that will not come back: quarantined, retired
	limits func() []Limit    // of the policy in force
}

// tenant is one run on one host: waiting, or inside.
type tenant struct {
	run       RunID
	by        string
	host      string
	exclusive bool
	capacity  int // of the host for shared use; 0: no limit
	priority  int
	at        time.Time // of the run's making
	since     time.Time // waiting or inside since
	until     time.Time // of waiting; zero: for as long as it takes
	seq       uint64
	groups    []string      // of the host
	anyway    bool          // into hosts that are shut, too
	lost      string        // why it will never go in; set before enter is closed
	enter     chan struct{} // closed when it may go in
}

func newDesk(c *clock) *desk {
	return &desk{clock: c, leases: map[string]*Lease{}, tenants: map[string][]*tenant{}, woken: make(chan struct{}), limits: func() []Limit { return nil }}
}

func (d *desk) add(l *Lease) { d.leases[l.ID] = l }

// drop takes out a lease that is not to be: what settle granted it must not be stored later.
func (d *desk) drop(id string) {
	delete(d.leases, id)
	d.changed = slices.DeleteFunc(d.changed, func(l *Lease) bool { return l.ID == id })
}

// follow moves what was agreed on along when the clock leaps: a lease is for a time, not until a date.
func (d *desk) follow() {
	by := d.clock.leaps() - d.moved
	if by == 0 {
		return
	}
	d.moved += by
	for _, l := range d.leases {
		for _, end := range []*time.Time{&l.Expires, &l.Deadline} {
			if !end.IsZero() {
				*end = end.Add(by)
			}
		}
	}
	for _, t := range d.queue {
		if !t.until.IsZero() {
			t.until = t.until.Add(by)
		}
	}
}

// turn lets in who waits, and wakes the keeper. The desk is locked.
func (d *desk) turn() {
	d.admit()
	d.wake()
}

// wake makes the keeper look again. The desk is locked.
func (d *desk) wake() {
	close(d.woken)
	d.woken = make(chan struct{})
}

// settle ends what is over and grants what is free, in order of priority, then
// age. A waiting lease keeps its candidates from those behind it, so nobody starves.
func (d *desk) settle() {
	d.follow()
	at := d.clock.now()
	for id, l := range d.leases {
		switch {
		case l.State == LeaseEnded: // by who has stored it
			delete(d.leases, id)
			continue
		case l.State == LeaseHeld && !at.Before(l.Expires):
			l.State, l.Ended, l.Over = LeaseEnded, "expired", l.Expires
		case l.State == LeaseWaiting && !l.Deadline.IsZero() && !at.Before(l.Deadline):
			l.State, l.Ended, l.Over = LeaseEnded, "was not free in time: "+d.why(l, nil), at
		default:
			continue
		}
		d.changed = append(d.changed, l)
		delete(d.leases, id)
	}
	claimed := map[string]bool{}
	for _, l := range d.waiting() {
		free := d.freeFor(l, claimed)
		if want := l.wants(); len(free) >= want {
			l.Hosts, l.State, l.Held, l.Expires = free[:want], LeaseHeld, at, at.Add(time.Duration(l.For))
			d.changed = append(d.changed, l)
			continue
		}
		for _, h := range l.Hosts {
			claimed[h] = true
		}
	}
}

// priorityStep is how long one step of priority lets somebody pass those who came before: a stream of the urgent delays
// the others, and does not starve them.
const priorityStep = 10 * time.Minute

// turnOf is the place in every line: age, and a head start for each step of priority.
func turnOf(priority int, since time.Time) time.Time {
	return since.Add(-time.Duration(priority) * priorityStep)
}

func (l *Lease) wants() int {
	if l.Count > 0 {
		return l.Count
	}
	return len(l.Hosts)
}

// waiting gives the leases that wait, in the order of their turn.
func (d *desk) waiting() []*Lease {
	var all []*Lease
	for _, l := range d.leases {
		if l.State == LeaseWaiting {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b *Lease) int {
		return cmp.Or(turnOf(a.Priority, a.Created).Compare(turnOf(b.Priority, b.Created)), cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// freeFor gives those of the lease's candidates that nobody stands against.
func (d *desk) freeFor(l *Lease, claimed map[string]bool) (free []string) {
	for _, h := range l.Hosts {
		if !claimed[h] && d.obstacle(l, h, nil) == "" {
			free = append(free, h)
		}
	}
	return free
}

// obstacle says who has the host against this lease, or "". sees is the reader's, as in describe.
func (d *desk) obstacle(l *Lease, host string, sees func(hosts []string) bool) string {
	if why := d.shut[host]; why != "" {
		return "nobody: it is " + why
	}
	for _, other := range d.leases {
		if other != l && other.State == LeaseHeld && !(l.Shared && other.Shared) && slices.Contains(other.Hosts, host) {
			return other.describe(d.clock.now(), sees)
		}
	}
	for _, t := range d.tenants[host] {
		if t.by != l.Holder && (!l.Shared || t.exclusive) {
			return fmt.Sprintf("run %s of %s", t.run, t.by)
		}
	}
	return ""
}

// why says what a waiting lease waits for. sees is the reader's, as in describe.
func (d *desk) why(l *Lease, sees func(hosts []string) bool) string {
	for _, h := range l.Hosts {
		if who := d.obstacle(l, h, sees); who != "" {
			return fmt.Sprintf("%s is taken by %s", h, who)
		}
	}
	return "others wait before it"
}

// describe names a lease to somebody else: its purpose only to who sees all of
// its hosts, for it may tell of them: sees tells of the reader, nil is whoever reads it later.
func (l *Lease) describe(now time.Time, sees func(hosts []string) bool) string {
	s := "lease " + l.ID + " of " + l.Holder
	if l.Purpose != "" && sees != nil && sees(l.Hosts) {
		s += " (" + l.Purpose + ")"
	}
	return s + fmt.Sprintf(", %s left", l.Expires.Sub(now).Round(time.Second))
}

// refusal says whose lease stands against a run on the host, or "". A run may
// use the leases of its own user; a shared lease lets runs in that are not exclusive. sees is
// the reader's, as in describe.
func (d *desk) refusal(t *tenant, sees func(hosts []string) bool) string {
	for _, l := range d.leases {
		if l.State != LeaseHeld || !slices.Contains(l.Hosts, t.host) || l.Holder == t.by {
			continue
		}
		if l.Shared && !t.exclusive {
			continue
		}
		return l.describe(d.clock.now(), sees)
	}
	return ""
}

// crowd says who is inside that a run cannot be together with, or "".
func (d *desk) crowd(t *tenant) string {
	inside := d.tenants[t.host]
	for _, other := range inside {
		if t.exclusive || other.exclusive || (t.capacity > 0 && len(inside) >= t.capacity) {
			return fmt.Sprintf("run %s of %s", other.run, other.by)
		}
	}
	return ""
}

// admit lets those in who may enter now, in the order of priority, then age. One
// who waits for who is inside keeps the host from those behind; one whose own limit,
// or another's lease, stands against it does not.
func (d *desk) admit() {
	slices.SortStableFunc(d.queue, func(a, b *tenant) int {
		return cmp.Or(turnOf(a.priority, a.at).Compare(turnOf(b.priority, b.at)), cmp.Compare(b.priority, a.priority), cmp.Compare(a.seq, b.seq))
	})
	kept := map[string]bool{}
	rest := d.queue[:0]
	c := d.census()
	for _, t := range d.queue {
		why, keeps := d.blocked(t, c)
		if kept[t.host] || why != "" {
			kept[t.host] = kept[t.host] || keeps
			rest = append(rest, t)
			continue
		}
		t.since = d.clock.now()
		d.tenants[t.host] = append(d.tenants[t.host], t)
		c.enter(t)
		close(t.enter)
	}
	clear(d.queue[len(rest):])
	d.queue = rest
}

// blocked says why a run cannot enter now, "" when it can, and whether those behind it must wait for it.
func (d *desk) blocked(t *tenant, c *census) (why string, keeps bool) {
	if why := d.shut[t.host]; why != "" && (!t.anyway || d.lost[t.host]) {
		return "the host is " + why, false
	}
	if who := d.refusal(t, nil); who != "" {
		return "the host is taken by " + who, false
	}
	if who := d.crowd(t); who != "" {
		return "the host is taken by " + who, true
	}
	if l := d.leaseBefore(t); l != nil {
		return "the host is kept for a waiting lease of " + l.Holder, true
	}
	return c.full(t), false
}

// leaseBefore gives a lease of another that waits for the host and has its turn
// before the run: without it a stream of runs would keep the lease waiting for ever.
func (d *desk) leaseBefore(t *tenant) *Lease {
	for _, l := range d.leases {
		if l.State == LeaseWaiting && l.Holder != t.by && !(l.Shared && !t.exclusive) &&
			turnOf(l.Priority, l.Created).Before(turnOf(t.priority, t.at)) && d.reserves(l, t.host) {
			return l
		}
	}
	return nil
}

// reserves reports whether the host is kept free for a waiting lease: the first so
// many of its candidates as it wants that no other lease holds. A host that
// another holds is not: its holder must be able to use it meanwhile.
func (d *desk) reserves(l *Lease, host string) bool {
	left := l.wants()
	for _, h := range l.Hosts {
		if d.leased(l, h) {
			continue
		}
		if h == host {
			return true
		}
		if left--; left == 0 {
			return false
		}
	}
	return false
}

// leased reports whether another lease holds the host against this one.
func (d *desk) leased(l *Lease, host string) bool {
	for _, other := range d.leases {
		if other != l && other.State == LeaseHeld && !(l.Shared && other.Shared) && slices.Contains(other.Hosts, host) {
			return true
		}
	}
	return false
}

// line says why a run that waits is not inside, and how many wait before it.
func (d *desk) line(t *tenant) (why string, before int) {
	for _, other := range d.queue {
		if other == t {
			break
		}
		if other.host == t.host {
			before++
		}
	}
	return d.reason(t, d.census()), before
}

// close lets every tenant keep its place from here on: its command goes on on the
// host, whoever else would be let in now, a run or a lease, were a second there after the restart.
func (d *desk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
}

// leave takes a tenant out, inside or waiting.
func (d *desk) leave(t *tenant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	is := func(other *tenant) bool { return other == t }
	d.queue = slices.DeleteFunc(d.queue, is)
	if d.tenants[t.host] = slices.DeleteFunc(d.tenants[t.host], is); len(d.tenants[t.host]) == 0 {
		delete(d.tenants, t.host)
	}
	if len(d.leases) == 0 {
		d.admit() // nobody for the keeper to serve
		return
	}
	d.turn()
}

// next tells how long the keeper may sleep.
func (d *desk) next(at time.Time) time.Duration {
	wait := time.Hour
	for _, l := range d.leases {
		for _, t := range []time.Time{l.Expires, l.Deadline} {
			if left := t.Sub(at); !t.IsZero() && (t != l.Deadline || l.State == LeaseWaiting) && left < wait {
				wait = max(left, time.Millisecond)
			}
		}
	}
	return wait
}

// tenantOf makes the part's claim on its host.
func (d *desk) tenantOf(a *active, p *part) *tenant {
	o := a.options()
	t := &tenant{run: a.run.ID, by: a.run.By, host: p.host.Name, priority: o.Priority, at: a.run.Created, since: d.clock.now(),
		groups: p.host.Groups, anyway: o.IncludeMaintenance,
		exclusive: a.method.Needs.Exclusive || p.host.Isolation == inventory.IsolationExclusive, enter: make(chan struct{})}
	if p.host.Isolation == inventory.IsolationShared {
		t.capacity = p.host.Capacity
	}
	return t
}
