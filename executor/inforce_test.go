package executor_test

import (
	"context"
	"sync/atomic"
	"testing"

	"tfw/executor"
)

// tallied is a Store that counts the updates made under a context of its own, and refuses them when broken.
type tallied struct {
	executor.Store
	made   atomic.Int64
	broken atomic.Bool
}

type talliedKey struct{}

func (c *tallied) Update(ctx context.Context, fn func(executor.Tx) error) error {
	if ctx.Value(talliedKey{}) != nil {
		c.made.Add(1)
		if c.broken.Load() {
			return executor.ErrDiskFull
		}
	}
	return c.Store.Update(ctx, fn)
}

// TestStartsRememberWhatIsInForce: what is new at a start is on record once, also after a start that could not write it; a
// start that finds nothing new writes nothing.
func TestStartsRememberWhatIsInForce(t *testing.T) {
	l := newLab(t, "h1")
	l.drain()
	store := &tallied{Store: l.store}
	l.start(store)
	ctx := context.WithValue(t.Context(), talliedKey{}, true)
	told := uint64(0)
	for _, step := range []struct {
		what          string
		policy        string
		running, full bool
		writes        int64
		detail        string // of the entry, "" for none
	}{
		{what: "the first start", policy: "none", writes: 1},
		{what: "nothing new", policy: "none"},
		{what: "another text", policy: "aa", writes: 1, detail: "was none, is aa"},
		{what: "nothing new", policy: "aa"},
		{what: "a full disk", policy: "bb", full: true, writes: 1},
		{what: "the start after it", policy: "bb", writes: 1, detail: "was aa, is bb"},
		{what: "an edit while it runs", policy: "cc", running: true, writes: 1, detail: "was bb, is cc"},
		{what: "nothing new", policy: "cc"},
		{what: "the file is gone", policy: "none", writes: 1, detail: "was cc, is none"},
	} {
		store.broken.Store(step.full)
		before := store.made.Load()
		occasion := "start"
		if step.running {
			occasion = "file"
			l.Took(ctx, occasion, executor.PolicyFile, step.policy)
		} else {
			l.Began(ctx, step.policy)
		}
		if n := store.made.Load() - before; n != step.writes {
			t.Errorf("%s: %d writes, want %d", step.what, n, step.writes)
		}
		all, _, err := l.Audit(t.Context(), me, executor.AuditFilter{After: told})
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case step.detail == "" && len(all) == 0:
		case step.detail == "" || len(all) != 1:
			t.Errorf("%s: %+v", step.what, all)
		default:
			told = all[0].Seq
			if e := all[0]; e.Who != "tfwd" || e.Source != occasion || e.Action != executor.PolicyFile || e.Object != step.policy || e.Outcome != "taken" || e.Detail != step.detail {
				t.Errorf("%s: %+v", step.what, e)
			}
		}
	}
}
