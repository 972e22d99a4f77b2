package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tfw/plugins"
)

// Run runs a command of the method: exactly once on the host, whatever happens in between.
func (r *remote) Run(ctx context.Context, cmd plugins.Command) (plugins.Result, error) {
	if err := checkCommand(cmd); err != nil {
		return plugins.Result{}, err
	}
	op, ordinal, err := r.step("run", cmd)
	if err != nil {
		return plugins.Result{}, err
	}
	x := &execution{r: r, op: op, ordinal: ordinal, cmd: cmd, id: CommandID{r.a.run.ID, r.p.host.Name, ordinal}}
	if op.Ended {
		n := x.kept()
		r.kept += n.Stdout + n.Stderr
		r.remember(cmd)
		return x.result(ctx)
	}
	return x.perform(ctx)
}

// execution is one command on its way to its end.
type execution struct {
	r       *remote
	op      *opRecord
	ordinal int
	cmd     plugins.Command
	id      CommandID

	ctx  context.Context
	stop context.CancelCauseFunc
	sink *sink
	away time.Time // since when the host is out of reach with the command under way

	barren int // connections in a row that brought nothing of the command

	mu      sync.Mutex  // guards the record between the confirmation of the start and the end
	over    bool        //
	confirm *time.Timer // stores that the start was confirmed, unless the end comes first
}

// perform starts or attaches, and stores how it ended.
func (x *execution) perform(ctx context.Context) (plugins.Result, error) {
	x.ctx, x.stop = context.WithCancelCause(ctx)
	defer x.stop(nil)
	if !x.op.Begun.IsZero() { // an earlier process began it
		x.away = time.Now()
	}
	end, err := x.follow()
	x.settle()
	if !errors.Is(err, errDrain) {
		x.endSync()
	}
	switch {
	case err == nil:
		x.op.End = &end
	case errors.Is(err, errDrain):
		x.r.broken = err
		return plugins.Result{}, err
	default:
		x.op.Failure = failure(err)
		x.op.Failure.Text = x.r.masks.text(x.op.Failure.Text)
		if !x.op.Begun.IsZero() {
			x.op.Kept = x.kept()
		}
	}
	x.heads(ctx)
	x.r.close(x.op, x.ordinal)
	return x.result(ctx)
}

// heads records what the method is shown of a command whose output was not kept
// whole: the log could not show it to a replay.
func (x *execution) heads(ctx context.Context) {
	if x.op.End == nil || x.sink == nil || !x.sink.truncated {
		return
	}
	out, _ := x.head(ctx, Stdout, x.op.End.Sizes.Stdout) // what cannot be read now is not shown, now and later
	errs, _ := x.head(ctx, Stderr, x.op.End.Sizes.Stderr)
	x.op.Truncated, x.op.Stdout, x.op.Stderr = true, out, errs
}

// kept is how much the log holds of a command whose end is not known.
func (x *execution) kept() Offsets {
	n, err := x.r.e.store.Lengths(context.WithoutCancel(x.r.a.ctx), x.id)
	if err != nil {
		x.r.e.log.Warn("cannot tell the length of a log", "run", x.id.Run, "host", x.id.Host, "error", err)
	}
	return n
}

// result counts the end, fresh or on record, and gives the method its answer.
func (x *execution) result(ctx context.Context) (plugins.Result, error) {
	sizes := x.op.Kept
	if x.op.End != nil {
		x.r.last, sizes = x.op.End, x.op.End.Sizes
	}
	x.r.out += sizes.Stdout
	x.r.err += sizes.Stderr
	x.r.p.result.Truncated = x.r.p.result.Truncated || x.op.Truncated
	return x.answer(ctx)
}

// follow brings the command to its end over as many connections as it takes.
func (x *execution) follow() (End, error) {
	dc, err := x.r.durable(x.id, x.cmd)
	if err != nil {
		return End{}, err
	}
	x.op.As = changed(dc.Become)
	stopClock := func() {}
	defer func() { stopClock() }()
	if !x.op.Begun.IsZero() { // its time goes on while the host is out of reach
		stopClock = x.clock()
	}
	for {
		err := x.r.connect(x.ctx, x.away)
		if err == nil && x.op.Begun.IsZero() {
			err = x.r.intend(x.op, x.ordinal)
		}
		var end End
		if err == nil {
			stopClock()
			stopClock = x.clock()
			end, err = x.attach(dc)
		}
		switch {
		case err == nil:
			return end, nil
		case x.ctx.Err() != nil:
			return x.halt(dc, context.Cause(x.ctx))
		case errors.Is(err, ErrLost) && !x.op.Begun.IsZero():
			if err := x.lost(err); err != nil {
				return End{}, err
			}
		default:
			return End{}, err
		}
	}
}

