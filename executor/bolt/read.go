package bolt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"go.etcd.io/bbolt"

	"tfw/executor"
)

const (
	defaultLimit = 1000
	defaultBytes = 1 << 20
	maxBytes     = 16 << 20 // of data in a page, whatever is asked
	// maxLook bounds the index entries that one page passes over, so that a
	// page is short also when almost nothing matches.
	maxLook = 200_000
)

// page is a page in the making.
type page struct {
	q       executor.LogQuery
	want    byte // stream, 0 is any
	since   int64
	limit   int
	bytes   int
	reverse bool

	found []packed // in the order of the search
	size  int      // of their data
	look  int      // index entries passed over
	seen  uint64   // the last sequence number looked at
	full  bool     // stopped before the end
	bad   []error  // damaged entries left out
}

// packed is an entry as stored, copied out of its transaction.
type packed struct {
	seq  uint64
	body []byte
}

func newPage(q executor.LogQuery) *page {
	p := &page{q: q, want: streamCode(q.Stream), since: math.MinInt64, reverse: q.Tail > 0}
	p.limit = cmp.Or(max(q.Limit, 0), defaultLimit)
	if p.reverse {
		p.limit = q.Tail
		if q.Limit > 0 {
			p.limit = min(q.Tail, q.Limit)
		}
	}
	p.bytes = min(cmp.Or(max(q.Bytes, 0), defaultBytes), maxBytes)
	if !q.Since.IsZero() {
		p.since = nanos(q.Since)
	}
	if q.Before == 0 {
		p.q.Before = math.MaxUint64
	}
	return p
}

// Read implements [executor.Store]. Before bounds a forward page too. With Tail,
// More says that there are older entries.
func (s *Store) Read(ctx context.Context, q executor.LogQuery) (executor.LogPage, error) {
	if err := s.usable(ctx); err != nil {
		return executor.LogPage{}, err
	}
	if q.Stream != "" && streamCode(q.Stream) == 0 {
		return executor.LogPage{}, fmt.Errorf("no such stream %q (stdout, stderr or event)", q.Stream)
	}
	durable := s.shards.durable.Load() // before the shards are looked at: a bell may ring meanwhile
	closed, dropped, active, err := s.shards.of(q)
	if err != nil {
		return executor.LogPage{}, err
	}
	p := newPage(q)
	if err := s.search(ctx, p, closed, active); err != nil {
		return executor.LogPage{}, err
	}
	out, err := s.finish(p, durable)
	out.Dropped = out.Dropped || dropped
	return out, err
}

