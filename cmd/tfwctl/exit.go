package main

import (
	"errors"

	"tfw/api"
	"tfw/cmd/controller"
	"tfw/executor"
	"tfw/inventory"
	"tfw/plugins"
)

// The exit statuses that scripts may rely on.
const (
	exitPassed    = 0
	exitFailed    = 1 // some host said no
	exitUsage     = 2 // usage, target or parameters refused
	exitErrored   = 3 // some host could not be told: unreachable, auth, host key
	exitTimedOut  = 4
	exitCancelled = 5
	exitRefused   = 6 // by a lease or by rights
)

// exitOfRun is the worst of a run's hosts: 3 > 4 > 5 > 1.
func exitOfRun(run *executor.Run) int {
	worst := run.Verdict
	for i := range run.Hosts {
		worst = executor.Worst(worst, run.Hosts[i].Verdict)
	}
	return exitOfVerdict(worst)
}

func exitOfVerdict(v executor.Verdict) int {
	switch v {
	case executor.Failed:
		return exitFailed
	case executor.Errored:
		return exitErrored
	case executor.TimedOut:
		return exitTimedOut
	case executor.Cancelled:
		return exitCancelled
	}
	return exitPassed
}

// exitOfError tells the status of a command that ended with an error.
func exitOfError(err error) int {
	var status statusError
	var usage usageError
	var inv inventory.Problems
	var target *inventory.TargetError
	switch {
	case err == nil:
		return exitPassed
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage), errors.As(err, &inv), errors.As(err, &target), errors.Is(err, controller.ErrRefused):
		return exitUsage
	case errors.Is(err, executor.ErrForbidden), errors.Is(err, executor.ErrLeased), errors.Is(err, executor.ErrTooMany):
		return exitRefused
	case errors.Is(err, executor.ErrBadRequest), errors.Is(err, executor.ErrNotFound), errors.Is(err, executor.ErrConflict), errors.Is(err, executor.ErrSealed),
		errors.Is(err, plugins.ErrUnknown), errors.Is(err, api.ErrTooLarge):
		return exitUsage
	}
	return exitErrored
}

// statusError ends the program with a status; everything has been said already.
type statusError int

func (statusError) Error() string { return "" }

// usageError is what the caller got wrong.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }
