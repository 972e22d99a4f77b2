package bolt

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tfw/executor"
)

// item is one call that waits for the writer: entries, an update or an order.
type item struct {
	entries []queued
	bytes   int
	update  *update
	order   *order
}

// queued is an entry whose place in its stream is settled.
type queued struct {
	executor.Entry
	stream *stream // nil for an event
}

// overhead is what a queued entry counts beside its data.
const overhead = 256

// update is a call of Update.
type update struct {
	fn       func(executor.Tx) error
	taken    atomic.Bool // by the writer, or by the caller who gave up
	done     chan struct{}
	err      error
	panicked any
	rings    []string
}

// order is something the writer does between two batches.
type order struct {
	do   func() error
	done chan error // with room for the answer
}

// queue is what the callers and the writer share. It is bounded in bytes.
type queue struct {
	max    int
	batch  int // of entries, what is compressed and written at once: the more, the fewer syncs, but an update waits behind it
	linger time.Duration

	mu      sync.Mutex
	lengths lengths
	items   []*item
	bytes   int // of entries queued, or taken and not yet on disk
	waiting int // bytes of entries in items
	urgent  int // items that must not linger
	closed  bool
	room    chan struct{} // closed when bytes were freed; nil while nobody waits
	wake    chan struct{} // the writer's, room for one
}

// append queues entries, waiting for room.
func (q *queue) append(ctx context.Context, entries []executor.Entry) error {
	need := 0
	for _, e := range entries {
		need += len(e.Data) + overhead
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		room, err := q.tryAppend(entries, need)
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryAppend queues the entries, or gives the channel that tells of more room.
func (q *queue) tryAppend(entries []executor.Entry, need int) (room <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, executor.ErrClosed
	}
	if q.bytes > 0 && q.bytes+need > q.max {
		if q.room == nil {
			q.room = make(chan struct{})
		}
		return q.room, nil
	}
	it, err := q.settle(entries)
	if err != nil || len(it.entries) == 0 {
		return nil, err
	}
	q.bytes += it.bytes
	q.waiting += it.bytes
	q.push(it)
	return nil, nil
}

// settle finds each entry's place in its stream: all of them, or none.
func (q *queue) settle(entries []executor.Entry) (*item, error) {
	it := &item{entries: make([]queued, 0, len(entries))}
	for _, e := range entries {
		if err := q.place(it, e); err != nil {
			q.unsettle(it)
			return nil, err
		}
	}
	for i := range it.entries {
		e := &it.entries[i]
		e.Data = keep(e.Data) // the caller's again
		it.bytes += len(e.Data) + overhead
	}
	return it, nil
}

// place trims an entry to what its stream lacks and adds it in pieces that fit.
func (q *queue) place(it *item, e executor.Entry) error {
	if err := checkEntry(e); err != nil {
		return err
	}
	if e.Stream == executor.Events {
		it.add(e, nil)
		return nil
	}
	st, err := q.lengths.of(streamKey(string(e.Run), e.Host, e.Command, streamCode(e.Stream)))
	if err != nil {
		return err
	}
	if e.Offset > st.end {
		return fmt.Errorf("%s %s at offset %d: %w: the log ends at %d",
			executor.CommandID{Run: e.Run, Host: e.Host, Ordinal: e.Command}, e.Stream, e.Offset, executor.ErrGap, st.end)
	}
	if have := st.end - e.Offset; have >= int64(len(e.Data)) {
		return nil
	} else if have > 0 {
		e.Offset, e.Data = st.end, e.Data[have:]
	}
	it.add(e, st)
	return nil
}

func (it *item) add(e executor.Entry, st *stream) {
	for {
		part := e
		part.Data = e.Data[:min(maxChunk, len(e.Data))]
		it.entries = append(it.entries, queued{Entry: part, stream: st})
		if st != nil {
			st.end += int64(len(part.Data))
			st.queued++
		}
		e.Data = e.Data[len(part.Data):]
		e.Offset += int64(len(part.Data))
		if len(e.Data) == 0 {
			return
		}
	}
}

// unsettle takes back what settle did to the lengths.
func (q *queue) unsettle(it *item) {
	for _, e := range it.entries {
		if e.stream != nil {
			e.stream.end -= int64(len(e.Data))
			e.stream.queued--
		}
	}
}

func checkEntry(e executor.Entry) error {
	switch {
	case e.Run == "" || len(e.Run) > 255 || len(e.Host) > 1024:
		return fmt.Errorf("log entry: run %q, host %q: a run must be given, neither may be overlong", e.Run, e.Host)
	case streamCode(e.Stream) == 0:
		return fmt.Errorf("log entry of run %s: no such stream %q (stdout, stderr or event)", e.Run, e.Stream)
	case e.Offset < 0:
		return fmt.Errorf("log entry of run %s, host %s: negative offset %d", e.Run, e.Host, e.Offset)
	}
	return nil
}

// submit queues an update or an order behind everything queued before.
func (q *queue) submit(it *item) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return executor.ErrClosed
	}
	q.urgent++
	q.push(it)
	return nil
}

func (q *queue) push(it *item) {
	q.items = append(q.items, it)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// written frees what became durable: bytes, with one mention of its stream for each entry.
func (q *queue) written(streams []*stream, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, st := range streams {
		st.queued--
	}
	q.bytes -= bytes
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// close lets no more in; what is queued is still taken.
func (q *queue) close() (first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first = !q.closed
	q.closed = true
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return first
}

// finished tells whether nothing is queued and nothing more will be.
func (q *queue) finished() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && len(q.items) == 0
}

// enough is the amount of entries that lingers no longer.
const enough = 1 << 20

// crew is what the commit before was: of how many updates, and how long it took.
type crew struct {
	updates int
	took    time.Duration
}

// gatherMost bounds how long an update waits for others.
const gatherMost = 4 * time.Millisecond

// gather is how long after that commit an update waits for others: where several came together more are on
// their way, and one disk sync is to serve them all. Who comes alone, or after a rest, does not wait.
func (c crew) gather() time.Duration {
	if c.updates < 2 {
		return 0
	}
	return min(c.took, gatherMost)
}

// take gives what has queued up, in order, waiting until it is worth a commit:
// at once for an update, but see crew; entries alone linger so that commits are at least linger
// apart. It gives nil when the queue is closed and empty. hold, when positive, is
// how long nothing but an update is taken: the time until a failed write is tried again.
func (q *queue) take(last time.Time, hold time.Duration, before crew) []*item {
	for {
		wait := q.patience(last, hold, before)
		if wait <= 0 {
			return q.pop()
		}
		timer := time.NewTimer(wait)
		select {
		case <-q.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// forever is longer than anybody waits for a queue.
const forever = time.Hour

// patience is how long there is nothing to do.
func (q *queue) patience(last time.Time, hold time.Duration, before crew) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed || q.urgent > 0 && q.urgent >= before.updates:
		return 0
	case q.urgent > 0:
		return before.gather() - time.Since(last)
	case hold > 0:
		return hold - time.Since(last)
	case len(q.items) == 0:
		return forever
	case q.waiting >= enough:
		return 0
	}
	return q.linger - time.Since(last)
}

func (q *queue) pop() []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, 0
	for n < len(q.items) && (n == 0 || bytes+q.items[n].bytes <= q.batch) {
		bytes += q.items[n].bytes
		if q.items[n].entries == nil {
			q.urgent--
		}
		n++
	}
	batch := q.items[:n:n]
	q.items = q.items[n:]
	if len(q.items) == 0 {
		q.items = nil
	}
	q.waiting -= bytes
	return batch
}
