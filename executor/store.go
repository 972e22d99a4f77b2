package executor

import (
	"context"
	"errors"
	"time"
)

// Store keeps everything that must outlive the process: small records in named
// tables, and the log. It holds no policy and knows no run. Safe for concurrent
// use. executortest.Store is the exam that every implementation passes.
//
// What a call acknowledged is on disk: a killed process, a full disk or a broken
// later write never takes it back.
type Store interface {
	// Update runs fn in a write transaction and returns once it is durable.
	// Concurrent updates are grouped into one disk sync; fn may be called more than
	// once, and runs alone: it must be short and touch nothing but tx. When fn
	// returns an error nothing of it is kept, and the error is returned as it is.
	// Everything that this caller appended before is durable too when Update returns.
	Update(ctx context.Context, fn func(tx Tx) error) error
	// View runs fn on a consistent snapshot. It must be short.
	View(ctx context.Context, fn func(tx Tx) error) error

	// Append queues log entries in order, setting nothing of them but Seq; it blocks
	// while the queue is full. The data is the caller's again when it returns. They become durable together, within some 50 ms, or with the caller's next Update.
	// A chunk that overlaps what the log already holds of its stream is trimmed; a gap is ErrGap.
	// (Event entries have no offset and are never trimmed.)
	Append(ctx context.Context, entries ...Entry) error
	// Lengths tells the durable and queued length of a command's streams: the next offsets.
	Lengths(ctx context.Context, id CommandID) (Offsets, error)
	// Read pages through a run's log. It never blocks for new entries.
	Read(ctx context.Context, q LogQuery) (LogPage, error)
	// Changed returns a channel that is closed at the next durable change of the
	// topic (a run's id: log or records; see [Tx.Ring]). Take it before looking, then look, then wait.
	Changed(topic string) <-chan struct{}
	// Retain drops whole log shards: those older than age, then the oldest
	// until the log is within size bytes. 0 is no bound. It reports which were dropped; disk space is given back.
	Retain(ctx context.Context, age time.Duration, size int64) (dropped []string, err error)
	// Health is nil, or says what is wrong (disk full, a quarantined shard ...).
	Health() error
	// Close flushes and closes. Later calls return ErrClosed.
	Close() error
}

// Tx reads and writes records. Tables come into being when first written. Values
// returned are the caller's own copies.
type Tx interface {
	Get(table, key string) ([]byte, bool)
	Put(table, key string, value []byte) error
	Delete(table, key string) error
	// Range calls fn in key order from the key from (inclusive) while fn returns
	// true; backwards when reverse, where from "" is the end.
	Range(table, from string, reverse bool, fn func(key string, value []byte) bool) error
	// Next gives the table's next sequence number, from 1, never given twice.
	Next(table string) (uint64, error)
	// Ring wakes [Store.Changed] of the topic once the transaction is durable.
	Ring(topic string)
}

// Entry is one entry of the log: bytes of a command's stream at an offset, or an event.
type Entry struct {
	Seq     uint64    // given by the store, rising over all runs, never 0
	Time    time.Time // of receipt
	Run     RunID
	Host    string
	Command int // ordinal
	Stream  Stream
	Offset  int64
	Data    []byte // at most 64 KiB
	Quiet   bool   // of a command whose output is for its method only: live views leave it out

	// Frame is given in the place of Data where [LogQuery.Packed] asks for it and the
	// store has it so: a whole zstd frame (RFC 8878) of Length bytes of data.
	Frame  []byte
	Length int
}

// LogQuery selects a page of a run's log.
type LogQuery struct {
	Run     RunID
	Host    string // "" is every host
	Stream  Stream // "" is every stream
	Command *int   // nil is every command
	After   uint64 // entries with a greater Seq
	Limit   int    // entries; 0 is 1,000
	Bytes   int    // of data, about; 0 is 1 MiB; at least one entry is given
	// Tail > 0: the last so many entries (before Before, when set), in order. After is still honoured.
	Tail   int
	Before uint64    // entries with a smaller Seq; 0 is no bound
	Since  time.Time // entries received at or after it
	// Packed lets the store give the entries as they lie: see [Entry.Frame].
	Packed bool
}

// LogPage is a page of a log in Seq order.
type LogPage struct {
	Entries []Entry
	Next    uint64 // the After for the next page: how far the store looked
	More    bool   // there is more right now; with Tail: there are older entries
	Dropped bool   // entries of this run were given up by retention
}

// Errors of a Store, for errors.Is.
var (
	ErrNotFound  = errors.New("not found")
	ErrClosed    = errors.New("store is closed")
	ErrGap       = errors.New("gap in the stream")
	ErrDiskFull  = errors.New("disk full")
	ErrLocked    = errors.New("data directory is in use")
	ErrNewerData = errors.New("data directory was written by a newer tfw")
	ErrCorrupt   = errors.New("store is damaged")
)
