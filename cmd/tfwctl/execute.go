package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"tfw/api"
	"tfw/cmd/tfwctl/gather"
	"tfw/executor"
)

// execute submits a run, shows it, and gives the exit status as an error.
func (a *app) execute(ctx context.Context, req executor.Request, f *runFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	req.Where, req.Options, req.IdempotencyKey = f.where, f.options(), f.key
	if req.IdempotencyKey == "" {
		req.IdempotencyKey = rand.Text() // so that asking again after a lost answer is safe
	}
	if f.detach && !f.dryRun {
		if err := a.keep(ctx); err != nil {
			return err
		}
	}
	signals, deaf := heed()
	defer deaf()
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.preview(ctx, client, req)
	}
	run, err := submit(ctx, client, req, signals)
	if err != nil {
		return explain(err, f)
	}
	a.debug("run %s, request %s", run.ID, run.RequestID)
	if f.detach {
		return a.detached(run)
	}
	return a.attend(ctx, client, run, f, signals)
}

// explain puts an error in the words of the flags.
func explain(err error, f *runFlags) error {
	if f.exitStatus && f.expect == 0 && errors.Is(err, executor.ErrBadRequest) {
		return fmt.Errorf("%w (--exit-status is for one host)", err)
	}
	return err
}

func submit(ctx context.Context, client *api.Client, req executor.Request, signals <-chan os.Signal) (*executor.Run, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-done:
		}
	}()
	run, err := client.Submit(ctx, req)
	if errors.Is(err, context.Canceled) {
		return nil, statusError(exitCancelled)
	}
	return run, err
}

func (a *app) preview(ctx context.Context, client *api.Client, req executor.Request) error {
	p, err := client.Preview(ctx, req)
	if err != nil {
		return err
	}
	err = a.emit(p, func() error {
		for _, h := range p.Hosts {
			a.printf("%s\n", h)
		}
		a.say("%s: %s; nothing was run", counted(len(p.Hosts), "host"), fold(p.Hosts))
		return nil
	})
	if err == nil && p.Refused != nil {
		return fmt.Errorf("it would be refused: %w", p.Refused)
	}
	return err
}

func (a *app) detached(run *executor.Run) error {
	err := a.emit(run, func() error {
		a.printf("%s\n", run.ID)
		return nil
	})
	a.say("run %s on %s goes on by itself; follow it with: tfwctl logs -f %s", run.ID, counted(len(run.Hosts), "host"), run.ID)
	return err
}

// attend follows a run to its end and gives its exit status as an error.
func (a *app) attend(ctx context.Context, client *api.Client, run *executor.Run, f *runFlags, signals <-chan os.Signal) error {
	table := a.setting.output.value == "table"
	w := &watch{a: a, client: client, run: run, opts: api.LogOptions{Follow: true}, sink: a.sinkFor(run, f), all: f.all}
	w.line = newProgress(a, len(run.Hosts))
	if !table {
		w.sink = noSink{}
	}
	ended, err := w.follow(ctx, signals)
	if errors.Is(err, errLeft) {
		return statusError(exitCancelled)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", run.ID, err)
	}
	if !table {
		if ended, err = client.RunWithOutput(ctx, string(run.ID)); err != nil {
			return err
		}
		if err := a.emit(ended, nil); err != nil {
			return err
		}
	} else if err := a.told(ended, f); err != nil {
		return err
	}
	return status(ended, f)
}

// told ends the view for people: what the method told, and the summary.
func (a *app) told(run *executor.Run, f *runFlags) error {
	if err := a.showOutputs(run); err != nil {
		return err
	}
	if !f.quiet {
		a.say("%s", summary(run, a.painter(a.err)))
	}
	return nil
}

func status(run *executor.Run, f *runFlags) error {
	code := exitOfRun(run)
	if f.exitStatus && len(run.Hosts) == 1 {
		h := run.Hosts[0]
		if h.ExitCode != nil && (h.Verdict == executor.Failed || h.Verdict == executor.Passed) {
			code = *h.ExitCode
		}
	}
	if code != 0 {
		return statusError(code)
	}
	return nil
}

func (a *app) sinkFor(run *executor.Run, f *runFlags) sink {
	if f.gather || f.lines || f.diff {
		style := gather.Style{Lines: f.lines, Diff: f.diff, ByHost: f.lines && !f.gather}
		return a.newGather(run, style, f.raw)
	}
	return a.newLive(!f.noPrefix, f.raw)
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// readAtMost reads all of r, or refuses.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("larger than %s (send it with: tfwctl cp)", size(limit))
	}
	return data, err
}
