package bolt

import (
	"container/list"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"tfw/executor"
)

// maxStreams bounds the streams whose length is kept in memory.
const maxStreams = 1 << 14

// stream is a stream in use.
type stream struct {
	key    string
	end    int64 // the next offset, with what is queued
	queued int   // entries of it that are not yet on disk: it must stay
}

// lengths knows the next offset of each stream. It is guarded by the queue's
// lock, so that the order of offsets is the order of the queue.
type lengths struct {
	shards *shards
	byKey  map[string]*list.Element // of *stream
	recent list.List                // the most recently used first
}

// of finds a stream, reading its length when it is not in memory.
func (l *lengths) of(key []byte) (*stream, error) {
	if e, ok := l.byKey[string(key)]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*stream), nil
	}
	end, err := l.shards.length(key)
	if err != nil {
		return nil, err
	}
	if l.byKey == nil {
		l.byKey = map[string]*list.Element{}
	}
	st := &stream{key: string(key), end: end}
	l.byKey[st.key] = l.recent.PushFront(st)
	l.evict()
	return st, nil
}

// evict forgets the least recently used streams that have nothing queued.
func (l *lengths) evict() {
	for e := l.recent.Back(); e != nil && l.recent.Len() > maxStreams; {
		before := e.Prev()
		if st := e.Value.(*stream); st.queued == 0 {
			l.recent.Remove(e)
			delete(l.byKey, st.key)
		}
		e = before
	}
}

// length reads a stream's durable length: from the active shard, else as the
// last closed shard left it.
func (s *shards) length(key []byte) (int64, error) {
	for {
		_, active := s.set()
		end, found, err := s.lengthIn(active, key)
		if err == nil && !found {
			end, err = s.closedLength(key)
		}
		if err != nil {
			return 0, fmt.Errorf("length of a stream: %w", err)
		}
		if _, now := s.set(); now == active {
			return end, nil
		} // else it was closed meanwhile: look again
	}
}

func (s *shards) lengthIn(active *shard, key []byte) (end int64, found bool, err error) {
	if active == nil {
		return 0, false, nil
	}
	err = active.view(func(tx *bbolt.Tx) error {
		end, found, err = getLength(tx.Bucket(bEnds), key)
		if damaged(err) {
			end, found, err = lastEnd(tx, key)
		}
		return err
	})
	if damaged(err) || errors.Is(err, errShardLost) {
		return 0, false, nil // the writer sets it aside
	}
	return end, found, err
}

func (s *shards) closedLength(key []byte) (end int64, err error) {
	err = guard(s.state.Path(), func() error {
		return s.state.View(func(tx *bbolt.Tx) error {
			end, _, err = getLength(tx.Bucket(bLengths), key)
			return err
		})
	})
	return end, s.stateError(err)
}

// stateError says what a failed look into state.db means.
func (s *shards) stateError(err error) error {
	switch {
	case errors.Is(err, bbolterrors.ErrDatabaseNotOpen):
		return executor.ErrClosed
	case damaged(err):
		return fmt.Errorf("%s: %w: %w", s.state.Path(), executor.ErrCorrupt, err)
	}
	return err
}

func getLength(b *bbolt.Bucket, key []byte) (end int64, found bool, err error) {
	raw := b.Get(key)
	if raw == nil {
		return 0, false, nil
	}
	n, err := number(b, key)
	return int64(n), err == nil, err
}

// lastEnd finds where a stream ends by its last entry, when its length is damaged.
func lastEnd(tx *bbolt.Tx, key []byte) (end int64, found bool, err error) {
	r := reader{b: key}
	q := executor.LogQuery{Run: executor.RunID(r.text()), Host: r.text(), Tail: 1}
	command := int(r.varint())
	q.Command, q.Stream = &command, streamNames[r.byte()&3]
	p := newPage(q)
	if err := errors.Join(append(p.bad, p.readShard(tx))...); err != nil || len(p.found) == 0 {
		return 0, false, err
	}
	last, err := decode(p.found[0].seq, p.found[0].body)
	return last.entry.Offset + int64(last.length), err == nil, err
}
