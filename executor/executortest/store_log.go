package executortest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"tfw/executor"
)

// noon is a time of receipt that every store can keep exactly.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)

func entry(host string, stream executor.Stream, offset int64, data string) executor.Entry {
	return executor.Entry{Time: noon, Run: "run1", Host: host, Stream: stream, Offset: offset, Data: []byte(data)}
}

func (x *exam) append(entries ...executor.Entry) {
	x.Helper()
	x.must(x.Append(x.ctx(), entries...))
}

// read pages through everything that a query selects, checking each page.
func (x *exam) read(q executor.LogQuery) []executor.Entry {
	x.Helper()
	var out []executor.Entry
	for {
		page, err := x.Read(x.ctx(), q)
		x.must(err)
		for _, e := range page.Entries {
			if e.Seq <= q.After || e.Seq > page.Next {
				x.Fatalf("entry %d in a page after %d, next %d", e.Seq, q.After, page.Next)
			}
			q.After = e.Seq
			out = append(out, e)
		}
		if q.After = page.Next; !page.More {
			return out
		}
	}
}

// text joins the bytes of one stream, checking that offsets are contiguous from 0.
func (x *exam) text(host string, stream executor.Stream) string {
	x.Helper()
	return x.join(x.read(executor.LogQuery{Run: "run1", Host: host, Stream: stream}), 0)
}

func (x *exam) join(entries []executor.Entry, at int64) string {
	x.Helper()
	var b strings.Builder
	for _, e := range entries {
		if e.Offset != at {
			x.Fatalf("entry %d of %s %s begins at %d, want %d", e.Seq, e.Host, e.Stream, e.Offset, at)
		}
		at += int64(len(e.Data))
		b.Write(e.Data)
	}
	return b.String()
}

func (x *exam) wantLengths(host string, command int, want executor.Offsets) {
	x.Helper()
	got, err := x.Lengths(x.ctx(), executor.CommandID{Run: "run1", Host: host, Ordinal: command})
	x.must(err)
	if got != want {
		x.Fatalf("lengths of %s %d are %+v, want %+v", host, command, got, want)
	}
}

func (x *exam) appendAndRead() {
	data := []byte("one\n")
	e := entry("web", executor.Stdout, 0, "")
	e.Data = data
	e.Command, e.Quiet = 3, true
	x.append(e)
	copy(data, "XXXX") // the caller's again
	x.wantLengths("web", 3, executor.Offsets{Stdout: 4})
	x.wantLengths("web", 0, executor.Offsets{})
	x.flush()
	got := x.read(executor.LogQuery{Run: "run1"})
	if len(got) != 1 {
		x.Fatalf("read %d entries, want 1", len(got))
	}
	g := got[0]
	if g.Seq == 0 || !g.Time.Equal(noon) || g.Run != "run1" || g.Host != "web" || g.Command != 3 ||
		g.Stream != executor.Stdout || !g.Quiet || g.Offset != 0 || string(g.Data) != "one\n" {
		x.Fatalf("read %+v", g)
	}
	if other := x.read(executor.LogQuery{Run: "run2"}); len(other) != 0 {
		x.Fatalf("another run's log has %d entries", len(other))
	}
}

// packed entries say the same in fewer bytes: each is a zstd frame of its own, or plain.
func (x *exam) packed() {
	line := "the quick brown fox jumps over the lazy dog\n"
	var at int64
	for i := range 200 {
		data := strings.Repeat(line, 1+i*i%97)
		x.append(entry("web", executor.Stdout, at, data))
		at += int64(len(data))
	}
	x.flush()
	dec, err := zstd.NewReader(nil)
	x.must(err)
	defer dec.Close()
	plain := x.read(executor.LogQuery{Run: "run1"})
	packed := x.read(executor.LogQuery{Run: "run1", Packed: true})
	if len(plain) != len(packed) {
		x.Fatalf("%d entries packed, %d plain", len(packed), len(plain))
	}
	for i, e := range packed {
		if e.Frame != nil {
			if e.Data != nil {
				x.Fatalf("entry %d has both data and a frame", e.Seq)
			}
			e.Data, err = dec.DecodeAll(e.Frame, nil)
			x.must(err)
			if e.Length != len(e.Data) {
				x.Fatalf("entry %d: length %d, holds %d", e.Seq, e.Length, len(e.Data))
			}
			e.Frame, e.Length = nil, 0
		}
		if !reflect.DeepEqual(e, plain[i]) {
			x.Fatalf("packed %+v, plain %+v", e, plain[i])
		}
	}
}

