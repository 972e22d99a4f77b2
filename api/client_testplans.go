package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tfw/executor"
	"tfw/plan"
)

// SubmitTestplan asks for a test plan to be run and gives it as it was stored. A plan with faults is
// a [*Problem] with an error for each. With s.IdempotencyKey set it may be repeated after any failure.
func (c *Client) SubmitTestplan(ctx context.Context, s plan.Submission) (*plan.TestPlan, error) {
	r := call{method: http.MethodPost, path: "/v2.1/testplans", body: s, header: http.Header{}}
	if s.IdempotencyKey != "" {
		r.header.Set("Idempotency-Key", s.IdempotencyKey)
	}
	t := &plan.TestPlan{}
	return t, c.json(ctx, r, t)
}

// CheckTestplan finds the faults of a plan, given as the errors of a [*Problem]. No host is contacted.
func (c *Client) CheckTestplan(ctx context.Context, s plan.Submission) (PlanSummary, error) {
	var p PlanSummary
	return p, c.json(ctx, call{method: http.MethodPost, path: "/v2.1/testplans/check", body: s}, &p)
}

// Testplans lists test plans, newest first, and the marker of the next page, "" at the end.
func (c *Client) Testplans(ctx context.Context, limit int, marker string) (all []plan.TestPlan, next string, err error) {
	q := url.Values{}
	set(q, "marker", marker)
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var page TestplanPage
	err = c.get(ctx, "/v2.1/testplans", q, &page)
	return page.Testplans, page.Next, err
}

// Testplan gives a test plan as it stands. id may be a unique prefix, or "last" for the caller's newest.
func (c *Client) Testplan(ctx context.Context, id string) (*plan.TestPlan, error) {
	t := &plan.TestPlan{}
	return t, c.get(ctx, testplanPath(id), nil, t)
}

// CancelTestplan asks a test plan to end and returns at once.
func (c *Client) CancelTestplan(ctx context.Context, id, reason string) (*plan.TestPlan, error) {
	t, body := &plan.TestPlan{}, map[string]string{}
	if reason != "" {
		body["reason"] = reason
	}
	return t, c.json(ctx, call{method: http.MethodPost, path: testplanPath(id) + "/cancel", body: body}, t)
}

// ResumeTestplan begins a new test plan that runs again what did not pass of one that is done.
func (c *Client) ResumeTestplan(ctx context.Context, id string) (*plan.TestPlan, error) {
	t := &plan.TestPlan{}
	return t, c.json(ctx, call{method: http.MethodPost, path: testplanPath(id) + "/resume"}, t)
}

// FollowTestplan gives a test plan as it stands, then again whenever it has changed, until it is done;
// changes in quick succession come together. It sits out a controller that restarts, as long as
// [WithPatience] allows. It ends with an error, given once with nil, when that is not possible or ctx ends.
func (c *Client) FollowTestplan(ctx context.Context, id string) iter.Seq2[*plan.TestPlan, error] {
	return func(yield func(*plan.TestPlan, error) bool) {
		tries := c.newPatience()
		for known := ""; ; {
			t, tag, err := c.changedTestplan(ctx, id, known)
			switch {
			case err == nil && t == nil: // nothing changed in that time
				tries.reset()
			case err == nil:
				if !yield(t, nil) || t.State == executor.Done {
					return
				}
				tries.reset()
				id, known = t.ID, tag
				pause(ctx.Done(), followEvery)
			case ctx.Err() != nil:
				yield(nil, ctx.Err())
				return
			case !tries.again(ctx, err):
				yield(nil, firstOf(ctx.Err(), err))
				return
			}
		}
	}
}

// followEvery bounds how often a test plan that changes all the time is read.
const followEvery = 50 * time.Millisecond

// changedTestplan waits until the test plan is not the one with the tag known; nil when it stayed so.
func (c *Client) changedTestplan(ctx context.Context, id, known string) (*plan.TestPlan, string, error) {
	r := call{method: http.MethodGet, path: testplanPath(id)}
	if known != "" {
		r.query, r.header = url.Values{"wait": {"60s"}}, http.Header{"If-None-Match": {known}}
	}
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, "", &unreachable{server: c.shown, err: err}
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified:
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
		return nil, known, nil
	case resp.StatusCode/100 != 2:
		return nil, "", problemFrom(resp, r)
	}
	t := &plan.TestPlan{}
	if err := json.NewDecoder(resp.Body).Decode(t); err != nil {
		return nil, "", &unreachable{server: c.shown, err: fmt.Errorf("%s %s: %w", r.method, r.path, err)}
	}
	return t, resp.Header.Get("ETag"), nil
}

func testplanPath(id string) string { return "/v2.1/testplans/" + url.PathEscape(id) }
