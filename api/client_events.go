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

	"tfw/executor"
)

// TestplanEvents gives what happens in a test plan and those within it: first how things stand, then each
// change, with the output of its runs, until an event of type "end". A dropped connection is resumed: no output
// is missed and none comes twice; transitions may be told again. It ends with an error, given
// once with a zero event, when that is not possible within [WithPatience], or when ctx ends.
func (c *Client) TestplanEvents(ctx context.Context, id string, output bool) iter.Seq2[TestplanEvent, error] {
	return func(yield func(TestplanEvent, error) bool) {
		tries := c.newPatience()
		seen := eventCursor{runs: map[executor.RunID]*runCursor{}, closed: map[string]bool{}}
		for {
			some, over, err := c.eventsOnce(ctx, id, output, seen, yield)
			if some {
				tries.reset()
			}
			switch {
			case over:
				return
			case ctx.Err() != nil:
				yield(TestplanEvent{}, ctx.Err())
				return
			case !tries.again(ctx, err):
				yield(TestplanEvent{}, firstOf(ctx.Err(), err))
				return
			}
		}
	}
}

// eventCursor knows what output was given. That of several runs comes in no common order, so a stream that is resumed
// begins behind what was given of the run under way that lags most, and what came before is left out.
type eventCursor struct {
	runs   map[executor.RunID]*runCursor
	closed map[string]bool // cells that ended, by step NUL cell
}

type runCursor struct {
	place string
	seq   uint64
}

func (c eventCursor) after() uint64 {
	open, all := uint64(0), uint64(0)
	for _, r := range c.runs {
		all = max(all, r.seq)
		if !c.closed[r.place] && (open == 0 || r.seq < open) {
			open = r.seq
		}
	}
	if open > 0 {
		return open
	}
	return all
}

// take reports whether the event is new.
func (c eventCursor) take(e TestplanEvent) bool {
	place := e.Step + "\x00" + e.Cell
	if e.Type == "cell" && e.State == executor.Done {
		c.closed[place] = true
	}
	if e.Output == nil {
		return true
	}
	r := c.runs[e.Run]
	if r == nil {
		r = &runCursor{place: place}
		c.runs[e.Run] = r
	}
	if e.Output.Seq <= r.seq {
		return false
	}
	r.seq = e.Output.Seq
	return true
}

// eventsOnce gives what one response holds.
func (c *Client) eventsOnce(ctx context.Context, id string, output bool, seen eventCursor, yield func(TestplanEvent, error) bool) (some, over bool, err error) {
	q := url.Values{"format": {"ndjson"}, "output": {strconv.FormatBool(output)}, "after": {strconv.FormatUint(seen.after(), 10)}}
	resp, err := c.do(ctx, call{method: http.MethodGet, path: testplanPath(id) + "/events", query: q, accept: ndjson})
	if err != nil {
		return false, false, err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(bufio.NewReaderSize(resp.Body, 64<<10))
	for {
		var e TestplanEvent
		if err := dec.Decode(&e); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // no end was told
			}
			return some, false, &unreachable{server: c.shown, err: fmt.Errorf("events of test plan %s: %w", id, err)}
		}
		some = true
		if !seen.take(e) {
			continue
		}
		if !yield(e, nil) || e.Type == "end" {
			return true, true, nil
		}
	}
}
