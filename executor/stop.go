package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// stopError is why a run or a command is ended before its time.
type stopError struct {
	verdict Verdict // Cancelled or TimedOut
	code    string
	reason  string      // of one host, told to who sees only that one too: nothing of the others
	whole   string      // of the run; "" is reason
	kill    *KillReport // proof, once there is one
}

func (s *stopError) Error() string { return s.reason }

// errDrain lets go of a run without ending anything on its hosts.
var errDrain = errors.New("the controller is shutting down")

// stopReason is why the run was stopped, or "".
func stopReason(ctx context.Context) string {
	var s *stopError
	if errors.As(context.Cause(ctx), &s) {
		return cmp.Or(s.whole, s.reason)
	}
	return ""
}

// EndError says that how a command ended is not known, and why. It is never a guess.
type EndError struct {
	End End
}

func (e *EndError) Error() string {
	if e.End.Kind == EndSpoolFull { // how it ended is known, what it said is not
		return fmt.Sprintf("%s: %s", e.End.Kind, e.End.Note)
	}
	if e.End.Note != "" {
		return fmt.Sprintf("the command's exit status is not known: %s: %s", e.End.Kind, e.End.Note)
	}
	return fmt.Sprintf("the command's exit status is not known: %s", e.End.Kind)
}

// ErrNotDeterministic says that a replayed method asked for something else than it had before.
var ErrNotDeterministic = errors.New("plugin is not deterministic")

// outOfReachError says that a host with a command under way did not come back in time.
type outOfReachError struct {
	after string
	err   error
}

func (e *outOfReachError) Error() string {
	return fmt.Sprintf("out of reach for %s, the command may still run there: %v", e.after, e.err)
}

func (e *outOfReachError) Unwrap() error { return e.err }
