package bolt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/sourcegraph/conc/pool"
	"go.etcd.io/bbolt"

	"tfw/executor"
)

// record is an entry with its stored form, which stands in for the data.
type record struct {
	executor.Entry
	end   int64 // of its stream
	value []byte
}

// pack makes the stored form and lets go of the data.
func (r *record) pack(hurry bool) {
	r.value = encode(r.Entry, hurry)
	r.end = r.Offset + int64(len(r.Data))
	recycle(r.Data)
	r.Data = nil
}

// mergeSpan is how far apart in time the parts of a merged entry may be.
const mergeSpan = 50 * time.Millisecond

// merge joins small neighbours of a stream into one entry each. Neighbours are
// those with nothing else of their host between: the order that a
// tester sees on one host is kept, that among hosts is anybody's guess anyway.
func merge(entries []queued) []record {
	type place struct {
		run  executor.RunID
		host string
	}
	last := map[place]int{} // index in out of the host's newest entry
	out := make([]record, 0, len(entries))
	parts := make([][][]byte, 0, len(entries))
	for _, e := range entries {
		at := place{e.Run, e.Host}
		i, ok := last[at]
		if ok && e.Stream != executor.Events && fits(out[i].Entry, e.Entry, size(parts[i])) {
			parts[i] = append(parts[i], e.Data)
			continue
		}
		last[at] = len(out)
		out = append(out, record{Entry: e.Entry})
		parts = append(parts, [][]byte{e.Data})
	}
	for i := range out {
		if len(parts[i]) > 1 {
			out[i].Data = bytes.Join(parts[i], nil)
		}
	}
	return out
}

// fits tells whether next goes on where the entry before, of so many bytes, ends.
func fits(before, next executor.Entry, bytes int) bool {
	apart := next.Time.Sub(before.Time)
	return before.Stream == next.Stream && before.Quiet == next.Quiet && before.Command == next.Command &&
		before.Offset+int64(bytes) == next.Offset && bytes+len(next.Data) <= maxChunk &&
		apart >= 0 && apart <= mergeSpan
}

func size(parts [][]byte) int {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	return n
}

// rush is how much in one batch tells that output comes faster than it is packed well:
// what a host sends at some 50 MB/s gathers as much while the batch before is written.
const rush = 1 << 20

// encodeAll packs the records, on all processors when there is enough to do.
func encodeAll(records []record) []record {
	total := 0
	for _, r := range records {
		total += len(r.Data)
	}
	if total < 2*maxChunk || len(records) < 2 {
		for i := range records {
			records[i].pack(false)
		}
		return records
	}
	workers := runtime.GOMAXPROCS(0)
	p := pool.New().WithMaxGoroutines(workers)
	for w := range workers {
		p.Go(func() {
			for i := w; i < len(records); i += workers {
				records[i].pack(total >= rush)
			}
		})
	}
	p.Wait()
	return records
}

// append writes records to the active shard, in one transaction.
func (s *shards) append(records []record) error {
	if err := s.prepare(time.Now()); err != nil {
		return err
	}
	if err := s.setAsideNumbers(uint64(len(records))); err != nil {
		return err
	}
	info := *s.active.info.Load()
	err := s.active.update(func(tx *bbolt.Tx) error {
		in := insertion{tx: tx, lists: map[string]*block{}, ends: map[string]int64{}}
		for i, r := range records {
			if err := in.add(s.next+uint64(i), r); err != nil {
				return err
			}
			info.oldest = min(info.oldest, nanos(r.Time))
			info.newer = max(info.newer, nanos(r.Time))
		}
		return in.finish(info)
	})
	info.last = s.next + uint64(len(records)) - 1
	if err != nil {
		err = s.failed(err, info.last)
	}
	if err != nil {
		return err
	}
	s.next = info.last + 1
	s.active.info.Store(&info)
	s.durable.Store(info.last)
	return nil
}

// prepare sees to it that there is an active shard of the right age and size.
func (s *shards) prepare(now time.Time) error {
	if a := s.active; a != nil {
		if now.Before(a.until) && a.until.Sub(now) <= s.age && a.size() < s.limit.Load() {
			return nil
		}
		if err := s.rotate(); err != nil {
			return err
		}
	}
	return s.begin(now)
}

