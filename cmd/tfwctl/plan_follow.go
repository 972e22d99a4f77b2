package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/sourcegraph/conc"
	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/executor"
	testplan "tfw/plan"
)

// beginPlan starts a test plan, shows it, and gives the exit status as an error.
func (a *app) beginPlan(cmd *cobra.Command, detach bool, begin func(*api.Client) (*testplan.TestPlan, error)) error {
	ctx := cmd.Context()
	if detach {
		if err := a.keep(ctx); err != nil {
			return err
		}
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	t, err := begin(client)
	if err != nil {
		return err
	}
	if detach {
		err := a.emit(t, func() error {
			a.printf("%s\n", t.ID)
			return nil
		})
		a.say("test plan %s goes on by itself; see how it fares with: tfwctl plan show %s", t.ID, t.ID)
		return err
	}
	return a.attendPlan(ctx, client, t, signals)
}

// attendPlan follows a test plan to its end.
func (a *app) attendPlan(ctx context.Context, client *api.Client, t *testplan.TestPlan, signals <-chan os.Signal) error {
	table := a.setting.output.value == "table"
	w := &planWatch{a: a, client: client, id: t.ID, events: make(chan planEvent, 256), slots: make(chan struct{}, maxFollowed),
		live: a.newLive(true, false), quiet: !table, seen: map[string]planSeen{}, runs: map[executor.RunID]bool{}, plans: map[string]*testplan.TestPlan{}, open: map[string]int{}}
	ended, err := w.follow(ctx, signals)
	if errors.Is(err, errLeft) {
		return statusError(exitCancelled)
	}
	if err != nil {
		return fmt.Errorf("test plan %s: %w", t.ID, err)
	}
	err = a.emit(ended, func() error {
		a.say("")
		if err := stepGrid(ended).print(a, a.err); err != nil {
			return err
		}
		a.say("%s", planSummary(ended, a.painter(a.err)))
		if ended.Verdict != executor.Passed {
			a.say("what did not pass is run again by: tfwctl plan resume %s", ended.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if code := exitOfVerdict(ended.Verdict); code != 0 {
		return statusError(code)
	}
	return nil
}

// maxFollowed bounds the logs that are read at a time; the others are read when one of them has ended.
const maxFollowed = 32

// planWatch shows a test plan as it goes: steps and cells as they change, and the logs of their runs.
type planWatch struct {
	a      *app
	client *api.Client
	id     string
	live   *liveSink
	quiet  bool // show nothing
	asked  bool // to cancel

	events chan planEvent
	slots  chan struct{}
	work   conc.WaitGroup

	// of the one goroutine that shows
	readers int // that have not said that they are over
	seen    map[string]planSeen
	runs    map[executor.RunID]bool
	plans   map[string]*testplan.TestPlan // as last seen, by the steps that hold them
	open    map[string]int                // logs of a step that are still being read
	err     error
}

// planSeen is what was shown of a step or cell.
type planSeen struct {
	state   executor.State
	verdict executor.Verdict
}

// planEvent is one of: a test plan that changed, an entry of a run's log, what went wrong, or a reader's end.
type planEvent struct {
	source
	plan  *testplan.TestPlan
	entry *api.LogEntry
	err   error
	over  bool
	hosts []string // that a log which is over had lines of
}

// source is where an event comes from.
type source struct {
	within string // the steps that hold the test plan, "" for the one that was asked for
	step   string // of a run's log, with within before it
	label  string // what stands before the host
}

func (w *planWatch) follow(ctx context.Context, signals <-chan os.Signal) (*testplan.TestPlan, error) {
	ctx, stop := context.WithCancel(ctx)
	defer w.work.Wait()
	defer stop()
	w.readPlan(ctx, w.id, "")
	for w.readers > 0 {
		select {
		case e := <-w.events:
			if err := w.show(ctx, e); err != nil {
				return nil, err
			}
		case s := <-signals:
			if w.asked {
				err := w.live.close(nil)
				w.a.say("tfwctl: not waiting for test plan %s any more; see how it fares with: tfwctl plan show %s", w.id, w.id)
				return nil, errors.Join(errLeft, err)
			}
			w.cancel(ctx, s)
		}
	}
	if err := errors.Join(w.err, w.live.close(nil)); err != nil {
		return nil, err
	}
	return w.plans[""], nil
}

func (w *planWatch) cancel(ctx context.Context, s os.Signal) {
	w.asked = true
	if isTerminal(w.a.in) {
		w.a.say("tfwctl: cancelling test plan %s; once more to leave it to itself", w.id)
	}
	reason := "interrupted by the user"
	if s != os.Interrupt {
		reason = "tfwctl got SIGTERM"
	}
	if _, err := w.client.CancelTestplan(ctx, w.id, reason); err != nil && !errors.Is(err, executor.ErrConflict) {
		w.a.say("tfwctl: cancel: %v", err)
	}
}

// read runs a reader in the background; its last event says that it is over.
func (w *planWatch) read(ctx context.Context, from source, reader func(send func(planEvent) bool) (hosts []string)) {
	w.readers++
	send := func(e planEvent) bool {
		e.source = from
		select {
		case w.events <- e:
			return true
		case <-ctx.Done(): // nobody looks any more
			return false
		}
	}
	w.work.Go(func() { send(planEvent{over: true, hosts: reader(send)}) })
}

// readPlan follows a test plan.
func (w *planWatch) readPlan(ctx context.Context, id, within string) {
	w.read(ctx, source{within: within}, func(send func(planEvent) bool) []string {
		for t, err := range w.client.FollowTestplan(ctx, id) {
			if !send(planEvent{plan: t, err: err}) {
				break
			}
		}
		return nil
	})
}

// readRun follows a run's log, when it is its turn.
func (w *planWatch) readRun(ctx context.Context, id executor.RunID, from source) {
	w.open[from.step]++
	w.read(ctx, from, func(send func(planEvent) bool) []string {
		select {
		case w.slots <- struct{}{}:
			defer func() { <-w.slots }()
		case <-ctx.Done():
			return nil
		}
		hosts := map[string]bool{}
		for e, err := range w.client.Log(ctx, string(id), api.LogOptions{Follow: true}) {
			if err != nil {
				send(planEvent{err: fmt.Errorf("log of run %s: %w", id, err)})
				break
			}
			hosts[e.Host] = true
			if !send(planEvent{entry: &e}) {
				break
			}
		}
		return sortedKeys(hosts)
	})
}
