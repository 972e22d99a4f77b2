package executor_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// hold submits a run and waits until it is on the host.
func (l *lab) hold(p executor.Principal, host, script string) *executor.Run {
	l.t.Helper()
	run := l.submitAs(p, on(host, script))
	eventually(l.t, host+" is in use", func() bool {
		h, err := l.Host(l.t.Context(), me, host)
		return err == nil && slices.Contains(h.Runs, run.ID)
	})
	return run
}

const exclusiveLab = "version: 1\ngroups:\n  duts:\n    isolation: exclusive\n    plugins: [work]\n    hosts: {h1: {}, h2: {}}\n  open:\n    plugins: [work]\n    hosts: {o1: {}, o2: {}}\n"

func newQueueLab(t *testing.T) *lab {
	l := newLab(t, "{h1}")
	l.drain()
	l.inv = parsedInventory(t, exclusiveLab)
	l.start(l.store)
	return l
}

// queued waits until so many wait, and gives them.
func (l *lab) queued(n int) (all []executor.Waiting) {
	l.t.Helper()
	eventually(l.t, "so many wait", func() bool {
		var err error
		if all, err = l.Queue(l.t.Context(), me); err != nil {
			l.t.Fatal(err)
		}
		return len(all) == n
	})
	return all
}

func on(target, script string) executor.Request {
	req := request("sh", map[string]string{"script": script})
	req.Target = target
	return req
}

func as(name string) executor.Principal {
	return executor.Principal{Name: name, Role: executor.Operator}
}

func (l *lab) submitAs(p executor.Principal, req executor.Request) *executor.Run {
	l.t.Helper()
	run, err := l.Submit(l.t.Context(), p, req)
	if err != nil {
		l.t.Fatal(err)
	}
	return run
}

