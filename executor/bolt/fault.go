package bolt

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"tfw/executor"
)

// formatVersion is the layout this program writes. State of an older one is
// migrated when opened, of a newer one refused.
const formatVersion = 3

// guard runs fn, which touches a memory-mapped file. What bbolt does with a
// file that is not as it left it is a panic or, past the end of a truncated file, a
// fault of the mapping: both become an error that wraps ErrCorrupt.
func guard(name string, fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %w: %v", name, executor.ErrCorrupt, p)
		}
	}()
	return fn()
}

// classify gives a full disk its name.
func classify(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) && !errors.Is(err, executor.ErrDiskFull) {
			return fmt.Errorf("%w: %w", executor.ErrDiskFull, err)
		}
	}
	return err
}

// fullOnWrite tells whether a disk was full when a page was to be written, not when
// written ones were to be synced: then the file is as it was before.
func fullOnWrite(err error) bool {
	var path *os.PathError
	return errors.Is(err, executor.ErrDiskFull) && errors.As(err, &path)
}

// damaged tells whether an error of opening or reading a file means that its
// content is wrong, as against the machine being in the way (rights, descriptors, memory).
func damaged(err error) bool {
	for _, e := range []error{executor.ErrCorrupt, errDamaged, bbolterrors.ErrInvalid,
		bbolterrors.ErrVersionMismatch, bbolterrors.ErrChecksum} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// openFile opens a bbolt file that must exist and be whole: bbolt would make a
// new database of an empty file without a word, and fault on a truncated one.
func openFile(path string, options bbolt.Options) (db *bbolt.DB, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() < int64(2*os.Getpagesize()) {
		return nil, fmt.Errorf("%s: %w: %d bytes are no database", path, executor.ErrCorrupt, info.Size())
	}
	options.Timeout = 2 * time.Second
	options.FreelistType = bbolt.FreelistMapType
	options.NoStatistics = true
	err = guard(path, func() error {
		// A first look without loading the free list, which may lie past the end.
		look, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: options.Timeout})
		if err != nil {
			return err
		}
		err = look.View(func(tx *bbolt.Tx) error {
			if tx.Size() > info.Size() {
				return fmt.Errorf("%s: %w: truncated to %d of %d bytes", path, executor.ErrCorrupt, info.Size(), tx.Size())
			}
			if options.NoFreelistSync && !options.ReadOnly {
				return tread(tx) // opening it for writing scans it for free pages
			}
			return nil
		})
		if err != nil || options.ReadOnly {
			db = look
			return err
		}
		if err := look.Close(); err != nil {
			return err
		}
		db, err = bbolt.Open(path, 0o600, &options)
		return err
	})
	if err != nil && db != nil {
		_ = db.Close()
	}
	if err != nil && damaged(err) && !errors.Is(err, executor.ErrCorrupt) {
		err = fmt.Errorf("%s: %w: %w", path, executor.ErrCorrupt, err)
	}
	if err != nil {
		return nil, classify(err)
	}
	return db, nil
}

// createFile makes a bbolt file under a temporary name, lets fill write its
// first content, and publishes it whole: a crash never leaves an empty one.
func createFile(path string, options bbolt.Options, fill func(*bbolt.Tx) error) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	options.Timeout = time.Second
	options.FreelistType = bbolt.FreelistMapType
	db, err := bbolt.Open(tmp, 0o600, &options)
	if err == nil {
		err = errors.Join(db.Update(fill), db.Close())
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return classify(err)
	}
	return syncDir(path)
}

// tread visits every page that can be reached. bbolt's own walks are goroutines of its own, and
// what these make of a torn page is a panic that nobody can catch: so we step on it first, inside a guard.
func tread(tx *bbolt.Tx) error {
	return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return treadBucket(b) })
}

func treadBucket(b *bbolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v != nil {
			return nil
		}
		sub := b.Bucket(k)
		if sub == nil {
			return fmt.Errorf("%w: an entry without its content", errDamaged)
		}
		return treadBucket(sub)
	})
}

// check walks a whole database as bbolt knows it.
func check(db *bbolt.DB) error {
	return guard(db.Path(), func() error {
		return db.View(func(tx *bbolt.Tx) error {
			if err := tread(tx); err != nil {
				return err
			}
			var first error
			for err := range tx.Check() { // drained to the end: it is a goroutine of bbolt
				if first == nil {
					first = fmt.Errorf("%s: %w: %w", db.Path(), executor.ErrCorrupt, err)
				}
			}
			return first
		})
	})
}
