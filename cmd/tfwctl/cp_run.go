package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"time"

	"tfw/api"
	"tfw/executor"
)

// copyAsk is one run of a copy.
type copyAsk struct {
	method, target string
	params         json.RawMessage
}

// run runs a method of linux_system and waits for its end, telling how many hosts
// are done. Ctrl-C asks to cancel; once more leaves it to itself.
func (c *copier) run(ctx context.Context, ask copyAsk) (*executor.Run, error) {
	req := executor.Request{
		Plugin: "linux_system", Method: ask.method, Parameters: ask.params, Target: ask.target, Where: c.f.where,
		Options: c.f.options(), AdHoc: true, IdempotencyKey: rand.Text(),
	}
	run, err := submit(ctx, c.client, req, c.signals)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w := &copyWatch{a: c.a, client: c.client, id: string(run.ID), bar: c.bar}
	return w.wait(ctx, c.signals)
}

// copyWatch waits for one run of a copy.
type copyWatch struct {
	a      *app
	client *api.Client
	id     string
	bar    *bar
	asked  bool // to cancel
}

type copyEnd struct {
	run *executor.Run
	err error
}

func (w *copyWatch) wait(ctx context.Context, signals <-chan os.Signal) (*executor.Run, error) {
	ended := make(chan copyEnd, 1)
	go func() {
		run, err := w.client.Wait(ctx, w.id)
		ended <- copyEnd{run, err}
	}()
	for {
		select {
		case e := <-ended:
			if e.err == nil && w.asked {
				w.bar.hide()
				w.a.say("%s", summary(e.run, w.a.painter(w.a.err)))
				return nil, statusError(exitCancelled)
			}
			return e.run, e.err
		case <-signals:
			if w.asked {
				w.a.left = true
				w.bar.hide()
				w.a.say("tfwctl: not waiting for run %s any more; follow it with: tfwctl logs -f %s", w.id, w.id)
				return nil, statusError(exitCancelled)
			}
			w.cancel(ctx)
		case <-w.bar.tick():
			if run, err := w.client.Run(ctx, w.id); err == nil {
				w.bar.hosts(run)
			}
		}
	}
}

func (w *copyWatch) cancel(ctx context.Context) {
	w.asked = true
	w.bar.hide()
	if isTerminal(w.a.in) {
		w.a.say("tfwctl: cancelling run %s; once more to leave it to itself", w.id)
	}
	if _, err := w.client.Cancel(ctx, w.id, "interrupted by the user"); err != nil && !errors.Is(err, executor.ErrConflict) {
		w.a.say("tfwctl: cancel: %v", err)
	}
}

// tick is when the hosts are looked at again; never where nobody would see it.
func (b *bar) tick() <-chan time.Time {
	if b == nil {
		return nil
	}
	return time.After(500 * time.Millisecond)
}
