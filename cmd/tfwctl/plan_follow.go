package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

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
	signals, deaf := heed()
	defer deaf()
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
	w := &planWatch{a: a, client: client, id: t.ID, view: a.planView(table)}
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
		if err := a.closing(ctx, client, ended); err != nil {
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

// planView shows a test plan as it goes. Its methods are called by one goroutine.
type planView interface {
	// event shows one thing that happened.
	event(e api.TestplanEvent) error
	// tick is called when nothing more is waiting right now, and now and then.
	tick() error
	// say prints a line for the person.
	say(format string, args ...any)
	// close shows the rest and leaves nothing behind.
	close() error
}

// planView is a tree where a terminal shows it, lines elsewhere.
func (a *app) planView(table bool) planView {
	switch {
	case !table:
		return hiddenPlan{a}
	case a.redraws(a.err) && !a.flags.lines:
		return newPlanTree(a)
	}
	return newPlanLines(a)
}

// hiddenPlan shows nothing: what was asked for comes at the end.
type hiddenPlan struct{ a *app }

func (hiddenPlan) event(api.TestplanEvent) error    { return nil }
func (hiddenPlan) tick() error                      { return nil }
func (h hiddenPlan) say(format string, args ...any) { h.a.say(format, args...) }
func (hiddenPlan) close() error                     { return nil }

// planWatch follows a test plan and shows it.
type planWatch struct {
	a      *app
	client *api.Client
	id     string
	view   planView
	asked  bool // to cancel
}

// planTick is how often a view is brought up to date when nothing happens.
const planTick = 200 * time.Millisecond

type planFeed struct {
	events chan api.TestplanEvent
	err    error // once events is closed
}

func (w *planWatch) follow(ctx context.Context, signals <-chan os.Signal) (*testplan.TestPlan, error) {
	ctx, stop := context.WithCancel(ctx)
	feed := w.read(ctx)
	defer func() {
		stop()
		for range feed.events { // until the reader has ended
		}
	}()
	clock := time.NewTicker(planTick)
	defer clock.Stop()
	for {
		select {
		case e, more := <-feed.events:
			if !more {
				return w.finish(ctx, feed.err)
			}
			if err := w.view.event(e); err != nil {
				return nil, errors.Join(err, w.view.close())
			}
			if len(feed.events) > 0 {
				continue
			}
			if err := w.view.tick(); err != nil {
				return nil, errors.Join(err, w.view.close())
			}
		case <-clock.C:
			if err := w.view.tick(); err != nil {
				return nil, errors.Join(err, w.view.close())
			}
		case s := <-signals:
			if w.asked || s == syscall.SIGHUP {
				w.a.left = true
				err := w.view.close()
				w.a.say("tfwctl: not waiting for test plan %s any more; see how it fares with: tfwctl plan show %s", w.id, w.id)
				return nil, errors.Join(errLeft, err)
			}
			w.cancel(ctx, s)
		}
	}
}

// read reads events ahead of the showing, so that those that wait are shown together.
func (w *planWatch) read(ctx context.Context) *planFeed {
	f := &planFeed{events: make(chan api.TestplanEvent, 256)}
	_, hidden := w.view.(hiddenPlan)
	go func() {
		defer close(f.events)
		for e, err := range w.client.TestplanEvents(ctx, w.id, !hidden) {
			if err != nil {
				f.err = err
				return
			}
			select {
			case f.events <- e:
			case <-ctx.Done():
				f.err = ctx.Err()
				return
			}
		}
	}()
	return f
}

// finish reads how the test plan ended.
func (w *planWatch) finish(ctx context.Context, err error) (*testplan.TestPlan, error) {
	if err := errors.Join(err, w.view.close()); err != nil {
		return nil, err
	}
	return w.client.Testplan(ctx, w.id)
}

func (w *planWatch) cancel(ctx context.Context, s os.Signal) {
	w.asked = true
	if isTerminal(w.a.in) {
		w.view.say("tfwctl: cancelling test plan %s; once more to leave it to itself", w.id)
	}
	reason := "interrupted by the user"
	if s != os.Interrupt {
		reason = "tfwctl got SIGTERM"
	}
	if _, err := w.client.CancelTestplan(ctx, w.id, reason); err != nil && !errors.Is(err, executor.ErrConflict) {
		w.view.say("tfwctl: cancel: %v", err)
	}
}
