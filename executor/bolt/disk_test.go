package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/bolt"
)

// blocks is the space a file takes on disk.
func blocks(t testing.TB, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// tmpfs mounts a small file system of its own, where that is allowed.
func tmpfs(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tfw-test", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// ballast fills the file system up to the last page, and gives the function that frees it.
func ballast(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func stdout(offset int64, data []byte) executor.Entry {
	return executor.Entry{Run: "run1", Host: "h", Stream: executor.Stdout, Offset: offset, Data: data, Time: time.Now()}
}

// whole reads a stream back, checking that offsets are contiguous.
func whole(t *testing.T, s *bolt.Store, from int64) []byte {
	t.Helper()
	var out []byte
	q := executor.LogQuery{Run: "run1", Host: "h", Stream: executor.Stdout}
	for {
		page, err := s.Read(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if e.Offset != from+int64(len(out)) {
				t.Fatalf("entry %d at offset %d, want %d", e.Seq, e.Offset, from+int64(len(out)))
			}
			out = append(out, e.Data...)
		}
		if q.After = page.Next; !page.More {
			return out
		}
	}
}

func TestDiskFull(t *testing.T) {
	dir := tmpfs(t, 24)
	s := open(t, bolt.Options{Dir: filepath.Join(dir, "data"), QueueBytes: 1 << 20})
	put := func(key string) error {
		return s.Update(t.Context(), func(tx executor.Tx) error { return tx.Put("t", key, make([]byte, 50<<10)) })
	}
	data := random(3 << 20)
	var offset int64
	appendNext := func(ctx context.Context) error {
		n := int64(40 << 10)
		err := s.Append(ctx, stdout(offset, data[offset:offset+n]))
		if err == nil {
			offset += n
		}
		return err
	}
	if err := errors.Join(appendNext(t.Context()), put("before")); err != nil {
		t.Fatal(err)
	}
	free := ballast(t, dir)

	// What is appended waits in memory, up to its bound; then the caller waits.
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var err error
	for err == nil {
		err = appendNext(short)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a full queue: %v", err)
	}
	if err := put("while full"); !errors.Is(err, executor.ErrDiskFull) {
		t.Fatalf("update on a full disk: %v", err)
	}
	if err := s.Health(); !errors.Is(err, executor.ErrDiskFull) {
		t.Fatalf("health on a full disk: %v", err)
	}
	if got := whole(t, s, 0); len(got) != 40<<10 {
		t.Fatalf("a full disk serves %d bytes", len(got))
	}

	free()
	eventually(t, "healthy again", func() bool { return s.Health() == nil })
	for range 3 {
		if err := errors.Join(appendNext(t.Context()), put("after")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got := whole(t, s, 0); string(got) != string(data[:offset]) {
			t.Fatalf("%d bytes of %d came through", len(got), offset)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, bolt.Options{Dir: filepath.Join(dir, "data")})
	}
}

// TestDiskFullRetain frees a disk that the log itself filled.
func TestDiskFullRetain(t *testing.T) {
	dir := filepath.Join(tmpfs(t, 24), "data")
	s := open(t, bolt.Options{Dir: dir, ShardSize: 4 << 20, QueueBytes: 1 << 20})
	data := random(64 << 10)
	var offset int64
	var err error
	for err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err = s.Append(ctx, stdout(offset, data)); err == nil {
			offset += int64(len(data))
		}
		cancel()
	}
	if err := s.Health(); !errors.Is(err, executor.ErrDiskFull) {
		t.Fatalf("health: %v", err)
	}
	if dropped, err := s.Retain(t.Context(), 0, 10<<20); len(dropped) == 0 {
		t.Fatalf("retain on a full disk: %v", err)
	}
	eventually(t, "healthy again", func() bool { return s.Health() == nil })
	if err := s.Append(t.Context(), stdout(offset, data)); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	if got, err := s.Lengths(t.Context(), executor.CommandID{Run: "run1", Host: "h"}); err != nil || got.Stdout != offset+int64(len(data)) {
		t.Fatalf("lengths %v, %v", got, err)
	}
}

func TestCloseOnFullDisk(t *testing.T) {
	dir := tmpfs(t, 8)
	s := open(t, bolt.Options{Dir: filepath.Join(dir, "data")})
	flush(t, s)
	ballast(t, dir)
	if err := s.Append(t.Context(), stdout(0, random(64<<10))); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, executor.ErrDiskFull) || !strings.Contains(err.Error(), "could not be written") {
		t.Fatalf("close: %v", err)
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	dir := tmpfs(t, 8)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skip(err)
	}
	for _, sub := range []string{".", "data"} {
		_, err := bolt.Open(t.Context(), bolt.Options{Dir: filepath.Join(dir, sub)})
		if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "data directory") {
			t.Errorf("open %s: %v", sub, err)
		}
	}
}

func TestRetainGivesTheDiskBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, bolt.Options{Dir: dir, ShardSize: 2 << 20})
	data := random(64 << 10)
	for i := range int64(320) { // 20 MiB
		if err := s.Append(t.Context(), stdout(i<<16, data)); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, s)
	if n := diskUse(t, dir); n < 20<<20 {
		t.Fatalf("the log takes %d bytes: incompressible data cannot", n)
	}
	page, err := s.Read(t.Context(), executor.LogQuery{Run: "run1"}) // readers hold files open
	if err != nil || page.Dropped {
		t.Fatal(page.Dropped, err)
	}
	dropped, err := s.Retain(t.Context(), 0, 6<<20)
	if err != nil || len(dropped) == 0 {
		t.Fatal(dropped, err)
	}
	if n := diskUse(t, dir); n > 6<<20 {
		t.Fatalf("after dropping %d shards the log takes %d bytes", len(dropped), n)
	}
	for _, name := range dropped {
		if _, err := os.Stat(filepath.Join(dir, "logs", name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if links := openDeleted(t, dir); len(links) > 0 {
		t.Errorf("deleted files are held open: %v", links)
	}
	page, err = s.Read(t.Context(), executor.LogQuery{Run: "run1"})
	if err != nil || !page.Dropped || len(page.Entries) == 0 {
		t.Fatalf("dropped %v, %d entries, %v", page.Dropped, len(page.Entries), err)
	}
	whole(t, s, page.Entries[0].Offset)
	if got, _ := s.Lengths(t.Context(), executor.CommandID{Run: "run1", Host: "h"}); got.Stdout != 320<<16 {
		t.Fatalf("lengths %v", got)
	}
}

// openDeleted lists the deleted files below dir that this process holds open.
func openDeleted(t *testing.T, dir string) (held []string) {
	t.Helper()
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir) && strings.HasSuffix(to, "(deleted)") {
			held = append(held, to)
		}
	}
	return held
}
