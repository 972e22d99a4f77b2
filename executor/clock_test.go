package executor_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfw/executor"
)

const (
	year = 365 * 24 * time.Hour
	look = 11 * time.Second // somebody looks at the clock at least so often
)

// set makes the wall clock wrong by so much.
func (l *lab) set(wrong time.Duration) { l.offset.Store(int64(wrong)) }

// again is the next process, the hosts and the store are the same.
func (l *lab) again() {
	l.drain()
	l.start(l.store)
}

// stake is what a clock that jumps might end: a lease, a token, a run with a time-out, one that waits with one, an old run.
type stake struct {
	l             *lab
	at            time.Time // when it was made, by the time that really passes
	lease, wanted executor.Lease
	token         string
	old           *executor.Run
	under, waits  *executor.Run
}

func newStake(l *lab) *stake {
	s := &stake{l: l, at: time.Now()}
	var err error
	if s.lease, err = l.Lease(l.t.Context(), ann, hour("h1")); err != nil {
		l.t.Fatal(err)
	}
	wait := hour("h1")
	wait.Wait = executor.Duration(30 * time.Minute)
	if s.wanted, err = l.Lease(l.t.Context(), bob, wait); err != nil {
		l.t.Fatal(err)
	}
	if s.token, _, err = l.CreateToken(l.t.Context(), me, executor.Token{Name: "ci", Role: executor.Viewer, Expires: l.Now().Add(48 * time.Hour)}); err != nil {
		l.t.Fatal(err)
	}
	s.old = l.wait(l.submit(on("h2", "say old")))
	req := on("h2", "say begun\nhang")
	req.Timeout, req.CommandTimeout = executor.Duration(40*time.Minute), executor.Duration(40*time.Minute)
	s.under = l.submit(req)
	l.untilLog(s.under, "begun", 1)
	req = on("h1", "say x")
	req.QueueTimeout = executor.Duration(40 * time.Minute)
	s.waits = l.submitAs(executor.Principal{Name: "cy", Role: executor.Operator}, req)
	l.queued(2)
	time.Sleep(look)
	return s
}

// stands tells that nothing of it was ended, with everything still to come.
func (s *stake) stands(when string) {
	l := s.l
	l.t.Helper()
	time.Sleep(look)
	synctest.Wait()
	left := time.Hour - time.Since(s.at)
	leases, err := l.Leases(l.t.Context(), me)
	if err != nil || len(leases) != 2 {
		l.t.Fatalf("%s: %+v, %v", when, leases, err)
	}
	for _, lease := range leases {
		end, want, state := lease.Expires, left, executor.LeaseHeld
		if lease.ID == s.wanted.ID {
			end, want, state = lease.Deadline, left-30*time.Minute, executor.LeaseWaiting
		}
		if d := l.Now().Add(want).Sub(end).Abs(); lease.State != state || d > time.Second {
			l.t.Errorf("%s: lease %+v, its end is off by %s", when, lease, d)
		}
	}
	if _, err := l.Authenticate(l.t.Context(), s.token, ""); err != nil {
		l.t.Errorf("%s: token: %v", when, err)
	}
	if gone, err := l.Prune(l.t.Context(), 30*24*time.Hour, 0, nil); err != nil || gone.Runs != 0 {
		l.t.Errorf("%s: pruned %+v, %v", when, gone, err)
	}
	for _, run := range []*executor.Run{s.under, s.waits} {
		if r, err := l.Run(l.t.Context(), me, string(run.ID)); err != nil || r.State == executor.Done {
			l.t.Errorf("%s: %+v, %v", when, r, err)
		}
	}
}

// ends lets real time pass: now everything ends as it was agreed on.
func (s *stake) ends() {
	l := s.l
	l.t.Helper()
	time.Sleep(41*time.Minute - time.Since(s.at))
	synctest.Wait()
	for _, run := range []*executor.Run{s.under, s.waits} {
		if r := l.wait(run); r.Verdict != executor.TimedOut {
			l.t.Errorf("%+v: %+v", r, r.Hosts[0])
		}
	}
	leases, err := l.Leases(l.t.Context(), me)
	if err != nil || len(leases) != 1 || leases[0].ID != s.lease.ID {
		l.t.Errorf("after 41 minutes: %+v, %v", leases, err)
	}
	time.Sleep(20 * time.Minute)
	synctest.Wait()
	if leases, err = l.Leases(l.t.Context(), me); err != nil || len(leases) != 0 {
		l.t.Errorf("after an hour: %+v, %v", leases, err)
	}
}

// A clock that is set far forward or back ends nothing before its time, drops nothing, and orders
// nothing anew: whether the process lives on or is started again after it, and when the clock is put right.
func TestClockJumps(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"forward": 10 * year, "back": -10 * year} {
		for _, restart := range []bool{false, true} {
			for _, right := range []bool{false, true} {
				t.Run(name+map[bool]string{true: ", restarted"}[restart]+map[bool]string{true: ", put right"}[right], func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { clockJumps(t, wrong, restart, right) })
				})
			}
		}
	}
}

