package executortest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"pgregory.net/rapid"

	"tfw/executor"
)

func (x *exam) records() {
	x.want("runs", "a", "-")
	x.put("runs", "a", "1")
	x.put("runs", "a", "2")
	x.put("runs", "empty", "")
	x.put("other", "a", "3")
	x.want("runs", "a", "2")
	x.want("runs", "empty", "")
	x.want("other", "a", "3")
	x.update(func(tx executor.Tx) error {
		if err := tx.Delete("never", "a"); err != nil {
			return err
		}
		if err := tx.Delete("runs", "never"); err != nil {
			return err
		}
		if err := tx.Delete("runs", "a"); err != nil {
			return err
		}
		if v, ok := tx.Get("runs", "a"); ok {
			return fmt.Errorf("deleted, and still %q in the same transaction", v)
		}
		return tx.Put("runs", "b", make([]byte, 3<<20))
	})
	x.want("runs", "a", "-")
	x.want("runs", "b", strings.Repeat("\x00", 3<<20))
	for _, bad := range []struct{ table, key string }{{"", "k"}, {"t", ""}} {
		err := x.Update(x.ctx(), func(tx executor.Tx) error { return tx.Put(bad.table, bad.key, nil) })
		if err == nil {
			x.Fatalf("Put(%q, %q) was taken", bad.table, bad.key)
		}
	}
}

// keys lists what a Range visits, at most n.
func (x *exam) keys(table, from string, reverse bool, n int) string {
	x.Helper()
	var got []string
	x.must(x.View(x.ctx(), func(tx executor.Tx) error {
		return tx.Range(table, from, reverse, func(key string, value []byte) bool {
			if string(value) != "v"+key {
				x.Errorf("key %q came with value %q", key, value)
			}
			got = append(got, key)
			return len(got) < n
		})
	}))
	return strings.Join(got, " ")
}

func (x *exam) ranges() {
	x.update(func(tx executor.Tx) error {
		for _, k := range []string{"d", "b", "f", "ba"} {
			if err := tx.Put("t", k, []byte("v"+k)); err != nil {
				return err
			}
		}
		return tx.Put("u", "c", []byte("vc"))
	})
	for _, c := range []struct {
		from    string
		reverse bool
		n       int
		want    string
	}{
		{"", false, 9, "b ba d f"},
		{"b", false, 9, "b ba d f"},
		{"c", false, 9, "d f"},
		{"d", false, 1, "d"},
		{"g", false, 9, ""},
		{"", true, 9, "f d ba b"},
		{"g", true, 9, "f d ba b"},
		{"f", true, 2, "f d"},
		{"e", true, 9, "d ba b"},
		{"a", true, 9, ""},
	} {
		if got := x.keys("t", c.from, c.reverse, c.n); got != c.want {
			x.Errorf("Range from %q, reverse %v, stop after %d: %q, want %q", c.from, c.reverse, c.n, got, c.want)
		}
	}
	if got := x.keys("never", "", false, 9); got != "" {
		x.Errorf("a table never written has keys %q", got)
	}
}

