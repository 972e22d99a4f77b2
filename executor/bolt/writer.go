package bolt

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"tfw/executor"
)

// writer is the one goroutine that writes.
type writer struct {
	s     *Store
	queue *queue

	// What was taken and is not yet on disk: more than a batch when the disk refused.
	backlog []record
	streams []*stream // of its entries
	bytes   int       // as the queue counts
	hold    time.Duration
	broken  error // state.db is not written again, and why
}

// How long a refused write waits until it is tried again.
const (
	firstHold = 50 * time.Millisecond
	lastHold  = time.Second
)

// loop writes batches until the queue is closed and empty.
func (w *writer) loop() error {
	var last time.Time
	var before crew
	for {
		items := w.queue.take(last, w.hold, before)
		if len(items) == 0 && len(w.backlog) == 0 && w.queue.finished() {
			return nil
		}
		began := time.Now()
		err := w.write(items)
		last = time.Now()
		before = crew{updates: updatesOf(items), took: last.Sub(began)}
		if err != nil && w.queue.finished() {
			return fmt.Errorf("%d log entries (%d bytes) could not be written before the end: %w", len(w.backlog), w.bytes, err)
		}
	}
}

func updatesOf(items []*item) (n int) {
	for _, it := range items {
		if it.update != nil {
			n++
		}
	}
	return n
}

// write makes one batch durable: its entries, then its updates; then the bells,
// then the answers. Without the entries there are no updates: an update
// promises that what its caller appended before is on disk.
func (w *writer) write(items []*item) error {
	var entries []queued
	var updates []*update
	var orders []*order
	for _, it := range items {
		entries = append(entries, it.entries...)
		w.bytes += it.bytes
		if u := it.update; u != nil && u.taken.CompareAndSwap(false, true) {
			updates = append(updates, u)
		}
		if it.order != nil {
			orders = append(orders, it.order)
		}
	}
	w.backlog = append(w.backlog, encodeAll(merge(entries))...)
	for _, e := range entries {
		if e.stream != nil {
			w.streams = append(w.streams, e.stream)
		}
	}
	err := w.writeLog()
	if err == nil {
		w.writeState(updates)
	} else {
		for _, u := range updates {
			u.err = err
			close(u.done)
		}
	}
	for _, o := range orders {
		if err == nil {
			o.done <- o.do()
		} else {
			o.done <- err
		}
	}
	return err
}

// writeLog makes the backlog durable, or keeps it and says why not.
func (w *writer) writeLog() error {
	if len(w.backlog) == 0 {
		return nil
	}
	records := w.backlog
	err := w.s.shards.append(records)
	if errors.Is(err, executor.ErrCorrupt) {
		// The shard is beyond use: what it held is set aside, this batch goes to a new one.
		if err = w.s.shards.abandon(err); err == nil {
			err = w.s.shards.append(records)
		}
	}
	w.s.sick.writing(err)
	if err != nil {
		w.hold = min(max(firstHold, 2*w.hold), lastHold)
		return err
	}
	w.queue.written(w.streams, w.bytes)
	w.backlog, w.streams, w.bytes, w.hold = nil, nil, 0, 0
	rung := executor.RunID("")
	for _, r := range records {
		if r.Run != rung {
			rung = r.Run
			w.s.bells.ring(string(rung))
		}
	}
	return nil
}

// writeState runs the updates in one transaction. Each stands alone: what one
// that fails did is taken back, and the others go on.
func (w *writer) writeState(updates []*update) {
	if len(updates) == 0 {
		return
	}
	err := w.commit(updates)
	w.s.sick.writing(err)
	for _, u := range updates {
		if err == nil {
			for _, topic := range u.rings {
				w.s.bells.ring(topic)
			}
		}
	}
	for _, u := range updates {
		if u.err == nil {
			u.err = err
		}
		close(u.done)
	}
}

// commit runs the updates. After any failure but a full disk, what is on disk is
// not known, or bbolt's locks are held: nothing more is written by this process.
func (w *writer) commit(updates []*update) error {
	if w.broken != nil {
		return w.broken
	}
	state := w.s.state
	err := guard(state.Path(), func() error {
		return state.Update(func(b *bbolt.Tx) error { return runAll(b, state.Path(), updates) })
	})
	if err == nil {
		return nil
	}
	err = classify(fmt.Errorf("write state.db: %w", err))
	if !fullOnWrite(err) {
		w.broken = fmt.Errorf("%w (nothing more is recorded until a restart)", err)
		w.s.sick.note(w.broken)
		w.s.stuck.Store(errors.Is(err, executor.ErrCorrupt))
	}
	return err
}

func runAll(b *bbolt.Tx, file string, updates []*update) error {
	for _, u := range updates {
		t := &tx{bolt: b, file: file}
		if u.panicked, u.err = t.run(u.fn); t.broken {
			return fmt.Errorf("%s: %w: an update could not be taken back", file, executor.ErrCorrupt)
		}
		u.rings = t.rings
	}
	return nil
}