func clockJumps(t *testing.T, wrong time.Duration, restart, right bool) {
	l := newLab(t, "h[1-2]")
	s := newStake(l)
	if l.ClockDoubt() != "" {
		t.Fatal(l.ClockDoubt())
	}
	jump := func(to time.Duration) {
		if restart {
			l.drain()
		}
		l.set(to)
		if restart {
			l.start(l.store)
		}
	}
	jump(wrong)
	if why := l.ClockDoubt(); !strings.Contains(why, map[bool]string{true: "forward", false: "back"}[wrong > 0]) {
		t.Errorf("doubt: %q", why)
	}
	s.stands("wrong")
	meanwhile := l.wait(l.submit(on("h2", "say meanwhile")))
	if wrong < 0 && meanwhile.Created.Before(s.old.Created) {
		t.Errorf("made at %s, after one of %s", meanwhile.Created, s.old.Created)
	}
	if right {
		jump(0)
		if why := l.ClockDoubt(); why != "" {
			t.Errorf("put right, and still: %s", why)
		}
		s.stands("put right")
	}
	runs, _, err := l.Runs(t.Context(), me, executor.RunFilter{})
	if err != nil || len(runs) != 4 || runs[0].ID != meanwhile.ID || runs[3].ID != s.old.ID {
		t.Errorf("the order of runs: %+v, %v", runs, err)
	}
	if _, _, err := l.VerifyAudit(t.Context(), me); err != nil {
		t.Error(err)
	}
	if said, _, err := l.Audit(t.Context(), me, executor.AuditFilter{Action: "clock"}); err != nil || len(said) != 1+map[bool]int{true: 1}[right] {
		t.Errorf("on record: %+v, %v", said, err)
	}
	s.ends()
}

// After a day in which nobody put it right the clock is believed: what is old by it is dropped.
func TestClockIsTrustedAfterADay(t *testing.T) {
	for name, wrong := range map[string]time.Duration{"forward": year, "back": -year} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, "h[1-2]")
				l.wait(l.submit(on("h1", "say old")))
				l.set(wrong)
				time.Sleep(12 * time.Hour)
				l.again() // the day goes on
				if l.ClockDoubt() == "" {
					t.Error("a restart is enough")
				}
				kept := l.wait(l.submit(on("h1", "say x")))
				time.Sleep(13 * time.Hour)
				if why := l.ClockDoubt(); why != "" {
					t.Errorf("after 25 hours: %s", why)
				}
				if d := l.Now().Sub(time.Now().Add(wrong)).Abs(); d > time.Second {
					t.Errorf("its time is off by %s", d)
				}
				gone, err := l.Prune(t.Context(), 30*24*time.Hour, 0, nil)
				if want := map[bool]int{true: 1}[wrong > 0]; err != nil || gone.Runs != want {
					t.Errorf("pruned %+v, %v", gone, err)
				}
				if _, err := l.Run(t.Context(), me, string(kept.ID)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What ran while the clock was ahead is dropped in its turn, not when that date comes.
func TestWhatAClockAheadHadWrittenIsDroppedInItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, "h[1-2]")
		l.set(year)
		l.again()
		ahead := l.wait(l.submit(on("h1", "say x")))
		l.set(0)
		l.wait(l.submit(on("h1", "say x"))) // the clock is not believed yet: ahead too
		time.Sleep(25 * time.Hour)
		l.wait(l.submit(on("h1", "say x")))
		time.Sleep(31 * 24 * time.Hour)
		young := l.wait(l.submit(on("h1", "say x")))
		if gone, err := l.Prune(t.Context(), 30*24*time.Hour, 0, nil); err != nil || gone.Runs != 3 {
			t.Errorf("%+v, %v", gone, err)
		}
		if n, err := l.PruneAudit(t.Context(), 30*24*time.Hour); err != nil || n == 0 {
			t.Errorf("audit: %d, %v", n, err)
		}
		if _, err := l.Run(t.Context(), me, string(ahead.ID)); !errors.Is(err, executor.ErrNotFound) {
			t.Error(err)
		}
		if runs, _, err := l.Runs(t.Context(), me, executor.RunFilter{}); err != nil || !slices.ContainsFunc(runs, func(r *executor.Run) bool { return r.ID == young.ID }) {
			t.Errorf("%+v, %v", runs, err)
		}
	})
}

// A clock that follows the time in small steps is nobody's business.
func TestClockThatIsSlewedIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, "h[1-2]")
		for i := range 20 {
			l.set(time.Duration(i) * 5 * time.Second)
			time.Sleep(time.Minute)
		}
		if why := l.ClockDoubt(); why != "" || l.Counts().ClockJumps != 0 {
			t.Errorf("%s, %d jumps", why, l.Counts().ClockJumps)
		}
		if d := l.Now().Sub(time.Now().Add(95 * time.Second)).Abs(); d > time.Second {
			t.Errorf("its time is off by %s", d)
		}
	})
}
