package executor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tfw/plugins"
)

const (
	chunkSize      = 64 << 10
	defaultCapture = 64 << 10
	maxCapture     = 8 << 20
)

// sink takes what a command says to the log, within the host's limit, and keeps
// the head of each stream for the method.
type sink struct {
	x          *execution
	ctx        context.Context // of the connection at hand: bounds the wait for a full store
	out, err   []byte
	limit      int
	quiet      bool        // no silence clock: the command is being killed
	silence    *time.Timer //
	silenceFor time.Duration
	truncated  bool
	fed        bool // bytes came over the present connection

	seenOut, seenErr atomic.Int64 // how far the streams were brought here
	beyond           atomic.Bool  // past the limit: nothing more is kept

	outVeil, errVeil veil // used while there are secrets to mask
}

func captureLimit(cmd plugins.Command) int {
	switch {
	case cmd.Capture <= 0:
		return defaultCapture
	case cmd.Capture > maxCapture:
		return maxCapture
	}
	return cmd.Capture
}

// prepareSink makes the sink, or points it at where a new connection begins.
func (x *execution) prepareSink(ctx context.Context, from Offsets) {
	if x.sink == nil {
		x.sink = &sink{x: x, limit: captureLimit(x.cmd), silenceFor: shorter(x.cmd.SilenceTimeout, time.Duration(x.r.a.options().SilenceTimeout))}
		x.r.kept += from.Stdout + from.Stderr
	}
	x.sink.ctx = ctx
	x.sink.wake()
}

// Started is told once the host has confirmed the start.
func (s *sink) Started(Started) error {
	s.x.started()
	return nil
}

// Event shows what the transport has to say.
func (s *sink) Event(text string) {
	if strings.HasPrefix(text, "stalled: ") {
		s.x.r.e.counters.stalls.Add(1)
	}
	s.x.r.event(text)
}

// Bytes stores output, without secrets.
func (s *sink) Bytes(stream Stream, offset int64, data []byte) error {
	s.wake()
	s.fed = s.fed || len(data) > 0
	seen := &s.seenOut
	if stream == Stderr {
		seen = &s.seenErr
	}
	seen.Store(max(seen.Load(), offset+int64(len(data))))
	if v := s.veiled(stream); v != nil {
		if offset, data = v.pass(data); len(data) == 0 {
			return nil
		}
	}
	return s.keep(stream, offset, data)
}

// keep stores output. Beyond the host's limit it is let go, and said so once. What
// comes together becomes durable together: a secret is never cut in two by a crash.
func (s *sink) keep(stream Stream, offset int64, data []byte) error {
	s.capture(stream, offset, data)
	room := s.room()
	kept := data[:min(int64(len(data)), max(0, room))]
	var entries []Entry
	for part := range slices.Chunk(kept, chunkSize) {
		entries = append(entries, Entry{Time: s.x.r.e.now(), Run: s.x.id.Run, Host: s.x.id.Host, Command: s.x.ordinal, Stream: stream, Offset: offset,
			Data: part, Quiet: s.x.cmd.Quiet})
		offset += int64(len(part))
	}
	if len(entries) > 0 {
		if err := s.x.r.e.store.Append(s.ctx, entries...); err != nil {
			return fmt.Errorf("log of %s: %w", s.x.id, err)
		}
		s.x.r.kept += int64(len(kept))
	}
	if len(kept) < len(data) {
		s.truncate()
	}
	return nil
}

func (s *sink) room() int64 {
	limit := s.x.r.a.options().MaxOutput
	orElse(&limit, s.x.r.e.cfg.MaxOutput)
	return limit - s.x.r.kept
}

func (s *sink) truncate() {
	if s.truncated {
		return
	}
	s.truncated = true
	s.beyond.Store(true)
	s.x.r.p.result.Truncated = true
	s.x.r.event(fmt.Sprintf("output truncated: %d bytes of this host are kept, the rest is not", s.x.r.kept))
}

