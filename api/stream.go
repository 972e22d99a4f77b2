package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gofiber/fiber/v2"

	"tfw/executor"
)

const (
	pageBytes  = 128 << 10             // of log data read and sent at a time: what a follower costs in memory
	batchEvery = 50 * time.Millisecond // at most so often a follower of a chatty run is woken
	quickRings = 20                    // rings answered at once, so that a short run is not held up by batching
)

// logStream sends a run's log to one client: it pages from the store with a
// cursor and sleeps until rung. Nothing is buffered beyond a page, so a slow
// client holds up nobody but itself.
type logStream struct {
	s      *Server
	r      *request
	query  executor.LogQuery
	left   int // entries that may still be sent; 0 at the beginning is no bound
	follow bool
	form   logForm

	page    executor.LogPage // the first one is read ahead, to answer errors properly
	changed <-chan struct{}  // rings for what the page may lack; nil before the second page
	ending  *ending          // shared by the run's followers
	run     *executor.Run    // once it was seen done
	sent    time.Time        // when a piece was last written
	asked   time.Time        // when the rights were last looked at
	credit  int              // rings that are still answered at once
	buf     bytes.Buffer
}

// first reads the first page, while an error can still be told in the status.
func (st *logStream) first(ctx context.Context) error {
	if st.query.Tail > 0 {
		if err := st.seekTail(ctx); err != nil {
			return err
		}
	}
	var err error
	st.page, err = st.read(ctx)
	return err
}

// seekTail finds where the last entries begin and sets the cursor before them. A
// page is bounded in bytes, so there may be several to look through, from the
// end; nothing of them is kept.
func (st *logStream) seekTail(ctx context.Context) error {
	q := st.query
	q.Bytes, q.Packed = 0, true
	begin := uint64(0)
	for q.Tail > 0 {
		page, err := st.s.cfg.Executor.Log(ctx, st.r.principal, q)
		if err != nil {
			return err
		}
		if begin == 0 {
			st.query.After = max(st.query.After, page.Next) // when there is none at all
		}
		if len(page.Entries) == 0 {
			break
		}
		begin = page.Entries[0].Seq
		q.Before, q.Tail = begin, q.Tail-len(page.Entries)
		if !page.More {
			break
		}
	}
	if begin > 0 {
		st.query.After = begin - 1
	}
	st.query.Tail = 0
	return nil
}

// answer makes the stream the response's body.
func (st *logStream) answer(c *fiber.Ctx, kind string) {
	if kind == plain {
		kind += "; charset=utf-8"
		c.Set("X-Content-Type-Options", "nosniff")
	}
	if st.page.Dropped {
		c.Set(droppedHeader, "true")
	}
	c.Set(fiber.HeaderVary, "Accept, Accept-Encoding")
	if st.query.Packed {
		c.Set(fiber.HeaderContentEncoding, "zstd")
	}
	c.Set(fiber.HeaderContentType, kind)
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set("X-Accel-Buffering", "no") // nginx would hold lines back
	resp := &c.Context().Response
	resp.ImmediateHeaderFlush = true // a follower learns at once that it was let in
	resp.SetBodyStream(st, -1)
	st.ending = st.s.endings.join(st.query.Run)
	st.s.metrics.followers.Inc()
}

// Close is called by fasthttp when the response is over, however it ended.
func (st *logStream) Close() error {
	st.s.endings.leave(st.query.Run)
	st.s.metrics.followers.Dec()
	return nil
}

