package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"os"

	"go.etcd.io/bbolt"

	"tfw/executor"
)

const (
	// shrinkFrom is the size from which it is worth a moment of the start.
	shrinkFrom = 32 << 20
	// shrinkMost bounds what is copied: a larger one would keep the start waiting.
	shrinkMost = 1 << 30
)

// shrink gives a state.db that is empty for the most part, as after runs were dropped, back to the disk. A whole copy
// is made beside it, compared with it, and put in its place by one rename: whenever the process
// dies, one of the two is there, and both hold the same. Where there is no copy to be had the file stays as it is.
func shrink(db *bbolt.DB, options bbolt.Options) (*bbolt.DB, error) {
	path := db.Path()
	copied := path + ".new"
	defer os.Remove(copied) // what is left of it when it is not to be
	if err := os.Remove(copied); err != nil && !errors.Is(err, os.ErrNotExist) || !sparse(db) {
		return db, nil
	}
	if err := guard(path, func() error { return copyTo(copied, db) }); err != nil {
		return db, nil // a full disk, or damage that its checksums tell of where it is read
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	if err := os.Rename(copied, path); err != nil {
		return nil, err
	}
	if err := syncDir(path); err != nil {
		return nil, err
	}
	return openFile(path, options)
}

// sparse reports whether more than half of the file is free.
func sparse(db *bbolt.DB) (yes bool) {
	err := guard(db.Path(), func() error {
		return db.View(func(tx *bbolt.Tx) error {
			if tx.Size() < shrinkFrom || tx.Size() > shrinkMost {
				return nil
			}
			pages, free := int(tx.Size()/int64(db.Info().PageSize)), 0
			for id := range pages {
				if p, err := tx.Page(id); err != nil {
					return err
				} else if p == nil || p.Type == "free" {
					free++
				}
			}
			yes = free > pages/2
			return nil
		})
	})
	return yes && err == nil
}

// copyTo makes a whole and durable copy, and makes sure of it.
func copyTo(path string, db *bbolt.DB) error {
	to, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoSync: true})
	if err != nil {
		return err
	}
	seed := maphash.MakeSeed()
	err = bbolt.Compact(to, db, 4<<20)
	if err == nil {
		err = to.Sync()
	}
	if err == nil {
		var was, is uint64
		if was, err = digest(db, seed); err == nil {
			is, err = digest(to, seed)
		}
		if err == nil && was != is {
			err = fmt.Errorf("%s: %w: the copy differs", path, executor.ErrCorrupt)
		}
	}
	return errors.Join(err, to.Close())
}

// digest sums up all that a database holds, in order.
func digest(db *bbolt.DB, seed maphash.Seed) (uint64, error) {
	var h maphash.Hash
	h.SetSeed(seed)
	err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			sum(&h, name)
			return digestBucket(&h, b)
		})
	})
	return h.Sum64(), err
}

func digestBucket(h *maphash.Hash, b *bbolt.Bucket) error {
	sum(h, binary.BigEndian.AppendUint64(nil, b.Sequence()))
	err := b.ForEach(func(k, v []byte) error {
		sum(h, k)
		if v == nil {
			return digestBucket(h, b.Bucket(k))
		}
		sum(h, v)
		return nil
	})
	sum(h, []byte("end"))
	return err
}

// sum adds a value so that two that follow one another are not taken for two others.
func sum(h *maphash.Hash, b []byte) {
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b)))) // a Hash takes everything
	_, _ = h.Write(b)
}
