package executor_test

import (
	"cmp"
	"slices"
	"testing"

	"tfw/executor"
)

// leaseModel is the desk as it must have been, played again from the audit record, which is in the order in which
// things were stored: kills and restarts in between change nothing of what it promises.
type leaseModel struct {
	t       *testing.T
	all     map[string]executor.Lease // as they ended
	waiting map[string][]string       // their candidates
	held    map[string][]string
	passed  int // grants that had somebody in line for other hosts, or behind them
}

// replayLeases checks that no host had two holders, that nobody was given a host for which somebody of a higher priority,
// or of the same and older, was in line, and that nobody was forgotten.
func replayLeases(t *testing.T, exec *executor.Executor, all map[string]executor.Lease) {
	t.Helper()
	entries, more, err := exec.Audit(t.Context(), me, executor.AuditFilter{Limit: 10000})
	if err != nil || more {
		t.Fatalf("%d entries and more: %v, %v", len(entries), more, err)
	}
	m := leaseModel{t: t, all: all, waiting: map[string][]string{}, held: map[string][]string{}}
	for _, e := range entries {
		switch e.Action + " " + e.Outcome {
		case "lease waiting":
			m.waiting[e.Object] = e.Hosts
		case "lease held", "lease.held held":
			m.grant(e.Object, e.Hosts)
		case "renew held":
			if m.held[e.Object] == nil {
				t.Errorf("%s was renewed and not held", e.Object)
			}
		case "release ended", "lease.ended ended":
			delete(m.waiting, e.Object)
			delete(m.held, e.Object)
		default:
			t.Errorf("the model does not know of %+v", e)
		}
	}
	if len(m.waiting)+len(m.held) > 0 {
		t.Errorf("never over: waiting %v, held %v", m.waiting, m.held)
	}
	if m.passed == 0 {
		t.Error("nobody ever stood in line: the order was not tested")
	}
}

func (m *leaseModel) grant(id string, hosts []string) {
	l := m.all[id]
	want := len(m.waiting[id])
	if l.Count > 0 {
		want = l.Count
	}
	if line := m.waiting[id]; line != nil && (len(hosts) != want || !within(hosts, line)) || len(hosts) == 0 {
		m.t.Errorf("%s was given %v, wants %d of %v", id, hosts, want, line)
	}
	delete(m.waiting, id)
	for other, its := range m.held {
		if shared := l.Shared && m.all[other].Shared; !shared && meets(hosts, its) {
			m.t.Errorf("two holders: %s was given %v while %s had %v", id, hosts, other, its)
		}
	}
	for other, its := range m.waiting {
		if inTurn(m.all[other], l) < 0 && meets(hosts, its) {
			m.t.Errorf("%s was passed: it was before %s in the line for %v, which was given %v", other, id, its, hosts)
		}
		m.passed++
	}
	m.held[id] = hosts
}

// inTurn compares two leases of about the same time: a step of priority is ten minutes.
func inTurn(a, b executor.Lease) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
}

func meets(a, b []string) bool {
	return slices.ContainsFunc(a, func(h string) bool { return slices.Contains(b, h) })
}

func within(a, b []string) bool {
	return !slices.ContainsFunc(a, func(h string) bool { return !slices.Contains(b, h) })
}
