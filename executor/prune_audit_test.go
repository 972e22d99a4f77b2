package executor_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tfw/executor"
)

// TestPrunedAuditIsStillAChain: what is left proves itself, says what went, and finds what is missing.
func TestPrunedAuditIsStillAChain(t *testing.T) {
	l := newLab(t, "h1")
	lease := func() {
		t.Helper()
		made, err := l.Lease(t.Context(), ann, hour("h1"))
		if err == nil {
			err = l.Release(t.Context(), ann, made.ID, "")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	lease()
	lease()
	time.Sleep(50 * time.Millisecond)
	lease()
	if n, err := l.PruneAudit(t.Context(), 0); n != 0 || err != nil {
		t.Errorf("0 keeps them: %d %v", n, err)
	}
	n, err := l.PruneAudit(t.Context(), 40*time.Millisecond)
	if n != 4 || err != nil {
		t.Fatalf("%d %v", n, err)
	}
	kept, _, err := l.VerifyAudit(t.Context(), me)
	if kept != 3 || err != nil {
		t.Errorf("%d %v", kept, err)
	}
	entries, _, err := l.Audit(t.Context(), me, executor.AuditFilter{})
	if err != nil || len(entries) != 3 || entries[0].Seq != 5 || entries[2].Action != "audit.prune" || entries[2].Detail != "4 entries up to number 4, hash "+entries[0].Prev {
		t.Errorf("%+v %v", entries, err)
	}
	// Even the youngest may be too old: one is left to go on from.
	time.Sleep(5 * time.Millisecond)
	if _, err := l.PruneAudit(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	lease()
	if kept, _, err := l.VerifyAudit(t.Context(), me); kept != 4 || err != nil {
		t.Errorf("%d %v", kept, err)
	}
	// Who takes away more than was said is found, also by setting the beginning elsewhere.
	first := fmt.Sprintf("%016x", 7)
	var raw []byte
	_ = l.store.View(t.Context(), func(tx executor.Tx) error { raw, _ = tx.Get("audit", first); return nil })
	if err := l.store.Update(t.Context(), func(tx executor.Tx) error { return tx.Delete("audit", first) }); err != nil || raw == nil {
		t.Fatal(err)
	}
	if _, _, err := l.VerifyAudit(t.Context(), me); !errors.Is(err, executor.ErrCorrupt) {
		t.Errorf("a missing first entry: %v", err)
	}
	if err := l.store.Update(t.Context(), func(tx executor.Tx) error {
		return errors.Join(tx.Put("audit", first, raw), tx.Put("audit.head", "base", []byte(`{"seq":7,"hash":"00"}`)))
	}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.VerifyAudit(t.Context(), me); !errors.Is(err, executor.ErrCorrupt) {
		t.Errorf("another beginning: %v", err)
	}
}

func TestEndedLeasesArePruned(t *testing.T) {
	l := newLab(t, "h1")
	made, err := l.Lease(t.Context(), ann, hour("h1"))
	if err == nil {
		err = l.Release(t.Context(), ann, made.ID, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	held, err := l.Lease(t.Context(), ann, hour("h1"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.PruneLeases(t.Context(), time.Hour); n != 0 || err != nil {
		t.Errorf("too young: %d %v", n, err)
	}
	time.Sleep(5 * time.Millisecond)
	if n, err := l.PruneLeases(t.Context(), time.Millisecond); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if _, err := l.FindLease(t.Context(), ann, made.ID); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("the ended one: %v", err)
	}
	if got, err := l.FindLease(t.Context(), ann, held.ID); err != nil || got.State != executor.LeaseHeld {
		t.Errorf("the held one: %+v %v", got, err)
	}
}
