package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tfw/inventory"
)

// occupy gets the part its place on the host, waiting while another run has it.
// A part that was begun by an earlier process is inside already: its commands run.
func (e *Executor) occupy(a *active, p *part) (leave func(), err error) {
	if p.place != nil {
		return func() { e.desk.leave(p.place) }, nil
	}
	t := e.desk.tenantOf(a, p)
	left := time.Duration(a.options().QueueTimeout)
	if left > 0 {
		if !p.waiting.IsZero() { // under an earlier process: its time goes on
			left = max(1, left-e.Since(p.waiting))
		}
		t.until = t.since.Add(left)
	}
	e.desk.mu.Lock()
	e.desk.seq++
	t.seq = e.desk.seq
	e.desk.queue = append(e.desk.queue, t)
	e.desk.dismiss() // since the run was taken, a host of a later batch may have gone
	e.desk.admit()
	why, before := e.desk.line(t)
	if len(e.desk.queue) > 0 {
		e.desk.wake() // it looks after limits that change
	}
	e.desk.mu.Unlock()
	leave = func() { e.desk.leave(t) }
	if before > 0 {
		why = strings.TrimSpace(fmt.Sprintf("%s, %d before it in line", why, before))
	}
	if err := e.await(a, p, t, why, left); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// resume gives the parts that an earlier process began their places back, before
// any run goes on: their commands are on the hosts, whatever the order in which the runs are taken up.
func (e *Executor) resume(a *active) {
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	for _, p := range a.parts {
		if len(p.ops) == 0 || p.result.Verdict != "" {
			continue
		}
		p.place = e.desk.tenantOf(a, p)
		e.desk.seq++
		p.place.seq = e.desk.seq
		e.desk.tenants[p.place.host] = append(e.desk.tenants[p.place.host], p.place)
	}
}

// await blocks until the tenant is let in, or until what is left of its time in the queue is over; 0 is no end.
func (e *Executor) await(a *active, p *part, t *tenant, why string, left time.Duration) error {
	select {
	case <-t.enter:
		return t.refused()
	default:
	}
	e.note(a, t.host, "waiting: "+why)
	var over <-chan time.Time
	if left > 0 {
		if p.waiting.IsZero() {
			p.waiting = t.since
			if err := e.persist(a, func(tx Tx) error { return put(tx, tableResults, resultKey(a.run.ID, p.index), p.record()) }); err != nil {
				return errDrain
			}
		}
		timer := time.NewTimer(left)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-t.enter:
		return t.refused()
	case <-over:
	case <-a.ctx.Done():
		return context.Cause(a.ctx)
	}
	e.desk.mu.Lock()
	why, _ = e.desk.line(t)
	e.desk.mu.Unlock()
	select {
	case <-t.enter: // at the last moment
		return t.refused()
	default:
	}
	return &stopError{verdict: TimedOut, code: "queue_timeout",
		reason: fmt.Sprintf("it did not begin within %s: %s (wait longer with --queue-timeout, see: tfwctl queue)", time.Duration(a.options().QueueTimeout), why)}
}

// refused is why the tenant was called and is not to go in; nil when it is.
func (t *tenant) refused() error {
	if t.lost == "" {
		return nil
	}
	return &stopError{verdict: Cancelled, code: "not_active", reason: "it did not begin: " + t.lost}
}

// note appends an event to a host's log outside of any method.
func (e *Executor) note(a *active, host, text string) {
	entry := Entry{Time: e.now(), Run: a.run.ID, Host: host, Stream: Events, Data: []byte(text + "\n")}
	if err := e.store.Append(context.WithoutCancel(a.ctx), entry); err != nil {
		e.log.Warn("cannot store an event", "run", a.run.ID, "host", host, "event", text, "error", err)
	}
}

// leaseRefusal is the refusal of a run, or of another lease, for the leases of others. It wraps [ErrLeased].
type leaseRefusal struct {
	error
	record string // the same for those who read the record: without purposes
}

func (r *leaseRefusal) Unwrap() error { return r.error }

// OnRecord words an error for those who read of it later, whoever they are: a refusal by leases without their purposes.
func OnRecord(err error) string {
	if no := (*leaseRefusal)(nil); errors.As(err, &no) {
		return strings.Replace(err.Error(), no.Error(), no.record, 1)
	}
	return err.Error()
}

// unleased refuses a run whose hosts are leased to others, before anything is stored, with a [leaseRefusal].
func (e *Executor) unleased(p Principal, a *active) error {
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	e.desk.settle()
	if len(e.desk.changed) > 0 {
		e.desk.wake()
	}
	if id := a.options().Lease; id != "" {
		if err := e.desk.under(id, a, func(l *Lease) bool { return len(e.seen(p, l.Hosts)) > 0 }); err != nil {
			return &leaseRefusal{err, err.Error()}
		}
	}
	if a.options().QueueTimeout > 0 {
		return nil // it waits for them
	}
	if err := e.desk.refused(a, e.seesAll(p)); err != nil {
		return &leaseRefusal{err, e.desk.refused(a, nil).Error()}
	}
	return nil
}

// refused tells whose leases stand against a run, as in refusal.
func (d *desk) refused(a *active, sees func(hosts []string) bool) error {
	var taken []string
	who := ""
	for _, part := range a.parts {
		if w := d.refusal(d.tenantOf(a, part), sees); w != "" {
			taken = append(taken, part.host.Name)
			who = w
		}
	}
	if len(taken) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: taken by %s (see: tfwctl leases, or wait for them with --queue-timeout)", ErrLeased, inventory.Fold(taken), strings.TrimSpace(who))
}

// under checks that the run's user holds the lease that the run names, and that it covers the hosts. A namesake's that
// the user does not see is none.
func (d *desk) under(id string, a *active, sees func(l *Lease) bool) error {
	l := d.leases[id]
	if l == nil || l.State != LeaseHeld || l.Holder != a.run.By || !sees(l) {
		return fmt.Errorf("%w: lease %q is not one that %s holds (see: tfwctl leases)", ErrLeased, id, a.run.By)
	}
	var out []string
	for _, name := range a.names() {
		if !slices.Contains(l.Hosts, name) {
			out = append(out, name)
		}
	}
	if len(out) > 0 {
		return fmt.Errorf("%w: lease %s does not cover %s", ErrLeased, id, inventory.Fold(out))
	}
	return nil
}
