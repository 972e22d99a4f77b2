package executor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// halt kills the command because of cause, brings what it had said, and gives
// the stop with its proof as the error.
func (x *execution) halt(dc DurableCommand, cause error) (End, error) {
	if errors.Is(cause, errDrain) {
		return End{}, errDrain
	}
	stop := asStop(cause)
	if x.op.Begun.IsZero() {
		return End{}, stop
	}
	grace := x.grace()
	ctx, done := context.WithTimeout(x.r.e.background, grace+30*time.Second)
	defer done()
	report, err := x.kill(ctx, dc, grace)
	if x.r.e.background.Err() != nil {
		return End{}, errDrain // the next process finds the stop on record and kills again
	}
	if err != nil {
		x.r.event(fmt.Sprintf("could not be killed: %s", reason(err)))
		stop.reason += fmt.Sprintf(": not proven dead, it may still run: %s (see: tfwctl hosts %s)", reason(err), x.id.Host)
		return End{}, stop
	}
	for i := range report.Left {
		report.Left[i].Command = x.r.masks.text(report.Left[i].Command)
	}
	stop.kill = &report
	x.r.event(stop.reason + ": " + report.String())
	if end, err := x.collect(ctx, dc); err == nil {
		x.op.End = &end
	}
	return End{}, stop
}

// kill reaches the host, however often it takes, and kills.
func (x *execution) kill(ctx context.Context, dc DurableCommand, grace time.Duration) (KillReport, error) {
	for {
		if err := x.r.connect(ctx, time.Now()); err != nil {
			return KillReport{}, err
		}
		report, err := x.r.conn.Kill(ctx, x.id, dc.Become, grace)
		if err == nil || !errors.Is(err, ErrLost) {
			return report, err
		}
		x.r.release()
		sleep(ctx, 200*time.Millisecond) // a ctx that is over ends the next round
	}
}

// collect brings the last bytes and the end of a killed command.
func (x *execution) collect(ctx context.Context, dc DurableCommand) (End, error) {
	ctx, done := context.WithTimeout(ctx, 15*time.Second)
	defer done()
	from, err := x.from(ctx)
	if err != nil {
		return End{}, err
	}
	x.prepareSink(ctx, from)
	x.sink.quiet = true
	end, err := x.run(ctx, dc, from, true)
	return end, errors.Join(err, x.sink.unveil(context.WithoutCancel(ctx))) // what was held back, however it ended
}

func (x *execution) grace() time.Duration {
	if g := time.Duration(x.r.a.options().Grace); g > 0 {
		return g
	}
	return x.r.e.cfg.Grace
}

// asStop turns the cause of a context's end into a stop of this command's own.
func asStop(cause error) *stopError {
	var s *stopError
	switch {
	case errors.As(cause, &s):
		own := *s
		return &own
	case errors.Is(cause, context.DeadlineExceeded):
		return &stopError{verdict: TimedOut, code: "timeout", reason: "timed out"}
	}
	return &stopError{verdict: Cancelled, code: "cancelled", reason: "cancelled"}
}
