package executortest

import (
	"context"
	"sync/atomic"

	"tfw/executor"
)

// Counted is a Store that counts what is read of its tables: each Get, each Range and each key that one comes to.
// Two questions that read as much take about as long.
type Counted struct {
	executor.Store
	reads atomic.Int64
}

// Reads gives how much was read so far.
func (c *Counted) Reads() int64 { return c.reads.Load() }

// View counts what fn reads.
func (c *Counted) View(ctx context.Context, fn func(executor.Tx) error) error {
	return c.Store.View(ctx, func(tx executor.Tx) error { return fn(countedTx{tx, c}) })
}

// Update counts what fn reads.
func (c *Counted) Update(ctx context.Context, fn func(executor.Tx) error) error {
	return c.Store.Update(ctx, func(tx executor.Tx) error { return fn(countedTx{tx, c}) })
}

type countedTx struct {
	executor.Tx
	c *Counted
}

func (t countedTx) Get(table, key string) ([]byte, bool) {
	t.c.reads.Add(1)
	return t.Tx.Get(table, key)
}

func (t countedTx) Range(table, from string, reverse bool, fn func(string, []byte) bool) error {
	t.c.reads.Add(1)
	return t.Tx.Range(table, from, reverse, func(key string, value []byte) bool { t.c.reads.Add(1); return fn(key, value) })
}
