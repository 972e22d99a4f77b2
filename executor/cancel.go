package executor

import (
	"context"
	"fmt"
	"strings"
)

// cancelled is for a run that somebody asked to end: "ann: board on fire". Why is told with the run: it may be about
// any of its hosts.
func cancelled(by string) *stopError {
	who, _, _ := strings.Cut(by, ": ")
	return &stopError{verdict: Cancelled, code: "cancelled", reason: "cancelled by " + who, whole: "cancelled by " + by}
}

// Cancel asks a run to end: its processes are killed on the hosts, with proof in
// the results. It returns once the wish is stored; Wait for the end. Cancelling
// twice is no error; a run that is done is [ErrConflict].
func (e *Executor) Cancel(ctx context.Context, p Principal, id, reason string) (*Run, error) {
	if !p.May(Operator) {
		return nil, fmt.Errorf("%s may not cancel runs: %w (needs the role operator)", p.Name, ErrForbidden)
	}
	run, err := e.Run(ctx, p, id)
	if err != nil {
		return nil, err
	}
	by := p.Name
	if reason != "" {
		by += ": " + reason
	}
	if err := e.storeCancel(ctx, p, run, by); err != nil {
		return nil, err
	}
	e.mu.Lock()
	a := e.active[run.ID]
	e.mu.Unlock()
	if a != nil {
		a.mu.Lock()
		a.run.Cancel = by
		a.mu.Unlock()
		a.cancel(cancelled(by))
	}
	return e.Run(ctx, p, string(run.ID))
}

// storeCancel keeps the wish: a controller that dies now kills after its restart. A run that the
// principal sees only a part of must be its own.
func (e *Executor) storeCancel(ctx context.Context, p Principal, run *Run, by string) error {
	id := run.ID
	return e.store.Update(ctx, func(tx Tx) error {
		var rec runRecord
		ok, err := get(tx, tableRuns, string(id), &rec)
		switch {
		case err != nil:
			return err
		case !ok:
			return fmt.Errorf("run %q: %w", id, ErrNotFound)
		case run.partial && !p.Was(rec.owner()):
			return fmt.Errorf("run %s is %s's: %w (they or an admin can do it)", id, rec.By, ErrForbidden)
		case rec.State == Done:
			if run.partial { // how it ended elsewhere is not told
				rec.Verdict = run.Verdict
			}
			return fmt.Errorf("run %s is done (%s): %w", id, rec.Verdict, ErrConflict)
		case rec.Cancel != "":
			return nil
		}
		rec.Cancel = by
		tx.Ring(string(id))
		if err := e.audit(tx, p, AuditEntry{Action: "cancel", Object: string(id), Hosts: run.hostNames(), Outcome: "asked", Detail: by}); err != nil {
			return err
		}
		return put(tx, tableRuns, string(id), rec)
	})
}

func (run *Run) hostNames() []string {
	names := make([]string, len(run.Hosts))
	for i, r := range run.Hosts {
		names[i] = r.Host
	}
	return names
}
