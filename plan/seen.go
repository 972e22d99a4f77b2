package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tfw/executor"
)

// What a principal of limited groups may see of the test plans is found by its name and by its hosts, never by
// looking at all: how long that takes would tell it of the others.

// whose are the prefixes in tableSeen and tableFound behind which the test plans of the principal stand.
func (e *Engine) whose(p executor.Principal) []string {
	all := []string{byPrefix(p.Name)}
	for _, h := range e.cfg.Inventory().Hosts() {
		if p.Sees(h) {
			all = append(all, hostPrefix(h.Name))
		}
	}
	return all
}

// Neither a principal's name nor a host's holds a NUL.
func byPrefix(name string) string   { return "by " + name + "\x00" }
func hostPrefix(host string) string { return "host " + host + "\x00" }

// walkSeen calls fn for the test plans of these prefixes as the principal sees them: those of a name that are no part of
// another, or with "" all.
func (e *Engine) walkSeen(tx executor.Tx, p executor.Principal, whose []string, name string, oldest bool, place string, fn func(place string, r record) bool) error {
	prefixes := make([]string, len(whose))
	for i, w := range whose {
		prefixes[i] = w + name + "\x00"
	}
	return e.walkPlaces(tx, p, tableSeen, prefixes, oldest, place, fn)
}

// walkPlaces calls fn for the test plans at the places that the keys behind the prefixes end with, as the principal sees them.
func (e *Engine) walkPlaces(tx executor.Tx, p executor.Principal, table string, prefixes []string, oldest bool, from string, fn func(place string, r record) bool) error {
	var failed error
	err := executor.Places(tx, table, prefixes, oldest, from, func(at string) bool {
		id, ok := tx.Get(tableOrder, at)
		if !ok {
			return true
		}
		var r record
		if r, failed = load(tx, string(id)); failed != nil {
			return false
		}
		seen, ok := e.reduce(tx, p, r)
		return !ok || fn(at, seen)
	})
	return errors.Join(err, failed)
}

// index makes the test plan, and those that it is a part of, findable for who started it and by its hosts.
func (r record) index(tx executor.Tx) (err error) {
	whose := []string{byPrefix(r.By)}
	hosts := r.hostNames()
	for _, k := range r.Kept { // of the test plan that is resumed: a part of this one, too
		hosts = append(hosts, hostsWithin(tx, k.Plan, 0)...)
	}
	for _, host := range hosts {
		whose = append(whose, hostPrefix(host))
	}
	for up := r; err == nil; {
		for _, w := range whose {
			err = errors.Join(err, tx.Put(tableFound, w+up.ID, []byte{}), tx.Put(tableSeen, w+nameKey("", up.Seq), []byte(up.ID)))
			if up.Parent == "" {
				err = errors.Join(err, tx.Put(tableSeen, w+nameKey(up.Name, up.Seq), []byte(up.ID)))
			}
		}
		raw, ok := tx.Get(tablePlans, up.Parent)
		if up.Parent == "" || !ok {
			break
		}
		if up = (record{}); json.Unmarshal(raw, &up) != nil {
			break // damaged: it is left as it is
		}
	}
	if err != nil {
		err = fmt.Errorf("index of test plan %s: %w", r.ID, err)
	}
	return err
}

// hostsWithin are the hosts of a test plan, "" for none, and of those within it.
func hostsWithin(tx executor.Tx, id string, depth int) []string {
	if id == "" || depth > maxNesting {
		return nil
	}
	r, err := load(tx, id)
	if err != nil { // it is not on record any more: nobody sees it
		return nil
	}
	hosts := r.hostNames()
	for _, step := range r.Steps {
		for _, c := range step.Cells {
			hosts = append(hosts, hostsWithin(tx, c.Plan, depth+1)...)
		}
	}
	return hosts
}

// concerned are the hosts that the record of a test plan's end or cancel names: those within it too, for its words may be
// of any of them. None, where a plan within it was to run and has no hosts: nobody can tell whose.
func concerned(tx executor.Tx, r record) []string {
	for _, step := range r.Steps {
		var below []string
		for _, c := range step.Cells {
			below = append(below, hostsWithin(tx, c.Plan, 1)...)
		}
		if len(below) == 0 && r.owes(step) {
			return nil
		}
	}
	hosts := hostsWithin(tx, r.ID, 0)
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// owes reports whether the step is a plan that runs, or would have run if nobody had cancelled.
func (r record) owes(step StepState) bool {
	return strings.HasPrefix(step.Uses, "plan:") && (step.Verdict != executor.Skipped || r.Cancel != "")
}

// indexed is the key in tableSeen that tells that the test plans of before it came are in it.
const indexed = "indexed"

// indexPlans brings the test plans of a store that was written before there was this index into it.
func (e *Engine) indexPlans(ctx context.Context) error {
	return executor.BringUp(ctx, e.cfg.Store, e.cfg.Log, tableSeen, indexed, indexSome)
}

// indexSome brings in some test plans from a place on and gives the place to go on from, "" at the end.
func indexSome(tx executor.Tx, from string) (next string, err error) {
	var some []record
	err = tx.Range(tableOrder, from, false, func(place string, id []byte) bool {
		if len(some) == 100 {
			next = place
			return false
		}
		r := record{}
		if raw, ok := tx.Get(tablePlans, string(id)); ok && json.Unmarshal(raw, &r) == nil { // a damaged record is left as it is
			some = append(some, r)
		}
		return true
	})
	for _, r := range some {
		err = errors.Join(err, r.index(tx))
	}
	return next, err
}
