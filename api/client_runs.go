package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tfw/executor"
)

// Preview is what a request would do: nothing was run.
type Preview struct {
	Hosts   []string `json:"hosts" doc:"the hosts that would run it, in order"`
	Missing []string `json:"missing,omitempty" doc:"unknown names that allow_missing left out"`
	Refused *Problem `json:"refused,omitempty" doc:"why it would be refused: hosts in maintenance, a lease, the plugin or rights; absent when it would run"`
}

// RunPage is a page of runs, newest first.
type RunPage struct {
	Runs runList `json:"runs"`
	Next string  `json:"next,omitempty" doc:"marker of the next page; absent on the last one"`
}

// Submit asks for a run and gives it as it was queued. With req.IdempotencyKey
// set it may be repeated after any failure: the same key never runs twice.
// req.RequestID is sent as X-Request-Id.
func (c *Client) Submit(ctx context.Context, req executor.Request) (*executor.Run, error) {
	run := &executor.Run{}
	return run, c.json(ctx, submit(req, nil), run)
}

// Preview checks a request as Submit would, and tells which hosts it would run on.
func (c *Client) Preview(ctx context.Context, req executor.Request) (Preview, error) {
	var p Preview
	return p, c.json(ctx, submit(req, url.Values{"dry_run": {"true"}}), &p)
}

func submit(req executor.Request, query url.Values) call {
	r := call{method: http.MethodPost, path: "/v2.1/runs", query: query, body: req, header: http.Header{}}
	if req.IdempotencyKey != "" {
		r.header.Set("Idempotency-Key", req.IdempotencyKey)
	}
	if req.RequestID != "" {
		r.header.Set("X-Request-Id", req.RequestID)
	}
	return r
}

// Run gives a run as it stands. id may be a unique prefix, or "last" for the caller's newest.
func (c *Client) Run(ctx context.Context, id string) (*executor.Run, error) {
	run := &executor.Run{}
	return run, c.get(ctx, runPath(id), nil, run)
}

// RunWithOutput is Run with the first 64 KiB of each host's streams.
func (c *Client) RunWithOutput(ctx context.Context, id string) (*executor.Run, error) {
	run := &executor.Run{}
	return run, c.get(ctx, runPath(id), url.Values{"output": {"true"}}, run)
}

// Runs lists runs, newest first unless f says otherwise, and the marker of the
// next page, "" at the end. They are without Hosts, Options and long Parameters: Tally
// tells how many hosts ended how, [Client.Run] gives the rest.
func (c *Client) Runs(ctx context.Context, f executor.RunFilter) (runs []*executor.Run, next string, err error) {
	q := url.Values{}
	set(q, "state", string(f.State))
	set(q, "verdict", string(f.Verdict))
	set(q, "host", f.Host)
	set(q, "plugin", f.Plugin)
	set(q, "plan", f.Plan)
	set(q, "by", f.By)
	if f.Oldest {
		q.Set("sort", "created")
	}
	set(q, "marker", f.Marker)
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	var page RunPage
	err = c.get(ctx, "/v2.1/runs", q, &page)
	return page.Runs, page.Next, err
}

// Cancel asks a run to end and returns at once; Wait for the end.
func (c *Client) Cancel(ctx context.Context, id, reason string) (*executor.Run, error) {
	run := &executor.Run{}
	body := map[string]string{}
	if reason != "" {
		body["reason"] = reason
	}
	return run, c.json(ctx, call{method: http.MethodPost, path: runPath(id) + "/cancel", body: body}, run)
}

// Rerun submits a run's request again, only on the hosts that did not pass when failedOnly.
func (c *Client) Rerun(ctx context.Context, id string, failedOnly bool) (*executor.Run, error) {
	run := &executor.Run{}
	body := map[string]bool{"failed": failedOnly}
	return run, c.json(ctx, call{method: http.MethodPost, path: runPath(id) + "/rerun", body: body}, run)
}

// Wait returns the run once it is done. It sits out a controller that restarts,
// as long as [WithPatience] allows. When ctx ends, it gives the run as last seen, nil when never, and ctx's error.
func (c *Client) Wait(ctx context.Context, id string) (*executor.Run, error) {
	var last *executor.Run
	tries := c.newPatience()
	for {
		run := &executor.Run{}
		switch err := c.get(ctx, runPath(id), url.Values{"wait": {"60s"}}, run); {
		case err == nil && run.State == executor.Done:
			return run, nil
		case err == nil:
			last, id = run, string(run.ID) // "last" may mean another one by now
			tries.reset()
		case ctx.Err() != nil:
			return last, ctx.Err()
		case !tries.again(ctx, err):
			return last, firstOf(ctx.Err(), err)
		}
	}
}

func runPath(id string) string { return "/v2.1/runs/" + url.PathEscape(id) }

func set(q url.Values, key, value string) {
	if value != "" {
		q.Set(key, value)
	}
}

// patience decides whether to try once more after a failure, and waits before that.
type patience struct {
	bound, delay time.Duration
	since        time.Time // of the first failure in a row
}

func (c *Client) newPatience() *patience { return &patience{bound: c.patience} }

func (p *patience) reset() { p.delay, p.since = 0, time.Time{} }

// again reports whether the failure may pass: the controller was not reached, or is shutting down.
func (p *patience) again(ctx context.Context, err error) bool {
	var lost *unreachable
	var said *Problem
	if !errors.As(err, &lost) && !(errors.As(err, &said) && said.Status >= 502 && said.Status <= 504) {
		return false
	}
	now := time.Now()
	if p.since.IsZero() {
		p.since = now
	}
	if now.Sub(p.since) >= p.bound {
		return false
	}
	p.delay = min(max(2*p.delay, 100*time.Millisecond), 2*time.Second)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(p.delay):
		return true
	}
}
