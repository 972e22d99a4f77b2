package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Plugin is a Go type that stands for a kind of work. It is registered once at
// start-up and used by many goroutines at a time.
type Plugin interface {
	// Name is the role that hosts declare: lower case, [a-z][a-z0-9_]*.
	Name() string
	// Summary says in one line what the plugin is for.
	Summary() string
	// Methods lists what it can do, made with [Do].
	Methods() []Method
}

// Needs says what a method asks of the controller before it may run.
type Needs struct {
	Exclusive   bool `json:"exclusive"`   // alone on its host
	Destructive bool `json:"destructive"` // changes the host for good
}

// Method is one thing a plugin can do. Made with [Do].
type Method struct {
	Name       string
	Summary    string
	Needs      Needs
	Parameters *Schema // of the parameters object
	Outputs    *Schema // of the outputs object
	// Positional names the parameters that `tfwctl run` takes without "key=", in order.
	Positional []string

	call func(ctx context.Context, remote Remote, params json.RawMessage) (any, error)
}

// Option adjusts a method made by [Do].
type Option func(*Method)

// Exclusive marks a method that must be alone on its host.
func Exclusive(m *Method) { m.Needs.Exclusive = true }

// Destructive marks a method that changes the host for good.
func Destructive(m *Method) { m.Needs.Destructive = true }

// Positional names the parameters that `tfwctl run` takes without "key=", in order.
func Positional(names ...string) Option { return func(m *Method) { m.Positional = names } }

// Do describes a method by a function over typed parameters and outputs. P and
// O are structs; their json and jsonschema tags are the schema, the catalogue
// and the manual. P may have a method Defaults() P, applied before decoding.
func Do[P, O any](name, summary string, fn func(ctx context.Context, remote Remote, params P) (O, error), opts ...Option) Method {
	m := Method{
		Name:       name,
		Summary:    summary,
		Parameters: schemaOf[P](),
		Outputs:    schemaOf[O](),
		call: func(ctx context.Context, remote Remote, raw json.RawMessage) (any, error) {
			params, err := decode[P](raw)
			if err != nil {
				return nil, err
			}
			return fn(ctx, remote, params)
		},
	}
	for _, opt := range opts {
		opt(&m)
	}
	return m
}

// Check validates parameters before any host is touched; see [Schema.Check].
func (m Method) Check(params json.RawMessage) error { return m.Parameters.Check(params) }

// Call runs the method with parameters that [Method.Check] has passed. The
// outputs are encoded as JSON even when err is not nil and there are any.
func (m Method) Call(ctx context.Context, remote Remote, params json.RawMessage) (outputs json.RawMessage, err error) {
	out, err := m.call(ctx, remote, params)
	raw, encErr := json.Marshal(out)
	if encErr != nil {
		return nil, errors.Join(err, fmt.Errorf("outputs of %s: %w", m.Name, encErr))
	}
	return raw, err
}

// A FailedError says that the host was reached and said no: the assignment's
// verdict is failed. Any other error of a method means errored.
type FailedError struct {
	Reason   string
	ExitCode int    // of the command that decided, when one did
	Signal   string // that ended it, or ""
}

func (e *FailedError) Error() string { return e.Reason }

// Failed makes a [FailedError] without an exit code.
func Failed(format string, args ...any) error {
	return &FailedError{Reason: fmt.Sprintf(format, args...)}
}

// Failure turns a result into nil when the command exited with 0, else into a [FailedError].
func (r Result) Failure() error {
	switch {
	case r.Signal != "":
		return &FailedError{Reason: "killed by SIG" + r.Signal, ExitCode: r.ExitCode, Signal: r.Signal}
	case r.ExitCode != 0:
		return &FailedError{Reason: fmt.Sprintf("exit status %d", r.ExitCode), ExitCode: r.ExitCode}
	}
	return nil
}
