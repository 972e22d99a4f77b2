package executor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tfw/executor"
	"tfw/inventory"
)

var (
	ann = executor.Principal{Name: "ann", Role: executor.Operator}
	bob = executor.Principal{Name: "bob", Role: executor.Operator}
)

func hour(target string) executor.LeaseRequest {
	return executor.LeaseRequest{Target: target, For: executor.Duration(time.Hour), Purpose: "soak"}
}

func TestLeaseKeepsOthersOut(t *testing.T) {
	l := newLab(t, "h[1-3]")
	lease, err := l.Lease(t.Context(), ann, hour("h[1-2]"))
	if err != nil || lease.State != executor.LeaseHeld {
		t.Fatal(lease, err)
	}
	_, err = l.Submit(t.Context(), bob, request("sh", shParams{"say x"}))
	if !errors.Is(err, executor.ErrLeased) || !strings.Contains(err.Error(), "h[1-2]") || !strings.Contains(err.Error(), "of ann (soak)") {
		t.Errorf("bob's run: %v", err)
	}
	if _, err := l.Lease(t.Context(), bob, hour("h[2-3]")); !errors.Is(err, executor.ErrLeased) {
		t.Errorf("bob's lease: %v", err)
	}
	run, err := l.Submit(t.Context(), ann, request("sh", shParams{"say x"}))
	if err != nil || l.wait(run).Verdict != executor.Passed {
		t.Errorf("ann's own run: %v", err)
	}
	if err := l.Release(t.Context(), bob, lease.ID, "mine"); !errors.Is(err, executor.ErrNotFound) {
		t.Errorf("bob broke it: %v", err)
	}
	if err := l.Release(t.Context(), me, lease.ID, ""); !errors.Is(err, executor.ErrBadRequest) {
		t.Errorf("broken without a reason: %v", err)
	}
	if err := l.Release(t.Context(), me, lease.ID, "fire"); err != nil {
		t.Fatal(err)
	}
	if run, err = l.Submit(t.Context(), bob, request("sh", shParams{"say x"})); err != nil || l.wait(run).Verdict != executor.Passed {
		t.Errorf("bob's run after the release: %v", err)
	}
}

