package bolt

import (
	"bytes"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"tfw/executor"
)

// tablePrefix keeps the executor's tables apart from ours in state.db.
const tablePrefix = "t/"

// tx is the executor.Tx over a bbolt transaction that several updates share.
// It remembers how to take back what one of them did.
type tx struct {
	bolt    *bbolt.Tx
	file    string // for messages
	undo    []func() error
	rings   []string
	changes int   // counts writes, so that a Range knows when its cursor is stale
	broken  bool  // what a failed update did could not be taken back
	err     error // damage met: the transaction's result, whatever fn makes of it
}

// run calls fn and takes everything back when it fails. A panic of fn comes back in panicked.
func (t *tx) run(fn func(executor.Tx) error) (panicked any, err error) {
	panicked, err = call(fn, t)
	if t.err != nil {
		err = t.err
	}
	if err == nil && panicked == nil {
		return nil, nil
	}
	t.rings = nil
	if e := t.rollback(); e != nil {
		t.broken, err = true, errors.Join(err, e)
	}
	return panicked, err
}

// call runs fn on a goroutine of its own and waits for it: whatever it does,
// panic or end its goroutine, the writer lives on.
func call(fn func(executor.Tx) error, t executor.Tx) (panicked any, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		panicked = errors.New("the function given to Update ended its goroutine")
		defer func() {
			if p := recover(); p != nil {
				panicked = p
			}
		}()
		err = fn(t)
		panicked = nil
	}()
	<-done
	return panicked, err
}

// rollback undoes the writes, the last first.
func (t *tx) rollback() error {
	for i := len(t.undo) - 1; i >= 0; i-- {
		if err := t.guard(t.undo[i]); err != nil {
			return fmt.Errorf("take back: %w", err)
		}
	}
	t.undo = nil
	return nil
}

func (t *tx) guard(fn func() error) error {
	err := guard(t.file, fn)
	if errors.Is(err, executor.ErrCorrupt) {
		t.err = err
	}
	return err
}

func (t *tx) bucket(table string) *bbolt.Bucket {
	return t.bolt.Bucket([]byte(tablePrefix + table))
}

func (t *tx) Get(table, key string) (value []byte, ok bool) {
	_ = t.guard(func() error { // kept in t.err
		b := t.bucket(table)
		if b == nil {
			return nil
		}
		raw := b.Get([]byte(key))
		if raw == nil {
			return nil
		}
		body, err := t.value(table, []byte(key), raw)
		value, ok = body, err == nil
		return err
	})
	return value, ok
}

// value checks a stored value and copies it out.
func (t *tx) value(table string, key, raw []byte) ([]byte, error) {
	body, err := open(key, raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: table %q, key %q: %w", t.file, executor.ErrCorrupt, table, key, err)
	}
	return append(make([]byte, 0, len(body)), body...), nil
}

func (t *tx) Put(table, key string, value []byte) error {
	sealed := seal([]byte(key), append(make([]byte, 4, 4+len(value)), value...))
	return t.write(table, key, func(b *bbolt.Bucket) error { return b.Put([]byte(key), sealed) })
}

func (t *tx) Delete(table, key string) error {
	if t.bucket(table) == nil {
		return t.writable()
	}
	return t.write(table, key, func(b *bbolt.Bucket) error { return b.Delete([]byte(key)) })
}

// write does one change and remembers what was there before.
func (t *tx) write(table, key string, do func(*bbolt.Bucket) error) error {
	if err := t.writable(); err != nil {
		return err
	}
	if table == "" || key == "" || len(key) > bbolt.MaxKeySize {
		return fmt.Errorf("table %q, key %q: both must be given, a key of at most %d bytes", table, key, bbolt.MaxKeySize)
	}
	return t.guard(func() error {
		b, err := t.bolt.CreateBucketIfNotExists([]byte(tablePrefix + table))
		if err != nil {
			return err
		}
		before := bytes.Clone(b.Get([]byte(key)))
		if err := do(b); err != nil {
			return fmt.Errorf("table %q, key %q: %w", table, key, err)
		}
		t.changes++
		t.undo = append(t.undo, func() error {
			if before == nil {
				return t.bucket(table).Delete([]byte(key))
			}
			return t.bucket(table).Put([]byte(key), before)
		})
		return nil
	})
}

func (t *tx) writable() error {
	if !t.bolt.Writable() {
		return errors.New("write in a View: use Update")
	}
	return nil
}

func (t *tx) Next(table string) (n uint64, err error) {
	if err := t.writable(); err != nil {
		return 0, err
	}
	if table == "" {
		return 0, errors.New("next: no table given")
	}
	err = t.guard(func() error {
		b, err := t.bolt.CreateBucketIfNotExists([]byte(tablePrefix + table))
		if err != nil {
			return err
		}
		before := b.Sequence()
		t.undo = append(t.undo, func() error { return t.bucket(table).SetSequence(before) })
		n, err = b.NextSequence()
		return err
	})
	return n, err
}

func (t *tx) Ring(topic string) { t.rings = append(t.rings, topic) }

func (t *tx) Range(table, from string, reverse bool, fn func(key string, value []byte) bool) error {
	w := walk{t: t, table: table, reverse: reverse}
	key, value, err := w.first(from)
	for err == nil && key != nil {
		if !fn(string(key), value) {
			return nil
		}
		key, value, err = w.next(key)
	}
	return err
}

// walk steps through a table, and finds its place again after fn wrote to it.
type walk struct {
	t       *tx
	table   string
	reverse bool
	cursor  *bbolt.Cursor
	changes int
}

func (w *walk) first(from string) (key, value []byte, err error) {
	return w.step(func() (k, v []byte) {
		switch {
		case from == "" && w.reverse:
			return w.cursor.Last()
		case from == "":
			return w.cursor.First()
		}
		k, v = w.cursor.Seek([]byte(from))
		if w.reverse && string(k) != from {
			return w.back(k)
		}
		return k, v
	})
}

// back goes to the key before where a Seek ended; k is nil past the end.
func (w *walk) back(k []byte) (key, value []byte) {
	if k == nil {
		return w.cursor.Last()
	}
	return w.cursor.Prev()
}

func (w *walk) next(last []byte) (key, value []byte, err error) {
	return w.step(func() (k, v []byte) {
		stale := w.changes != w.t.changes
		switch {
		case !stale && w.reverse:
			return w.cursor.Prev()
		case !stale:
			return w.cursor.Next()
		}
		w.cursor, w.changes = w.t.bucket(w.table).Cursor(), w.t.changes
		k, v = w.cursor.Seek(last)
		switch {
		case w.reverse:
			return w.back(k)
		case bytes.Equal(k, last):
			return w.cursor.Next()
		}
		return k, v
	})
}

// step moves the cursor and copies out what it stands on.
func (w *walk) step(move func() (k, v []byte)) (key, value []byte, err error) {
	err = w.t.guard(func() error {
		if w.cursor == nil {
			b := w.t.bucket(w.table)
			if b == nil {
				return nil
			}
			w.cursor, w.changes = b.Cursor(), w.t.changes
		}
		k, v := move()
		if k == nil {
			return nil
		}
		key = bytes.Clone(k)
		value, err = w.t.value(w.table, key, v)
		return err
	})
	return key, value, err
}
