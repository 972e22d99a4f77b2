package executor_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// listed is what lists show of a run, by the run itself.
func listedOf(run *executor.Run) executor.Run {
	r := *run
	r.Hosts, r.Options = nil, nil
	if len(r.Parameters) > 4<<10 {
		r.Parameters = nil
	}
	return r
}

// wanted filters as a reader of every run would.
func wanted(all []*executor.Run, f executor.RunFilter) (want []executor.Run) {
	for _, r := range all {
		on := f.Host == "" || slices.ContainsFunc(r.Hosts, func(h executor.HostResult) bool { return h.Host == f.Host })
		if on && (f.State == "" || r.State == f.State) && (f.Verdict == "" || r.Verdict == f.Verdict) && (f.Plugin == "" || r.Plugin == f.Plugin) &&
			(f.Plan == "" || r.Plan == f.Plan) && (f.By == "" || r.By == f.By) {
			want = append(want, listedOf(r))
		}
	}
	if !f.Oldest {
		slices.Reverse(want)
	}
	return want
}

// Every filter alone and with another, in both orders, in pages of one, two and many, for who sees all and who
// sees a part: the same as looking at every run.
func TestListsAreWhatLookingAtEveryRunGives(t *testing.T) {
	l := newLab(t, "h1,h2,h3,h4")
	inv, err := inventory.Parse("inventory.yaml", []byte("version: 1\ngroups:\n  red: {plugins: [work, linux_system], hosts: {h1: {}, h2: {}}}\n  blue: {plugins: [work, linux_system], hosts: {h3: {}, h4: {}}}\n"), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.inv = inv
	var ids []executor.RunID
	for i, target := range []string{"h1", "all", "h3,h4", "h1,h3", "h2", "all", "blue", "red", "h4", "h1"} {
		who := executor.Principal{Name: []string{"ann", "bob"}[i%2], Role: executor.Operator}
		req := request("sh", shParams{[]string{"say x", "exit 3", "say " + strings.Repeat("y", 5000)}[i%3]})
		if i%4 == 3 {
			req = request("weak", struct{}{})
		}
		req.Target, req.Plan = target, []string{"", "p1", "p2"}[i%3]
		run, err := l.Submit(t.Context(), who, req)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, run.ID)
		if i == 3 || i == 7 {
			continue // h1 hangs in these: they are under way
		}
		l.wait(run)
	}
	l.untilLog(&executor.Run{ID: ids[3]}, "begun", 2)
	l.untilLog(&executor.Run{ID: ids[7]}, "begun", 1)
	compare := func(what string) {
		for _, who := range []executor.Principal{me, {Name: "ann", Role: executor.Operator, Groups: []string{"red"}}} {
			var all []*executor.Run
			for _, id := range ids {
				if run, err := l.Run(t.Context(), who, string(id)); err == nil {
					all = append(all, run)
				}
			}
			if len(all) < 2 {
				t.Fatalf("%s sees only %d runs", who.Name, len(all))
			}
			for _, f := range filters() {
				if got, want := l.pages(t, who, f), wanted(all, f); !reflect.DeepEqual(got, want) {
					t.Errorf("%s, %s, %+v:\n got %s\nwant %s", what, who.Name, f, idsOf(got), idsOf(want))
				}
			}
		}
	}
	// h2 of run 7 ends on its own while we look: wait for it, so that its tally stands still.
	l.untilTally(ids[7], 1)
	compare("as it came")
	l.forgetIndex(t)
	l.drain()
	l.start(l.store)
	l.untilTally(ids[7], 1)
	compare("a store of before the index")
	if run, err := l.Run(t.Context(), executor.Principal{Name: "bob", Role: executor.Operator}, "last"); err != nil || run.ID != ids[9] {
		t.Errorf("bob's last is %+v %v", run, err)
	}
	if gone, err := l.Prune(t.Context(), 0, 3, nil); err != nil || gone.Runs != 5 {
		t.Fatalf("%+v %v", gone, err)
	}
	compare("pruned")
	for _, id := range []executor.RunID{ids[3], ids[7]} {
		if _, err := l.Cancel(t.Context(), me, string(id), ""); err != nil {
			t.Fatal(err)
		}
		l.wait(&executor.Run{ID: id})
	}
	compare("all done")
	if gone, err := l.Prune(t.Context(), 0, 1, nil); err != nil || gone.Runs != 4 {
		t.Fatalf("%+v %v", gone, err)
	}
	if n := l.indexSize(t); n > 12 {
		t.Errorf("%d entries in the index for one run", n)
	}
}

