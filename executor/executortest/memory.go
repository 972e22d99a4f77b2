package executortest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tfw/executor"
)

// Memory is an [executor.Store] in memory, for tests of what stands on a store.
// It passes the same exam as the one on disk. Unlike that one it stores each
// appended entry as it is, at once. Safe for concurrent use.
type Memory struct {
	data *memoryData
}

// memoryData is what outlives a Close, for [Memory.Reopen].
type memoryData struct {
	mu      sync.Mutex
	closed  bool
	tables  map[string]*memoryTable
	log     []executor.Entry
	seq     uint64
	ends    map[memoryStream]int64
	dropped map[executor.RunID]uint64 // the last sequence number given up
	bells   map[string]chan struct{}
}

type memoryStream struct {
	id     executor.CommandID
	stream executor.Stream
}

type memoryTable struct {
	rows map[string][]byte
	next uint64
}

var _ executor.Store = (*Memory)(nil)

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{data: &memoryData{
		tables: map[string]*memoryTable{}, ends: map[memoryStream]int64{},
		dropped: map[executor.RunID]uint64{}, bells: map[string]chan struct{}{},
	}}
}

// Reopen gives a new store on what a closed one held, as a restart would.
func (m *Memory) Reopen() *Memory {
	d := m.data
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Memory{data: &memoryData{
		tables: d.tables, log: d.log, seq: d.seq, ends: d.ends, dropped: d.dropped,
		bells: map[string]chan struct{}{},
	}}
}

// enter locks the store for a call, if it may begin.
func (d *memoryData) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return executor.ErrClosed
	}
	return nil
}

// Update implements [executor.Store].
func (m *Memory) Update(ctx context.Context, fn func(executor.Tx) error) error {
	d := m.data
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.mu.Unlock()
	t := &memoryTx{tables: maps.Clone(d.tables), own: map[string]bool{}}
	if err := fn(t); err != nil {
		return err
	}
	d.tables = t.tables
	for _, topic := range t.rings {
		d.ring(topic)
	}
	return nil
}

// View implements [executor.Store].
func (m *Memory) View(ctx context.Context, fn func(executor.Tx) error) error {
	if err := m.data.enter(ctx); err != nil {
		return err
	}
	t := &memoryTx{tables: m.data.tables}
	m.data.mu.Unlock() // tables are never changed, only replaced
	return fn(t)
}

// Append implements [executor.Store].
func (m *Memory) Append(ctx context.Context, entries ...executor.Entry) error {
	d := m.data
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.mu.Unlock()
	ends := maps.Clone(d.ends)
	var placed []executor.Entry
	for _, e := range entries {
		parts, err := place(ends, e)
		if err != nil {
			return err
		}
		placed = append(placed, parts...)
	}
	d.ends = ends
	for _, e := range placed {
		d.seq++
		e.Seq = d.seq
		e.Data = bytes.Clone(e.Data)
		d.log = append(d.log, e)
		d.ring(string(e.Run))
	}
	return nil
}

// place trims an entry to what its stream lacks, in parts of at most 64 KiB.
func place(ends map[memoryStream]int64, e executor.Entry) ([]executor.Entry, error) {
	switch e.Stream {
	case executor.Events:
		return []executor.Entry{e}, nil
	case executor.Stdout, executor.Stderr:
	default:
		return nil, fmt.Errorf("log entry of run %s: no such stream %q (stdout, stderr or event)", e.Run, e.Stream)
	}
	if e.Run == "" || e.Offset < 0 {
		return nil, fmt.Errorf("log entry of run %q at offset %d: no such place", e.Run, e.Offset)
	}
	id := executor.CommandID{Run: e.Run, Host: e.Host, Ordinal: e.Command}
	key := memoryStream{id, e.Stream}
	end := ends[key]
	if e.Offset > end {
		return nil, fmt.Errorf("%s %s at offset %d: %w: the log ends at %d", id, e.Stream, e.Offset, executor.ErrGap, end)
	}
	if end-e.Offset >= int64(len(e.Data)) {
		return nil, nil
	}
	e.Data, e.Offset = e.Data[end-e.Offset:], end
	ends[key] = e.Offset + int64(len(e.Data))
	var parts []executor.Entry
	for chunk := range slices.Chunk(e.Data, 64<<10) {
		part := e
		part.Data = chunk
		parts = append(parts, part)
		e.Offset += int64(len(chunk))
	}
	return parts, nil
}

// Lengths implements [executor.Store].
func (m *Memory) Lengths(ctx context.Context, id executor.CommandID) (executor.Offsets, error) {
	d := m.data
	if err := d.enter(ctx); err != nil {
		return executor.Offsets{}, err
	}
	defer d.mu.Unlock()
	return executor.Offsets{
		Stdout: d.ends[memoryStream{id, executor.Stdout}],
		Stderr: d.ends[memoryStream{id, executor.Stderr}],
	}, nil
}

// Read implements [executor.Store].
func (m *Memory) Read(ctx context.Context, q executor.LogQuery) (executor.LogPage, error) {
	d := m.data
	if err := d.enter(ctx); err != nil {
		return executor.LogPage{}, err
	}
	switch q.Stream {
	case "", executor.Stdout, executor.Stderr, executor.Events:
	default:
		d.mu.Unlock()
		return executor.LogPage{}, fmt.Errorf("no such stream %q (stdout, stderr or event)", q.Stream)
	}
	defer d.mu.Unlock()
	var match []executor.Entry
	begin, _ := slices.BinarySearchFunc(d.log, q.After+1, func(e executor.Entry, seq uint64) int { return cmp.Compare(e.Seq, seq) })
	for _, e := range d.log[begin:] {
		if matches(q, e) {
			match = append(match, e)
		}
	}
	page := cutPage(q, match)
	page.Dropped = d.dropped[q.Run] > q.After
	end := d.seq
	if q.Before > 0 {
		end = min(end, q.Before-1)
	}
	page.Next = max(q.After, end)
	if n := len(page.Entries); page.More && q.Tail <= 0 {
		page.Next = page.Entries[n-1].Seq
	}
	for i := range page.Entries {
		page.Entries[i].Data = bytes.Clone(page.Entries[i].Data)
	}
	return page, nil
}

