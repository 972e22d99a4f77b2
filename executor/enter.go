package executor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tfw/inventory"
)

// occupy gets the part its place on the host, waiting while another run has it.
// A part that was begun by an earlier process is inside already: its commands run.
func (e *Executor) occupy(a *active, p *part) (leave func(), err error) {
	t := tenantOf(a, p)
	e.desk.mu.Lock()
	e.desk.seq++
	t.seq = e.desk.seq
	if len(p.ops) > 0 {
		e.desk.tenants[t.host] = append(e.desk.tenants[t.host], t)
		e.desk.mu.Unlock()
		return func() { e.desk.leave(t) }, nil
	}
	if who := e.desk.refusal(t); who != "" {
		e.desk.mu.Unlock()
		return nil, fmt.Errorf("%w: %s is taken by %s", ErrLeased, t.host, who)
	}
	e.desk.queue = append(e.desk.queue, t)
	e.desk.admit()
	why := e.desk.crowd(t)
	e.desk.mu.Unlock()
	leave = func() { e.desk.leave(t) }
	if err := e.await(a, t, why); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// await blocks until the tenant is let in.
func (e *Executor) await(a *active, t *tenant, why string) error {
	select {
	case <-t.enter:
		return nil
	default:
	}
	e.note(a, t.host, "waiting: the host is taken by "+why)
	select {
	case <-t.enter:
		return nil
	case <-a.ctx.Done():
		return context.Cause(a.ctx)
	}
}

// note appends an event to a host's log outside of any method.
func (e *Executor) note(a *active, host, text string) {
	entry := Entry{Time: now(), Run: a.run.ID, Host: host, Stream: Events, Data: []byte(text + "\n")}
	if err := e.store.Append(context.WithoutCancel(a.ctx), entry); err != nil {
		e.log.Warn("cannot store an event", "run", a.run.ID, "host", host, "event", text, "error", err)
	}
}

// unleased refuses a run whose hosts are leased to others, before anything is stored.
func (e *Executor) unleased(a *active) error {
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	e.desk.settle(time.Now())
	var taken []string
	who := ""
	for _, p := range a.parts {
		if w := e.desk.refusal(tenantOf(a, p)); w != "" {
			taken = append(taken, p.host.Name)
			who = w
		}
	}
	if len(taken) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: taken by %s (see: tfwctl leases)", ErrLeased, inventory.Fold(taken), strings.TrimSpace(who))
}
