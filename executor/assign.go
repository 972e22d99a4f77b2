package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sourcegraph/conc/panics"

	"tfw/plugins"
)

// assign does one host's part of a run and stores its result, whatever happens.
func (e *Executor) assign(a *active, p *part) {
	if !e.settled(a, p) {
		e.inside(a, p)
	}
	if p.result.Verdict == "" { // draining: the next process goes on
		return
	}
	e.count(a, p)
}

// inside performs the part while it has its place on the host.
func (e *Executor) inside(a *active, p *part) {
	leave, err := e.occupy(a, p)
	switch {
	case errors.Is(err, errDrain):
	case err != nil:
		judge(&p.result, err)
		e.conclude(a, p, nil)
	default:
		defer leave()
		begun := e.gate.enter(a, p.host.Name)
		defer begun()
		p.begun = begun
		if !e.settled(a, p) { // while it waited
			e.perform(a, p)
		}
	}
}

// settled ends a part that is not to be begun.
func (e *Executor) settled(a *active, p *part) bool {
	if len(p.ops) > 0 { // begun by an earlier process
		return false
	}
	why := a.halted()
	if cause := context.Cause(a.ctx); cause != nil {
		var s *stopError
		if !errors.As(cause, &s) {
			return true // draining
		}
		if why == "" {
			p.result.Verdict, p.result.Reason, p.result.Code = s.verdict, s.reason+" before it began", s.code
			e.conclude(a, p, nil)
			return true
		}
	}
	if why != "" {
		p.result.Verdict, p.result.Reason, p.result.Code = Skipped, why, "skipped"
		e.conclude(a, p, nil)
		return true
	}
	return false
}

// perform calls the method and turns what it says into the host's result.
func (e *Executor) perform(a *active, p *part) {
	if p.result.Started.IsZero() {
		p.result.Started = e.now()
	}
	r := &remote{e: e, a: a, p: p}
	defer r.release()
	var outputs json.RawMessage
	var err error
	if caught := panics.Try(func() { outputs, err = a.method.Call(a.ctx, r, a.run.Parameters) }); caught != nil {
		err = fmt.Errorf("plugin %s panicked: %v", a.run.Plugin, caught.Value)
		p.result.Code = "plugin_panic"
		e.log.Error("plugin panicked", "run", a.run.ID, "host", p.host.Name, "plugin", a.run.Plugin, "panic", caught.Value, "stack", string(caught.Stack))
	}
	if err = r.unswallowed(err); errors.Is(err, errDrain) || (err != nil && errors.Is(context.Cause(a.ctx), errDrain)) {
		return
	}
	if left := r.abandoned(); len(left) > 0 && !r.abandon(left) {
		return
	}
	r.tally()
	judge(&p.result, r.inVain(err))
	p.result.Reason = r.masks.text(p.result.Reason)
	outputs = json.RawMessage(r.masks.text(string(outputs)))
	if len(outputs) > 0 && string(outputs) != "null" && string(outputs) != "{}" {
		p.result.Outputs = outputs
	}
	e.conclude(a, p, r)
}

// conclude stores a host's result together with the end of its last operation.
func (e *Executor) conclude(a *active, p *part, r *remote) {
	p.result.Finished = e.now()
	err := e.persist(a, func(tx Tx) error {
		if r != nil {
			if err := errors.Join(r.flush(tx), r.learn(tx)); err != nil {
				return err
			}
		}
		return put(tx, tableResults, resultKey(a.run.ID, p.index), p.record())
	})
	if err != nil {
		p.result.Verdict = "" // not stored: not ended
		return
	}
	if r != nil {
		r.flushed()
	}
	e.parted(a, p)
}

// judge fills in the verdict, reason and code that a method's error means.
func judge(res *HostResult, err error) {
	var failed *plugins.FailedError
	var stopped *stopError
	var end *EndError
	switch {
	case err == nil:
		res.Verdict = Passed
		return
	case errors.As(err, &stopped):
		res.Verdict, res.Code, res.Kill = stopped.verdict, stopped.code, stopped.kill
		res.Reason = stopped.reason
		if stopped.kill != nil {
			res.Reason += ": " + stopped.kill.String()
		}
		return
	case errors.As(err, &failed):
		res.Verdict, res.Reason = Failed, failed.Reason
		if failed.ExitCode != 0 {
			res.ExitCode, res.Signal = &failed.ExitCode, failed.Signal
		}
		return
	case errors.Is(err, ErrPath):
		res.Verdict, res.Reason, res.Code = Failed, reason(err), codeOf(err)
		return
	case errors.As(err, &end):
		res.Code = strings.ReplaceAll(string(end.End.Kind), " ", "_")
	}
	res.Verdict, res.Reason = Errored, reason(err)
	if res.Code == "" {
		res.Code = codeOf(err)
	}
}

// reason is the error for a host's own line: without the host's name in front.
func reason(err error) string {
	var t *TransportError
	if errors.As(err, &t) && errors.Is(err, t) && err.Error() == t.Error() {
		return strings.TrimPrefix(err.Error(), t.Host+": ")
	}
	return err.Error()
}

// codeOf gives the machine's word for an error.
func codeOf(err error) string {
	var away *outOfReachError
	var met *recordedError
	switch {
	case errors.As(err, &met):
		return met.code
	case errors.Is(err, ErrLeased):
		return "leased"
	case errors.Is(err, ErrNotDeterministic):
		return "not_deterministic"
	case errors.As(err, &away):
		return "out_of_reach"
	case errors.Is(err, ErrBecome):
		return "become"
	case errors.Is(err, ErrAuth):
		return "auth"
	case errors.Is(err, ErrHostKey):
		return "host_key"
	case errors.Is(err, ErrUnreachable):
		return "unreachable"
	case errors.Is(err, ErrLost):
		return "lost"
	case errors.Is(err, ErrPath):
		return "path"
	case errors.Is(err, ErrRefused):
		return "refused"
	}
	return "plugin"
}
