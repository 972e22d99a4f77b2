package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"tfw/inventory"
)

// inventory is the current snapshot as the principal sees it, with the operators' states.
func (e *Executor) inventory(p Principal) *inventory.Inventory {
	return p.view(e.wholeInventory())
}

// wholeInventory is this moment's, with the operators' states.
func (e *Executor) wholeInventory() *inventory.Inventory {
	return e.cfg.Inventory().WithStates(e.states())
}

// view is what of an inventory exists for the principal.
func (p Principal) view(whole *inventory.Inventory) *inventory.Inventory {
	if p.Groups == nil {
		return whole
	}
	return whole.Restrict(p.Sees)
}

// Snapshot is what a [Executor.Select] of the principal goes by at this moment: the inventory with the
// operators' states, and what is on record of a host's facts (nil: never asked).
func (e *Executor) Snapshot(p Principal) (inv *inventory.Inventory, facts func(host string) map[string]any) {
	return e.inventory(p), e.facts
}

// Select resolves a target as a run of the principal would: the preview of --dry-run.
func (e *Executor) Select(_ context.Context, p Principal, q inventory.Query) (inventory.Selection, error) {
	q.Facts = e.facts
	sel, err := e.inventory(p).Select(q)
	if err != nil {
		return sel, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	return sel, nil
}

// Run gives a run as it stands, or [ErrNotFound]. id may be a unique prefix or
// "last", the principal's newest.
func (e *Executor) Run(ctx context.Context, p Principal, id string) (*Run, error) {
	var run *Run
	err := e.view(ctx, func(tx Tx) error {
		full, err := e.find(tx, p, id)
		if err != nil {
			return err
		}
		run, _, err = load(tx, full)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !e.reduce(p, run) {
		return nil, fmt.Errorf("run %q: %w (see: tfwctl runs)", id, ErrNotFound)
	}
	if run.State != Done {
		waits := e.waits(run.ID)
		for i := range run.Hosts {
			run.Hosts[i].Waiting = waits[run.Hosts[i].Host]
		}
	}
	return run, nil
}

// find resolves what a person may call a run. Another's must not make a prefix ambiguous, nor take time.
func (e *Executor) find(tx Tx, p Principal, id string) (RunID, error) {
	if id == "last" {
		return e.newest(tx, p)
	}
	prefixes, table := []string{""}, tableRuns
	if p.Groups != nil {
		prefixes, table = nil, tableFound
		for _, name := range e.mine(p) {
			prefixes = append(prefixes, foundPrefix(name))
		}
	}
	switch found, err := Begin(tx, table, prefixes, id); {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", fmt.Errorf("run %q: %w (see: tfwctl runs)", id, ErrNotFound)
	case len(found) > 1:
		return "", fmt.Errorf("run %q: more than one run begins so: %w (give more of the id)", id, ErrBadRequest)
	default:
		return RunID(found[0]), nil
	}
}

// reduce leaves only what the principal may see of a run and reports whether that is anything.
func (e *Executor) reduce(p Principal, run *Run) bool {
	if p.Groups == nil {
		return true
	}
	inv := e.cfg.Inventory()
	seen := run.Hosts[:0:0]
	for _, r := range run.Hosts {
		if h, ok := inv.Host(r.Host); ok && p.Sees(h) {
			seen = append(seen, r)
		}
	}
	if len(seen) < len(run.Hosts) {
		run.hide(seen)
	}
	run.Hosts = seen
	run.count()
	return len(seen) > 0
}

// hide takes out what may tell of hosts that are not the reader's: names, counts, how it went there and until when.
func (run *Run) hide(seen []HostResult) {
	run.partial = true
	run.Target, run.Where, run.Parameters, run.Options, run.Reason, run.Cancel = "", "", json.RawMessage("{}"), nil, "", ""
	run.RequestID, run.Meeting = "", "" // its client chose the one, the cell of a test plan's matrix is in the other
	mine := map[string]bool{}
	worst, last, open := Verdict(""), time.Time{}, false
	for _, r := range seen {
		mine[r.Host] = true
		worst, open = Worst(worst, r.Verdict), open || r.Verdict == ""
		if r.Finished.After(last) {
			last = r.Finished
		}
	}
	var others []string
	for _, r := range run.Hosts {
		if !mine[r.Host] {
			others = append(others, r.Host)
		}
	}
	run.Step = HideNames(run.Step, others) // as in the test plan
	if !open {                             // for the reader it is over, however long others' hosts take
		run.State, run.Verdict, run.Finished = Done, worst, last
	}
}

// Wait returns the run once it is done, or as it stands when ctx ends, with ctx's error.
func (e *Executor) Wait(ctx context.Context, p Principal, id string) (*Run, error) {
	run, err := e.Run(ctx, p, id)
	for err == nil && run.State != Done {
		bell := e.Changed(run.ID)
		if run, err = e.Run(context.WithoutCancel(ctx), p, string(run.ID)); err != nil || run.State == Done {
			break
		}
		e.mu.Lock()
		a := e.active[run.ID]
		e.mu.Unlock()
		var done chan struct{}
		if a != nil && !run.partial { // wake once, not for every line of its log
			done, bell = a.done, nil
		}
		select {
		case <-bell:
		case <-done:
		case <-ctx.Done():
			return run, ctx.Err()
		}
		run, err = e.Run(context.WithoutCancel(ctx), p, string(run.ID))
	}
	return run, err
}

// WithOutput fills in the first 64 KiB of each host's streams.
func (e *Executor) WithOutput(ctx context.Context, p Principal, run *Run) error {
	if !e.reduce(p, run) {
		return fmt.Errorf("run %q: %w", run.ID, ErrNotFound)
	}
	for i := range run.Hosts {
		res := &run.Hosts[i]
		for _, part := range []struct {
			stream Stream
			size   int64
			into   *string
		}{{Stdout, res.StdoutBytes, &res.Stdout}, {Stderr, res.StderrBytes, &res.Stderr}} {
			if part.size == 0 {
				continue
			}
			head, err := e.head(ctx, LogQuery{Run: run.ID, Host: res.Host, Stream: part.stream}, defaultCapture)
			if err != nil {
				return err
			}
			*part.into = strings.ToValidUTF8(string(head), "\uFFFD")
		}
	}
	return nil
}

// Log pages through a run's log. Take [Executor.Changed] before calling it to wait for more.
// A principal with limited groups gets the entries of its hosts only; a page may then be empty and yet have More.
func (e *Executor) Log(ctx context.Context, p Principal, q LogQuery) (LogPage, error) {
	if p.Groups == nil && e.known(ctx, q.Run) { // a follower asks for each ring: spare it the run's record
		return e.store.Read(ctx, q)
	}
	run, err := e.Run(ctx, p, string(q.Run))
	if err != nil {
		return LogPage{}, err
	}
	q.Run = run.ID
	if p.Groups == nil {
		return e.store.Read(ctx, q)
	}
	return e.readPart(ctx, run, q)
}

// tailLook is how many entries the last ones of some hosts are looked for among, at a time.
const tailLook = 1000

// readPart reads a page of a log as who sees these hosts of the run does: the last entries are those hosts' last,
// however much others have said since.
func (e *Executor) readPart(ctx context.Context, run *Run, q LogQuery) (LogPage, error) {
	mine := map[string]bool{}
	for _, r := range run.Hosts {
		mine[r.Host] = true
	}
	want, next := q.Tail, uint64(0)
	if want > 0 && run.partial {
		q.Tail = max(want, tailLook)
	}
	for {
		page, err := e.store.Read(ctx, q)
		if err != nil {
			return page, err
		}
		page.Next = max(page.Next, next)
		all := page.Entries
		older := page.More && want > 0 && len(all) > 0
		if older {
			q.Before, next = all[0].Seq, page.Next
		}
		page.Entries = slices.DeleteFunc(all, func(entry Entry) bool { return !mine[entry.Host] })
		if over := len(page.Entries) - want; want > 0 && over > 0 {
			page.Entries, page.More = page.Entries[over:], true
		}
		if len(page.Entries) > 0 || !older {
			return page, nil
		}
	}
}

// known reports whether id is the whole id of a run.
func (e *Executor) known(ctx context.Context, id RunID) (known bool) {
	err := e.view(ctx, func(tx Tx) error { _, known = tx.Get(tableRuns, string(id)); return nil })
	return known && err == nil
}

// Rerun submits the same request again, on the hosts that did not pass when failedOnly.
func (e *Executor) Rerun(ctx context.Context, p Principal, id string, failedOnly bool, requestID string) (*Run, error) {
	run, err := e.Run(ctx, p, id)
	if err != nil {
		return nil, err
	}
	if run.State != Done {
		return nil, fmt.Errorf("run %s is not done yet: %w (see: tfwctl wait %s)", run.ID, ErrConflict, run.ID)
	}
	if run.partial {
		return nil, fmt.Errorf("run %s: %w: it cannot be run again by who sees only a part of it", run.ID, ErrForbidden)
	}
	var names []string
	for _, r := range run.Hosts {
		if !failedOnly || r.Verdict != Passed {
			names = append(names, r.Host)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("run %s: every host passed, there is nothing to run again: %w", run.ID, ErrConflict)
	}
	req := Request{Plugin: run.Plugin, Method: run.Method, Parameters: run.Parameters, Target: strings.Join(names, ","), RequestID: requestID, rerunOf: run.ID}
	if run.Options != nil {
		req.Options = *run.Options
		req.Expect = 0
	}
	return e.Submit(ctx, p, req)
}