func (x *exam) rangeWhileWriting() {
	x.update(func(tx executor.Tx) error {
		for i := range 300 {
			k := fmt.Sprintf("%03d", i)
			if err := tx.Put("t", k, []byte("v"+k)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, reverse := range []bool{false, true} {
		x.update(func(tx executor.Tx) error {
			seen := 0
			var failed error
			err := tx.Range("t", "", reverse, func(key string, _ []byte) bool {
				seen++
				if key[2]%2 == 1 {
					failed = errors.Join(failed, tx.Delete("t", key))
				}
				return true
			})
			if want := map[bool]int{false: 300, true: 150}[reverse]; seen != want {
				return fmt.Errorf("reverse %v: saw %d keys, want %d", reverse, seen, want)
			}
			return errors.Join(err, failed)
		})
	}
}

func (x *exam) numbers() {
	next := func() (n uint64) {
		x.update(func(tx executor.Tx) (err error) {
			n, err = tx.Next("runs")
			return err
		})
		return n
	}
	for want := uint64(1); want < 4; want++ {
		if n := next(); n != want {
			x.Fatalf("Next gave %d, want %d", n, want)
		}
	}
	x.again()
	if n := next(); n != 4 {
		x.Fatalf("after a reopen Next gave %d, want 4", n)
	}
}

func (x *exam) failedUpdate() {
	x.put("t", "old", "1")
	x.put("t", "gone", "1")
	bang := errors.New("bang")
	bell := x.Changed("topic")
	err := x.Update(x.ctx(), func(tx executor.Tx) error {
		tx.Ring("topic")
		_, err := tx.Next("t")
		return errors.Join(err, tx.Put("t", "old", []byte("2")), tx.Put("t", "old", []byte("3")),
			tx.Delete("t", "gone"), tx.Put("t", "gone", []byte("x")), tx.Delete("t", "gone"),
			tx.Put("t", "new", nil), tx.Put("fresh", "new", nil), bang)
	})
	x.wantErr("update", err, bang)
	if err := x.Update(x.ctx(), func(executor.Tx) error { return bang }); err != bang { //nolint:errorlint // as it is
		x.Fatalf("the function's error came back as %#v", err)
	}
	x.want("t", "old", "1")
	x.want("t", "gone", "1")
	x.want("t", "new", "-")
	x.want("fresh", "new", "-")
	select {
	case <-bell:
		x.Fatal("a failed update rang")
	default:
	}
	x.again()
	x.want("t", "old", "1")
}

func (x *exam) isolation() {
	bang := errors.New("bang")
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			err := x.Update(x.ctx(), func(tx executor.Tx) error {
				n, _ := tx.Get("t", "count")
				if err := tx.Put("t", "count", append(n, 'x')); err != nil {
					return err
				}
				if i%4 == 0 {
					return bang
				}
				return tx.Put("t", fmt.Sprint(i), nil)
			})
			if want := i%4 == 0; errors.Is(err, bang) != want || err != nil != want {
				x.Errorf("update %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	x.want("t", "count", strings.Repeat("x", 48))
}

func (x *exam) panics() {
	func() {
		defer func() {
			if p := recover(); p != "ouch" {
				x.Errorf("recovered %v, want the function's panic", p)
			}
		}()
		_ = x.Update(x.ctx(), func(tx executor.Tx) error {
			_ = tx.Put("t", "a", nil)
			panic("ouch")
		})
		x.Error("the function's panic was swallowed")
	}()
	x.want("t", "a", "-")
	x.put("t", "b", "fine")
	x.want("t", "b", "fine")
}

func (x *exam) views() {
	x.put("t", "a", "1")
	x.must(x.View(x.ctx(), func(tx executor.Tx) error {
		done := make(chan error)
		go func() {
			done <- x.Update(x.ctx(), func(tx executor.Tx) error { return tx.Put("t", "a", []byte("2")) })
		}()
		if err := <-done; err != nil {
			return err
		}
		if v, _ := tx.Get("t", "a"); string(v) != "1" {
			return fmt.Errorf("a later update shows in a view: %q", v)
		}
		return nil
	}))
	x.want("t", "a", "2")
	bang := errors.New("bang")
	x.wantErr("view", x.View(x.ctx(), func(executor.Tx) error { return bang }), bang)
	for name, write := range map[string]func(executor.Tx) error{
		"Put":    func(tx executor.Tx) error { return tx.Put("t", "a", nil) },
		"Delete": func(tx executor.Tx) error { return tx.Delete("t", "a") },
		"Next":   func(tx executor.Tx) error { _, err := tx.Next("t"); return err },
	} {
		if err := x.View(x.ctx(), write); err == nil {
			x.Errorf("%s in a view was taken", name)
		}
	}
	x.want("t", "a", "2")
}

func (x *exam) copies() {
	value := []byte("one")
	x.update(func(tx executor.Tx) error {
		err := tx.Put("t", "a", value)
		copy(value, "xxx")
		return err
	})
	x.want("t", "a", "one")
	var got, ranged []byte
	x.must(x.View(x.ctx(), func(tx executor.Tx) error {
		got, _ = tx.Get("t", "a")
		return tx.Range("t", "", false, func(_ string, v []byte) bool { ranged = v; return true })
	}))
	copy(got, "yyy")
	copy(ranged, "zzz")
	x.want("t", "a", "one")
}

// recordModel compares random updates, some of which fail, with a map.
func (x *exam) recordModel() {
	round := 0
	rapid.Check(x.T, func(t *rapid.T) {
		round++
		table := fmt.Sprint("t", round)
		model := map[string]string{}
		for range rapid.IntRange(1, 6).Draw(t, "updates") {
			next := maps.Clone(model)
			fails := rapid.Bool().Draw(t, "fails")
			bang := errors.New("bang")
			err := x.Update(x.ctx(), func(tx executor.Tx) error {
				for range rapid.IntRange(0, 8).Draw(t, "writes") {
					k := rapid.StringMatching(`[a-d]{1,2}`).Draw(t, "key")
					if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
						delete(next, k)
						if err := tx.Delete(table, k); err != nil {
							return err
						}
						continue
					}
					v := rapid.StringN(0, 4, 9).Draw(t, "value")
					next[k] = v
					if err := tx.Put(table, k, []byte(v)); err != nil {
						return err
					}
				}
				if fails {
					return bang
				}
				return nil
			})
			if fails != errors.Is(err, bang) || !fails && err != nil {
				t.Fatal(err)
			}
			if !fails {
				model = next
			}
		}
		from, reverse := rapid.StringMatching(`[a-e]{0,2}`).Draw(t, "from"), rapid.Bool().Draw(t, "reverse")
		checkRange(x, t, table, from, reverse, model)
	})
}

func checkRange(x *exam, t *rapid.T, table, from string, reverse bool, model map[string]string) {
	var want, got []string
	keys := slices.Sorted(maps.Keys(model))
	if reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if from == "" || k == from || (k > from) != reverse {
			want = append(want, k+"="+model[k])
		}
	}
	err := x.View(x.ctx(), func(tx executor.Tx) error {
		return tx.Range(table, from, reverse, func(k string, v []byte) bool {
			got = append(got, k+"="+string(v))
			return true
		})
	})
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("range from %q, reverse %v: %q, want %q (%v)", from, reverse, got, want, err)
	}
}

func (x *exam) concurrentUpdates() {
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := range 5 {
				err := x.Update(x.ctx(), func(tx executor.Tx) error {
					n, err := tx.Next("t")
					if err != nil {
						return err
					}
					return tx.Put("t", fmt.Sprintf("%04d", n), fmt.Appendf(nil, "v%04d", n))
				})
				if err != nil {
					x.Errorf("update %d of %d: %v", j, i, err)
				}
			}
		})
	}
	wg.Wait()
	if got := strings.Fields(x.keys("t", "", false, 1000)); len(got) != 160 || got[159] != "0160" {
		x.Fatalf("160 updates left %d records", len(got))
	}
}