func TestLeasesQueueAllOrNoneAndSurviveRestarts(t *testing.T) {
	l := newLab(t, "h[1-3]")
	first, err := l.Lease(t.Context(), ann, hour("h1"))
	if err != nil {
		t.Fatal(err)
	}
	req := hour("h[1-3]")
	req.Wait = executor.Duration(time.Hour)
	second, err := l.Lease(t.Context(), bob, req)
	if err != nil || second.State != executor.LeaseWaiting {
		t.Fatal(second, err)
	}
	if _, err := l.Lease(t.Context(), ann, hour("h3")); !errors.Is(err, executor.ErrLeased) {
		t.Errorf("a younger lease overtook: %v", err)
	}
	l.drain()
	l.start(l.store)
	if err := l.Release(t.Context(), ann, first.ID, ""); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	got, err := l.WaitLease(ctx, bob, second.ID)
	if err != nil || len(got.Hosts) != 3 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestLeaseExpiresByItself(t *testing.T) {
	l := newLab(t, "h1")
	req := hour("h1")
	req.For = executor.Duration(100 * time.Millisecond)
	if _, err := l.Lease(t.Context(), ann, req); err != nil {
		t.Fatal(err)
	}
	req.Wait = executor.Duration(10 * time.Second)
	waiting, err := l.Lease(t.Context(), bob, req)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if got, err := l.WaitLease(ctx, bob, waiting.ID); err != nil || got.Holder != "bob" {
		t.Errorf("%+v %v", got, err)
	}
}

func TestExclusiveHostsTakeOneRunAtATime(t *testing.T) {
	l := newLab(t, "h1")
	l.inv = exclusive(t)
	var runs []*executor.Run
	for range 5 {
		runs = append(runs, l.submit(request("sh", shParams{"say in\npause 30\nsay out"})))
	}
	var spans []executor.HostResult
	for _, r := range runs {
		spans = append(spans, l.wait(r).Hosts[0])
	}
	l.hosts.mu.Lock()
	most := l.hosts.most
	l.hosts.mu.Unlock()
	if most != 1 {
		t.Errorf("%d commands at a time on an exclusive host: %+v", most, spans)
	}
}

func exclusive(t *testing.T) *inventory.Inventory {
	inv, err := inventory.Parse("inventory.yaml", []byte("version: 1\ngroups:\n  duts:\n    isolation: exclusive\n    hosts:\n      h1: {plugins: [work]}\n"), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// TestNoTwoHolders lets users take, renew and release leases at random and checks
// after each step that no host has two holders, and at the end that no one waits for a free host.
func TestNoTwoHolders(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLab(t, "h[1-4]")
		defer l.drain()
		var mu sync.Mutex
		for step := range rapid.IntRange(5, 30).Draw(rt, "steps") {
			who := executor.Principal{Name: fmt.Sprintf("u%d", rapid.IntRange(1, 3).Draw(rt, "who")), Role: executor.Operator}
			all, err := l.Leases(t.Context(), me)
			if err != nil {
				rt.Fatal(err)
			}
			if len(all) > 0 && rapid.Bool().Draw(rt, "release") {
				one := all[rapid.IntRange(0, len(all)-1).Draw(rt, "which")]
				if err := l.Release(t.Context(), me, one.ID, "step"); err != nil {
					rt.Fatal(err)
				}
			} else {
				req := hour(rapid.SampledFrom([]string{"h1", "h[1-2]", "h[2-4]", "all"}).Draw(rt, "target"))
				req.Wait = executor.Duration(time.Hour)
				req.Count = rapid.IntRange(0, 1).Draw(rt, "count")
				if _, err := l.Lease(t.Context(), who, req); err != nil {
					rt.Fatal(err)
				}
			}
			mu.Lock()
			checkHolders(rt, l, step)
			mu.Unlock()
		}
	})
}

func checkHolders(rt *rapid.T, l *lab, step int) {
	all, err := l.Leases(context.Background(), me)
	if err != nil {
		rt.Fatal(err)
	}
	holder := map[string]string{}
	for _, lease := range all {
		if lease.State != executor.LeaseHeld {
			continue
		}
		for _, h := range lease.Hosts {
			if other, taken := holder[h]; taken {
				rt.Fatalf("step %d: %s is held by %s and %s", step, h, other, lease.ID)
			}
			holder[h] = lease.ID
		}
	}
	if len(holder) == 0 && len(all) > 0 {
		rt.Fatalf("step %d: every host is free and %d leases wait", step, len(all))
	}
}

func TestAuditChainFindsAnAlteredByte(t *testing.T) {
	l := newLab(t, "h1")
	l.wait(l.submit(request("sh", shParams{"say x"})))
	if _, err := l.Lease(t.Context(), ann, hour("h1")); err != nil {
		t.Fatal(err)
	}
	_, _ = l.Submit(t.Context(), bob, request("sh", shParams{"say x"}))
	all, _, err := l.Audit(t.Context(), me, executor.AuditFilter{})
	if err != nil || len(all) != 4 || all[1].Action != "run.end" || all[1].Outcome != "passed" || all[3].Outcome != "refused" || all[3].Who != "bob" {
		t.Fatalf("%+v %v", all, err)
	}
	if n, _, err := l.VerifyAudit(t.Context(), me); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	for name, damage := range map[string]func(lines [][]byte) [][]byte{
		"altered": func(all [][]byte) [][]byte {
			all[2] = bytes.Replace(all[2], []byte("ann"), []byte("bob"), 1)
			return all
		},
		"first removed":           func(all [][]byte) [][]byte { return append([][]byte{nil}, all[1:]...) },
		"one removed":             func(all [][]byte) [][]byte { all[1] = nil; return all },
		"last removed":            func(all [][]byte) [][]byte { return all[:3] },
		"all but the first gone":  func(all [][]byte) [][]byte { return all[:1] },
		"all gone":                func([][]byte) [][]byte { return nil },
		"two in the other order":  func(all [][]byte) [][]byte { all[1], all[2] = all[2], all[1]; return all },
		"last two in other order": func(all [][]byte) [][]byte { all[2], all[3] = all[3], all[2]; return all },
		"one twice":               func(all [][]byte) [][]byte { return append(all, all[3]) },
		"last cut":                func(all [][]byte) [][]byte { all[3] = all[3][:len(all[3])-1]; return all },
		"one more byte":           func(all [][]byte) [][]byte { all[3] = append(all[3], ' '); return all },
	} {
		before := l.auditLines(nil)
		l.auditLines(damage(slices.Clone(before)))
		if _, _, err := l.VerifyAudit(t.Context(), me); !errors.Is(err, executor.ErrCorrupt) {
			t.Errorf("%s: was not found: %v", name, err)
		}
		l.auditLines(before)
		if n, _, err := l.VerifyAudit(t.Context(), me); n != 4 || err != nil {
			t.Fatalf("%s, mended: %d %v", name, n, err)
		}
	}
}

// auditLines gives the lines of the record, and puts others in their place where there are any.
func (l *lab) auditLines(lines [][]byte) (before [][]byte) {
	l.t.Helper()
	err := l.store.Update(l.t.Context(), func(tx executor.Tx) error {
		before = nil
		var keys []string
		err := tx.Range("audit", "", false, func(key string, raw []byte) bool {
			keys, before = append(keys, key), append(before, bytes.Clone(raw))
			return true
		})
		for _, key := range keys {
			err = errors.Join(err, tx.Delete("audit", key))
		}
		for i, raw := range lines {
			if raw != nil {
				err = errors.Join(err, tx.Put("audit", fmt.Sprintf("%016x", i+1), raw))
			}
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return before
}

// TestAuditEveryByteCounts alters each byte of the record, one at a time.
func TestAuditEveryByteCounts(t *testing.T) {
	l := newLab(t, "h1")
	if _, err := l.Lease(t.Context(), ann, hour("h1")); err != nil {
		t.Fatal(err)
	}
	_, _ = l.Submit(t.Context(), bob, request("sh", shParams{"say x"}))
	for seq := 1; seq <= 2; seq++ {
		key := fmt.Sprintf("%016x", seq)
		var raw []byte
		change := func(value []byte) {
			if err := l.store.Update(t.Context(), func(tx executor.Tx) error { return tx.Put("audit", key, value) }); err != nil {
				t.Fatal(err)
			}
		}
		_ = l.store.View(t.Context(), func(tx executor.Tx) error { raw, _ = tx.Get("audit", key); return nil })
		for i := range raw {
			for _, bit := range []byte{1, 0x20} { // 0x20: the other case of a letter
				bad := []byte(string(raw))
				bad[i] ^= bit
				change(bad)
				if _, _, err := l.VerifyAudit(t.Context(), me); !errors.Is(err, executor.ErrCorrupt) {
					t.Fatalf("entry %d: byte %d altered and not found: %v: %s", seq, i, err, bad)
				}
			}
		}
		change(raw)
	}
	if n, _, err := l.VerifyAudit(t.Context(), me); n != 2 || err != nil {
		t.Error(n, err)
	}
}