func (x *exam) badEntries() {
	for what, e := range map[string]executor.Entry{
		"no run":          {Host: "h", Stream: executor.Stdout, Data: []byte("x")},
		"no stream":       {Run: "run1", Host: "h", Data: []byte("x")},
		"unknown stream":  {Run: "run1", Host: "h", Stream: "stdlog", Data: []byte("x")},
		"negative offset": {Run: "run1", Host: "h", Stream: executor.Stdout, Offset: -1, Data: []byte("x")},
	} {
		if err := x.Append(x.ctx(), e); err == nil {
			x.Errorf("an entry with %s was taken", what)
		}
	}
	x.flush()
	if got := x.read(executor.LogQuery{Run: "run1"}); len(got) != 0 {
		x.Errorf("%d entries were kept", len(got))
	}
}

func (x *exam) trimming() {
	x.append(entry("h", executor.Stdout, 0, "abcdef"))
	x.append(entry("h", executor.Stdout, 0, "abcdef"))
	x.append(entry("h", executor.Stdout, 2, "cd"))
	x.append(entry("h", executor.Stdout, 4, "efgh"))
	x.wantErr("gap", x.Append(x.ctx(), entry("h", executor.Stdout, 9, "x")), executor.ErrGap)
	x.wantErr("gap", x.Append(x.ctx(), entry("h", executor.Stderr, 1, "x")), executor.ErrGap)
	x.flush()
	x.append(entry("h", executor.Stdout, 7, "hij"))
	x.append(entry("h", executor.Stdout, 10, ""))
	x.wantErr("gap", x.Append(x.ctx(), entry("h", executor.Stdout, 11, "")), executor.ErrGap)
	x.append(entry("h", executor.Stderr, 0, "err"))
	other := entry("h", executor.Stdout, 0, "second command")
	other.Command = 1
	x.append(other)
	x.flush()
	x.wantLengths("h", 0, executor.Offsets{Stdout: 10, Stderr: 3})
	x.wantLengths("h", 1, executor.Offsets{Stdout: 14})
	zero := 0
	if got := x.join(x.read(executor.LogQuery{Run: "run1", Stream: executor.Stdout, Command: &zero}), 0); got != "abcdefghij" {
		x.Fatalf("the log is %q", got)
	}
	x.again()
	x.append(entry("h", executor.Stdout, 8, "ijkl"))
	x.wantErr("gap", x.Append(x.ctx(), entry("h", executor.Stdout, 13, "x")), executor.ErrGap)
	x.wantLengths("h", 0, executor.Offsets{Stdout: 12, Stderr: 3})
}

func (x *exam) appendAtomic() {
	err := x.Append(x.ctx(), entry("h", executor.Stdout, 0, "abc"), entry("h", executor.Stdout, 9, "gap"))
	x.wantErr("append", err, executor.ErrGap)
	x.wantLengths("h", 0, executor.Offsets{})
	x.append(entry("h", executor.Stdout, 0, "ab"), entry("h", executor.Stdout, 2, "cd"))
	x.append()
	x.flush()
	if got := x.text("h", executor.Stdout); got != "abcd" {
		x.Fatalf("the log is %q", got)
	}
}

func (x *exam) bigData() {
	random := make([]byte, 300<<10)
	chacha := rand.NewChaCha8([32]byte{1})
	_, _ = chacha.Read(random) // never fails
	text := strings.Repeat("  CC      kernel/sched/core.o\n", 10000)
	x.append(entry("h", executor.Stdout, 0, string(random)), entry("h", executor.Stderr, 0, text))
	x.flush()
	if got := x.text("h", executor.Stdout); got != string(random) {
		x.Fatal("random bytes came back changed")
	}
	if got := x.text("h", executor.Stderr); got != text {
		x.Fatal("text came back changed")
	}
	for _, e := range x.read(executor.LogQuery{Run: "run1"}) {
		if len(e.Data) > 64<<10 {
			x.Fatalf("entry %d holds %d bytes", e.Seq, len(e.Data))
		}
	}
}