// Read sends the whole stream and then gives io.EOF, for fasthttp to end the
// response; any other error cuts the connection, so that the client sees that there was more.
//
// It writes the chunks of the response (RFC 9112, 7.1) to the connection itself:
// fasthttp would copy them through a buffer of 4 KiB with a system call and no write deadline each.
// At this point it has flushed the head and waits for bytes, in the goroutine that owns the connection.
func (st *logStream) Read([]byte) (int, error) {
	if st.r.conn == nil {
		return 0, errors.New("not a connection of this server")
	}
	for {
		if err := st.send(); err != nil {
			return 0, err
		}
		more, err := st.next()
		if err != nil {
			return 0, err
		}
		if !more {
			st.form.end(&st.buf, st.run)
			if err := st.flush(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
	}
}

// send writes the page at hand.
func (st *logStream) send() error {
	entries := st.page.Entries
	if st.query.Limit > 0 && len(entries) > st.query.Limit {
		entries = entries[:st.query.Limit]
	}
	for _, e := range entries {
		if e.Frame != nil && st.form.splits(e) {
			var err error
			if e, err = st.unpacked(e); err != nil {
				return err
			}
		}
		st.form.entry(&st.buf, e)
		if st.buf.Len() >= 2*pageBytes {
			if err := st.flush(); err != nil {
				return err
			}
		}
	}
	st.form.page(&st.buf)
	st.page.Entries = nil
	if st.left > 0 {
		if st.left -= len(entries); st.left <= 0 {
			st.left = -1
		}
	}
	return st.flush()
}

// unpacked reads an entry again, as data.
func (st *logStream) unpacked(e executor.Entry) (executor.Entry, error) {
	q := st.query
	q.After, q.Before, q.Limit, q.Packed, q.Since = e.Seq-1, e.Seq+1, 1, false, time.Time{}
	page, err := st.s.cfg.Executor.Log(st.r.ctx, st.r.principal, q)
	if err == nil && len(page.Entries) != 1 {
		err = fmt.Errorf("log entry %d is gone", e.Seq) // by retention: the client resumes and is told
	}
	if err != nil {
		return e, err
	}
	return page.Entries[0], nil
}

// next reads the next page, waiting for one when that is wanted. It reports
// false at the end. For every ring it looks at the run and the log once.
func (st *logStream) next() (more bool, err error) {
	for st.left >= 0 {
		if err := st.s.still(st.r, &st.asked); err != nil {
			return false, err
		}
		st.query.After, st.query.Since = max(st.query.After, st.page.Next), st.sinceLeft()
		if !st.page.More && (!st.follow || st.run != nil) {
			return false, nil
		}
		if st.changed != nil && !st.page.More {
			if err := st.sleep(st.changed); err != nil {
				return false, err
			}
		}
		// Taken before looking, so that no ring is missed; the run is looked at before
		// the log, so that a run seen done has its whole log in this page or the next.
		st.changed = st.s.cfg.Executor.Changed(st.query.Run)
		if st.follow && st.run == nil {
			if st.run, err = st.ending.look(st.r.ctx, st.s, st.r, st.query.Run, st.changed); err != nil {
				return false, err
			}
		}
		if st.page, err = st.read(st.r.ctx); err != nil {
			return false, err
		}
		if len(st.page.Entries) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// read reads a page.
func (st *logStream) read(ctx context.Context) (executor.LogPage, error) {
	if st.left > 0 {
		st.query.Limit = min(st.left, 1000)
	}
	return st.s.cfg.Executor.Log(ctx, st.r.principal, st.query)
}

// sinceLeft: the moment still selects as long as no page was read; after that the cursor is enough.
func (st *logStream) sinceLeft() time.Time {
	if st.query.After > 0 {
		return time.Time{}
	}
	return st.query.Since
}

var errGone = errors.New("the client is gone")

// sleep waits for a change, with heartbeats, and looks whether the client is
// still there. Changes in quick succession wake it once.
func (st *logStream) sleep(changed <-chan struct{}) error {
	tick := time.NewTicker(goneEvery)
	defer tick.Stop()
	for {
		select {
		case <-changed:
			st.batch()
			return nil
		case <-st.s.stopping:
			return executor.ErrDraining
		case <-tick.C:
			if st.r.conn.gone() {
				return errGone
			}
			if err := st.s.still(st.r, &st.asked); err != nil {
				return err
			}
			if time.Since(st.sent) >= st.s.cfg.Heartbeat {
				st.form.heartbeat(&st.buf)
				if err := st.flush(); err != nil {
					return err
				}
			}
		}
	}
}

// batch lets more come together when rings follow each other closely.
func (st *logStream) batch() {
	quiet := time.Since(st.sent)
	st.credit = min(quickRings, st.credit+int(quiet/batchEvery))
	if quiet >= batchEvery {
		return
	}
	if st.credit--; st.credit < 0 {
		pause(st.s.stopping, batchEvery-quiet)
	}
}

// flush writes what is gathered as one chunk. The deadline is that of this piece.
func (st *logStream) flush() error {
	if st.sent.IsZero() {
		st.sent = time.Now()
	}
	if st.buf.Len() == 0 {
		return nil
	}
	st.r.conn.SetWriteDeadline(time.Now().Add(st.s.cfg.WriteTimeout))
	_, err := fmt.Fprintf(st.r.conn, "%x\r\n", st.buf.Len())
	if err == nil {
		st.s.metrics.logBytes.Add(float64(st.buf.Len()))
		st.buf.WriteString("\r\n")
		_, err = st.r.conn.Write(st.buf.Bytes())
	}
	st.buf.Reset()
	st.sent = time.Now()
	return err
}