// attach runs or re-attaches over the present connection, from what the store holds.
func (x *execution) attach(dc DurableCommand) (End, error) {
	from, err := x.from(x.ctx)
	if err != nil {
		return End{}, err
	}
	x.prepareSink(x.ctx, from)
	defer x.sink.rest()
	if err := x.prepareSync(&dc); err != nil {
		return End{}, err
	}
	defer x.sync()()
	dc.BootID, dc.Begun = x.op.BootID, time.Now().Add(-x.r.e.Since(x.op.Begun)) // a host that was booted since does not start it again
	end, err := x.run(x.ctx, dc, from, x.op.Started)
	if err == nil {
		err = x.sink.unveil(x.ctx)
	}
	if err != nil {
		return End{}, err
	}
	x.back()
	return end, nil
}

// from is where the host is to begin: what the log holds, or what was let go.
func (x *execution) from(ctx context.Context) (Offsets, error) {
	n, err := x.r.e.store.Lengths(ctx, x.id)
	if err != nil {
		return n, fmt.Errorf("log of %s: %w", x.id, err)
	}
	return Offsets{max(n.Stdout, x.op.Dropped.Stdout), max(n.Stderr, x.op.Dropped.Stderr)}, nil
}

// back tells the tester that the command is followed again: a host that only
// accepts connections is not back.
func (x *execution) back() {
	if x.away.IsZero() {
		return
	}
	x.r.trouble = ""
	x.r.p.result.Reconnects++
	x.r.e.reattached(time.Since(x.away))
	x.r.event(fmt.Sprintf("re-attached after %s", time.Since(x.away).Round(100*time.Millisecond)))
	x.away = time.Time{}
}

// lost drops the connection; the command goes on on its host. Connections that
// break without having brought anything are made ever more slowly, until the host counts as out of reach.
func (x *execution) lost(err error) error {
	x.r.release()
	barren := x.sink == nil || !x.sink.fed
	if barren && !x.away.IsZero() && time.Since(x.away) >= x.r.lostAfter() {
		return &outOfReachError{after: x.r.lostAfter().String(), err: err}
	}
	x.announce(err)
	if !barren {
		x.barren, x.sink.fed = 0, false
		return nil
	}
	x.barren++
	if x.barren > 1 {
		sleep(x.ctx, min(25*time.Millisecond<<min(x.barren, 10), 10*time.Second))
	}
	return nil
}

func (x *execution) announce(err error) {
	if x.away.IsZero() {
		x.away = time.Now()
		x.r.e.counters.lost.Add(1)
		x.r.event("connection lost: " + reason(err))
		x.r.e.log.Warn("connection lost, the command goes on", "run", x.id.Run, "host", x.id.Host, "error", err)
	}
}

// started notes that the host has confirmed the start. Commands that end at once
// do not pay a write for it.
func (x *execution) started() {
	x.r.p.begun()
	x.back()
	x.warn()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.op.Started || x.over {
		return
	}
	x.op.Started = true
	x.confirm = time.AfterFunc(50*time.Millisecond, x.storeStart)
}

// warn tells the tester, once, that the host will not let the command outlive its connection.
func (x *execution) warn() {
	why := x.r.conn.Info().NotDurable
	if why != "" && x.r.notDurable == "" {
		x.r.event("not durable: " + why)
	}
	x.r.notDurable = why
}

func (x *execution) storeStart() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return
	}
	op := *x.op
	err := x.r.e.store.Update(context.WithoutCancel(x.ctx), func(tx Tx) error {
		return put(tx, tableOps, opKey(x.id.Run, x.r.p.index, x.ordinal), op)
	})
	if err != nil {
		x.r.e.log.Warn("cannot store that a command was started", "run", x.id.Run, "host", x.id.Host, "error", err)
	}
}

// settle waits for a confirmation under way; none comes after it.
func (x *execution) settle() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	if x.confirm != nil {
		x.confirm.Stop()
	}
}

// clock ends the command when its own time is over, counted from its first start.
func (x *execution) clock() (stop func()) {
	limit := shorter(x.cmd.Timeout, time.Duration(x.r.a.options().CommandTimeout))
	if limit == 0 {
		return func() {}
	}
	t := time.AfterFunc(limit-x.r.e.Since(x.op.Begun), func() {
		x.stop(&stopError{verdict: TimedOut, code: "command_timeout", reason: fmt.Sprintf("the command took longer than %s", limit)})
	})
	return func() { t.Stop() }
}

// shorter gives the smaller of two bounds; 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}
