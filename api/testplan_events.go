package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
	"tfw/plan"
)

// TestplanEvent is one thing that happened in a test plan. One of type "end" is the last.
type TestplanEvent struct {
	plan.Event
	Run    executor.RunID `json:"run,omitempty" doc:"of output: whose log it is from"`
	Output *LogEntry      `json:"output,omitempty" doc:"of output: the entry of the run's log; resume with after= its seq"`
}

func (s *Server) eventRoutes() {
	schema := schemaIn[TestplanEvent](s)
	route(s, huma.Operation{OperationID: "followTestplan", Method: http.MethodGet, Path: "/v2.1/testplans/{id}/events", Summary: "Everything that happens in a test plan, as it happens", Tags: []string{"testplans"},
		Description: "One stream of steps, cells and cases as they change and of the output of their runs, those of nested plans too: first how things stand, then what changes, " +
			"and `end` once the test plan is done. Output comes before the end of its cell. `application/x-ndjson`, an empty line every 15 s when nothing happens; or `text/event-stream`, where output has its seq as id. " +
			"A stream that ends without `end` was cut: ask again with `after`, the seq of the last output; transitions are told anew as things stand.",
		Responses: map[string]*huma.Response{"200": {Description: "The events", Content: map[string]*huma.MediaType{
			ndjson: {Schema: schema}, sse: {Schema: &huma.Schema{Type: "string"}}}}},
		Errors: []int{404, 406}}, s.followTestplan)
}

type followTestplanIn struct {
	TestplanRef
	After  uint64 `query:"after" doc:"only output with a greater seq"`
	Output string `query:"output" enum:"true,false" doc:"false: only transitions"`
	Format string `query:"format" enum:"ndjson,sse" doc:"in the place of the Accept header"`
	Accept string `header:"Accept"`
	LastID string `header:"Last-Event-ID" pattern:"^[0-9]{0,20}$" doc:"as after; browsers send it when they connect again"`
}

func (s *Server) followTestplan(ctx context.Context, r *request, in *followTestplanIn) (*logOut, error) {
	kind, err := logKind(&logIn{Format: in.Format, Accept: in.Accept})
	if err == nil && kind == plain {
		err = newProblem(http.StatusNotAcceptable, "not_acceptable", "events come as "+ndjson+" or "+sse)
	}
	if err != nil {
		return nil, err
	}
	after := in.After
	if in.LastID != "" {
		if after, err = strconv.ParseUint(in.LastID, 10, 64); err != nil {
			return nil, badField("header.Last-Event-ID", "want the id of an event")
		}
	}
	f, err := s.cfg.Plans.Follow(ctx, r.principal, in.ID, after, in.Output != "false")
	if err != nil {
		return nil, err
	}
	st := &eventStream{s: s, r: r, from: f, sse: kind == sse, sent: time.Now()}
	return &logOut{Body: func(hc huma.Context) {
		c := hc.(*humaContext).c
		c.Set("Content-Type", kind)
		c.Set("Cache-Control", "no-store")
		c.Set("X-Accel-Buffering", "no") // nginx would hold lines back
		resp := &c.Context().Response
		resp.ImmediateHeaderFlush = true
		resp.SetBodyStream(&download{ReadCloser: st, s: s, r: r}, -1)
		s.metrics.followers.Inc()
	}}, nil
}

// eventStream is a response that goes on until the test plan is done. What was read and not yet sent is one look of the follower.
type eventStream struct {
	s    *Server
	r    *request
	from *plan.Follower
	sse  bool
	buf  bytes.Buffer
	sent time.Time
	err  error
}

func (st *eventStream) Close() error {
	st.s.metrics.followers.Dec()
	return nil
}

func (st *eventStream) Read(p []byte) (int, error) {
	for st.buf.Len() == 0 && st.err == nil {
		st.err = st.more()
	}
	if st.buf.Len() == 0 {
		return 0, st.err
	}
	st.sent = time.Now()
	return st.buf.Read(p)
}

// more waits a while for events. A client that has gone, and a server that shuts down, end it.
func (st *eventStream) more() error {
	ctx, stop := context.WithTimeout(st.r.ctx, goneEvery)
	defer stop()
	events, err := st.from.Next(ctx)
	for _, e := range events {
		st.write(e)
	}
	switch {
	case err == nil && len(events) == 0:
		return io.EOF
	case err == nil:
		return nil
	case !errors.Is(err, context.DeadlineExceeded):
		return err
	case st.r.conn != nil && st.r.conn.gone():
		return errGone
	}
	select {
	case <-st.s.stopping:
		return executor.ErrDraining
	default:
	}
	if time.Since(st.sent) >= st.s.cfg.Heartbeat {
		if st.sse {
			st.buf.WriteString(": still here\n\n")
		} else {
			st.buf.WriteByte('\n')
		}
	}
	return nil
}

func (st *eventStream) write(e plan.Event) {
	out := TestplanEvent{Event: e}
	if e.Entry != nil {
		entry := entryOf(*e.Entry)
		out.Run, out.Output = e.Entry.Run, &entry
	}
	if !st.sse {
		encode(&st.buf, out)
		return
	}
	if out.Output != nil {
		st.buf.WriteString("id: " + strconv.FormatUint(out.Output.Seq, 10) + "\n")
	}
	st.buf.WriteString("event: " + e.Type + "\ndata: ")
	encode(&st.buf, out)
	st.buf.WriteByte('\n')
}
