package api

import (
	"context"
	"encoding/json"
	"errors"
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
	return p, c.json(ctx, call{method: http.MethodPost, path: "/v2.1/testplans/check", body: s, safe: true}, &p)
}

// Testplans lists test plans, newest first, and the marker of the next page, "" at the end; with
// a name only those of that name.
func (c *Client) Testplans(ctx context.Context, name string, limit int, marker string) (all []plan.TestPlan, next string, err error) {
	q := url.Values{}
	set(q, "name", name)
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

// ResultsOptions select rows of results. The zero value is all of them.
type ResultsOptions struct {
	plan.RowFilter
	Output bool // with the end of the log of what did not pass
}

func (o ResultsOptions) query() url.Values {
	q := url.Values{}
	set(q, "step", o.Step)
	set(q, "cell", o.Cell)
	set(q, "host", o.Host)
	set(q, "verdict", string(o.Verdict))
	if o.Bad {
		q.Set("failed", "true")
	}
	if o.Output {
		q.Set("output", "true")
	}
	return q
}

// TestplanResults gives all rows of a test plan that the options select.
func (c *Client) TestplanResults(ctx context.Context, id string, o ResultsOptions) (Results, error) {
	return c.results(ctx, testplanPath(id), o)
}

// RunResults gives all rows of a run that the options select.
func (c *Client) RunResults(ctx context.Context, id string, o ResultsOptions) (Results, error) {
	return c.results(ctx, runPath(id), o)
}

func (c *Client) results(ctx context.Context, path string, o ResultsOptions) (all Results, err error) {
	q := o.query()
	q.Set("limit", "10000")
	rows, err := pages(func(marker string) ([]plan.Row, string, error) {
		set(q, "marker", marker)
		var page Results
		err := c.get(ctx, path+"/results", q, &page)
		all = page
		return page.Rows, page.Next, err
	})
	all.Rows, all.Next = rows, ""
	return all, err
}

// TestplanReport writes the results of a test plan as "junit" or "tap". When it fails, what was written is no report.
func (c *Client) TestplanReport(ctx context.Context, id, format string, o ResultsOptions, w io.Writer) error {
	return c.report(ctx, testplanPath(id), format, o, w)
}

// RunReport is TestplanReport for a run.
func (c *Client) RunReport(ctx context.Context, id, format string, o ResultsOptions, w io.Writer) error {
	return c.report(ctx, runPath(id), format, o, w)
}

func (c *Client) report(ctx context.Context, path, format string, o ResultsOptions, w io.Writer) error {
	q := o.query()
	q.Set("format", format)
	resp, err := c.do(ctx, call{method: http.MethodGet, path: path + "/results", query: q, accept: "*/*"})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(errWriter{w}, resp.Body); err != nil {
		var failed *writeError
		if errors.As(err, &failed) {
			return failed.err
		}
		return &unreachable{server: c.shown, err: fmt.Errorf("results: %w", err)}
	}
	return nil
}

// CompareTestplan sets a test plan beside another, or with "" beside the one of the same name before it.
func (c *Client) CompareTestplan(ctx context.Context, id, with string) (*plan.Comparison, error) {
	q := url.Values{}
	set(q, "with", with)
	got := &plan.Comparison{}
	return got, c.get(ctx, testplanPath(id)+"/compare", q, got)
}

// TestplanHistory tells which cases are flaky over the newest test plans of the same name; last 0 is 30 of them.
func (c *Client) TestplanHistory(ctx context.Context, id string, last int) (*plan.History, error) {
	q := url.Values{}
	if last > 0 {
		q.Set("last", strconv.Itoa(last))
	}
	got := &plan.History{}
	return got, c.get(ctx, testplanPath(id)+"/history", q, got)
}

// TestplanSchema gives the JSON Schema of plan files, with the controller's plugins.
func (c *Client) TestplanSchema(ctx context.Context) (json.RawMessage, error) {
	var doc json.RawMessage
	return doc, c.get(ctx, "/v2.1/testplan.schema.json", nil, &doc)
}
