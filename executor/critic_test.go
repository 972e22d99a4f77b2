package executor_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// TestAnOperationThatNeverBeganKeepsItsPlace: the identity of a command on its host
// must not move when a replay meets one before it that was refused.
func TestAnOperationThatNeverBeganKeepsItsPlace(t *testing.T) {
	l := newLab(t, "h1")
	l.hosts.refuse.Store(1)
	run := l.submit(request("stubborn", shParams{"say once\npause 300"}))
	l.untilLog(run, "once", 1)
	l.drain()
	l.start(l.store)
	if r := l.wait(run).Hosts[0]; r.Verdict != executor.Passed || string(r.Outputs) != `{"stdout":"once\n"}` {
		t.Errorf("%+v %s", r, r.Outputs)
	}
	if n := l.hosts.startedOnce(t); n != 1 {
		t.Errorf("%d commands were started, want 1", n)
	}
}

func TestCancelIsNotSwallowedByAPlugin(t *testing.T) {
	l := newLab(t, "h1")
	run := l.submit(request("careless", shParams{"say begun\nhang"}))
	l.untilLog(run, "begun", 1)
	if _, err := l.Cancel(t.Context(), me, string(run.ID), ""); err != nil {
		t.Fatal(err)
	}
	if r := l.wait(run).Hosts[0]; r.Verdict != executor.Cancelled || r.Kill == nil || r.Kill.Killed != 1 {
		t.Errorf("%+v", r)
	}
}

// TestReplayThatStopsShortIsNoPass: the command under way would run on, unfollowed, under a passed host.
func TestReplayThatStopsShortIsNoPass(t *testing.T) {
	moods.Store(0)
	l := newLab(t, "h1")
	run := l.submit(request("fickle", struct{}{}))
	l.untilLog(run, "second", 1)
	l.drain()
	l.start(l.store)
	if r := l.wait(run).Hosts[0]; r.Verdict != executor.Errored || r.Code != "not_deterministic" {
		t.Errorf("%+v", r)
	}
	l.untilLog(run, "command 1 is followed no more: killed 1", 1)
}

func TestFailFastHoldsAfterARestart(t *testing.T) {
	l := newLab(t, "h[1-2]")
	l.hosts.deaf.Store(true)
	req := request("weak", struct{}{})
	req.FailFast = true
	run := l.submit(req)
	l.untilLog(run, "begun", 1)
	for r := run; r.Hosts[1].Verdict != executor.Failed; time.Sleep(5 * time.Millisecond) {
		var err error
		if r, err = l.Run(t.Context(), me, string(run.ID)); err != nil {
			t.Fatal(err)
		}
	}
	l.drain() // h1's command could not be killed yet
	l.hosts.deaf.Store(false)
	l.start(l.store)
	if r := l.wait(run).Hosts[0]; r.Verdict != executor.Cancelled || r.Code != "fail_fast" || r.Kill == nil || r.Kill.Killed != 1 {
		t.Errorf("%+v", r)
	}
}

// TestConnectionsThatBringNothingAreNotAHostThatIsBack: such a host must neither
// fill the log with events nor keep the run for ever.
func TestConnectionsThatBringNothingAreNotAHostThatIsBack(t *testing.T) {
	l := newLab(t, "h1")
	req := request("sh", shParams{"say begun\nhang"})
	req.LostAfter = executor.Duration(700 * time.Millisecond)
	run := l.submit(req)
	l.untilLog(run, "begun", 1)
	l.hosts.barren.Store(true)
	l.hosts.cutAll()
	if r := l.wait(run).Hosts[0]; r.Verdict != executor.Errored || r.Code != "out_of_reach" || r.Reconnects != 0 {
		t.Errorf("%+v", r)
	}
	if n := l.hosts.dials.Load(); n > 30 {
		t.Errorf("%d dials in 700 ms", n)
	}
	page, err := l.Log(t.Context(), me, executor.LogQuery{Run: run.ID, Stream: executor.Events})
	if err != nil || len(page.Entries) > 3 {
		t.Errorf("%d events: %v", len(page.Entries), err)
	}
}

// TestTruncatedOutputReplays: the limit counts over restarts, and a method is shown the same both times.
func TestTruncatedOutputReplays(t *testing.T) {
	l := newLab(t, "h1")
	req := request("chatty", struct{}{})
	req.MaxOutput = 8
	run := l.submit(req)
	for l.tables()["operations"] < 2 { // the first command's end is on record
		time.Sleep(time.Millisecond)
	}
	l.drain()
	l.start(l.store)
	run = l.wait(run)
	if err := l.WithOutput(t.Context(), me, run); err != nil {
		t.Fatal(err)
	}
	r := run.Hosts[0]
	if r.Verdict != executor.Passed || !r.Truncated || r.Stdout != "01234567" || string(r.Outputs) != `{"stdout":"0123456789\n0123456789\ndone\n"}` {
		t.Errorf("%+v %s", r, r.Outputs)
	}
}

// between is a Store that does something right after its first Update, before anyone knows of that.
type between struct {
	executor.Store
	done atomic.Bool
	do   func()
}

func (b *between) Update(ctx context.Context, fn func(executor.Tx) error) error {
	err := b.Store.Update(ctx, fn)
	if b.do != nil && !b.done.Swap(true) { // do itself updates
		b.do()
	}
	return err
}

// TestCancelBeforeTheFirstWriteIsNotLost: the run is on record, and its goroutine is not there yet.
func TestCancelBeforeTheFirstWriteIsNotLost(t *testing.T) {
	l := newLab(t, "h1")
	l.drain()
	b := &between{Store: l.store}
	l.start(b)
	b.do = func() {
		if _, err := l.Cancel(t.Context(), me, "last", "too late?"); err != nil {
			t.Error(err)
		}
	}
	run := l.wait(l.submit(request("sh", shParams{"hang"})))
	if run.Verdict != executor.Cancelled || !strings.Contains(run.Cancel, "too late?") {
		t.Errorf("%+v", run)
	}
}

// TestADamagedRecordKeepsNobodyElseFromGoingOn: tfwd has to start.
func TestADamagedRecordKeepsNobodyElseFromGoingOn(t *testing.T) {
	l := newLab(t, "h1")
	good := l.submit(request("sh", shParams{"say begun\npause 300"}))
	l.untilLog(good, "begun", 1)
	l.drain()
	err := l.store.Update(t.Context(), func(tx executor.Tx) error {
		if err := tx.Put("runs", "aaaaaaaaaaaa", []byte("{damaged")); err != nil {
			return err
		}
		return tx.Put("runs.open", "aaaaaaaaaaaa", []byte("{}"))
	})
	if err != nil {
		t.Fatal(err)
	}
	l.start(l.store)
	if run := l.wait(good); run.Verdict != executor.Passed {
		t.Errorf("%+v", run)
	}
}

// TestARequestSentAgainGetsItsAnswer also where it would be refused by now.
func TestARequestSentAgainGetsItsAnswer(t *testing.T) {
	l := newLab(t, "h1")
	req := request("sh", shParams{"say x"})
	req.IdempotencyKey = "k"
	first := l.wait(l.submit(req))
	if _, err := l.SetState(t.Context(), me, "h1", inventory.Maintenance, "eth1 dead"); err != nil {
		t.Fatal(err)
	}
	if again := l.submit(req); again.ID != first.ID {
		t.Errorf("got run %s, want %s", again.ID, first.ID)
	}
}
