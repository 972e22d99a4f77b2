package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
	"tfw/plugins"
)

// desks is a controller that is killed and started again while clients go on.
type desks struct {
	t     *testing.T
	lab   *lab
	mu    sync.Mutex
	store *mortal
	exec  *executor.Executor
}

func (d *desks) now() *executor.Executor {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.exec
}

// restart kills the controller, whatever it is doing, and starts the next.
func (d *desks) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.exec != nil {
		d.store.die()
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		if err := d.exec.Drain(ctx); err != nil {
			d.t.Error(err)
		}
	}
	reg, err := plugins.NewRegistry(work{})
	if err != nil {
		d.t.Error(err)
		return
	}
	d.store = &mortal{Store: d.lab.store}
	d.exec, err = executor.New(executor.Config{Store: d.store, Transport: d.lab.hosts, Plugins: reg, Artifacts: d.lab.dir,
		Inventory: func() *inventory.Inventory { return d.lab.inv }})
	if err == nil {
		err = d.exec.Recover(context.Background())
	}
	if err != nil {
		d.t.Error(err)
	}
}

// client takes a lease, uses it for a moment, and ends it in one of the ways that there are.
func (d *desks) client(name string, draw *rand.Rand) error {
	p := executor.Principal{Name: name, Role: executor.Operator}
	target := draw.IntN(5)
	req := executor.LeaseRequest{Target: []string{"h1", "h[1-2]", "h[2-4]", "all", "h4"}[target], Count: draw.IntN([]int{2, 2, 3, 4, 2}[target]), Shared: draw.IntN(5) == 0,
		Priority: -draw.IntN(3), For: executor.Duration(time.Duration(1+draw.IntN(8)) * time.Millisecond), Wait: executor.Duration(2 * time.Minute)}
	var l executor.Lease
	for {
		var err error
		if l, err = d.now().Lease(d.t.Context(), p, req); err == nil {
			break
		} else if !errors.Is(err, errKilled) { // then it is on record or not: its time ends by itself
			return err
		}
	}
	for l.State == executor.LeaseWaiting {
		ctx, stop := context.WithTimeout(d.t.Context(), 200*time.Millisecond) // the controller may be gone
		got, err := d.now().WaitLease(ctx, p, l.ID)
		stop()
		switch {
		case err == nil:
			l = got
		case errors.Is(err, executor.ErrLeased):
			if got.Ended != "expired" && got.Ended != "broken by me: model" {
				return fmt.Errorf("%s: %w", l.ID, err)
			}
			return nil
		case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errKilled):
			return err
		}
	}
	var err error
	switch draw.IntN(4) {
	case 0: // dies: the lease expires
	case 1:
		err = d.now().Renew(d.t.Context(), p, l.ID, executor.Duration(3*time.Millisecond))
	case 2:
		err = d.now().Release(d.t.Context(), me, l.ID, "model")
	default:
		err = d.now().Release(d.t.Context(), p, l.ID, "")
	}
	if err != nil && !errors.Is(err, errKilled) && !errors.Is(err, executor.ErrConflict) {
		return err
	}
	return nil
}

// TestThousandLeases: 50 clients take, renew, break, release and forget 1,000
// leases while the controller is killed again and again. Nobody waits for ever or is passed by
// who comes after, and no host has two holders at any time. LEASE_SEED=n repeats what the clients
// ask for; when the kills come is up to the machine.
func TestThousandLeases(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("LEASE_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal("LEASE_SEED:", err)
		}
	}
	t.Logf("LEASE_SEED=%d", seed)
	l := newLab(t, "h[1-4]")
	l.drain()
	d := &desks{t: t, lab: l}
	d.restart()
	var clients sync.WaitGroup
	for i := range 50 {
		clients.Go(func() {
			draw := rand.New(rand.NewPCG(seed, uint64(i)))
			for range 20 {
				if err := d.client(fmt.Sprintf("u%d", i), draw); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	kills := 0
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-time.After(40 * time.Millisecond):
			d.restart()
			kills++
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	for {
		left, err := d.now().Leases(ctx, me)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 && allEnded(t, l.store) { // the keeper writes an end just after it is seen
			break
		}
		if sleep := ctx.Err(); sleep != nil {
			t.Fatalf("%d leases are left: %+v", len(left), left)
		}
		time.Sleep(5 * time.Millisecond)
	}
	replayLeases(t, d.now(), checkSpans(t, l.store, kills))
	if n, _, err := d.now().VerifyAudit(t.Context(), me); err != nil {
		t.Errorf("after %d entries: %v", n, err)
	}
	if err := d.now().Drain(ctx); err != nil {
		t.Error(err)
	}
}

// allEnded reports whether the store says so of every lease.
func allEnded(t *testing.T, store executor.Store) bool {
	t.Helper()
	ended := true
	err := store.View(t.Context(), func(tx executor.Tx) error {
		return tx.Range("leases", "", false, func(_ string, raw []byte) bool {
			var one executor.Lease
			ended = ended && json.Unmarshal(raw, &one) == nil && one.State == executor.LeaseEnded
			return ended
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

// checkSpans reads every lease there was, compares the times in which hosts were held, and gives the leases.
func checkSpans(t *testing.T, store executor.Store, kills int) map[string]executor.Lease {
	t.Helper()
	all := map[string]executor.Lease{}
	byHost := map[string][]executor.Lease{}
	held, late := 0, 0
	err := store.View(t.Context(), func(tx executor.Tx) error {
		return tx.Range("leases", "", false, func(_ string, raw []byte) bool {
			var one executor.Lease
			if err := json.Unmarshal(raw, &one); err != nil || one.State != executor.LeaseEnded || one.Over.IsZero() {
				t.Errorf("%v: %s", err, raw)
				return true
			}
			all[one.ID] = one
			if one.Held.IsZero() {
				late++
				return true
			}
			held++
			for _, h := range one.Hosts {
				byHost[h] = append(byHost[h], one)
			}
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for h, its := range byHost {
		for i, a := range its {
			for _, b := range its[i+1:] {
				if !(a.Shared && b.Shared) && a.Held.Before(b.Over) && b.Held.Before(a.Over) {
					t.Errorf("%s had two holders: %+v and %+v", h, a, b)
				}
			}
		}
	}
	t.Logf("%d leases were held, %d ended while they waited, %d kills", held, late, kills)
	if held < 900 || late > 0 && t.Failed() {
		t.Errorf("only %d leases were held", held)
	}
	return all
}
