package bolt_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tfw/executor"
	"tfw/executor/bolt"
)

// childEnv makes the test program a writer that is to be killed.
const childEnv = "TFW_TEST_BOLT_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(openEnv); dir != "" {
		if err := openOnly(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child goes on where the store ends: several streams whose bytes follow from
// their offsets, each with an update that records how far it is. What an update
// acknowledged it prints.
func child(dir string) error {
	s, err := bolt.Open(context.Background(), bolt.Options{Dir: dir, ShardSize: 200 << 10, Linger: time.Millisecond})
	if err != nil {
		return err
	}
	fmt.Println("open")
	var out sync.Mutex
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for h := range 4 {
		wg.Go(func() { errs <- write(s, fmt.Sprint("h", h), &out) })
	}
	wg.Wait()
	return <-errs
}

func write(s *bolt.Store, host string, out *sync.Mutex) error {
	ctx := context.Background()
	at, err := s.Lengths(ctx, executor.CommandID{Run: "run1", Host: host})
	if err != nil {
		return err
	}
	offset := at.Stdout
	for {
		for range 1 + rand.IntN(4) {
			e := executor.Entry{Run: "run1", Host: host, Stream: executor.Stdout, Offset: offset, Data: pattern(offset, 1+rand.IntN(20000)), Time: time.Now()}
			if err := s.Append(ctx, e); err != nil {
				return err
			}
			offset += int64(len(e.Data))
		}
		err := s.Update(ctx, func(tx executor.Tx) error {
			return tx.Put("ends", host, binary.BigEndian.AppendUint64(nil, uint64(offset)))
		})
		if err != nil {
			return err
		}
		out.Lock()
		fmt.Println("ack", host, offset)
		out.Unlock()
	}
}

// pattern is what a stream holds from an offset on: its own offsets, hard to compress.
func pattern(offset int64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		x := (uint64(offset) + uint64(i)) * 0x9E3779B97F4A7C15
		x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
		b[i] = byte(x >> 33)
	}
	return b
}

func TestKill(t *testing.T) {
	kills := 15
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	acks := map[string]int64{}
	for range kills {
		killOnce(t, dir, acks)
	}
	s := open(t, bolt.Options{Dir: dir})
	for host, acked := range acks {
		checkKilled(t, s, host, acked)
	}
	if err := s.Health(); err != nil {
		t.Fatal(err)
	}
	if len(acks) != 4 {
		t.Fatalf("only %d hosts ever had anything acknowledged", len(acks))
	}
}

// killOnce runs a writer, kills it at a random moment, and notes what it acknowledged.
func killOnce(t *testing.T, dir string, acks map[string]int64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch f := strings.Fields(lines.Text()); f[0] {
		case "open":
			time.AfterFunc(time.Duration(rand.IntN(120_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		case "ack":
			if acks[f[1]], err = strconv.ParseInt(f[2], 10, 64); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("the writer says: %s", lines.Text())
		}
	}
	_ = cmd.Wait() // killed
}

func checkKilled(t *testing.T, s *bolt.Store, host string, acked int64) {
	t.Helper()
	q := executor.LogQuery{Run: "run1", Host: host}
	offset := int64(0)
	for more := true; more; {
		page, err := s.Read(t.Context(), q)
		if err != nil || page.Dropped {
			t.Fatal(page.Dropped, err)
		}
		for _, e := range page.Entries {
			if e.Offset != offset || !bytes.Equal(e.Data, pattern(offset, len(e.Data))) {
				t.Fatalf("%s: entry %d at offset %d, want %d, or its bytes are wrong", host, e.Seq, e.Offset, offset)
			}
			offset += int64(len(e.Data))
		}
		q.After, more = page.Next, page.More
	}
	got, err := s.Lengths(t.Context(), executor.CommandID{Run: "run1", Host: host})
	if err != nil || got.Stdout != offset || offset < acked {
		t.Fatalf("%s: %d bytes, %d acknowledged, lengths say %d (%v)", host, offset, acked, got.Stdout, err)
	}
	err = s.View(t.Context(), func(tx executor.Tx) error {
		v, ok := tx.Get("ends", host)
		if end := binary.BigEndian.Uint64(v); !ok || int64(end) < acked || int64(end) > offset {
			return fmt.Errorf("%s: the record says %d, acknowledged were %d, the log ends at %d", host, end, acked, offset)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, bolt.Options{Dir: dir})
	_, err := bolt.Open(t.Context(), bolt.Options{Dir: dir})
	if !errors.Is(err, executor.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("a second opener: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, bolt.Options{Dir: dir})
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("the directory is %v (%v)", info.Mode(), err)
	}
	flush(t, s)
}
