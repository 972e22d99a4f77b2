package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
	"tfw/plan"
)

// Results are rows of a test plan or run, with how many there are of each verdict.
type Results struct {
	plan.Brief
	Counts map[executor.Verdict]int `json:"counts" doc:"of all rows that the filters select, on every page"`
	Rows   []plan.Row               `json:"rows" doc:"in the plan's order; a worst row for each host of a cell has its verdict"`
	Next   string                   `json:"next,omitempty" doc:"marker of the next page; absent on the last one"`
}

// rowSource gives rows step by step and io.EOF at the end.
type rowSource interface {
	Next(ctx context.Context) ([]plan.Row, error)
}

func (s *Server) resultRoutes() {
	formats := map[string]*huma.MediaType{
		"application/json": {Schema: schemaIn[Results](s)},
		"application/xml":  {Schema: &huma.Schema{Type: "string", Description: "JUnit"}},
		plain:              {Schema: &huma.Schema{Type: "string", Description: "TAP 14"}},
	}
	const how = "A row is a case that a command reported, or what a step's cell did on a host. By `format` or the Accept header: `json` in pages, " +
		"`junit` (XML, a testsuite for each step and host) or `tap` (version 14) as a whole. Rows that did not pass bring the end of their log along where `output` is asked for; the two reports have it always."
	answers := map[string]*huma.Response{"200": {Description: "The results", Content: formats}}
	route(s, huma.Operation{OperationID: "getRunResults", Method: http.MethodGet, Path: "/v2.1/runs/{id}/results", Summary: "Results of a run", Tags: []string{"runs"},
		Description: how, Responses: answers, Errors: []int{404}}, s.getRunResults)
	if s.cfg.Plans == nil {
		return
	}
	s.eventRoutes()
	route(s, huma.Operation{OperationID: "getTestplanSchema", Method: http.MethodGet, Path: "/v2.1/testplan.schema.json", Summary: "JSON Schema of plan files, for editors", Tags: []string{"testplans"},
		Description: "With the parameters of every method there is."},
		func(context.Context, *request, *struct{}) (*struct{ Body any }, error) {
			doc, err := plan.Schema(s.cfg.Plugins)
			return &struct{ Body any }{doc}, err
		})
	tags := []string{"testplans"}
	route(s, huma.Operation{OperationID: "getTestplanResults", Method: http.MethodGet, Path: "/v2.1/testplans/{id}/results", Summary: "Results of a test plan", Tags: tags,
		Description: how + " Steps that have not ended have no rows yet.", Responses: answers, Errors: []int{404}}, s.getTestplanResults)
	route(s, huma.Operation{OperationID: "compareTestplan", Method: http.MethodGet, Path: "/v2.1/testplans/{id}/compare", Summary: "What went otherwise than before", Tags: tags,
		Description: "New failures, what was fixed, what passed and took more than twice as long: beside the test plan `with`, or else the one of the same name before it. Of one that never got its hosts nothing is compared: `reason` says so.", Errors: []int{404}},
		func(ctx context.Context, r *request, in *struct {
			TestplanRef
			With string `query:"with" maxLength:"64" doc:"the test plan to compare with; absent: the one of the same name before"`
		}) (*struct{ Body *plan.Comparison }, error) {
			c, err := s.cfg.Plans.Compare(ctx, r.principal, in.ID, in.With)
			return &struct{ Body *plan.Comparison }{c}, err
		})
	route(s, huma.Operation{OperationID: "getTestplanHistory", Method: http.MethodGet, Path: "/v2.1/testplans/{id}/history", Summary: "Which cases are flaky, and is it the test or the host", Tags: tags,
		Description: "Of the newest test plans of the same name that are done. Cases that always passed are only counted.", Errors: []int{404}},
		func(ctx context.Context, r *request, in *struct {
			TestplanRef
			Last int `query:"last" minimum:"0" maximum:"200" doc:"how many test plans; 0 is 30"`
		}) (*struct{ Body *plan.History }, error) {
			h, err := s.cfg.Plans.HistoryOf(ctx, r.principal, in.ID, in.Last)
			return &struct{ Body *plan.History }{h}, err
		})
}

// ResultsQuery selects rows, and the format that they come in.
type ResultsQuery struct {
	Format  string           `query:"format" enum:"json,junit,tap" doc:"in the place of the Accept header"`
	Accept  string           `header:"Accept"`
	Step    string           `query:"step" maxLength:"1000" doc:"only this step, or those within it"`
	Cell    string           `query:"cell" maxLength:"1000" doc:"only this cell of a matrix"`
	Host    string           `query:"host" maxLength:"500" doc:"only this host"`
	Verdict executor.Verdict `query:"verdict" enum:"passed,failed,errored,cancelled,skipped,timed_out" doc:"only this verdict"`
	Failed  bool             `query:"failed" doc:"only what neither passed nor was skipped"`
	Output  bool             `query:"output" doc:"with the end of the log of what did not pass"`
	Limit   int              `query:"limit" minimum:"0" maximum:"10000" doc:"rows of a page; 0 is 1,000"`
	Marker  string           `query:"marker" pattern:"^[0-9]{0,9}$" doc:"next of the page before"`
}

func (in ResultsQuery) filter() plan.RowFilter {
	return plan.RowFilter{Step: in.Step, Cell: in.Cell, Host: in.Host, Verdict: in.Verdict, Bad: in.Failed}
}

