package api

import (
	"bufio"
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

	"github.com/klauspost/compress/zstd"

	"tfw/executor"
)

// LogOptions select what of a run's log is read. The zero value is all of it, up to now.
type LogOptions struct {
	Host    string          // "" is every host
	Stream  executor.Stream // "" is every stream
	Command *int            // nil is every command
	After   uint64          // entries with a greater Seq
	Limit   int             // at most so many entries; 0 is no limit
	Tail    int             // > 0: begin with the last so many entries
	Since   time.Time       // entries received at or after it
	Follow  bool            // go on until the run is done and everything was given
}

func (o LogOptions) query() url.Values {
	q := url.Values{}
	set(q, "host", o.Host)
	set(q, "stream", string(o.Stream))
	if o.Command != nil {
		q.Set("cmd", strconv.Itoa(*o.Command))
	}
	if o.After > 0 {
		q.Set("after", strconv.FormatUint(o.After, 10))
	}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Tail > 0 {
		q.Set("tail", strconv.Itoa(o.Tail))
	}
	if !o.Since.IsZero() {
		q.Set("since", o.Since.Format(time.RFC3339Nano))
	}
	if o.Follow {
		q.Set("follow", "1")
	}
	return q
}

// Log gives a run's log, entry by entry in Seq order. A dropped connection is
// resumed after the last entry: none is missed and none comes twice. It ends
// with an error, given once with a zero entry, when that is not possible within
// [WithPatience], or when ctx ends. With Follow it ends by itself when the run is
// done and everything was given.
func (c *Client) Log(ctx context.Context, id string, o LogOptions) iter.Seq2[LogEntry, error] {
	return func(yield func(LogEntry, error) bool) {
		tries := c.newPatience()
		for {
			last, more, err := c.logOnce(ctx, id, o, func(e LogEntry) bool { return yield(e, nil) })
			if last > 0 {
				tries.reset()
				o.After, o.Tail, o.Since = last, 0, time.Time{}
			}
			switch {
			case err == nil && !more:
				return
			case ctx.Err() != nil:
				yield(LogEntry{}, ctx.Err())
				return
			case err == nil: // the server ended the stream early; look at the run again, but not in a hurry
				err = &unreachable{server: c.shown, err: io.ErrUnexpectedEOF}
			}
			if !tries.again(ctx, err) {
				yield(LogEntry{}, firstOf(ctx.Err(), err))
				return
			}
		}
	}
}

// logOnce reads one response. last is the Seq of the last entry given; more
// tells that the stream ended before the run did.
func (c *Client) logOnce(ctx context.Context, id string, o LogOptions, give func(LogEntry) bool) (last uint64, more bool, err error) {
	resp, err := c.do(ctx, call{method: http.MethodGet, path: runPath(id) + "/log", query: o.query(), accept: "application/x-ndjson"})
	if err != nil {
		return 0, false, err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(bufio.NewReaderSize(resp.Body, 64<<10))
	for {
		var e LogEntry
		switch err := dec.Decode(&e); {
		case err == io.EOF:
			more, err := c.goesOn(ctx, id, o)
			return last, more, err
		case err != nil:
			return last, true, &unreachable{server: c.shown, err: fmt.Errorf("log of run %s: %w", id, err)}
		}
		last = e.Seq
		if !give(e) {
			return last, false, nil
		}
	}
}

// goesOn reports whether a followed log that ended may have more to come: a
// proxy or a draining controller may end a response neatly.
func (c *Client) goesOn(ctx context.Context, id string, o LogOptions) (bool, error) {
	if !o.Follow || o.Limit > 0 {
		return false, nil
	}
	run, err := c.Run(ctx, id)
	if err != nil {
		return true, err
	}
	return run.State != executor.Done, nil
}

// RawLog writes the exact bytes of one host's stream: all its commands', in
// order. With o.Follow it goes on until the run is done. A dropped connection is resumed at the
// byte after the last one written. o.Host may be "" for a run on one host, o.Stream is stdout by default; After, Limit, Tail and Since
// select entries as in Log. It returns the number of bytes written.
func (c *Client) RawLog(ctx context.Context, id string, o LogOptions, w io.Writer) (int64, error) {
	tries := c.newPatience()
	var done int64
	coding := "zstd"
	for {
		n, err := c.rawOnce(ctx, id, o, done, coding, w)
		done += n
		if n == 0 {
			coding = "identity" // a link that breaks within every frame brings plain bytes on
		}
		if n > 0 {
			tries.reset()
		}
		var failed *writeError
		switch {
		case err == nil:
			return done, nil
		case ctx.Err() != nil:
			return done, ctx.Err()
		case errors.As(err, &failed):
			return done, failed.err
		case !tries.again(ctx, err):
			return done, firstOf(ctx.Err(), err)
		}
	}
}

// rawOnce writes what one response holds, without the log's first skip bytes.
func (c *Client) rawOnce(ctx context.Context, id string, o LogOptions, skip int64, coding string, w io.Writer) (int64, error) {
	q := o.query()
	if skip > 0 {
		q.Set("skip", strconv.FormatInt(skip, 10))
	}
	resp, err := c.do(ctx, call{method: http.MethodGet, path: runPath(id) + "/log", query: q, accept: "text/plain", header: http.Header{"Accept-Encoding": {coding}}})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := decoded(resp)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	if skip > 0 && resp.Header.Get(droppedHeader) != "" {
		return 0, newProblem(http.StatusGone, "", fmt.Sprintf("log of run %s: the connection broke, and the beginning of the log was given up meanwhile: it cannot be resumed", id))
	}
	n, err := io.Copy(errWriter{w}, body)
	if err != nil {
		var failed *writeError
		if errors.As(err, &failed) {
			return n, err
		}
		return n, &unreachable{server: c.shown, err: fmt.Errorf("log of run %s: %w", id, err)}
	}
	more, err := c.goesOn(ctx, id, o)
	if err == nil && more {
		err = &unreachable{server: c.shown, err: io.ErrUnexpectedEOF}
	}
	return n, err
}

// decoded reads a body that may be compressed.
func decoded(resp *http.Response) (io.ReadCloser, error) {
	switch coding := resp.Header.Get("Content-Encoding"); coding {
	case "":
		return resp.Body, nil
	case "zstd":
		// One block after the other, in this goroutine: what has come is given at once.
		dec, err := zstd.NewReader(resp.Body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, err
		}
		return dec.IOReadCloser(), nil
	default:
		return nil, fmt.Errorf("the server sent the log in the coding %q, which was not asked for", coding)
	}
}
