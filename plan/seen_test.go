package plan_test

import (
	"fmt"
	"slices"
	"testing"

	"tfw/executor"
	"tfw/plan"
)

// TestSeenPlansAreFound: by lists, names and the begin of their id a principal of some groups finds the test plans that
// it sees: for their hosts, for those of plans within them (taken over from a resumed one, too), and as their owner;
// also those of a store that was written before there was an index.
func TestSeenPlansAreFound(t *testing.T) {
	l := newLab(t)
	l.hosts.broken["say y"] = 1
	inner := "name: inner\nhosts: {d: {target: d1}}\nsteps:\n  a: {uses: work.do, on: d, with: {do: say in}}\n"
	outer := "name: outer\nhosts: {b: {target: builders}}\nsteps:\n  n: {uses: plan:inner.yaml}\n  z: {uses: work.do, on: b, needs: [n], with: {do: say y}}\n"
	made, err := l.Submit(t.Context(), me, plan.Submission{File: "outer.yaml", Plan: outer, Files: map[string]string{"inner.yaml": inner}})
	if err != nil {
		t.Fatal(err)
	}
	first := l.wait(made)
	again, err := l.Resume(t.Context(), me, first.ID)
	if err != nil {
		t.Fatal(err)
	}
	second := l.wait(again)
	builders := l.wait(l.submit("name: outer\nhosts: {b: {target: builders}}\nsteps:\n  z: {uses: work.do, on: b, with: {do: say z}}\n", nil))
	within := first.Steps[0].Cells[0].Plan
	ann := executor.Principal{Name: "ann", Role: executor.Operator, Groups: []string{"duts"}}
	its, err := l.Submit(t.Context(), ann, plan.Submission{File: "its.yaml", Plan: "name: its\nhosts: {d: {target: d1}}\nsteps:\n  a: {uses: work.do, on: d, with: {do: say its}}\n"})
	if err != nil {
		t.Fatal(err)
	}
	its = l.wait(its)

	check := func(what string) {
		t.Helper()
		for name, want := range map[string][]string{
			"": {its.ID, second.ID, within, first.ID}, "outer": {second.ID, first.ID}, "its": {its.ID}, "nosuch": nil,
		} {
			if got := l.ids(t, ann, name); !slices.Equal(got, want) {
				t.Errorf("%s: the test plans %q are %v, want %v", what, name, got, want)
			}
		}
		for _, id := range []string{first.ID, second.ID, within, its.ID} {
			if got, err := l.TestPlan(t.Context(), ann, id[:8]); err != nil || got.ID != id {
				t.Errorf("%s: %s: %v", what, id, err)
			}
		}
		if last, err := l.TestPlan(t.Context(), ann, "last"); err != nil || last.ID != its.ID {
			t.Errorf("%s: last: %+v %v", what, last, err)
		}
		if _, err := l.TestPlan(t.Context(), ann, builders.ID); fmt.Sprint(err) != fmt.Sprintf("test plan %q: not found (see: tfwctl plan list)", builders.ID) {
			t.Errorf("%s: a test plan of others: %v", what, err)
		}
	}
	check("as it came")
	l.forgetIndex(t)
	l.drain()
	l.start(l.store)
	check("a store of before the index")
}

// ids lists the test plans of a name in pages of two, newest first.
func (l *lab) ids(t *testing.T, p executor.Principal, name string) (ids []string) {
	t.Helper()
	for marker := ""; ; {
		page, next, err := l.TestPlans(t.Context(), p, name, false, 2, marker)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page {
			ids = append(ids, one.ID)
		}
		if marker = next; marker == "" {
			return ids
		}
	}
}

// forgetIndex makes the store as it was before there was an index.
func (l *lab) forgetIndex(t *testing.T) {
	t.Helper()
	err := l.store.Update(t.Context(), func(tx executor.Tx) error {
		for _, table := range []string{"plans.seen", "plans.found"} {
			var keys []string
			_ = tx.Range(table, "", false, func(key string, _ []byte) bool { keys = append(keys, key); return true })
			if len(keys) == 0 {
				t.Errorf("%s is empty", table)
			}
			for _, key := range keys {
				if err := tx.Delete(table, key); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
