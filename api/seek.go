package api

import (
	"context"

	"tfw/executor"
)

// seekSkip moves a query of one stream of one host behind the bytes that the
// client has, to the entry that holds the first one it lacks, and gives how many of that entry's bytes it has. It
// asks for single entries and unpacks none: where an entry stands is told by its offset, for a host's
// commands come one after the other, each with offsets that rise.
func (s *Server) seekSkip(ctx context.Context, r *request, q executor.LogQuery, skip int64) (executor.LogQuery, int64, error) {
	if q.Tail > 0 || !q.Since.IsZero() { // counted from elsewhere
		return q, skip, nil
	}
	look := seeker{s: s, r: r, q: q}
	for skip > 0 {
		first, err := look.after(ctx, q.After, 0, q.Command)
		if err != nil || first == nil {
			return q, skip, err // the rest is still to come
		}
		last, err := look.last(ctx, q.After, first.Command)
		if err != nil || last == nil {
			return q, skip, err
		}
		if size := last.Offset + sizeOf(*last) - first.Offset; skip >= size {
			skip, q.After = skip-size, last.Seq
			continue
		}
		at, err := look.offset(ctx, first, last, first.Offset+skip)
		if err != nil {
			return q, skip, err
		}
		q.After = at.Seq - 1
		return q, first.Offset + skip - at.Offset, nil
	}
	return q, skip, nil
}

func sizeOf(e executor.Entry) int64 { return int64(max(e.Length, len(e.Data))) }

// seeker looks at single entries.
type seeker struct {
	s *Server
	r *request
	q executor.LogQuery
}

// offset finds the entry of a command that holds the byte at an offset, which is not before
// first nor behind last, by halving.
func (l *seeker) offset(ctx context.Context, first, last *executor.Entry, offset int64) (*executor.Entry, error) {
	at := first
	for high := last.Seq; at.Seq < high; {
		middle := at.Seq + (high-at.Seq+1)/2
		e, err := l.after(ctx, middle-1, high+1, &first.Command)
		if err != nil {
			return nil, err
		}
		if e != nil && e.Offset <= offset {
			at = e
		} else {
			high = middle - 1
		}
	}
	return at, nil
}

// after gives the first entry behind a place and before another, if any.
func (l *seeker) after(ctx context.Context, seq, before uint64, command *int) (*executor.Entry, error) {
	q := l.q
	q.After, q.Before, q.Command, q.Limit, q.Packed = seq, before, command, 1, true
	for {
		page, err := l.s.cfg.Executor.Log(ctx, l.r.principal, q)
		if err != nil {
			return nil, err
		}
		if len(page.Entries) > 0 {
			return &page.Entries[0], nil
		}
		if !page.More || page.Next <= q.After {
			return nil, nil
		}
		q.After = page.Next
	}
}

// last gives the last entry of a command behind a place.
func (l *seeker) last(ctx context.Context, seq uint64, command int) (*executor.Entry, error) {
	q := l.q
	q.After, q.Command, q.Tail, q.Packed = seq, &command, 1, true
	page, err := l.s.cfg.Executor.Log(ctx, l.r.principal, q)
	if err != nil || len(page.Entries) == 0 {
		return nil, err
	}
	return &page.Entries[0], nil
}