func (x *exam) events() {
	for range 3 {
		x.append(entry("h", executor.Events, 0, "same"))
	}
	x.append(entry("", executor.Events, 0, ""))
	x.flush()
	if got := x.read(executor.LogQuery{Run: "run1", Stream: executor.Events}); len(got) != 4 {
		x.Fatalf("4 events became %d", len(got))
	}
	if got := x.read(executor.LogQuery{Run: "run1", Host: "h"}); len(got) != 3 {
		x.Fatalf("3 events of a host became %d", len(got))
	}
}

func (x *exam) hostOrder() {
	x.append(entry("h", executor.Stdout, 0, "1"), entry("h", executor.Stderr, 0, "2"), entry("g", executor.Stdout, 0, "-"),
		entry("h", executor.Stdout, 1, "3"), entry("h", executor.Stdout, 2, "4"), entry("h", executor.Events, 0, "5"),
		entry("h", executor.Stdout, 3, "6"), entry("h", executor.Stderr, 1, "7"))
	x.flush()
	var b strings.Builder
	for _, e := range x.read(executor.LogQuery{Run: "run1", Host: "h"}) {
		b.Write(e.Data)
	}
	if b.String() != "1234567" {
		x.Fatalf("what a host said comes in the order %s", b.String())
	}
}

func (x *exam) updateFlushes() {
	for i := range 20 {
		x.append(entry("h", executor.Stdout, int64(i), "x"))
		x.put("t", "n", fmt.Sprint(i))
		if got := x.text("h", executor.Stdout); len(got) != i+1 {
			x.Fatalf("after update %d the log has %d bytes", i, len(got))
		}
	}
}

// fill appends n entries for hosts a and b, both streams, two commands, that no store merges.
func (x *exam) fill(n int) []executor.Entry {
	x.Helper()
	ends := map[string]int64{}
	var all []executor.Entry
	for i := range n {
		e := executor.Entry{
			Time: noon.Add(time.Duration(i) * time.Second), Run: "run1", Host: []string{"a", "b"}[i%2],
			Command: i / 3 % 2, Stream: []executor.Stream{executor.Stdout, executor.Stderr, executor.Events}[i%3],
			Data: bytes.Repeat([]byte{'a' + byte(i%26)}, i%50+1),
		}
		if e.Stream != executor.Events {
			key := fmt.Sprint(e.Host, e.Command, e.Stream)
			e.Offset = ends[key]
			ends[key] += int64(len(e.Data))
		}
		other := e
		other.Run, other.Offset, other.Stream = "run2", 0, executor.Events
		x.append(e, other)
		all = append(all, e)
	}
	x.flush()
	return all
}