func matches(q executor.LogQuery, e executor.Entry) bool {
	return e.Run == q.Run && e.Seq > q.After && (q.Before == 0 || e.Seq < q.Before) &&
		(q.Host == "" || e.Host == q.Host) && (q.Stream == "" || e.Stream == q.Stream) &&
		(q.Command == nil || e.Command == *q.Command) && (q.Since.IsZero() || !e.Time.Before(q.Since))
}

// cutPage keeps the entries of a page: the first that fit, or with Tail the last.
func cutPage(q executor.LogQuery, match []executor.Entry) executor.LogPage {
	limit, size := q.Limit, q.Bytes
	if limit <= 0 {
		limit = 1000
	}
	if size <= 0 {
		size = 1 << 20
	}
	tail := q.Tail > 0
	if tail {
		slices.Reverse(match)
		if q.Limit <= 0 || q.Tail < q.Limit {
			limit = q.Tail
		}
	}
	n, bytes := 0, 0
	for n < len(match) && n < limit && (n == 0 || bytes+len(match[n].Data) <= size) {
		bytes += len(match[n].Data)
		n++
	}
	page := executor.LogPage{Entries: slices.Clone(match[:n]), More: n < len(match)}
	if tail {
		slices.Reverse(page.Entries)
	}
	return page
}

// Changed implements [executor.Store].
func (m *Memory) Changed(topic string) <-chan struct{} {
	d := m.data
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.bells[topic]
	if !ok {
		c = make(chan struct{})
		d.bells[topic] = c
	}
	if d.closed {
		d.ring(topic)
	}
	return c
}

func (d *memoryData) ring(topic string) {
	if c, ok := d.bells[topic]; ok {
		delete(d.bells, topic)
		close(c)
	}
}

// Retain implements [executor.Store]: a shard is one entry.
func (m *Memory) Retain(ctx context.Context, age time.Duration, size int64) (dropped []string, err error) {
	d := m.data
	if err := d.enter(ctx); err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	total := int64(0)
	for _, e := range d.log {
		total += int64(len(e.Data))
	}
	d.log = slices.DeleteFunc(slices.Clone(d.log), func(e executor.Entry) bool {
		if !(age > 0 && time.Since(e.Time) > age || size > 0 && total > size) {
			return false
		}
		total -= int64(len(e.Data))
		d.dropped[e.Run] = e.Seq
		dropped = append(dropped, fmt.Sprint("entry ", e.Seq))
		return true
	})
	return dropped, nil
}

// Health implements [executor.Store].
func (m *Memory) Health() error { return nil }

// Close implements [executor.Store].
func (m *Memory) Close() error {
	d := m.data
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for topic := range d.bells {
		d.ring(topic)
	}
	return nil
}

// memoryTx is a transaction: on a private copy, or on a snapshot.
type memoryTx struct {
	tables map[string]*memoryTable
	own    map[string]bool // tables that are already private; nil in a View
	rings  []string
}

func (t *memoryTx) Get(table, key string) ([]byte, bool) {
	if tab := t.tables[table]; tab != nil {
		v, ok := tab.rows[key]
		return append([]byte{}, v...), ok
	}
	return nil, false
}

func (t *memoryTx) table(name string) (*memoryTable, error) {
	if t.own == nil {
		return nil, errors.New("write in a View: use Update")
	}
	if name == "" {
		return nil, errors.New("no table given")
	}
	if !t.own[name] {
		fresh := &memoryTable{rows: map[string][]byte{}}
		if old := t.tables[name]; old != nil {
			fresh.next = old.next
			maps.Copy(fresh.rows, old.rows)
		}
		t.tables[name], t.own[name] = fresh, true
	}
	return t.tables[name], nil
}

func (t *memoryTx) Put(table, key string, value []byte) error {
	tab, err := t.table(table)
	if err == nil && key == "" {
		err = fmt.Errorf("table %q: no key given", table)
	}
	if err != nil {
		return err
	}
	tab.rows[key] = append([]byte{}, value...)
	return nil
}

func (t *memoryTx) Delete(table, key string) error {
	tab, err := t.table(table)
	if err == nil {
		delete(tab.rows, key)
	}
	return err
}

func (t *memoryTx) Range(table, from string, reverse bool, fn func(string, []byte) bool) error {
	if t.tables[table] == nil {
		return nil
	}
	keys := slices.Sorted(maps.Keys(t.tables[table].rows))
	if reverse {
		slices.Reverse(keys)
	}
	for _, key := range keys {
		if c := strings.Compare(key, from); from != "" && (!reverse && c < 0 || reverse && c > 0) {
			continue
		}
		if v, ok := t.Get(table, key); ok && !fn(key, v) {
			return nil
		}
	}
	return nil
}

func (t *memoryTx) Next(table string) (uint64, error) {
	tab, err := t.table(table)
	if err != nil {
		return 0, err
	}
	tab.next++
	return tab.next, nil
}

func (t *memoryTx) Ring(topic string) { t.rings = append(t.rings, topic) }
