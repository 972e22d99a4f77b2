package executor

import (
	"context"
	"encoding/json"
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

// Runs lists runs, newest first unless f says otherwise, and the marker of the
// next page, "" at the end. They come without Hosts, Options and long Parameters: [Executor.Run] has
// those. A page costs what it holds, whatever else the store holds: see [walk].
func (e *Executor) Runs(ctx context.Context, p Principal, f RunFilter) (runs []*Run, next string, err error) {
	limit := min(f.Limit, 1000)
	if limit <= 0 {
		limit = 50
	}
	if f.Marker != "" && !isMarker(f.Marker) {
		return nil, "", fmt.Errorf("marker %q: %w", f.Marker, ErrBadMarker)
	}
	if h, ok := e.cfg.Inventory().Host(f.Host); f.Host != "" && p.Groups != nil && !(ok && p.Sees(h)) {
		return nil, "", nil // before looking: how long that takes would tell of a host that is not there for them
	}
	err = e.view(ctx, func(tx Tx) error {
		runs, next = nil, ""
		last := ""
		return e.walkRuns(tx, p, f, func(seq string, run *Run) bool {
			if len(runs) == limit {
				next = last
				return false
			}
			runs, last = append(runs, run), seq
			return ctx.Err() == nil
		})
	})
	return runs, next, errors.Join(err, ctx.Err())
}

// newest finds the newest run that the principal asked for.
func (e *Executor) newest(tx Tx, p Principal) (id RunID, err error) {
	err = e.walkRuns(tx, Principal{Role: p.Role, Name: p.Name}, RunFilter{By: p.Name}, func(_ string, run *Run) bool {
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
		run, err := e.listed(tx, p, f, seq)
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
func (e *Executor) listed(tx Tx, p Principal, f RunFilter, seq string) (*Run, error) {
	run, err := e.summary(tx, p, f.Host, seq)
	if err != nil || run == nil || !f.fits(run) {
		return nil, err
	}
	return run, nil
}

// summary gives a run as lists show it, nil when the principal may not see it or
// when it is not done and not on the host. (The walk comes to done runs by their hosts.)
func (e *Executor) summary(tx Tx, p Principal, host, seq string) (*Run, error) {
	if p.Groups == nil {
		run := &Run{}
		if ok, err := get(tx, tableDone, seq, run); ok || err != nil {
			return run, err
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
		if a != nil && a.on(host) {
			return a.summary(), nil
		} else if a != nil {
			return nil, nil
		}
	}
	run, _, err := load(tx, RunID(id))
	if err != nil || !e.reduce(p, run) || !run.on(host) {
		return nil, err
	}
	brief(run)
	return run, nil
}

// on reports whether the host has a part in the run; "" is any host.
func (run *Run) on(host string) bool {
	if host == "" {
		return true
	}
	for _, r := range run.Hosts {
		if r.Host == host {
			return true
		}
	}
	return false
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

// indexWords are the words under which a done run is found.
func indexWords(run *Run, hosts []string) (words []string) {
	for _, w := range []struct{ kind, word string }{
		{byVerdict, string(run.Verdict)}, {byPlugin, run.Plugin}, {byPlan, run.Plan}, {byWhom, run.By},
	} {
		if w.word != "" {
			words = append(words, indexPrefix(w.kind, w.word))
		}
	}
	for _, h := range hosts {
		words = append(words, indexPrefix(byHost, h))
	}
	return words
}

// The kinds of words in tableIndex.
const (
	byHost    = "host"
	byVerdict = "verdict"
	byPlugin  = "plugin"
	byPlan    = "plan"
	byWhom    = "by"
)

func indexPrefix(kind, word string) string { return kind + "\x00" + word + "\x00" }

// fileAway makes a run that is done findable.
func fileAway(tx Tx, rec runRecord, hosts []string) error {
	run := rec.Run
	run.Hosts, run.HostCount = nil, len(hosts)
	brief(&run)
	seq := orderKey(rec.Seq)
	err := put(tx, tableDone, seq, run)
	for _, word := range indexWords(&run, hosts) {
		err = errors.Join(err, tx.Put(tableIndex, word+seq, []byte{}))
	}
	return err
}

// unfile takes back what fileAway did.
func unfile(tx Tx, rec runRecord, hosts []string) error {
	seq := orderKey(rec.Seq)
	err := tx.Delete(tableDone, seq)
	for _, word := range indexWords(&rec.Run, hosts) {
		err = errors.Join(err, tx.Delete(tableIndex, word+seq))
	}
	return err
}

func orderKey(seq uint64) string { return fmt.Sprintf("%016x", seq) }

// indexed is the key in tableIndex that tells that the runs of before this index came are in it.
const indexed = "indexed"

// indexRuns files away the done runs of a store that was written before there was an index.
func (e *Executor) indexRuns(ctx context.Context) error {
	for from, done := "", false; !done; {
		err := e.store.Update(ctx, func(tx Tx) error {
			if _, done = tx.Get(tableIndex, indexed); done {
				return nil
			}
			next, err := indexSome(tx, from)
			if from = next; from == "" && err == nil {
				done = true
				err = tx.Put(tableIndex, indexed, []byte{})
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// indexSome files away some runs from a place in the order on and gives the place to go on from, "" at the end.
func indexSome(tx Tx, from string) (next string, err error) {
	var ids []string
	err = tx.Range(tableOrder, from, false, func(key string, id []byte) bool {
		next = key
		ids = append(ids, string(id))
		return len(ids) <= 200
	})
	if len(ids) <= 200 {
		next = ""
	} else {
		ids = ids[:200]
	}
	for _, id := range ids {
		err = errors.Join(err, indexOne(tx, RunID(id)))
	}
	return next, err
}

func indexOne(tx Tx, id RunID) error {
	var rec runRecord
	if ok, err := get(tx, tableRuns, string(id), &rec); err != nil || !ok || rec.State != Done {
		if errors.As(err, new(*json.SyntaxError)) {
			return nil // a damaged record is left as it is
		}
		return err
	}
	run, _, err := load(tx, id)
	if err != nil {
		return err
	}
	rec.HostCount, rec.Tally = run.HostCount, run.Tally
	return fileAway(tx, rec, run.hostNames())
}
