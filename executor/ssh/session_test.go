package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	"tfw/executor"
)

func TestExecEndsAreToldApart(t *testing.T) {
	s := startSSHD(t)
	c := mustConnect(t, newTransport(t, Options{}), s.host())
	ctx := within(t, 20*time.Second)
	for _, tt := range []struct {
		command, out, err string
		want              exit
	}{
		{"true", "", "", exit{Kind: exitStatus}},
		{"echo out; echo err >&2; exit 77", "out\n", "err\n", exit{Kind: exitStatus, Code: 77}},
		{"kill -KILL $$", "", "", exit{Kind: exitSignal, Signal: "KILL"}},
		{"printf 'no newline'", "no newline", "", exit{Kind: exitStatus}},
	} {
		out, stderr, e, err := run(ctx, c, tt.command)
		if err != nil || e != tt.want || out != tt.out || stderr != tt.err {
			t.Errorf("%s: got %q %q %+v %v", tt.command, out, stderr, e, err)
		}
	}
}

func TestStdinReachesTheCommandWhole(t *testing.T) {
	s := startSSHD(t)
	c := mustConnect(t, newTransport(t, Options{}), s.host())
	sess, err := c.open(within(t, 20*time.Second), "cat")
	if err != nil {
		t.Fatal(err)
	}
	defer sess.Close()
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB: more than the window
	go func() {
		in := sess.Stdin()
		in.Write(want)
		in.Close()
	}()
	got, err := io.ReadAll(sess.Stdout())
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, %v; want %d", len(got), err, len(want))
	}
	if e, err := sess.Wait(); err != nil || e.Kind != exitStatus || e.Code != 0 {
		t.Fatalf("exit %+v %v", e, err)
	}
}

func TestEndOfContextFreesAtOnceWhileTheCommandRuns(t *testing.T) {
	s := startSSHD(t)
	c := mustConnect(t, newTransport(t, Options{}), s.host())
	ctx, cancel := context.WithCancel(t.Context())
	sess, err := c.open(ctx, "echo up; sleep 9")
	if err != nil {
		t.Fatal(err)
	}
	if b := make([]byte, 3); !readsFull(sess.Stdout(), b) {
		t.Fatal("no first line")
	}
	var wg sync.WaitGroup
	began := time.Now()
	wg.Go(func() { io.ReadAll(sess.Stdout()) })
	wg.Go(func() { io.ReadAll(sess.Stderr()) })
	wg.Go(func() {
		if _, err := sess.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait: %v", err)
		}
	})
	cancel()
	wg.Wait()
	if d := time.Since(began); d > 6*time.Second {
		t.Errorf("took %v: it waited for the command", d)
	}
}

func readsFull(r io.Reader, b []byte) bool {
	_, err := io.ReadFull(r, b)
	return err == nil
}

func TestBrokenConnectionIsLost(t *testing.T) {
	s := startSSHD(t)
	tr := newTransport(t, Options{})
	c := mustConnect(t, tr, s.host())
	sess, err := c.open(within(t, 20*time.Second), "echo $PPID; sleep 20")
	if err != nil {
		t.Fatal(err)
	}
	defer sess.Close()
	var pid int
	if _, err := fscan(sess.Stdout(), &pid); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGKILL) // the sshd process of this connection
	if _, err := sess.Wait(); !errors.Is(err, executor.ErrLost) {
		t.Fatalf("Wait: %v, want connection lost", err)
	}
	var te *executor.TransportError
	if _, err := c.open(t.Context(), "true"); !errors.Is(err, executor.ErrLost) || !errors.As(err, &te) {
		t.Fatalf("open on the old Conn: %v, want connection lost", err)
	}
	again := mustConnect(t, tr, s.host())
	if _, _, e, err := run(within(t, 10*time.Second), again, "exit 3"); err != nil || e.Code != 3 {
		t.Fatalf("after reconnecting: %+v %v", e, err)
	}
}

func fscan(r io.Reader, to ...any) (int, error) { return fmt.Fscanln(r, to...) }
