package executortest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"tfw/executor"
)

// bells counts with take, look, wait against a writer: none may sleep past a change.
func (x *exam) bells() {
	ctx := x.ctx()
	const changes, watchers = 60, 20
	var wg sync.WaitGroup
	for range watchers {
		wg.Go(func() {
			for seen := 0; seen < changes; {
				bell := x.Changed("run1")
				err := x.View(ctx, func(tx executor.Tx) error {
					v, _ := tx.Get("t", "n")
					seen = len(v)
					return nil
				})
				if err != nil {
					x.Error(err)
					return
				}
				if seen == changes {
					return
				}
				select {
				case <-bell:
				case <-ctx.Done():
					x.Errorf("asleep at %d of %d", seen, changes)
					return
				}
			}
		})
	}
	for i := range changes {
		x.update(func(tx executor.Tx) error {
			tx.Ring("run1")
			return tx.Put("t", "n", []byte(strings.Repeat("x", i+1)))
		})
	}
	wg.Wait()
}

func (x *exam) rung(bell <-chan struct{}, what string) {
	x.Helper()
	select {
	case <-bell:
	case <-time.After(patience):
		x.Fatalf("%s did not ring", what)
	}
}

func (x *exam) bellTopics() {
	one, two := x.Changed("run1"), x.Changed("run2")
	x.append(entry("h", executor.Stdout, 0, "x"))
	x.rung(one, "an append")
	if got := x.text("h", executor.Stdout); got != "x" {
		x.Fatalf("rung, and the log is %q", got)
	}
	one = x.Changed("run1")
	select {
	case <-two:
		x.Fatal("another topic rang")
	case <-one:
		x.Fatal("it rang again with nothing new")
	default:
	}
	x.update(func(tx executor.Tx) error { tx.Ring("run2"); return nil })
	x.rung(two, "a Ring")
}

func (x *exam) reopen() {
	x.put("t", "a", "1")
	all := x.fill(120)
	x.append(entry("late", executor.Stdout, 0, "queued when closed"))
	before := x.read(executor.LogQuery{Run: "run1", Limit: 10})
	for range 3 {
		x.again()
	}
	x.want("t", "a", "1")
	got := x.read(executor.LogQuery{Run: "run1"})
	if len(got) != len(all)+1 || got[50].Seq != before[50].Seq {
		x.Fatalf("%d entries of %d, or another sequence, after a reopen", len(got), len(all)+1)
	}
	x.same("reopened", got[:len(all)], all)
	x.wantLengths("late", 0, executor.Offsets{Stdout: int64(len("queued when closed"))})
	x.append(entry("late", executor.Stdout, 18, "!"))
	x.flush()
	if more := x.read(executor.LogQuery{Run: "run1", After: got[len(got)-1].Seq}); len(more) != 1 || string(more[0].Data) != "!" {
		x.Fatalf("what comes after a reopen is not after what was there: %+v", more)
	}
	x.must(x.Health())
}

func (x *exam) retainAge() {
	old := entry("h", executor.Stdout, 0, "old")
	old.Time = time.Now().Add(-3 * time.Hour)
	x.append(old)
	x.flush()
	none, err := x.Retain(x.ctx(), 0, 0)
	x.must(err)
	if len(none) != 0 {
		x.Fatalf("no bound dropped %v", none)
	}
	dropped, err := x.Retain(x.ctx(), time.Hour, 0)
	x.must(err)
	if len(dropped) == 0 {
		x.Fatal("nothing was dropped")
	}
	fresh := entry("h", executor.Stdout, 3, "new")
	fresh.Time = time.Now()
	x.append(fresh)
	x.flush()
	for range 2 {
		page, err := x.Read(x.ctx(), executor.LogQuery{Run: "run1"})
		x.must(err)
		if !page.Dropped || x.join(page.Entries, 3) != "new" {
			x.Fatalf("after a retain the page is %+v", page)
		}
		page, err = x.Read(x.ctx(), executor.LogQuery{Run: "run1", After: page.Next})
		x.must(err)
		if page.Dropped {
			x.Fatal("a reader past what was dropped is told of it")
		}
		x.wantLengths("h", 0, executor.Offsets{Stdout: 6})
		x.again()
	}
	if none, err := x.Retain(x.ctx(), time.Hour, 0); err != nil || len(none) != 0 {
		x.Fatalf("what is new was dropped: %v, %v", none, err)
	}
}

