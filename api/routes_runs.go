package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
	"tfw/inventory"
	"tfw/plan"
)

// runOut answers with a run.
type runOut struct {
	Status   int
	Location string `header:"Location" doc:"of the run"`
	ETag     string `header:"ETag" doc:"of a run that is done: it does not change any more"`
	Body     any
}

func runAnswer(status int, run *executor.Run) *runOut {
	out := &runOut{Status: status, Body: run, Location: "/v2.1/runs/" + string(run.ID)}
	run.Hosts = list(run.Hosts)
	return out
}

func (s *Server) runRoutes() {
	tags := []string{"runs"}
	route(s, huma.Operation{OperationID: "createRun", Method: http.MethodPost, Path: "/v2.1/runs", Summary: "Run a method on a target", Tags: tags, DefaultStatus: http.StatusAccepted,
		Description: "Answers at once with the run as it was queued, or with the ended one when `wait` is given and long enough. With an `Idempotency-Key` the request may be sent again after any failure: the same key never runs twice.",
		Responses: map[string]*huma.Response{
			"200": eitherResponse[executor.Run, Preview](s, "The ended run, or with dry_run the hosts that it would run on"),
			"202": jsonResponse[executor.Run](s, "The run as it stands"),
		}, Errors: []int{404, 409, 507}}, s.createRun)
	route(s, huma.Operation{OperationID: "listRuns", Method: http.MethodGet, Path: "/v2.1/runs", Summary: "Runs, newest first", Tags: tags,
		Description: "As lists show them: without the results of their hosts (`hosts`), of which `tally` tells how many ended how, without `options`, and without `parameters` longer than 4 KiB. Ask for one run to see all of it. " +
			"A page costs the same however many runs there are."}, s.listRuns)
	route(s, huma.Operation{OperationID: "getRun", Method: http.MethodGet, Path: "/v2.1/runs/{id}", Summary: "One run as it stands", Tags: tags,
		Description: "With `wait`, answers when the run is done, or as it stands when the time is over.",
		Responses:   map[string]*huma.Response{"200": jsonResponse[executor.Run](s, "OK")}, Errors: []int{404}}, s.getRun)
	route(s, huma.Operation{OperationID: "cancelRun", Method: http.MethodPost, Path: "/v2.1/runs/{id}/cancel", Summary: "End a run", Tags: tags, DefaultStatus: http.StatusAccepted,
		Description: "Its processes are killed on the hosts; the results hold the proof. Answers at once.",
		Responses:   map[string]*huma.Response{"202": jsonResponse[executor.Run](s, "The run as it stands")}, Errors: []int{404, 409}}, s.cancelRun)
	route(s, huma.Operation{OperationID: "rerunRun", Method: http.MethodPost, Path: "/v2.1/runs/{id}/rerun", Summary: "Run the same again", Tags: tags, DefaultStatus: http.StatusAccepted,
		Responses: map[string]*huma.Response{"202": jsonResponse[executor.Run](s, "The new run")}, Errors: []int{404, 409, 507}}, s.rerunRun)
}

type createRunIn struct {
	Wait   wait   `query:"wait"`
	DryRun bool   `query:"dry_run" doc:"only check the request and tell which hosts it would run on"`
	Key    string `header:"Idempotency-Key" maxLength:"200" doc:"the same key of the same user never runs twice"`
	Body   executor.Request
}

func (s *Server) createRun(ctx context.Context, r *request, in *createRunIn) (*runOut, error) {
	req := in.Body
	if req.Plan != "" || req.Step != "" {
		return nil, badField("body.plan", "plan and step are set by test plans only")
	}
	if in.DryRun {
		return s.preview(ctx, r, req)
	}
	return s.submit(ctx, r, req, in.Key, in.Wait)
}

// submit is what both ways of asking for a run come to.
func (s *Server) submit(ctx context.Context, r *request, req executor.Request, key string, w wait) (*runOut, error) {
	if strings.HasPrefix(key, plan.OwnKeys) {
		return nil, badField("header.Idempotency-Key", "one that begins with %s is a test plan's own (take any other)", plan.OwnKeys)
	}
	req.IdempotencyKey, req.RequestID, req.AdHoc = key, r.id, true
	run, err := s.cfg.Executor.Submit(ctx, r.principal, req)
	if err != nil {
		return nil, err
	}
	if w.Duration <= 0 {
		return runAnswer(http.StatusAccepted, run), nil
	}
	ended, err := s.waitFor(ctx, r, string(run.ID), w)
	if err != nil {
		return nil, err
	}
	if ended.State != executor.Done {
		return runAnswer(http.StatusAccepted, ended), nil
	}
	return runAnswer(http.StatusOK, ended), s.cfg.Executor.WithOutput(ctx, r.principal, ended)
}

// waitFor gives the run when it is done, or as it stands when the time is over,
// the client is gone or the server is shutting down.
func (s *Server) waitFor(ctx context.Context, r *request, id string, w wait) (*executor.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, w.Duration)
	defer cancel()
	stop := s.watch(r, cancel)
	defer stop()
	run, err := s.cfg.Executor.Wait(ctx, r.principal, id)
	if run != nil && ctx.Err() != nil {
		return run, nil
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, executor.ErrNotFound) {
		return s.cfg.Executor.Run(s.ctx, r.principal, id)
	}
	return run, err
}

