package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/negotiation"

	"tfw/executor"
)

// The media types of a log.
const (
	ndjson = "application/x-ndjson"
	plain  = "text/plain"
	sse    = "text/event-stream"
)

type logIn struct {
	RunRef
	After   uint64          `query:"after" doc:"only entries with a greater seq"`
	Host    string          `query:"host" doc:"only this host of the run; text/plain needs it when there are several"`
	Stream  executor.Stream `query:"stream" enum:"stdout,stderr,event" doc:"only this stream; text/plain: stdout by default"`
	Command command         `query:"cmd"`
	Limit   int             `query:"limit" minimum:"0" doc:"at most so many entries; 0 is no limit"`
	Tail    int             `query:"tail" minimum:"0" maximum:"100000" doc:"begin with the last so many entries"`
	Since   since           `query:"since"`
	Follow  bool            `query:"follow" doc:"go on until the run is done"`
	Skip    int64           `query:"skip" minimum:"0" doc:"text/plain: leave out so many bytes at the beginning, to resume"`
	Format  string          `query:"format" enum:"ndjson,raw,sse" doc:"in the place of the Accept header"`
	Accept  string          `header:"Accept" hidden:"true"`
	Coding  string          `header:"Accept-Encoding" doc:"zstd: text/plain is sent as the store holds it, compressed"`
	LastID  string          `header:"Last-Event-ID" pattern:"^[0-9]{0,20}$" doc:"as after; browsers send it when they connect again"`
}

type logOut struct{ Body func(huma.Context) }

func (s *Server) logRoute() {
	entry := jsonResponse[wireEntry](s, "").Content["application/json"].Schema
	route(s, huma.Operation{OperationID: "getRunLog", Method: http.MethodGet, Path: "/v2.1/runs/{id}/log", Summary: "The log of a run", Tags: []string{"runs"},
		Description: "In one of three forms, by the Accept header or `format`:\n\n" +
			"- `application/x-ndjson`: one entry a line; while following, an empty line every 15 s. Resume with `after`.\n" +
			"- `text/plain` (`format=raw`): the exact bytes of one stream of one host. With `Accept-Encoding: zstd` they come compressed, as the store holds them. Resume with `skip`, the count of bytes before compression.\n" +
			"- `text/event-stream` (`format=sse`): one entry an event, with its seq as id, so that EventSource resumes by itself; a last event `end` holds the verdict.\n\n" +
			"With `follow` the response goes on until the run is done and everything was sent. A response that ends without that was cut: resume it.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The log",
			Headers:     map[string]*huma.Param{droppedHeader: {Description: "true when the beginning of the log was given up by retention", Schema: &huma.Schema{Type: "string"}}},
			Content: map[string]*huma.MediaType{
				ndjson: {Schema: entry},
				plain:  {Schema: &huma.Schema{Type: "string", Format: "binary"}},
				sse:    {Schema: &huma.Schema{Type: "string"}},
			}}}, Errors: []int{404, 406}}, s.getLog)
}

func (s *Server) getLog(ctx context.Context, r *request, in *logIn) (*logOut, error) {
	kind, err := logKind(in)
	if err != nil {
		return nil, err
	}
	run, err := s.cfg.Executor.Run(ctx, r.principal, in.ID)
	if err != nil {
		return nil, err
	}
	q := executor.LogQuery{
		Run: run.ID, Host: in.Host, Stream: in.Stream, Command: in.Command.n,
		After: in.After, Since: in.Since.Time, Tail: in.Tail, Bytes: pageBytes,
	}
	if in.LastID != "" {
		if q.After, err = strconv.ParseUint(in.LastID, 10, 64); err != nil {
			return nil, badField("header.Last-Event-ID", "want the id of an event")
		}
		q.Tail = 0 // it is resumed: everything after that id
	}
	if err := checkLogHost(run, &q, kind, in.Skip); err != nil {
		return nil, err
	}
	q.Packed = kind == plain && takesZstd(in.Coding)
	skip := in.Skip
	if in.Limit == 0 { // else the entries passed over count too
		if q, skip, err = s.seekSkip(ctx, r, q, skip); err != nil {
			return nil, err
		}
	}
	st := &logStream{s: s, r: r, query: q, left: in.Limit, follow: in.Follow, credit: quickRings, asked: time.Now(), form: formOf(kind, run.ID, skip, q.Packed)}
	if err := st.first(ctx); err != nil {
		return nil, err
	}
	return &logOut{func(hc huma.Context) { st.answer(hc.(*humaContext).c, kind) }}, nil
}

// logKind negotiates the form of the log. Browsers and curl, which take anything, get ndjson.
func logKind(in *logIn) (string, error) {
	if in.Format != "" {
		return map[string]string{"ndjson": ndjson, "raw": plain, "sse": sse}[in.Format], nil
	}
	if in.Accept == "" || strings.TrimSpace(in.Accept) == "*/*" {
		return ndjson, nil
	}
	if kind := negotiation.SelectQValueFast(in.Accept, []string{ndjson, plain, sse}); kind != "" {
		return kind, nil
	}
	if strings.Contains(in.Accept, "*/*") || strings.Contains(in.Accept, "application/json") || strings.Contains(in.Accept, "application/*") {
		return ndjson, nil
	}
	return "", newProblem(http.StatusNotAcceptable, "not_acceptable", "a log comes as "+ndjson+", "+plain+" or "+sse)
}

// checkLogHost refuses a host that had no part in the run, and raw bytes of several streams in one.
func checkLogHost(run *executor.Run, q *executor.LogQuery, kind string, skip int64) error {
	tookPart := func(h executor.HostResult) bool { return h.Host == q.Host }
	if q.Host != "" && !slices.ContainsFunc(run.Hosts, tookPart) {
		return fmt.Errorf("%w: %q had no part in run %s (see: tfwctl show %s)", executor.ErrNotFound, q.Host, run.ID, run.ID)
	}
	if kind != plain {
		if skip > 0 {
			return badField("query.skip", "only raw bytes can be skipped: resume this form with after")
		}
		return nil
	}
	if q.Stream == "" {
		q.Stream = executor.Stdout
	}
	if q.Host == "" && len(run.Hosts) > 1 {
		return badField("query.host", "say which of the run's %d hosts: raw bytes are those of one", len(run.Hosts))
	}
	if q.Host == "" && len(run.Hosts) == 1 {
		q.Host = run.Hosts[0].Host
	}
	return nil
}