func (x *exam) retainSize() {
	e := entry("h", executor.Stdout, 0, "")
	e.Time = time.Now()
	e.Data = make([]byte, 60<<10)
	for i := range e.Data {
		e.Data[i] = byte(i * i >> 3)
	}
	for range 10 {
		x.append(e)
		e.Offset += int64(len(e.Data))
	}
	x.flush()
	dropped, err := x.Retain(x.ctx(), 0, 1)
	x.must(err)
	if len(dropped) == 0 {
		x.Fatal("nothing was dropped")
	}
	page, err := x.Read(x.ctx(), executor.LogQuery{Run: "run1"})
	x.must(err)
	if !page.Dropped || len(page.Entries) != 0 {
		x.Fatalf("%d entries are left, dropped %v", len(page.Entries), page.Dropped)
	}
	x.wantLengths("h", 0, executor.Offsets{Stdout: e.Offset})
}

func (x *exam) contexts() {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	ran := false
	touch := func(executor.Tx) error { ran = true; return nil }
	x.wantErr("Update", x.Update(gone, touch), context.Canceled)
	x.wantErr("View", x.View(gone, touch), context.Canceled)
	x.wantErr("Append", x.Append(gone, entry("h", executor.Stdout, 0, "x")), context.Canceled)
	_, err := x.Lengths(gone, executor.CommandID{Run: "run1"})
	x.wantErr("Lengths", err, context.Canceled)
	_, err = x.Read(gone, executor.LogQuery{Run: "run1"})
	x.wantErr("Read", err, context.Canceled)
	_, err = x.Retain(gone, time.Hour, 1)
	x.wantErr("Retain", err, context.Canceled)
	x.flush()
	if ran {
		x.Fatal("the function of a cancelled call ran")
	}
	x.wantLengths("h", 0, executor.Offsets{})
	x.cancelMidway()
}

// cancelMidway cancels updates at any moment: an error of the context means that nothing was kept.
func (x *exam) cancelMidway() {
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i*40)*time.Microsecond)
			defer cancel()
			key := fmt.Sprint("k", i)
			err := x.Update(ctx, func(tx executor.Tx) error { return tx.Put("t", key, nil) })
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				x.Error(err)
				return
			}
			want := map[bool]string{true: "", false: "-"}[err == nil]
			x.want("t", key, want)
		})
	}
	wg.Wait()
}

func (x *exam) closing() {
	x.append(entry("h", executor.Stdout, 0, "x"))
	bell := x.Changed("run1")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			err := x.Update(x.ctx(), func(tx executor.Tx) error { return tx.Put("t", fmt.Sprint(i), nil) })
			if err != nil && !errors.Is(err, executor.ErrClosed) {
				x.Error(err)
			}
		})
	}
	x.must(x.Close())
	wg.Wait()
	x.rung(bell, "a close")
	x.rung(x.Changed("run2"), "a closed store")
	nop := func(executor.Tx) error { return nil }
	x.wantErr("Update", x.Update(x.ctx(), nop), executor.ErrClosed)
	x.wantErr("View", x.View(x.ctx(), nop), executor.ErrClosed)
	x.wantErr("Append", x.Append(x.ctx(), entry("h", executor.Stdout, 1, "x")), executor.ErrClosed)
	_, err := x.Lengths(x.ctx(), executor.CommandID{Run: "run1"})
	x.wantErr("Lengths", err, executor.ErrClosed)
	_, err = x.Read(x.ctx(), executor.LogQuery{Run: "run1"})
	x.wantErr("Read", err, executor.ErrClosed)
	_, err = x.Retain(x.ctx(), time.Hour, 1)
	x.wantErr("Retain", err, executor.ErrClosed)
}