// of lists the shards that may hold entries of the query, in order.
func (s *shards) of(q executor.LogQuery) (closed []closedShard, dropped bool, active *shard, err error) {
	all, active := s.set() // first: a shard that is closed meanwhile is read as the active one
	var ids []uint64
	err = guard(s.state.Path(), func() error {
		return s.state.View(func(tx *bbolt.Tx) error {
			ids, err = runShards(tx, string(q.Run))
			return err
		})
	})
	if err != nil {
		return nil, false, nil, s.stateError(err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, id := range ids {
		if last, gone := s.gone[id]; gone && last > q.After {
			dropped = true
		}
	}
	for _, c := range all {
		if slices.Contains(ids, c.first) && c.last > q.After && (q.Before == 0 || c.first < q.Before) &&
			(q.Since.IsZero() || c.newer >= nanos(q.Since)) {
			closed = append(closed, c)
		}
	}
	return closed, dropped, active, nil
}

// search fills the page from one shard after the other.
func (s *Store) search(ctx context.Context, p *page, closed []closedShard, active *shard) error {
	todo := make([]*shard, 0, len(closed)+1)
	for _, c := range closed {
		todo = append(todo, c.shard)
	}
	if active != nil {
		todo = append(todo, active)
	}
	if p.reverse {
		slices.Reverse(todo)
	}
	for _, sh := range todo {
		if p.full {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if sh != active {
			s.shards.touch(sh)
		}
		err := sh.view(p.readShard)
		switch {
		case err == nil:
		case errors.Is(err, errShardLost): // dropped since, which the next page says; or closed
			if err := s.usable(ctx); err != nil {
				return err
			}
		case damaged(err):
			s.damage(sh, closed, err)
			p.bad = append(p.bad, err)
		default:
			return fmt.Errorf("read log shard: %w", err)
		}
	}
	return nil
}

// damage sets a closed shard aside; the active one is the writer's, and its
// whole entries are still served.
func (s *Store) damage(sh *shard, closed []closedShard, cause error) {
	for _, c := range closed {
		if c.shard == sh {
			s.retaining.Lock()
			defer s.retaining.Unlock()
			if err := s.shards.setAside(sh, c.shardInfo, cause); err != nil {
				s.sick.note(err)
			}
			return
		}
	}
	s.sick.note(fmt.Errorf("log shard being written: %w", cause))
}

// readShard collects from one shard, in one transaction.
func (p *page) readShard(tx *bbolt.Tx) error {
	list := runList(string(p.q.Run))
	if p.q.Host != "" {
		list = hostList(string(p.q.Run), p.q.Host)
	}
	log := tx.Bucket(bLog)
	each := func(b block) error {
		if b.newest < p.since {
			p.look += len(b.posts)
			return nil
		}
		return p.readBlock(log, b)
	}
	if p.reverse {
		return p.backward(tx, list, each)
	}
	return p.forward(tx, list, each)
}

// forward visits the blocks of a list that hold entries after After.
func (p *page) forward(tx *bbolt.Tx, list []byte, each func(block) error) error {
	c := tx.Bucket(bBlocks).Cursor()
	for k, v := c.Seek(blockKey(list, p.q.After+1)); isBlock(k, list) && !p.full; k, v = c.Next() {
		if err := visit(k, v, each); err != nil {
			return err
		}
	}
	return p.head(tx, list, each)
}

// backward visits the blocks that hold entries before Before, the last first.
func (p *page) backward(tx *bbolt.Tx, list []byte, each func(block) error) error {
	if err := p.head(tx, list, each); err != nil {
		return err
	}
	c := tx.Bucket(bBlocks).Cursor()
	k, v := c.Seek(blockKey(list, p.q.Before))
	if k == nil {
		k, v = c.Last()
	}
	if !isBlock(k, list) {
		k, v = c.Prev()
	}
	for ; isBlock(k, list) && !p.full; k, v = c.Prev() {
		if last := k[len(k)-8:]; bytes.Compare(last, seqKey(p.q.After)) <= 0 {
			return nil
		}
		if err := visit(k, v, each); err != nil {
			return err
		}
	}
	return nil
}

func (p *page) head(tx *bbolt.Tx, list []byte, each func(block) error) error {
	raw := tx.Bucket(bHeads).Get(list)
	if raw == nil || p.full {
		return nil
	}
	return visit(list, raw, each)
}

func isBlock(k, list []byte) bool { return len(k) == len(list)+8 && bytes.HasPrefix(k, list) }

func visit(k, v []byte, each func(block) error) error {
	b, err := decodeBlock(k, v)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return each(b)
}

// readBlock takes what the query wants of a block.
func (p *page) readBlock(log *bbolt.Bucket, b block) error {
	if p.reverse {
		slices.Reverse(b.posts)
	}
	for _, post := range b.posts {
		if p.full {
			return nil
		}
		if post.seq <= p.q.After || post.seq >= p.q.Before {
			continue
		}
		if p.look++; p.look > maxLook && !p.reverse {
			p.full = true
			return nil
		}
		wanted := (p.want == 0 || post.stream == p.want) && (p.q.Command == nil || post.command == int64(*p.q.Command))
		if !wanted {
			p.seen = post.seq
			continue
		}
		p.take(log, post.seq)
	}
	return nil
}

// take copies an entry into the page, unless that is full or Since rules it out.
func (p *page) take(log *bbolt.Bucket, seq uint64) {
	key := seqKey(seq)
	body, err := open(key, log.Get(key))
	var s stored
	if err == nil {
		s, err = decode(seq, body)
	}
	switch {
	case err != nil:
		p.bad = append(p.bad, fmt.Errorf("log entry %d: %w", seq, err))
	case nanos(s.entry.Time) < p.since:
	case len(p.found) == p.limit || len(p.found) > 0 && p.size+s.length > p.bytes:
		p.full = true
		return
	default:
		p.found = append(p.found, packed{seq, bytes.Clone(body)})
		p.size += s.length
	}
	p.seen = seq
}

// finish unpacks the page outside of any transaction.
func (s *Store) finish(p *page, durable uint64) (executor.LogPage, error) {
	out := executor.LogPage{Entries: make([]executor.Entry, 0, len(p.found)), More: p.full}
	if p.reverse {
		slices.Reverse(p.found)
	}
	for _, f := range p.found {
		st, err := decode(f.seq, f.body)
		if err != nil {
			return out, err // it was decoded before
		}
		e, err := st.give(p.q.Packed)
		if err != nil {
			p.bad = append(p.bad, err)
			continue
		}
		out.Entries = append(out.Entries, e)
	}
	for _, err := range p.bad {
		s.sick.note(err)
		out.Dropped = true
	}
	// How far the store looked: to the end of what was durable when it began, or
	// to where the page was full.
	end := durable
	if p.q.Before != math.MaxUint64 {
		end = min(end, p.q.Before-1)
	}
	out.Next = max(p.q.After, p.seen, end)
	if p.full && !p.reverse {
		out.Next = max(p.q.After, p.seen)
	}
	if p.reverse {
		out.Next = max(p.q.After, end)
		if n := len(out.Entries); n > 0 {
			out.Next = max(out.Next, out.Entries[n-1].Seq)
		}
	}
	return out, nil
}