// format is what was asked for: by name, or by a media type that only one of them has.
func (in ResultsQuery) format() string {
	switch {
	case in.Format != "":
		return in.Format
	case strings.Contains(in.Accept, "json") || strings.Contains(in.Accept, "html"): // browsers list XML too
		return "json"
	case strings.Contains(in.Accept, "xml"):
		return "junit"
	case strings.Contains(in.Accept, plain) || strings.Contains(in.Accept, "tap"):
		return "tap"
	}
	return "json"
}

type resultsOut struct{ Body func(huma.Context) }

func (s *Server) getTestplanResults(ctx context.Context, r *request, in *struct {
	TestplanRef
	ResultsQuery
}) (*resultsOut, error) {
	format := in.format()
	rows, err := s.cfg.Plans.Results(ctx, r.principal, in.ID, in.Output || format != "json")
	if err != nil {
		return nil, err
	}
	return s.results(ctx, r, rows.Plan.Brief(), rows, in.ResultsQuery)
}

func (s *Server) getRunResults(ctx context.Context, r *request, in *struct {
	RunRef
	ResultsQuery
}) (*resultsOut, error) {
	run, err := s.cfg.Executor.Run(ctx, r.principal, in.ID)
	if err != nil {
		return nil, err
	}
	rows := &runRows{rows: plan.RunRows(run)}
	if in.Output || in.format() != "json" {
		rows.from, rows.p = s.cfg.Executor, r.principal
	}
	of := plan.Brief{ID: string(run.ID), Name: run.Plugin + "." + run.Method, State: run.State, Verdict: run.Verdict, Created: run.Created}
	if run.Finished.After(run.Started) && !run.Started.IsZero() {
		of.Duration = executor.Duration(run.Finished.Sub(run.Started))
	}
	return s.results(ctx, r, of, rows, in.ResultsQuery)
}

// runRows are the rows of a run that was read as a whole.
type runRows struct {
	rows []plan.Row
	from plan.Logs // nil: no output
	p    executor.Principal
}

func (r *runRows) Next(ctx context.Context) ([]plan.Row, error) {
	rows := r.rows
	if r.rows = nil; len(rows) == 0 {
		return nil, io.EOF
	}
	return rows, plan.BringOutput(ctx, r.from, r.p, rows, new(int))
}

// results answers in the format asked for.
func (s *Server) results(ctx context.Context, r *request, of plan.Brief, rows rowSource, in ResultsQuery) (*resultsOut, error) {
	format := in.format()
	if report := plan.NewReport(format, of.Name); report != nil {
		body := &reportBody{rows: rows, report: report, filter: in.filter(), r: r}
		return &resultsOut{func(hc huma.Context) {
			c := hc.(*humaContext).c
			kind := "application/xml"
			if format == "tap" {
				kind = plain + "; charset=utf-8"
			}
			c.Set("Content-Type", kind)
			c.Set("X-Content-Type-Options", "nosniff")
			c.Set("Content-Disposition", fmt.Sprintf(`inline; filename="%s.%s"`, of.ID, map[string]string{"junit": "xml", "tap": "tap"}[format]))
			c.Context().SetBodyStream(&download{ReadCloser: body, s: s, r: r}, -1)
		}}, nil
	}
	page := Results{Brief: of, Counts: map[executor.Verdict]int{}, Rows: []plan.Row{}}
	from, _ := strconv.Atoi(in.Marker) // of the pattern, or empty
	limit := in.Limit
	if limit == 0 {
		limit = 1000
	}
	for n := 0; ; {
		all, err := rows.Next(ctx)
		if errors.Is(err, io.EOF) {
			return &resultsOut{func(hc huma.Context) {
				var b bytes.Buffer
				encode(&b, page)
				c := hc.(*humaContext).c
				c.Set("Content-Type", "application/json")
				c.Response().SetBodyRaw(b.Bytes())
			}}, nil
		}
		if err != nil {
			return nil, err
		}
		for _, row := range all {
			if !in.filter().Fits(row) {
				continue
			}
			page.Counts[row.Verdict]++
			switch {
			case n >= from && len(page.Rows) < limit:
				page.Rows = append(page.Rows, row)
			case n >= from && page.Next == "":
				page.Next = strconv.Itoa(n)
			}
			n++
		}
	}
}

// reportBody writes a report while it is read: a step's rows are in memory at a time.
type reportBody struct {
	rows   rowSource
	report plan.Report
	filter plan.RowFilter
	r      *request
	buf    bytes.Buffer
	err    error
}

func (b *reportBody) Read(p []byte) (int, error) {
	for b.buf.Len() == 0 && b.err == nil {
		b.fill()
	}
	if b.buf.Len() > 0 {
		return b.buf.Read(p)
	}
	return 0, b.err
}

func (b *reportBody) fill() {
	rows, err := b.rows.Next(b.r.ctx)
	if errors.Is(err, io.EOF) {
		b.buf.Write(b.report.Close(nil))
	}
	if b.err = err; err != nil {
		return
	}
	kept := rows[:0]
	for _, row := range rows {
		if b.filter.Fits(row) {
			kept = append(kept, row)
		}
	}
	if len(kept) > 0 {
		b.buf.Write(b.report.Rows(nil, kept))
	}
}

func (b *reportBody) Close() error { return nil }
