package bolt_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/bolt"
)

// openEnv makes the test program one that only opens a store: it is to be killed while it does.
const openEnv = "TFW_TEST_BOLT_OPEN"

func openOnly(dir string) error {
	fmt.Println("opening")
	s, err := bolt.Open(context.Background(), bolt.Options{Dir: dir})
	if err != nil {
		return err
	}
	return s.Close()
}

// sparseState makes a data directory whose state.db was large and holds little.
func sparseState(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, bolt.Options{Dir: dir})
	update := func(fn func(tx executor.Tx) error) {
		if err := s.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	const n = 40
	for i := range n {
		update(func(tx executor.Tx) error {
			if _, err := tx.Next("order"); err != nil {
				return err
			}
			return tx.Put("large", fmt.Sprintf("%03d", i), random(1<<20))
		})
	}
	for i := range n - 2 {
		update(func(tx executor.Tx) error { return tx.Delete("large", fmt.Sprintf("%03d", i)) })
	}
	if err := s.Append(t.Context(), stdout(0, pattern(0, 1000))); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// held tells what is in it, by one who opens it.
func held(t *testing.T, dir string) (what string) {
	t.Helper()
	s := open(t, bolt.Options{Dir: dir})
	err := s.Update(t.Context(), func(tx executor.Tx) error {
		what = ""
		return tx.Range("large", "", false, func(key string, v []byte) bool {
			what += fmt.Sprintf("%s: %d, %x; ", key, len(v), v[:8])
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.Lengths(t.Context(), executor.CommandID{Run: "run1", Host: "h"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return what + fmt.Sprint(n)
}

// A state.db that is mostly empty gives its room back at the next start, with all that is in it; numbers go on.
func TestStateShrinks(t *testing.T) {
	dir := sparseState(t)
	state := filepath.Join(dir, "state.db")
	if size := blocks(t, state); size < 36<<20 {
		t.Fatalf("%d bytes to begin with", size)
	}
	s := open(t, bolt.Options{Dir: dir})
	if size := blocks(t, state); size > 4<<20 {
		t.Errorf("still %d bytes on disk", size)
	}
	err := s.Update(t.Context(), func(tx executor.Tx) error {
		if n, err := tx.Next("order"); n != 41 {
			return fmt.Errorf("the next number is %d, %w", n, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Killed whenever it may be in a start that shrinks, and with every part of a copy left behind, it holds what it held.
func TestKillWhileStateShrinks(t *testing.T) {
	master := sparseState(t)
	want := held(t, copyDir(t, master))
	whole := filepath.Join(copyDir(t, master), "state.db")
	copied, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []int{1, 8192, len(copied)} {
		dir := copyDir(t, master)
		if err := os.WriteFile(filepath.Join(dir, "state.db.new"), random(part), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := held(t, dir); got != want {
			t.Errorf("with %d bytes of a copy: %s", part, got)
		}
		if _, err := os.Stat(filepath.Join(dir, "state.db.new")); err == nil {
			t.Errorf("%d bytes of a copy are left", part)
		}
	}
	once := copyDir(t, master)
	begun := time.Now()
	killWhileOpening(t, once, time.Hour)
	took := time.Since(begun)
	dir, killed, small := "", 0, 0
	for range 10 {
		if dir == "" {
			dir = copyDir(t, master)
		}
		if killWhileOpening(t, dir, rand.N(took*5/4)) {
			killed++
		}
		if blocks(t, filepath.Join(dir, "state.db")) < 4<<20 { // it was done: begin with a large one again
			if got := held(t, dir); got != want {
				t.Fatalf("afterwards: %s", got)
			}
			dir, small = "", small+1
		}
	}
	if dir != "" {
		if got := held(t, dir); got != want {
			t.Errorf("afterwards: %s", got)
		}
	}
	t.Logf("%d killed, %d became small", killed, small)
	if killed == 0 {
		t.Error("none was killed in time")
	}
}

func killWhileOpening(t *testing.T, dir string, after time.Duration) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), openEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if bufio.NewScanner(out).Scan() {
		kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
	}
	return cmd.Wait() != nil
}
