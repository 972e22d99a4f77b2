package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// RunFilter selects runs. Empty fields do not filter.
type RunFilter struct {
	State   State
	Verdict Verdict
	Host    string
	Plugin  string
	Plan    string
	By      string // who asked
	Oldest  bool   // the oldest first; else the newest
	Limit   int    // 0 is 50, at most 1,000
	Marker  string // of the page before
}

func (f RunFilter) fits(run *Run) bool {
	return (f.State == "" || run.State == f.State) && (f.Verdict == "" || run.Verdict == f.Verdict) &&
		(f.Plugin == "" || run.Plugin == f.Plugin) && (f.Plan == "" || run.Plan == f.Plan) && (f.By == "" || run.By == f.By)
}

// part is the filter as far as it is of what a run shows alike to everybody who sees any of it.
func (f RunFilter) part() RunFilter {
	f.Verdict = ""
	return f
}

// Runs lists runs, newest first unless f says otherwise, and the marker of the
// next page, "" at the end. They come without Hosts, Options and long Parameters: [Executor.Run] has
// those. A page costs what it holds, whatever else the store holds: see [walk].
func (e *Executor) Runs(ctx context.Context, p Principal, f RunFilter) (runs []*Run, next string, err error) {
	limit := min(f.Limit, 1000)
	if limit <= 0 {
		limit = 50
	}
	if h, ok := e.cfg.Inventory().Host(f.Host); f.Host != "" && p.Groups != nil && !(ok && p.Sees(h)) {
		return nil, "", nil // before looking: how long that takes would tell of a host that is not there for them
	}
	err = e.view(ctx, func(tx Tx) error {
		runs, next = nil, ""
		last := ""
		at, err := e.place(tx, p, f.Marker)
		if err != nil {
			return err
		}
		f := f
		f.Marker = at
		return e.walkRuns(tx, p, f, func(seq string, run *Run) bool {
			if len(runs) == limit {
				if next = last; p.Groups != nil {
					next = string(runs[limit-1].ID)
				}
				return false
			}
			runs, last = append(runs, run), seq
			return ctx.Err() == nil
		})
	})
	return runs, next, errors.Join(err, ctx.Err())
}

// place is where the page before ended. The markers of principals of some groups are ids of their runs: places would
// tell them how many runs there are, and how many before one of theirs.
func (e *Executor) place(tx Tx, p Principal, marker string) (string, error) {
	if p.Groups == nil && isMarker(marker) || marker == "" {
		return marker, nil
	}
	var rec runRecord
	id, err := e.find(tx, p, marker)
	if err != nil || p.Groups == nil || string(id) != marker {
		return "", fmt.Errorf("marker %q: %w", marker, ErrBadMarker)
	}
	_, err = get(tx, tableRuns, string(id), &rec)
	return orderKey(rec.Seq), err
}

// newest finds the newest run that the principal asked for.
func (e *Executor) newest(tx Tx, p Principal) (id RunID, err error) {
	err = e.walkRuns(tx, p, RunFilter{By: p.Name}, func(_ string, run *Run) bool {
		id = run.ID
		return false
	})
	if id == "" && err == nil {
		err = fmt.Errorf("no run of %s: %w", p.Name, ErrNotFound)
	}
	return id, err
}

// walkRuns calls fn for the runs that the filter and the rights let through, in order, while it returns true.
func (e *Executor) walkRuns(tx Tx, p Principal, f RunFilter, fn func(seq string, run *Run) bool) error {
	w, err := e.newWalk(tx, p, f)
	if err != nil {
		return err
	}
	for seq := w.first(f.Marker); ; {
		seq, err = w.next(seq)
		if err != nil || seq == "" {
			return err
		}
		run, err := e.listed(w, p, f, seq)
		if err != nil {
			return err
		}
		if run != nil && !fn(seq, run) {
			return nil
		}
		seq = w.past(seq)
	}
}

// listed gives the run at a place in the order, as lists show it, when the filter and the rights let it through.
func (e *Executor) listed(w *walk, p Principal, f RunFilter, seq string) (*Run, error) {
	run, err := e.summary(w, p, f, seq)
	if err != nil || run == nil || !f.fits(run) {
		return nil, err
	}
	return run, nil
}

// summary gives a run as lists show it. It may give nil for one that does not fit.
func (e *Executor) summary(w *walk, p Principal, f RunFilter, seq string) (*Run, error) {
	tx, done := w.tx, &Run{}
	ok, err := get(tx, tableDone, seq, done)
	switch {
	case err != nil:
		return nil, err
	case ok && !f.part().fits(done):
		return nil, nil
	case ok: // spare it the results of its hosts where it is seen whole
		if mine, err := w.mineAt(seq); p.Groups == nil || mine == done.HostCount || err != nil {
			return done, err
		}
	}
	id, ok := tx.Get(tableOrder, seq)
	if !ok {
		return nil, nil
	}
	if p.Groups == nil {
		e.mu.Lock()
		a := e.active[RunID(id)]
		e.mu.Unlock()
		if a != nil {
			return a.summary(), nil
		}
	}
	run, _, err := load(tx, RunID(id))
	if err != nil || !e.reduce(p, run) {
		return nil, err
	}
	brief(run)
	return run, nil
}

// count makes HostCount and Tally anew.
func (run *Run) count() {
	run.HostCount, run.Tally = len(run.Hosts), nil
	for _, r := range run.Hosts {
		if r.Verdict == "" {
			continue
		}
		if run.Tally == nil {
			run.Tally = map[Verdict]int{}
		}
		run.Tally[r.Verdict]++
	}
}

// longest is how many bytes of parameters a list still shows.
const longest = 4 << 10

// brief leaves out what lists do not show.
func brief(run *Run) {
	run.Options, run.Hosts = nil, nil
	if len(run.Parameters) > longest {
		run.Parameters = nil
	}
}

// ErrBadMarker means that no page of a list begins where it was asked for. It is an [ErrBadRequest].
var ErrBadMarker = fmt.Errorf("%w: no page begins there: use the next of the page before, or list again from the beginning", ErrBadRequest)

func isMarker(text string) bool {
	return len(text) == 16 && strings.Trim(text, "0123456789abcdef") == ""
}