// A run waits for a lease of somebody else when it is told to, says for whom, and goes on when that ends.
func TestRunQueuesForALease(t *testing.T) {
	l := newQueueLab(t)
	lease, err := l.Lease(t.Context(), as("ana"), executor.LeaseRequest{Target: "h1", For: executor.Duration(time.Hour), Purpose: "bisect"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Submit(t.Context(), as("bo"), on("h1", "say x")); !errors.Is(err, executor.ErrLeased) || !strings.Contains(err.Error(), "--queue-timeout") {
		t.Fatalf("without being told: %v", err)
	}
	req := on("h[1-2]", "say x")
	req.QueueTimeout = executor.Duration(time.Minute)
	run := l.submitAs(as("bo"), req)
	w := l.queued(1)[0]
	if w.Run != run.ID || w.Host != "h1" || w.By != "bo" || w.Position != 1 || !strings.Contains(w.Why, "lease "+lease.ID+" of ana") || w.Until.IsZero() || w.Method != "sh" {
		t.Errorf("%+v", w)
	}
	shown, err := l.Run(t.Context(), me, string(run.ID))
	if err != nil || !strings.Contains(shown.Hosts[0].Waiting, "of ana") || shown.Hosts[1].Waiting != "" {
		t.Errorf("%+v, %v", shown.Hosts, err)
	}
	if others, err := l.Queue(t.Context(), executor.Principal{Name: "cy", Role: executor.Viewer, Groups: []string{"open"}}); err != nil || len(others) != 0 {
		t.Errorf("who does not see the host is told %+v, %v", others, err)
	}
	if err := l.Release(t.Context(), as("ana"), lease.ID, ""); err != nil {
		t.Fatal(err)
	}
	if done := l.wait(run); done.Verdict != executor.Passed {
		t.Errorf("%+v", done)
	}
}

func TestQueueTimeout(t *testing.T) {
	l := newQueueLab(t)
	holder := l.hold(as("ana"), "h1", "say begun\nhang")
	req := on("h1", "say x")
	req.QueueTimeout = executor.Duration(150 * time.Millisecond)
	done := l.wait(l.submitAs(as("bo"), req))
	if h := done.Hosts[0]; done.Verdict != executor.TimedOut || h.Code != "queue_timeout" || !strings.Contains(h.Reason, "run "+string(holder.ID)+" of ana") || !h.Started.IsZero() {
		t.Errorf("%+v", done.Hosts[0])
	}
	l.queued(0)
	if _, err := l.Cancel(t.Context(), me, string(holder.ID), "enough"); err != nil {
		t.Fatal(err)
	}
	if l.wait(holder); l.wait(l.submitAs(as("bo"), on("h1", "say x"))).Verdict != executor.Passed {
		t.Error("the host was not free again")
	}
}

// Maintenance drains a host: what had begun ends as it would, new work is refused or waits, and goes on afterwards.
func TestMaintenanceDrains(t *testing.T) {
	l := newQueueLab(t)
	first := l.hold(as("ana"), "h1", "pause 400\nsay done")
	second := l.submitAs(as("bo"), on("h1", "say second")) // waits behind it, and then for the end of the maintenance
	l.queued(1)
	hosts, err := l.SetState(t.Context(), me, "h1", inventory.Maintenance, "new fan")
	if err != nil || len(hosts[0].Runs) != 1 || hosts[0].Runs[0] != first.ID {
		t.Fatalf("%+v, %v", hosts, err)
	}
	if _, err := l.Submit(t.Context(), as("cy"), on("h1", "say x")); !errors.Is(err, executor.ErrBadRequest) {
		t.Errorf("new work: %v", err)
	}
	if _, err := l.Lease(t.Context(), as("cy"), executor.LeaseRequest{Target: "h1", For: executor.Duration(time.Minute)}); err == nil {
		t.Error("a host in maintenance was leased")
	}
	third := on("h1", "say third")
	third.QueueTimeout = executor.Duration(time.Minute)
	waits := l.submitAs(as("cy"), third)
	if done := l.wait(first); done.Verdict != executor.Passed {
		t.Errorf("the run that had begun: %+v", done)
	}
	for i, w := range l.queued(2) {
		if w.Position != i+1 || !strings.Contains(w.Why, "in maintenance (new fan)") {
			t.Errorf("%+v", w)
		}
	}
	if h, err := l.Host(t.Context(), me, "h1"); err != nil || len(h.Runs) != 0 {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := l.SetState(t.Context(), me, "h1", inventory.Active, ""); err != nil {
		t.Fatal(err)
	}
	if l.wait(second).Verdict != executor.Passed || l.wait(waits).Verdict != executor.Passed {
		t.Error("who waited did not run afterwards")
	}
}

// What waits for a host that will not come back is let go, with the reason.
func TestRetiredWhileWaiting(t *testing.T) {
	l := newQueueLab(t)
	first := l.hold(as("ana"), "h1", "say begun\nhang")
	second := l.submitAs(as("bo"), on("h1", "say x"))
	l.queued(1)
	if _, err := l.SetState(t.Context(), me, "h1", inventory.Retired, "burnt"); err != nil {
		t.Fatal(err)
	}
	if done := l.wait(second); done.Verdict != executor.Cancelled || done.Hosts[0].Code != "not_active" || !strings.Contains(done.Hosts[0].Reason, "retired (burnt)") {
		t.Errorf("%+v", done.Hosts[0])
	}
	if _, err := l.Cancel(t.Context(), me, string(first.ID), "over"); err != nil {
		t.Fatal(err)
	}
	l.wait(first)
}

// The policy's limits: of a user, of a group, of a host. Who is over one waits without
// being in the way of others, and a change of the policy is felt.
func TestLimits(t *testing.T) {
	l := newQueueLab(t)
	l.policy.Store(&executor.Policy{Limits: []executor.Limit{{User: "b*", MaxRuns: 1}, {Host: "o2", MaxRuns: 1}, {Group: "duts", MaxRuns: 1}}})
	var begun []*executor.Run
	begin := func(who, target string) *executor.Run {
		run := l.submitAs(as(who), on(target, "say begun\nhang"))
		begun = append(begun, run)
		return run
	}
	begin("bo", "o1")
	eventually(t, "o1 is in use", func() bool { h, _ := l.Host(t.Context(), me, "o1"); return len(h.Runs) == 1 })
	begin("bo", "o[1-2]") // over the limit of its user: waits on both
	if all := l.queued(2); !strings.Contains(all[0].Why, "user bo has as many runs under way as the policy allows (1)") {
		t.Errorf("%+v", all)
	}
	begin("ana", "o2") // nobody is in its way
	eventually(t, "o2 is in use", func() bool { h, _ := l.Host(t.Context(), me, "o2"); return len(h.Runs) == 1 })
	begin("cy", "o2")
	l.queued(3)
	begin("ana", "h1")
	eventually(t, "h1 is in use", func() bool { h, _ := l.Host(t.Context(), me, "h1"); return len(h.Runs) == 1 })
	begin("cy", "h2")
	why := ""
	for _, w := range l.queued(4) {
		why += w.Host + ": " + w.Why + "\n"
	}
	if !strings.Contains(why, "o2: host o2 has as many runs under way") || !strings.Contains(why, "h2: group duts has as many runs under way") {
		t.Error(why)
	}
	l.policy.Store(nil)
	l.queued(0)
	for _, run := range begun {
		if _, err := l.Cancel(t.Context(), me, string(run.ID), "over"); err != nil {
			t.Fatal(err)
		}
		l.wait(run)
	}
}

// Of those who wait the higher priority goes first, then the older.
func TestQueueOrder(t *testing.T) {
	l := newQueueLab(t)
	first := l.hold(as("ana"), "h1", "say begun\nhang")
	var want []executor.RunID
	for i, priority := range []int{0, -5, 0, 10} {
		req := on("h1", "pause 30")
		req.Priority = priority
		run := l.submit(req)
		l.queued(i + 1)
		want = append(want, run.ID)
	}
	want = []executor.RunID{want[3], want[0], want[2], want[1]}
	for i, w := range l.queued(4) {
		if w.Run != want[i] || w.Position != i+1 {
			t.Errorf("place %d: %+v, want %s", i+1, w, want[i])
		}
	}
	l.again() // who was inside keeps the host
	for i, w := range l.queued(4) {
		if w.Run != want[i] || w.Position != i+1 {
			t.Errorf("place %d after a restart: %+v, want %s", i+1, w, want[i])
		}
	}
	if h, err := l.Host(t.Context(), me, "h1"); err != nil || len(h.Runs) != 1 || h.Runs[0] != first.ID {
		t.Errorf("on the host after a restart: %v, %v", h.Runs, err)
	}
	if _, err := l.Cancel(t.Context(), me, string(first.ID), "over"); err != nil {
		t.Fatal(err)
	}
	var began []time.Time
	for _, id := range want {
		run, err := l.Wait(t.Context(), me, string(id))
		if err != nil || run.Verdict != executor.Passed {
			t.Fatalf("%+v, %v", run, err)
		}
		began = append(began, run.Hosts[0].Started)
	}
	for i := 1; i < len(began); i++ {
		if began[i].Before(began[i-1]) {
			t.Errorf("%s began before its turn", want[i])
		}
	}
}

func TestLimitsAreChecked(t *testing.T) {
	for _, limit := range []executor.Limit{{MaxRuns: 1}, {User: "a", Host: "b", MaxRuns: 1}, {User: "a"}, {Group: "[", MaxRuns: 1}} {
		if (&executor.Policy{Limits: []executor.Limit{limit}}).Check() == nil {
			t.Errorf("%+v is taken", limit)
		}
	}
}

// The slots of max_runs go by priority, then age, too; and the queue tells so.
func TestSlotsGoByPriority(t *testing.T) {
	l := newLab(t, "h[1-5]")
	l.drain()
	l.maxRuns = 1
	l.start(l.store)
	first := l.hold(me, "h1", "say begun\nhang")
	submitted := func(host string, priority, waiting int) executor.RunID {
		req := on(host, "pause 30")
		req.Priority = priority
		id := l.submit(req).ID
		l.queued(waiting)
		return id
	}
	older, younger, urgent := submitted("h2", 0, 1), submitted("h3", 0, 2), submitted("h4", 5, 3)
	want := []executor.RunID{urgent, older, younger}
	for i, w := range l.queued(3) {
		if w.Run != want[i] || w.Position != i+1 || !strings.Contains(w.Why, "max_runs") {
			t.Errorf("place %d: %+v", i+1, w)
		}
	}
	l.again() // what was under way keeps its slot
	eventually(t, "the three wait again", func() bool {
		all, err := l.Queue(t.Context(), me)
		return err == nil && len(all) == 3 && all[0].Run == urgent
	})
	if _, err := l.Cancel(t.Context(), me, string(first.ID), "over"); err != nil {
		t.Fatal(err)
	}
	var began time.Time
	for _, id := range want {
		run, err := l.Wait(t.Context(), me, string(id))
		if err != nil || run.Verdict != executor.Passed || run.Started.Before(began) {
			t.Fatalf("%+v before its turn, %v", run, err)
		}
		began = run.Started
	}
}

// The runs of one user do not keep those of all others from beginning, also where they only wait for a host; and who is in
// the line for a slot can be cancelled.
func TestSlotsAreLeftToOthers(t *testing.T) {
	l := newLab(t, "h[1-5]")
	l.drain()
	l.maxRuns = 20 // the last two are for who has fewer than two
	l.start(l.store)
	held := l.hold(as("bo"), "h1", "say begun\nhang")
	lease, err := l.Lease(t.Context(), as("ana"), executor.LeaseRequest{Target: "h2", For: executor.Duration(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	var last *executor.Run
	for range 30 {
		req := on("h2", "say never")
		req.QueueTimeout = executor.Duration(time.Hour)
		last = l.submitAs(as("bo"), req)
	}
	if all := l.queued(30); !strings.Contains(all[29].Why, "bo has its share of the runs that may be under way (max_runs, 20)") || all[29].Host != "" {
		t.Errorf("%+v", all[29])
	}
	for _, host := range []string{"h3", "h4"} {
		if run := l.wait(l.submitAs(as("cy"), on(host, "say hi"))); run.Verdict != executor.Passed {
			t.Errorf("%+v", run)
		}
	}
	if _, err := l.Cancel(t.Context(), as("bo"), string(last.ID), "over"); err != nil {
		t.Fatal(err)
	}
	if run := l.wait(last); run.Verdict != executor.Cancelled || !run.Hosts[0].Started.IsZero() {
		t.Errorf("%+v", run)
	}
	if err := l.Release(t.Context(), as("ana"), lease.ID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Cancel(t.Context(), as("bo"), string(held.ID), "over"); err != nil {
		t.Fatal(err)
	}
	l.queued(0) // all had their turn
}

// What a user has of runs that have not ended is bounded: they lie in memory, with their parameters.
func TestUnendedRunsAreBounded(t *testing.T) {
	l := newLab(t, "h[1-5]")
	l.drain()
	l.maxRuns = 1
	l.start(l.store)
	l.SetMostUnended(8, 5000)
	held := l.hold(as("bo"), "h1", "say begun\nhang")
	large := on("h2", "say "+strings.Repeat("x", 1200))
	var all []*executor.Run
	for range 4 {
		all = append(all, l.submitAs(as("bo"), large))
	}
	if _, err := l.Submit(t.Context(), as("bo"), large); !errors.Is(err, executor.ErrTooMany) {
		t.Errorf("%.200v", err)
	}
	all = append(all, held, l.submitAs(as("cy"), on("h3", "say hi")))
	for _, run := range all[:4] {
		if _, err := l.Cancel(t.Context(), as("bo"), string(run.ID), "over"); err != nil {
			t.Fatal(err)
		}
		l.wait(run)
	}
	for range 7 {
		all = append(all, l.submitAs(as("bo"), on("h2", "say hi")))
	}
	if _, err := l.Submit(t.Context(), as("bo"), on("h2", "say hi")); !errors.Is(err, executor.ErrTooMany) {
		t.Errorf("%.200v", err)
	}
	for _, run := range all[4:] {
		if _, err := l.Cancel(t.Context(), me, string(run.ID), "over"); err != nil && !errors.Is(err, executor.ErrConflict) {
			t.Fatal(err)
		}
		l.wait(run)
	}
}

// What lets runs into hosts in maintenance does not let them into those that an admin has shut for good.
func TestQuarantineIsNotMaintenance(t *testing.T) {
	l := newLab(t, "h[1-5]")
	req := on("h1", "say hi")
	req.IncludeMaintenance = true
	for state, in := range map[inventory.State]bool{inventory.Maintenance: true, inventory.Quarantined: false, inventory.Retired: false} {
		if _, err := l.SetState(t.Context(), me, "h1", state, "smoke"); err != nil {
			t.Fatal(err)
		}
		run, err := l.Submit(t.Context(), as("bo"), req)
		if in != (err == nil) || !in && (!errors.Is(err, executor.ErrBadRequest) || strings.Contains(err.Error(), "--include")) {
			t.Errorf("%s: %v", state, err)
		}
		if err == nil {
			l.wait(run)
		}
	}
}

// A host of a later batch that is quarantined meanwhile is let go of, too: the run does not wait for it for ever.
func TestQuarantineOfALaterBatch(t *testing.T) {
	l := newLab(t, "h[1-5]")
	req := on("h[1-2]", "say hi")
	req.Serial = []string{"1"}
	first, err := l.Lease(t.Context(), as("ana"), executor.LeaseRequest{Target: "h1", For: executor.Duration(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	req.QueueTimeout = executor.Duration(time.Hour)
	run := l.submitAs(as("bo"), req)
	l.queued(1)
	if _, err := l.SetState(t.Context(), me, "h2", inventory.Quarantined, "smoke"); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context(), as("ana"), first.ID, ""); err != nil {
		t.Fatal(err)
	}
	done := l.wait(run)
	if done.Hosts[0].Verdict != executor.Passed || done.Hosts[1].Verdict != executor.Cancelled || !strings.Contains(done.Hosts[1].Reason, "the host is quarantined (smoke)") {
		t.Errorf("%+v", done.Hosts)
	}
}