// Kept implements [Keeper]: what is durable here, but for what a mask may have to be shown
// again. Of output beyond the limit nothing will be asked for again; that is on record first.
func (s *sink) Kept() (Offsets, error) {
	ctx, done := context.WithTimeout(s.ctx, 5*time.Second)
	defer done()
	x := s.x
	n, err := x.r.e.store.Lengths(ctx, x.id)
	if err != nil {
		return Offsets{}, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return Offsets{}, nil
	}
	op := *x.op
	if s.beyond.Load() {
		n = Offsets{max(n.Stdout, s.seenOut.Load()), max(n.Stderr, s.seenErr.Load())}
		op.Dropped, x.op.Dropped = n, n
	}
	err = x.r.e.store.Update(ctx, func(tx Tx) error { // after it all that Lengths counted is on disk
		if op.Dropped == (Offsets{}) {
			return nil
		}
		return put(tx, tableOps, opKey(x.id.Run, x.r.p.index, x.ordinal), op)
	})
	if err != nil {
		return Offsets{}, err
	}
	const seam = 2 * longestSecret
	return Offsets{max(0, n.Stdout-seam), max(0, n.Stderr-seam)}, nil
}

// capture keeps the head of a stream, as long as it is seen from its start.
func (s *sink) capture(stream Stream, offset int64, data []byte) {
	head := &s.out
	if stream == Stderr {
		head = &s.err
	}
	if int64(len(*head)) != offset || len(*head) >= s.limit {
		return
	}
	*head = append(*head, data[:min(len(data), s.limit-len(*head))]...)
}

// wake starts the silence clock anew.
func (s *sink) wake() {
	if s.silenceFor == 0 || s.quiet {
		return
	}
	if s.silence == nil {
		s.silence = time.AfterFunc(s.silenceFor, func() {
			s.x.stop(&stopError{verdict: TimedOut, code: "silence_timeout", reason: fmt.Sprintf("the command said nothing for %s", s.silenceFor)})
		})
		return
	}
	s.silence.Reset(s.silenceFor)
}

// rest stops the silence clock: nobody is listening.
func (s *sink) rest() {
	if s.silence != nil {
		s.silence.Stop()
	}
}

// answer makes the method's result of the record and the log.
func (x *execution) answer(ctx context.Context) (plugins.Result, error) {
	res := plugins.Result{Started: x.op.Begun}
	if end := x.op.End; end != nil {
		res.ExitCode, res.Signal, res.Elapsed = end.Code, end.Signal, end.Elapsed
		res.StdoutBytes, res.StderrBytes = end.Sizes.Stdout, end.Sizes.Stderr
		var err error
		if res.Stdout, err = x.head(ctx, Stdout, end.Sizes.Stdout); err != nil {
			return res, err
		}
		if res.Stderr, err = x.head(ctx, Stderr, end.Sizes.Stderr); err != nil {
			return res, err
		}
	}
	switch {
	case x.op.Failure != nil:
		return res, x.r.failed(x.op)
	case x.op.End.Kind != EndExit && x.op.End.Kind != EndSignal:
		return res, &EndError{End: *x.op.End}
	}
	return res, nil
}

// head gives the first bytes of a stream: from memory when this process saw them all, else from the log.
func (x *execution) head(ctx context.Context, stream Stream, size int64) ([]byte, error) {
	limit := captureLimit(x.cmd)
	want := int(min(size, int64(limit)))
	if x.op.Truncated {
		if stream == Stderr {
			return x.op.Stderr, nil
		}
		return x.op.Stdout, nil
	}
	if x.sink != nil {
		seen := x.sink.out
		if stream == Stderr {
			seen = x.sink.err
		}
		if len(seen) >= want {
			return seen[:want], nil
		}
	}
	if want == 0 {
		return nil, nil
	}
	if err := x.r.store(func(Tx) error { return nil }); err != nil { // what was appended can be read after an Update
		return nil, err
	}
	return x.r.e.head(context.WithoutCancel(ctx), LogQuery{Run: x.id.Run, Host: x.id.Host, Stream: stream, Command: &x.ordinal}, want)
}

// head reads the first n bytes of what the query selects.
func (e *Executor) head(ctx context.Context, q LogQuery, n int) ([]byte, error) {
	var head []byte
	for len(head) < n {
		q.Bytes = n - len(head)
		page, err := e.store.Read(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("log of run %s: %w", q.Run, err)
		}
		for _, entry := range page.Entries {
			head = append(head, entry.Data[:min(len(entry.Data), n-len(head))]...)
		}
		if !page.More || page.Next == q.After {
			break
		}
		q.After = page.Next
	}
	return head, nil
}