func idsOf(runs []executor.Run) string {
	var b strings.Builder
	for _, r := range runs {
		fmt.Fprintf(&b, "%s (%s %s %s %d %v %s) ", r.ID, r.State, r.Verdict, r.Target, r.HostCount, r.Tally, r.Reason)
	}
	return b.String()
}

// filters are all pairs of conditions, in both orders and with pages of several sizes.
func filters() (all []executor.RunFilter) {
	conditions := []func(*executor.RunFilter){
		func(*executor.RunFilter) {},
		func(f *executor.RunFilter) { f.State = executor.Done }, func(f *executor.RunFilter) { f.State = executor.Running }, func(f *executor.RunFilter) { f.State = executor.Queued },
		func(f *executor.RunFilter) { f.Verdict = executor.Passed }, func(f *executor.RunFilter) { f.Verdict = executor.Failed }, func(f *executor.RunFilter) { f.Verdict = executor.TimedOut },
		func(f *executor.RunFilter) { f.Host = "h1" }, func(f *executor.RunFilter) { f.Host = "h4" }, func(f *executor.RunFilter) { f.Host = "nosuch" }, func(f *executor.RunFilter) { f.Host = "h" },
		func(f *executor.RunFilter) { f.Plugin = "work" }, func(f *executor.RunFilter) { f.Plugin = "linux_system" },
		func(f *executor.RunFilter) { f.Plan = "p1" }, func(f *executor.RunFilter) { f.By = "ann" }, func(f *executor.RunFilter) { f.By = "an" },
	}
	for i, one := range conditions {
		for _, other := range conditions[i:] {
			f := executor.RunFilter{Limit: 1 + i%3, Oldest: len(all)%2 == 1}
			one(&f)
			other(&f)
			all = append(all, f)
		}
	}
	return all
}

// pages gathers a list page by page.
func (l *lab) pages(t *testing.T, who executor.Principal, f executor.RunFilter) (all []executor.Run) {
	t.Helper()
	for range 100 {
		runs, next, err := l.Runs(t.Context(), who, f)
		if err != nil || len(runs) > f.Limit {
			t.Fatalf("%d runs, limit %d: %v", len(runs), f.Limit, err)
		}
		for _, r := range runs {
			all = append(all, *r)
		}
		if next == "" {
			return all
		}
		f.Marker = next
	}
	t.Fatal("the list has no end")
	return nil
}

// untilTally waits until a list says of a run that so many of its hosts have ended.
func (l *lab) untilTally(id executor.RunID, ended int) {
	l.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		runs, _, err := l.Runs(l.t.Context(), me, executor.RunFilter{State: executor.Running})
		n := 0
		for _, r := range runs {
			for _, count := range r.Tally {
				if r.ID == id {
					n += count
				}
			}
		}
		if err == nil && n == ended {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("run %s: %d hosts have ended, want %d: %v", id, n, ended, err)
		}
	}
}

// forgetIndex makes the store as it was before there was an index.
func (l *lab) forgetIndex(t *testing.T) {
	t.Helper()
	err := l.store.Update(t.Context(), func(tx executor.Tx) error {
		for _, table := range []string{"runs.index", "runs.done", "runs.found"} {
			for _, key := range keysOf(tx, table) {
				if err := tx.Delete(table, key); err != nil {
					return err
				}
			}
		}
		for _, id := range keysOf(tx, "runs.open") {
			if err := tx.Put("runs.open", id, []byte("{}")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func keysOf(tx executor.Tx, table string) (keys []string) {
	_ = tx.Range(table, "", false, func(key string, _ []byte) bool { keys = append(keys, key); return true })
	return keys
}

func (l *lab) indexSize(t *testing.T) (n int) {
	t.Helper()
	if err := l.store.View(t.Context(), func(tx executor.Tx) error { n = len(keysOf(tx, "runs.index")); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}
