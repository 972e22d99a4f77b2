package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"tfw/api"
	"tfw/executor"
	"tfw/executor/bolt"
	"tfw/inventory"
	"tfw/plugins"
)

// A log of any length opens at its end at once, and is resumed anywhere without
// what the client has being read. TFWBIGLOG=2147483648 go test -run TestBigLog -v ./api makes it 2 GB and measures.
func TestBigLog(t *testing.T) {
	size, bound := int64(16<<20), 5*time.Second
	if n, err := strconv.ParseInt(os.Getenv("TFWBIGLOG"), 10, 64); err == nil {
		size, bound = n, 100*time.Millisecond
	}
	b := newBigLog(t, size)
	lines := b.lines
	last := fmt.Sprintf(bigLine, lines-1)
	for _, c := range []struct {
		what, query, accept string
		ends                string
		atLeast, atMost     int
	}{
		{"the last entry", "tail=1", "application/x-ndjson", "", 100, 200 << 10},
		{"the last 100 entries", "tail=100", "application/x-ndjson", "", 100, 20 << 20},
		{"the same, followed", "tail=100&follow=1", "text/event-stream", "", 100, 20 << 20},
		{"the last bytes", "tail=1", "text/plain", last, len(last), 64 << 10},
		{"the last entry of stderr", "tail=1&stream=stderr", "text/plain", "warning\n", 8, 8},
	} {
		for _, how := range []string{"cold", "warm"} {
			if how == "cold" {
				b.reopen(t)
			}
			begin := time.Now()
			got := b.get(t, c.query, c.accept)
			took := time.Since(begin)
			t.Logf("%s of %d MB, %s: %v, %d bytes", c.what, size>>20, how, took.Round(10*time.Microsecond), len(got))
			if took > bound || len(got) < c.atLeast || len(got) > c.atMost || !bytes.HasSuffix(got, []byte(c.ends)) {
				t.Errorf("%s: %d bytes in %v", c.what, len(got), took)
			}
		}
	}
	whole := lines * int64(len(last))
	for _, left := range []int64{0, 1, int64(len(last)), 100_000, 5_000_000, whole / 2, whole - 1} {
		for _, coding := range []string{"", "zstd"} {
			b.resume(t, whole, left, coding, bound)
		}
	}
}

// resume asks for what a client lacks and looks at its beginning, how soon it came and how much was read for it.
func (b *bigLog) resume(t *testing.T, whole, left int64, coding string, bound time.Duration) {
	t.Helper()
	b.looked.Store(0)
	b.unpacked.Store(0)
	begin := time.Now()
	body := b.ask(t, fmt.Sprintf("skip=%d", whole-left), "text/plain", coding)
	defer body.Close()
	var plain io.Reader = body
	if coding == "zstd" {
		dec, err := zstd.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		defer dec.Close()
		plain = dec
	}
	got := make([]byte, min(left, 1000))
	if _, err := io.ReadFull(plain, got); err != nil {
		t.Fatalf("%d bytes before the end: %v", left, err)
	}
	took, looked, unpacked := time.Since(begin), b.looked.Load(), b.unpacked.Load()
	t.Logf("resumed %d bytes before the end of %d MB %s: the first bytes after %v, %d entries looked at, %d unpacked", left, whole>>20, coding, took.Round(10*time.Microsecond), looked, unpacked)
	if want := b.text(whole-left, len(got)); !bytes.Equal(got, want) {
		t.Errorf("%d bytes before the end: %.100q, want %.100q", left, got, want)
	}
	// A page in hand and those that wait in the connection's buffers.
	if took > bound || looked > 100 || unpacked > 200 {
		t.Errorf("%d bytes before the end: the first bytes after %v, %d entries looked at, %d unpacked", left, took, looked, unpacked)
	}
	if left > 1<<20 {
		return // the rest is cut off
	}
	if n, err := io.Copy(io.Discard, plain); err != nil || n != left-int64(len(got)) {
		t.Errorf("%d bytes before the end: %d more, %v", left, n, err)
	}
}

// text is what the log holds at an offset.
func (b *bigLog) text(from int64, n int) []byte {
	size := int64(len(fmt.Sprintf(bigLine, 0)))
	var text bytes.Buffer
	for line := from / size; text.Len() < n+int(size); line++ {
		fmt.Fprintf(&text, bigLine, line)
	}
	return text.Bytes()[from%size:][:n]
}

// bigLine is a line of a test's log: all are equally long.
const bigLine = "2026-11-22T10:00:00Z INFO tests: case %012d of the suite boot passed in 0.213 s\n"

// bigLog is a done run with a long log, served.
type bigLog struct {
	dir   string
	id    executor.RunID
	lines int64
	url   string
	close func()

	looked, unpacked atomic.Int64 // entries that were read packed, and as data
}

// bigReader counts what is read of the log.
type bigReader struct {
	*executor.Executor
	b *bigLog
}

func (r bigReader) Log(ctx context.Context, p executor.Principal, q executor.LogQuery) (executor.LogPage, error) {
	page, err := r.Executor.Log(ctx, p, q)
	if n := int64(len(page.Entries)); q.Packed && q.Limit == 1 {
		r.b.looked.Add(n)
	} else if !q.Packed {
		r.b.unpacked.Add(n)
	}
	return page, err
}