// watch calls cancel when the request's client is gone, its rights are not what they were, or the
// server is shutting down, until stopped.
func (s *Server) watch(r *request, cancel func()) (stop func()) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(goneEvery)
		defer tick.Stop()
		asked := time.Now()
		for {
			select {
			case <-done:
				return
			case <-s.stopping:
			case <-tick.C:
				r.over.Store(s.still(r, &asked) != nil)
				if (r.conn == nil || !r.conn.gone()) && !r.over.Load() {
					continue
				}
			}
			cancel()
			return
		}
	}()
	return func() { close(done); <-ended }
}

// goneEvery is how often a waiting request looks whether its client is still there.
const goneEvery = 500 * time.Millisecond

// preview checks a request as far as that is possible without running it.
func (s *Server) preview(ctx context.Context, r *request, req executor.Request) (*runOut, error) {
	method, err := s.cfg.Plugins.Method(req.Plugin, req.Method)
	if err != nil {
		return nil, err
	}
	if err := method.Parameters.Check(req.Parameters); err != nil {
		return nil, fmt.Errorf("%w: parameters of %s.%s: %w", executor.ErrBadRequest, req.Plugin, req.Method, err)
	}
	chosen, err := s.cfg.Executor.Select(ctx, r.principal, inventory.Query{
		Target: req.Target, Where: req.Where, AllowMissing: req.AllowMissing, Expect: req.Expect, AdHoc: true,
	})
	if err != nil {
		return nil, err
	}
	p := Preview{Hosts: []string{}, Missing: chosen.Missing}
	for _, h := range chosen.Hosts {
		p.Hosts = append(p.Hosts, h.Name)
	}
	req.AdHoc = true
	if err := s.cfg.Executor.Check(ctx, r.principal, req); err != nil {
		p.Refused, _ = problemOf(err)
	}
	return &runOut{Status: http.StatusOK, Body: p}, nil
}

type listRunsIn struct {
	State   executor.State   `query:"state" enum:"queued,running,done"`
	Verdict executor.Verdict `query:"verdict" enum:"passed,failed,errored,cancelled,skipped,timed_out"`
	Host    string           `query:"host" doc:"runs that this host had a part in"`
	Plugin  string           `query:"plugin"`
	Plan    string           `query:"plan" doc:"runs of this test plan run"`
	By      string           `query:"by" doc:"runs that this user asked for"`
	Sort    string           `query:"sort" enum:"created,-created" doc:"created: the oldest first; -created, the default: the newest first"`
	Page
}

type listRunsOut struct{ Body RunPage }

func (s *Server) listRuns(ctx context.Context, r *request, in *listRunsIn) (*listRunsOut, error) {
	runs, next, err := s.cfg.Executor.Runs(ctx, r.principal, executor.RunFilter{
		State: in.State, Verdict: in.Verdict, Host: in.Host, Plugin: in.Plugin, Plan: in.Plan, By: in.By, Oldest: in.Sort == "created", Limit: in.Limit, Marker: in.Marker,
	})
	return &listRunsOut{RunPage{Runs: list(runs), Next: next}}, err
}

// RunRef names a run in a path.
type RunRef struct {
	ID string `path:"id" maxLength:"64" doc:"id of the run, a unique prefix of it, or last" example:"last"`
}

type getRunIn struct {
	RunRef
	Wait   wait `query:"wait"`
	Output bool `query:"output" doc:"with the first 64 KiB of each host's streams"`
}

func (s *Server) getRun(ctx context.Context, r *request, in *getRunIn) (*runOut, error) {
	get := s.cfg.Executor.Run
	if in.Wait.Duration > 0 {
		get = func(ctx context.Context, _ executor.Principal, id string) (*executor.Run, error) {
			return s.waitFor(ctx, r, id, in.Wait)
		}
	}
	run, err := get(ctx, r.principal, in.ID)
	if err != nil {
		return nil, err
	}
	out := runAnswer(http.StatusOK, run)
	if in.Output {
		return out, s.cfg.Executor.WithOutput(ctx, r.principal, run)
	}
	if run.State == executor.Done && r.principal.Groups == nil { // nothing of it changes any more; which part of it is seen may
		out.ETag = `"` + string(run.ID) + `-done"`
	}
	return out, nil
}

type cancelRunIn struct {
	RunRef
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"why, for the record"`
	}
}

func (s *Server) cancelRun(ctx context.Context, r *request, in *cancelRunIn) (*runOut, error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	run, err := s.cfg.Executor.Cancel(ctx, r.principal, in.ID, reason)
	if err != nil {
		return nil, err
	}
	return runAnswer(http.StatusAccepted, run), nil
}

type rerunRunIn struct {
	RunRef
	Body *struct {
		Failed bool `json:"failed,omitempty" doc:"only on the hosts that did not pass"`
	}
}

func (s *Server) rerunRun(ctx context.Context, r *request, in *rerunRunIn) (*runOut, error) {
	run, err := s.cfg.Executor.Rerun(ctx, r.principal, in.ID, in.Body != nil && in.Body.Failed, r.id)
	if err != nil {
		return nil, err
	}
	return runAnswer(http.StatusAccepted, run), nil
}
