package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"tfw/executor"
)

// Buckets of state.db beside the executor's tables.
var (
	bMeta    = []byte("tfw")     // format and reserve, see below
	bShards  = []byte("shards")  // first seq -> shardInfo, of closed and of dropped shards
	bRuns    = []byte("runs")    // run -> first seqs of the closed shards it has entries in
	bLengths = []byte("lengths") // streamKey -> length, as of the last closed shard it is in

	kFormat  = []byte("format")
	kReserve = []byte("reserve") // no sequence number beyond it was given
)

// reserveStep is how many sequence numbers are set aside at once, so that a lost
// shard cannot make the store give a number twice.
const reserveStep = 1 << 20

var errNotOurs = errors.New("this is no database of tfw")

// migrations bring a state.db of the format in the key to the next one.
var migrations = map[uint64]func(*bbolt.Tx) error{
	1: func(*bbolt.Tx) error { return nil }, // 2 knows one more codec in the log: nothing to change, but an older tfw must not read it
	2: func(*bbolt.Tx) error { return nil }, // 3 has an index of what is made, which is brought up from above: an older tfw would leave runs out of it
}

// openState opens or, in an empty directory, makes state.db.
func openState(dir string, unclean bool) (*bbolt.DB, error) {
	path := filepath.Join(dir, "state.db")
	options := bbolt.Options{InitialMmapSize: 64 << 20}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if shards, _ := filepath.Glob(filepath.Join(dir, "logs", "*.db")); len(shards) > 0 {
			return nil, fmt.Errorf("%s: %w: it is missing beside %d log files (put it back from a backup, or move %s away to begin anew)",
				path, executor.ErrCorrupt, len(shards), dir)
		}
		if err := createFile(path, options, fillState); err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
	}
	db, err := openFile(path, options)
	if err != nil {
		return nil, stateAdvice(dir, err)
	}
	if err := readyState(db, unclean); err != nil {
		_ = db.Close()
		return nil, stateAdvice(dir, err)
	}
	if db, err = shrink(db, options); err != nil {
		return nil, stateAdvice(dir, err)
	}
	return db, nil
}

func stateAdvice(dir string, err error) error {
	if errors.Is(err, executor.ErrCorrupt) {
		return fmt.Errorf("%w (nothing was changed; put state.db back from a backup, or move %s away to begin anew)", err, dir)
	}
	return fmt.Errorf("open state.db: %w", err)
}

// maxCheck bounds the state.db that is walked before use after an unclean end;
// a larger one would keep the start waiting, and its checksums tell of damage later.
const maxCheck = 256 << 20

// readyState checks marker and version, and after an unclean end the whole file.
func readyState(db *bbolt.DB, unclean bool) error {
	if unclean && onDisk(db.Path()) <= maxCheck {
		if err := check(db); err != nil {
			return err
		}
	}
	version := uint64(0)
	err := guard(db.Path(), func() error {
		return db.View(func(tx *bbolt.Tx) (err error) {
			version, err = formatOf(tx)
			return err
		})
	})
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w: %w", db.Path(), executor.ErrCorrupt, err)
	case version > formatVersion:
		return newer(db.Path(), version)
	}
	for ; version < formatVersion; version++ {
		if err := migrate(db, version); err != nil {
			return fmt.Errorf("%s: migrate from format %d: %w", db.Path(), version, err)
		}
	}
	return nil
}

func newer(path string, version uint64) error {
	return fmt.Errorf("%s: %w: its format is %d, this one knows up to %d (use the newer tfw, or another data directory)",
		path, executor.ErrNewerData, version, formatVersion)
}

// migrate does one step and its new version number in one transaction.
func migrate(db *bbolt.DB, from uint64) error {
	step, ok := migrations[from]
	if !ok {
		return errors.New("this tfw no longer knows that format")
	}
	return guard(db.Path(), func() error {
		return db.Update(func(tx *bbolt.Tx) error {
			if err := step(tx); err != nil {
				return err
			}
			return putNumber(tx.Bucket(bMeta), kFormat, from+1)
		})
	})
}

func formatOf(tx *bbolt.Tx) (uint64, error) {
	b := tx.Bucket(bMeta)
	if b == nil {
		return 0, errNotOurs
	}
	return number(b, kFormat)
}

func fillState(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bMeta, bShards, bRuns, bLengths} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return errors.Join(putNumber(tx.Bucket(bMeta), kFormat, formatVersion), putNumber(tx.Bucket(bMeta), kReserve, 0))
}

// putNumber and number keep a checked number under a key.
func putNumber(b *bbolt.Bucket, key []byte, n uint64) error {
	return b.Put(key, seal(key, binary.AppendUvarint(make([]byte, 4, 14), n)))
}

func number(b *bbolt.Bucket, key []byte) (uint64, error) {
	raw := b.Get(key)
	if raw == nil {
		return 0, fmt.Errorf("key %q is missing: %w", key, errNotOurs)
	}
	body, err := open(key, raw)
	if err != nil {
		return 0, fmt.Errorf("key %q: %w", key, err)
	}
	r := reader{b: body}
	n := r.uvarint()
	if r.bad {
		return 0, fmt.Errorf("key %q: %w", key, errDamaged)
	}
	return n, nil
}

// shardInfo is what is known of a shard without opening it.
type shardInfo struct {
	name          string
	first, last   uint64 // sequence numbers
	oldest, newer int64  // nanoseconds: the times of receipt it spans
	gone          bool   // dropped or quarantined: only its name and numbers remain
}

func (i shardInfo) encode(key []byte) []byte {
	v := appendText(make([]byte, 4, 48), i.name)
	v = binary.AppendUvarint(v, i.first)
	v = binary.AppendUvarint(v, i.last)
	v = binary.AppendVarint(v, i.oldest)
	v = binary.AppendVarint(v, i.newer)
	gone := byte(0)
	if i.gone {
		gone = 1
	}
	return seal(key, append(v, gone))
}

func decodeShard(key, value []byte) (shardInfo, error) {
	body, err := open(key, value)
	if err != nil {
		return shardInfo{}, err
	}
	r := reader{b: body}
	i := shardInfo{name: r.text(), first: r.uvarint(), last: r.uvarint(), oldest: r.varint(), newer: r.varint(), gone: r.byte() == 1}
	if r.bad {
		return shardInfo{}, errDamaged
	}
	return i, nil
}

func putShard(tx *bbolt.Tx, i shardInfo) error {
	key := seqKey(i.first)
	return tx.Bucket(bShards).Put(key, i.encode(key))
}

// addRun notes that a run has entries in the closed shard that begins with first.
func addRun(tx *bbolt.Tx, run string, first uint64) error {
	ids, err := runShards(tx, run)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if id == first {
			return nil
		}
	}
	v := make([]byte, 4, 16)
	for _, id := range append(ids, first) {
		v = binary.AppendUvarint(v, id)
	}
	return tx.Bucket(bRuns).Put([]byte(run), seal([]byte(run), v))
}

func runShards(tx *bbolt.Tx, run string) ([]uint64, error) {
	raw := tx.Bucket(bRuns).Get([]byte(run))
	if raw == nil {
		return nil, nil
	}
	body, err := open([]byte(run), raw)
	if err != nil {
		return nil, fmt.Errorf("shards of run %s: %w", run, err)
	}
	var ids []uint64
	for r := (reader{b: body}); len(r.b) > 0 && !r.bad; {
		ids = append(ids, r.uvarint())
	}
	return ids, nil
}