func newBigLog(t *testing.T, size int64) *bigLog {
	t.Helper()
	b := &bigLog{dir: t.TempDir()}
	store, exec := b.open(t)
	run, err := exec.Submit(t.Context(), root, executor.Request{Plugin: "linux_system", Method: "run_shell", Target: "red1", Parameters: []byte(`{"command":"true"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.Wait(t.Context(), root, string(run.ID)); err != nil {
		t.Fatal(err)
	}
	b.id = run.ID
	b.write(t, store, size)
	return b
}

// write appends what a command of the run would have said.
func (b *bigLog) write(t *testing.T, store *bolt.Store, size int64) {
	t.Helper()
	e := executor.Entry{Time: time.Now(), Run: b.id, Host: "red1", Command: 1, Stream: executor.Stderr, Data: []byte("warning\n")}
	if err := store.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	e.Stream = executor.Stdout
	e.Command = 1
	var chunk bytes.Buffer
	for written := int64(0); written < size; {
		chunk.Reset()
		for chunk.Len() < 60<<10 {
			fmt.Fprintf(&chunk, bigLine, b.lines)
			b.lines++
		}
		e.Offset, e.Data = written, chunk.Bytes()
		if err := store.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		written += int64(chunk.Len())
	}
	if err := store.Update(t.Context(), func(executor.Tx) error { return nil }); err != nil { // on disk
		t.Fatal(err)
	}
}

// open starts an executor and a server on the directory.
func (b *bigLog) open(t *testing.T) (*bolt.Store, *executor.Executor) {
	t.Helper()
	inv, err := inventory.Parse("inventory.yaml", []byte(twoTeams), inventory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	registry, err := plugins.NewRegistry(plugins.Builtin()...)
	if err != nil {
		t.Fatal(err)
	}
	store, err := bolt.Open(t.Context(), bolt.Options{Dir: filepath.Join(b.dir, "data"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	exec, err := executor.New(executor.Config{Store: store, Transport: quietHosts{}, Plugins: registry, Artifacts: filepath.Join(b.dir, "artifacts"), Inventory: func() *inventory.Inventory { return inv }})
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Config{Executor: bigReader{exec, b}, Plugins: registry})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	b.url = "http://" + ln.Addr().String()
	b.close = func() {
		for _, err := range []error{server.Shutdown(timeout()), <-served, exec.Drain(timeout()), store.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() { b.close(); b.close = func() {} })
	return store, exec
}

// reopen is a restart.
func (b *bigLog) reopen(t *testing.T) {
	t.Helper()
	b.close()
	b.close = func() {}
	b.open(t)
}

func (b *bigLog) get(t *testing.T, query, accept string) []byte {
	t.Helper()
	answer := b.ask(t, query, accept, "")
	defer answer.Close()
	body, err := io.ReadAll(answer)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (b *bigLog) ask(t *testing.T, query, accept, coding string) io.ReadCloser {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/v2.1/runs/"+string(b.id)+"/log?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	if coding != "" {
		req.Header.Set("Accept-Encoding", coding)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		resp.Body.Close()
		t.Fatal(resp.Status)
	}
	return resp.Body
}

// quietHosts are hosts on which every command ends at once and says nothing.
type quietHosts struct{ api.Talkers }

func (q quietHosts) Connect(ctx context.Context, h *inventory.Host, via func(string) (*inventory.Host, bool)) (executor.Conn, error) {
	conn, err := q.Talkers.Connect(ctx, h, via)
	return quietHost{conn}, err
}

type quietHost struct{ executor.Conn }

func (quietHost) Run(_ context.Context, _ executor.DurableCommand, _ executor.Offsets, _ bool, s executor.Sink) (executor.End, error) {
	return executor.End{Kind: executor.EndExit}, s.Started(executor.Started{})
}

// The record of who did what is paged and sorted as every list is.
func TestAuditPages(t *testing.T) {
	b := newBigLog(t, 1)
	c, err := api.NewClient(b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 4 {
		run, err := c.Submit(t.Context(), shell("red1", "true"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Wait(t.Context(), string(run.ID)); err != nil { // its end is on record too
			t.Fatal(err)
		}
	}
	whole, _, err := c.Audit(t.Context(), executor.AuditFilter{})
	if err != nil || len(whole) < 5 {
		t.Fatal(whole, err)
	}
	for _, newest := range []bool{false, true} {
		var all []executor.AuditEntry
		for f := (executor.AuditFilter{Limit: 2, Newest: newest}); ; {
			page, next, err := c.Audit(t.Context(), f)
			if err != nil || len(page) > 2 {
				t.Fatal(page, err)
			}
			all = append(all, page...)
			if next == 0 {
				break
			}
			if f.After = next; newest {
				f.After, f.Before = 0, next
			}
		}
		if newest {
			slices.Reverse(all)
		}
		if !reflect.DeepEqual(all, whole) {
			t.Errorf("newest first %v: %v, want %v", newest, all, whole)
		}
	}
	if _, _, err := c.Audit(t.Context(), executor.AuditFilter{Before: 1, Newest: true}); err != nil {
		t.Error(err)
	}
}
