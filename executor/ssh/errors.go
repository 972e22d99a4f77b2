package ssh

import (
	"context"
	"errors"
	"fmt"

	"tfw/executor"
)

// cause is an error with its kind and hint, before the host and operation are known.
type cause struct {
	kind error
	hint string
	err  error
}

func (c *cause) Error() string   { return c.err.Error() }
func (c *cause) Unwrap() []error { return []error{c.kind, c.err} }

func because(kind error, hint string, format string, args ...any) error {
	return &cause{kind, hint, fmt.Errorf(format, args...)}
}

// lost is the error for a link that broke. why may be nil.
func lost(why error) error {
	var c *cause
	if errors.As(why, &c) && errors.Is(c.kind, executor.ErrLost) {
		return why
	}
	if why == nil {
		return because(executor.ErrLost, "", "connection lost")
	}
	return because(executor.ErrLost, "", "connection lost: %w", why)
}

// fail wraps an error for the caller: always a *executor.TransportError.
func fail(host, op string, err error) error {
	if err == nil {
		return nil
	}
	var t *executor.TransportError
	if errors.As(err, &t) {
		return err
	}
	var c *cause
	if errors.As(err, &c) {
		return &executor.TransportError{Kind: c.kind, Host: host, Op: op, Err: err, Hint: c.hint}
	}
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			return &executor.TransportError{Kind: ended, Host: host, Op: op, Err: err}
		}
	}
	return &executor.TransportError{Kind: executor.ErrUnreachable, Host: host, Op: op, Err: err}
}
