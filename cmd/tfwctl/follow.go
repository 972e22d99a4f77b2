package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tfw/api"
	"tfw/executor"
)

// sink shows the log of a run as it comes.
type sink interface {
	entry(e api.LogEntry) error
	// flush shows what entry held back; more is not waiting right now.
	flush() error
	// close shows the rest. run is nil when it could not be read.
	close(run *executor.Run) error
}

// watch follows a run to its end and shows it.
type watch struct {
	a      *app
	client *api.Client
	run    *executor.Run
	sink   sink
	line   *progress // nil: none
	opts   api.LogOptions
	asked  bool // to cancel
	// looking says that the run is not ours to cancel: a signal ends the looking.
	looking bool
	// all shows the output of commands that are a method's own business, too.
	all bool
}

// errLeft says that the person stopped watching; the run may go on.
var errLeft = errors.New("left running")

// heed gives the signals that a run's watcher acts on, until deaf is called. A
// terminal that hangs up is none who wants to cancel; with nohup it is not even heard.
func heed() (signals chan os.Signal, deaf func()) {
	signals = make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	return signals, func() { signal.Stop(signals) }
}

// follow shows the log until the run is done. Signals: the first asks to
// cancel, the second stops watching; a hang-up stops watching at once.
func (w *watch) follow(ctx context.Context, signals <-chan os.Signal) (*executor.Run, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	feed := w.read(ctx)
	defer func() {
		stop()
		for range feed.entries { // until the reader has ended
		}
	}()
	polls := w.poll(ctx)
	defer func() {
		stop()
		for range polls { // until the poller has ended
		}
	}()
	polled := polls
	for {
		select {
		case e, more := <-feed.entries:
			if !more {
				return w.finish(ctx, feed.err)
			}
			if err := w.take(e, len(feed.entries) == 0); err != nil {
				return nil, err
			}
		case run, more := <-polled:
			if !more {
				polled = nil
				continue
			}
			w.line.show(run)
		case s := <-signals:
			if w.looking {
				w.a.left = w.run.State != executor.Done
				w.line.hide()
				return nil, errors.Join(statusError(130), w.sink.close(nil))
			}
			if w.asked || s == syscall.SIGHUP {
				return nil, w.leave()
			}
			w.cancel(ctx, s)
		}
	}
}

func (w *watch) take(e api.LogEntry, last bool) error {
	if !e.Quiet || w.all {
		if err := w.sink.entry(e); err != nil {
			return err
		}
	}
	if !last {
		return nil
	}
	w.line.hide()
	return w.sink.flush()
}

// feed is a log being read ahead of the printing, so that lines that wait are
// printed together.
type feed struct {
	entries chan api.LogEntry
	err     error // once entries is closed
}

func (w *watch) read(ctx context.Context) *feed {
	f := &feed{entries: make(chan api.LogEntry, 256)}
	go func() {
		defer close(f.entries)
		for e, err := range w.client.Log(ctx, string(w.run.ID), w.opts) {
			if err != nil {
				f.err = err
				return
			}
			select {
			case f.entries <- e:
			case <-ctx.Done():
				f.err = ctx.Err()
				return
			}
		}
	}()
	return f
}

// poll looks at the run now and then, for the progress line. The channel is
// closed when there is none to show, or ctx ends.
func (w *watch) poll(ctx context.Context) chan *executor.Run {
	runs := make(chan *executor.Run)
	if w.line == nil {
		close(runs)
		return runs
	}
	go func() {
		defer close(runs)
		for {
			select {
			case <-time.After(w.line.every()):
			case <-ctx.Done():
				return
			}
			run, err := w.client.Run(ctx, string(w.run.ID))
			if err != nil {
				continue // the log's reader tells when the controller is gone for good
			}
			select {
			case runs <- run:
			case <-ctx.Done():
				return
			}
		}
	}()
	return runs
}

// finish reads how the run ended.
func (w *watch) finish(ctx context.Context, err error) (*executor.Run, error) {
	w.line.hide()
	var run *executor.Run
	if err == nil && w.opts.Follow && !w.looking {
		run, err = w.client.Wait(ctx, string(w.run.ID))
	}
	return run, errors.Join(err, w.sink.close(run))
}

func (w *watch) cancel(ctx context.Context, s os.Signal) {
	w.asked = true
	w.line.hide()
	if isTerminal(w.a.in) {
		w.a.say("tfwctl: cancelling run %s; once more to leave it to itself", w.run.ID)
	}
	reason := "interrupted by the user"
	if s != os.Interrupt {
		reason = "tfwctl got SIGTERM"
	}
	if _, err := w.client.Cancel(ctx, string(w.run.ID), reason); err != nil && !errors.Is(err, executor.ErrConflict) {
		w.a.say("tfwctl: cancel: %v", err)
	}
}

func (w *watch) leave() error {
	w.a.left = true
	w.line.hide()
	err := w.sink.close(nil)
	w.a.say("tfwctl: not waiting for run %s any more; follow it with: tfwctl logs -f %s", w.run.ID, w.run.ID)
	return errors.Join(errLeft, err)
}