// setAsideNumbers makes sure that a shard that gets lost cannot bring sequence numbers back.
func (s *shards) setAsideNumbers(n uint64) error {
	if s.next+n <= s.reserve {
		return nil
	}
	reserve := s.next + n + reserveStep
	err := s.updateState(func(tx *bbolt.Tx) error { return putNumber(tx.Bucket(bMeta), kReserve, reserve) })
	if err == nil {
		s.reserve = reserve
	}
	return err
}

// failed looks at a commit up to the sequence number last that went wrong. A full
// disk leaves the file as it was. After anything else, such as a sync that failed,
// what is on disk and what bbolt believes may differ: the file is opened anew,
// and the commit, which is all or nothing, is found there or not.
func (s *shards) failed(err error, last uint64) error {
	err = classify(fmt.Errorf("write log shard: %w", err))
	if damaged(err) || fullOnWrite(err) {
		return err
	}
	if e := s.active.close(); e != nil {
		return errors.Join(err, e)
	}
	i, e := s.active.load()
	if e != nil {
		return errors.Join(err, e)
	}
	if i.last != last {
		return err
	}
	return s.active.with((*bbolt.DB).Sync)
}

// abandon sets a damaged active shard aside.
func (s *shards) abandon(cause error) error {
	sh := s.active
	s.mu.Lock()
	s.active = nil
	s.mu.Unlock()
	i := *sh.info.Load()
	return s.setAside(sh, i, cause)
}

// insertion is one commit to a shard.
type insertion struct {
	tx    *bbolt.Tx
	lists map[string]*block
	ends  map[string]int64
}

func (in *insertion) add(seq uint64, r record) error {
	key := seqKey(seq)
	log := in.tx.Bucket(bLog)
	log.FillPercent = 1 // it only grows at its end
	if err := log.Put(key, seal(key, r.value)); err != nil {
		return err
	}
	p := posting{seq: seq, stream: streamCode(r.Stream), command: int64(r.Command)}
	if err := in.post(runList(string(r.Run)), p, r.Time); err != nil {
		return err
	}
	if r.Host != "" {
		if err := in.post(hostList(string(r.Run), r.Host), p, r.Time); err != nil {
			return err
		}
	}
	if r.Stream != executor.Events {
		in.ends[string(streamKey(string(r.Run), r.Host, r.Command, p.stream))] = r.end
	}
	return nil
}

// post adds a posting to a list; a block that is full moves to its final place.
func (in *insertion) post(list []byte, p posting, at time.Time) error {
	b := in.lists[string(list)]
	if b == nil {
		b = &block{}
		if raw := in.tx.Bucket(bHeads).Get(list); raw != nil {
			old, err := decodeBlock(list, raw)
			if err != nil {
				return fmt.Errorf("index: %w", err)
			}
			b = &old
		}
		in.lists[string(list)] = b
	}
	b.add(p, nanos(at))
	if len(b.posts) < blockSize {
		return nil
	}
	key := blockKey(list, p.seq)
	err := in.tx.Bucket(bBlocks).Put(key, b.encode(key))
	*b = block{newest: math.MinInt64}
	return err
}

// finish writes the unfinished blocks, the lengths and the span, in key order.
func (in *insertion) finish(info shardInfo) error {
	heads, ends := in.tx.Bucket(bHeads), in.tx.Bucket(bEnds)
	for _, k := range sortedKeys(in.lists) {
		if err := heads.Put([]byte(k), in.lists[k].encode([]byte(k))); err != nil {
			return err
		}
	}
	for _, k := range sortedKeys(in.ends) {
		v := binary.AppendUvarint(make([]byte, 4, 14), uint64(in.ends[k]))
		if err := ends.Put([]byte(k), seal([]byte(k), v)); err != nil {
			return err
		}
	}
	return putSpan(in.tx.Bucket(bMeta), info.oldest, info.newer)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, cmp.Compare[string])
	return keys
}