// same compares entries in everything but Seq, which must rise.
func (x *exam) same(what string, got, want []executor.Entry) {
	x.Helper()
	if len(got) != len(want) {
		x.Fatalf("%s: %d entries, want %d", what, len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		if !g.Time.Equal(w.Time) || g.Run != w.Run || g.Host != w.Host || g.Command != w.Command || g.Stream != w.Stream ||
			g.Offset != w.Offset || !bytes.Equal(g.Data, w.Data) {
			x.Fatalf("%s: entry %d is %+v, want %+v", what, i, g, w)
		}
		if i > 0 && g.Seq <= got[i-1].Seq {
			x.Fatalf("%s: sequence %d after %d", what, g.Seq, got[i-1].Seq)
		}
	}
}

func (x *exam) filters() {
	all := x.fill(300)
	one := 1
	for _, q := range []executor.LogQuery{
		{}, {Host: "a"}, {Stream: executor.Stderr}, {Host: "b", Stream: executor.Stdout}, {Command: &one}, {Host: "none"},
		{Host: "a", Command: &one, Stream: executor.Events}, {Since: noon.Add(150 * time.Second)}, {Since: noon.Add(time.Hour)},
	} {
		q.Run = "run1"
		var want []executor.Entry
		for _, e := range all {
			if matches(q, withSeq(e)) {
				want = append(want, e)
			}
		}
		x.same(fmt.Sprintf("%+v", q), x.read(q), want)
	}
	if _, err := x.Read(x.ctx(), executor.LogQuery{Run: "run1", Stream: "stdlog"}); err == nil {
		x.Error("an unknown stream was read")
	}
}

// withSeq makes an entry that no After excludes.
func withSeq(e executor.Entry) executor.Entry {
	e.Seq = 1
	return e
}

func (x *exam) pages() {
	all := x.fill(200)
	for _, q := range []executor.LogQuery{{Limit: 1}, {Limit: 7}, {Bytes: 1}, {Bytes: 100}, {Limit: 50, Bytes: 200, Host: "a"}} {
		q.Run = "run1"
		page, err := x.Read(x.ctx(), q)
		x.must(err)
		size := 0
		for _, e := range page.Entries {
			size += len(e.Data)
		}
		if n := len(page.Entries); n == 0 || !page.More || q.Limit > 0 && n > q.Limit || q.Bytes > 0 && n > 1 && size > q.Bytes {
			x.Fatalf("%+v: %d entries of %d bytes, more %v", q, n, size, page.More)
		}
		if q.Host == "" {
			x.same(fmt.Sprintf("%+v", q), x.read(q), all)
		}
	}
	before := x.read(executor.LogQuery{Run: "run1"})[100].Seq
	if got := x.read(executor.LogQuery{Run: "run1", Limit: 9, Before: before}); len(got) != 100 {
		x.Fatalf("%d entries before the 101st", len(got))
	}
	last, err := x.Read(x.ctx(), executor.LogQuery{Run: "run1", After: 1 << 40})
	x.must(err)
	if len(last.Entries) != 0 || last.More || last.Next != 1<<40 {
		x.Fatalf("a page after the end is %+v", last)
	}
}

func (x *exam) tails() {
	x.fill(200)
	all := x.read(executor.LogQuery{Run: "run1"})
	for _, host := range []string{"", "b"} {
		want := slices.Clone(all)
		if host != "" {
			want = slices.DeleteFunc(want, func(e executor.Entry) bool { return e.Host != host })
		}
		// Page backwards to the beginning.
		q := executor.LogQuery{Run: "run1", Host: host, Tail: 7}
		for end := len(want); ; {
			page, err := x.Read(x.ctx(), q)
			x.must(err)
			begin := max(0, end-7)
			x.same(fmt.Sprintf("tail %+v", q), page.Entries, want[begin:end])
			if page.More != (begin > 0) {
				x.Fatalf("tail %+v: more is %v with %d older", q, page.More, begin)
			}
			if q.Before == 0 {
				x.same("after a tail", x.read(executor.LogQuery{Run: "run1", Host: host, After: page.Next}), nil)
			}
			if end = begin; end == 0 {
				break
			}
			q.Before = page.Entries[0].Seq
		}
	}
	q := executor.LogQuery{Run: "run1", Tail: 50, After: all[189].Seq}
	page, err := x.Read(x.ctx(), q)
	x.must(err)
	x.same("tail after", page.Entries, all[190:])
	q = executor.LogQuery{Run: "run1", Tail: 500, Bytes: 100}
	page, err = x.Read(x.ctx(), q)
	x.must(err)
	if n := len(page.Entries); n == 0 || n > 20 || page.Entries[n-1].Seq != all[199].Seq {
		x.Fatalf("a tail of 100 bytes has %d entries", n)
	}
}

// logModel appends random pieces of known streams, with overlaps and gaps, and reads them back.
func (x *exam) logModel() {
	round := 0
	rapid.Check(x.T, func(t *rapid.T) {
		round++
		run := executor.RunID(fmt.Sprint("run", round))
		model := map[memoryStream]int64{}
		for range rapid.IntRange(1, 25).Draw(t, "appends") {
			e := executor.Entry{
				Run: run, Host: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "host"), Time: noon,
				Command: rapid.IntRange(0, 1).Draw(t, "command"),
				Stream:  rapid.SampledFrom([]executor.Stream{executor.Stdout, executor.Stderr}).Draw(t, "stream"),
			}
			key := memoryStream{executor.CommandID{Run: run, Host: e.Host, Ordinal: e.Command}, e.Stream}
			e.Offset = max(0, model[key]+rapid.Int64Range(-9, 2).Draw(t, "shift"))
			for i := range rapid.Int64Range(0, 12).Draw(t, "length") {
				e.Data = append(e.Data, byteAt(e.Offset+i))
			}
			err := x.Append(x.ctx(), e)
			if gap := e.Offset > model[key]; gap != (err != nil) {
				t.Fatalf("append at %d of %d: %v", e.Offset, model[key], err)
			} else if !gap {
				model[key] = max(model[key], e.Offset+int64(len(e.Data)))
			}
			if rapid.IntRange(0, 4).Draw(t, "flush") == 0 {
				x.flush()
			}
		}
		x.flush()
		for key, end := range model {
			checkStream(x, t, key, end)
		}
	})
}

