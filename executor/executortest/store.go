package executortest

import (
	"context"
	"errors"
	"testing"
	"time"

	"tfw/executor"
)

// OpenStore opens the store that lives in dir, an empty directory at first; opened
// again after Close it holds what it held. It fails the test when it cannot.
type OpenStore func(t testing.TB, dir string) executor.Store

// Store is the exam for an [executor.Store]: all that the interface's comments
// promise and that can be seen from outside. It asks nothing about how long
// anything takes, beyond a generous bound on every wait.
func Store(t *testing.T, open OpenStore) {
	t.Helper()
	for _, part := range []struct {
		name string
		test func(*exam)
	}{
		{"records", (*exam).records},
		{"ranges", (*exam).ranges},
		{"range while writing", (*exam).rangeWhileWriting},
		{"numbers", (*exam).numbers},
		{"a failed update leaves nothing", (*exam).failedUpdate},
		{"a failed update takes no other down", (*exam).isolation},
		{"a panic is the caller's", (*exam).panics},
		{"a view is a snapshot and reads only", (*exam).views},
		{"values are copies", (*exam).copies},
		{"records against a model", (*exam).recordModel},
		{"concurrent updates", (*exam).concurrentUpdates},
		{"append and read", (*exam).appendAndRead},
		{"append checks entries", (*exam).badEntries},
		{"overlaps are trimmed, gaps refused", (*exam).trimming},
		{"an append is all or nothing", (*exam).appendAtomic},
		{"big data", (*exam).bigData},
		{"events", (*exam).events},
		{"order on a host", (*exam).hostOrder},
		{"an update makes earlier appends durable", (*exam).updateFlushes},
		{"filters", (*exam).filters},
		{"pages", (*exam).pages},
		{"tails", (*exam).tails},
		{"packed entries", (*exam).packed},
		{"log against a model", (*exam).logModel},
		{"paging under writers", (*exam).pagingUnderWriters},
		{"bells are never missed", (*exam).bells},
		{"bells ring for their topic", (*exam).bellTopics},
		{"reopen", (*exam).reopen},
		{"retain by age", (*exam).retainAge},
		{"retain by size", (*exam).retainSize},
		{"cancelled contexts", (*exam).contexts},
		{"close", (*exam).closing},
	} {
		t.Run(part.name, func(t *testing.T) {
			dir := t.TempDir()
			x := &exam{T: t, open: open, dir: dir, Store: open(t, dir)}
			t.Cleanup(func() { _ = x.Close() }) // a part may have closed it
			part.test(x)
		})
	}
}

// exam is one part's store and what it needs around it.
type exam struct {
	*testing.T
	executor.Store
	open OpenStore
	dir  string
}

// patience bounds every wait of the exam.
const patience = 30 * time.Second

func (x *exam) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	x.Cleanup(cancel)
	return ctx
}

func (x *exam) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

func (x *exam) wantErr(what string, err, want error) {
	x.Helper()
	if !errors.Is(err, want) {
		x.Fatalf("%s: got error %v, want %v", what, err, want)
	}
}

// again closes the store and opens it anew.
func (x *exam) again() {
	x.Helper()
	x.must(x.Close())
	x.Store = x.open(x.T, x.dir)
}

func (x *exam) update(fn func(executor.Tx) error) {
	x.Helper()
	x.must(x.Update(x.ctx(), fn))
}

// flush waits until everything appended is durable.
func (x *exam) flush() {
	x.Helper()
	x.update(func(executor.Tx) error { return nil })
}

func (x *exam) put(table, key, value string) {
	x.Helper()
	x.update(func(tx executor.Tx) error { return tx.Put(table, key, []byte(value)) })
}

// want checks a record; "-" is none.
func (x *exam) want(table, key, value string) {
	x.Helper()
	got := "-"
	x.must(x.View(x.ctx(), func(tx executor.Tx) error {
		if v, ok := tx.Get(table, key); ok {
			got = string(v)
		}
		return nil
	}))
	if got != value {
		x.Fatalf("%s/%s is %q, want %q", table, key, got, value)
	}
}