// byteAt is what every stream of the exam holds at an offset.
func byteAt(offset int64) byte { return byte(offset*7 + offset>>8) }

func checkStream(x *exam, t *rapid.T, key memoryStream, end int64) {
	limit := rapid.IntRange(1, 5).Draw(t, "limit")
	got := x.read(executor.LogQuery{Run: key.id.Run, Host: key.id.Host, Stream: key.stream, Command: &key.id.Ordinal, Limit: limit})
	text := x.join(got, 0)
	if int64(len(text)) != end {
		t.Fatalf("%v has %d bytes, want %d", key, len(text), end)
	}
	for i := range text {
		if text[i] != byteAt(int64(i)) {
			t.Fatalf("%v is wrong at %d", key, i)
		}
	}
}

// pagingUnderWriters follows a run by its bell while many write to it: nothing
// missed, nothing twice, in order.
func (x *exam) pagingUnderWriters() {
	const hosts, lines = 8, 60
	ctx := x.ctx()
	var wg sync.WaitGroup
	for h := range hosts {
		wg.Go(func() {
			for i := range int64(lines) {
				e := entry(fmt.Sprint("h", h), executor.Stdout, i, string(rune('a'+i%26)))
				if err := x.Append(ctx, e); err != nil {
					x.Error(err)
					return
				}
				if i%10 == 9 {
					if err := x.Update(ctx, func(executor.Tx) error { return nil }); err != nil {
						x.Error(err)
					}
				}
			}
		})
	}
	for f := range 6 {
		q := executor.LogQuery{Run: "run1", Limit: f*3 + 1}
		if f == 5 {
			q.Host = "h3"
		}
		wg.Go(func() { x.follow(ctx, q, hosts, lines) })
	}
	wg.Wait()
}

// follow reads until every host has said all.
func (x *exam) follow(ctx context.Context, q executor.LogQuery, hosts, lines int) {
	ends := map[string]int64{}
	total, want := 0, hosts*lines
	if q.Host != "" {
		want = lines
	}
	for total < want {
		bell := x.Changed("run1")
		page, err := x.Read(ctx, q)
		if err != nil {
			x.Errorf("after %d of %d bytes: %v", total, want, err)
			return
		}
		for _, e := range page.Entries {
			if e.Offset != ends[e.Host] || e.Seq <= q.After {
				x.Errorf("host %s: entry %d at offset %d, want %d", e.Host, e.Seq, e.Offset, ends[e.Host])
				return
			}
			ends[e.Host] += int64(len(e.Data))
			total += len(e.Data)
			q.After = e.Seq
		}
		if q.After = page.Next; page.More {
			continue
		}
		if total < want {
			select {
			case <-bell:
			case <-ctx.Done():
				x.Errorf("the bell never rang after %d of %d bytes", total, want)
				return
			}
		}
	}
}
