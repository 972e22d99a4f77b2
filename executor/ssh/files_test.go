package ssh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/executortest"
)

func newLab(t testing.TB, opt executortest.LabOptions) *executortest.Lab {
	t.Helper()
	lab, err := executortest.NewLab(within(t, 60*time.Second), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// labConn is a lab of one host and a connection to it.
func labConn(t testing.TB, opt executortest.LabOptions) (*executortest.Lab, *conn) {
	t.Helper()
	lab := newLab(t, opt)
	return lab, mustConnect(t, newTransport(t, Options{User: lab.User()}), lab.Hosts()[0])
}

func content(size int) ([]byte, string) {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(size)})
	r.Read(b)
	sum := sha256.Sum256(b)
	return b, hex.EncodeToString(sum[:])
}

func TestPutPlacesVerifiesAndSkips(t *testing.T) {
	lab, c := labConn(t, executortest.LabOptions{})
	home := lab.Home(lab.Hosts()[0].Name)
	when := time.Date(2024, 2, 29, 12, 0, 7, 0, time.UTC)
	for _, tt := range []struct {
		name string
		size int
		dest string
		via  string
	}{
		{"empty", 0, "empty", "exec"},
		{"small in home", 100, "~/small", "exec"},
		{"odd name", 100, "o'dd \\ na!me\t%s*", "exec"},
		{"large", 3 << 20, filepath.Join(home, "large"), "sftp"},
		{"long name", 200 << 10, strings.Repeat("n", 250), "sftp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, sum := content(tt.size)
			put := executor.Put{Content: bytes.NewReader(want), Size: int64(tt.size), SHA256: sum, Dest: tt.dest, Mode: 0o751, ModTime: when}
			r, err := c.Put(within(t, 30*time.Second), put)
			if err != nil || r.Skipped || r.Via != tt.via || !strings.HasPrefix(r.Path, home+"/") {
				t.Fatalf("first: %+v %v", r, err)
			}
			got, err := os.ReadFile(r.Path)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
			}
			st, err := os.Stat(r.Path)
			if err != nil || st.Mode().Perm() != 0o751 || !st.ModTime().Equal(when) {
				t.Errorf("mode %v, time %v, %v", st.Mode(), st.ModTime(), err)
			}
			if r, err := c.Put(within(t, 30*time.Second), put); err != nil || !r.Skipped {
				t.Errorf("second: %+v %v, want it skipped", r, err)
			}
			other, sum := content(tt.size + 1)
			put.Content, put.Size, put.SHA256 = bytes.NewReader(other), int64(len(other)), sum
			if r, err := c.Put(within(t, 30*time.Second), put); err != nil || r.Skipped {
				t.Errorf("other content: %+v %v", r, err)
			}
			if got, _ := os.ReadFile(r.Path); !bytes.Equal(got, other) {
				t.Error("the other content did not replace the first")
			}
		})
	}
	noLeftovers(t, home)
}

// noLeftovers waits until no temporary file of an upload is left: they are removed in the background.
func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if left, _ = filepath.Glob(filepath.Join(dir, ".*.tfw-*")); len(left) == 0 {
			return
		}
	}
	t.Errorf("left behind: %q", left)
}

func TestPutTidiesOldLeftovers(t *testing.T) {
	lab, c := labConn(t, executortest.LabOptions{})
	home := lab.Home(lab.Hosts()[0].Name)
	for name, age := range map[string]time.Duration{".x y.tfw-old": 50 * time.Hour, ".x y.tfw-new": time.Hour, ".z.tfw-old": 50 * time.Hour} {
		mustWrite(t, filepath.Join(home, name), "part")
		when := time.Now().Add(-age)
		os.Chtimes(filepath.Join(home, name), when, when)
	}
	b, sum := content(100 << 10)
	if _, err := c.Put(within(t, 20*time.Second), executor.Put{Content: bytes.NewReader(b), Size: 100 << 10, SHA256: sum, Dest: "x y"}); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(home, ".*.tfw-*"))
	if len(left) != 2 || filepath.Base(left[0]) != ".x y.tfw-new" || filepath.Base(left[1]) != ".z.tfw-old" {
		t.Errorf("left: %q", left)
	}
}

func TestPutSaysWhyNot(t *testing.T) {
	lab, c := labConn(t, executortest.LabOptions{})
	home := lab.Home(lab.Hosts()[0].Name)
	b, sum := content(10)
	big, bigSum := content(100 << 10)
	for _, tt := range []struct {
		name, dest, want string
		put              executor.Put
	}{
		{"a directory", home, "is a directory", executor.Put{Content: bytes.NewReader(b), Size: 10, SHA256: sum}},
		{"no directory", "no/such/file", "no such directory", executor.Put{Content: bytes.NewReader(big), Size: 100 << 10, SHA256: bigSum}},
		{"trailing slash", "dir/", "names no file", executor.Put{Content: bytes.NewReader(b), Size: 10, SHA256: sum}},
		{"another hash", "file", "damaged", executor.Put{Content: bytes.NewReader(b), Size: 10, SHA256: bigSum}},
		{"another hash, large", "file", "damaged", executor.Put{Content: bytes.NewReader(big), Size: 100 << 10, SHA256: sum}},
		{"shorter than it said", "file", "of 90000 bytes", executor.Put{Content: bytes.NewReader(b), Size: 90000, Become: nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.put.Dest = tt.dest
			_, err := c.Put(within(t, 20*time.Second), tt.put)
			if !errors.Is(err, executor.ErrRefused) {
				t.Fatalf("got %v, want refused", err)
			}
			if its := strings.Contains(tt.name, "a directory") || tt.name == "no directory"; errors.Is(err, executor.ErrPath) != its {
				t.Errorf("%v: told as the files' own no: %v, want %v", err, !its, its)
			}
			if tt.name != "shorter than it said" && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v does not say %q", err, tt.want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(home, "file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was placed: %v", err)
	}
	noLeftovers(t, home)
}

func TestPutWithoutSFTPFallsBack(t *testing.T) {
	lab := newLab(t, executortest.LabOptions{Embedded: true})
	leavesNothing(t)
	h := lab.Hosts()[0]
	if err := lab.Misbehave(h.Name, executortest.FaultNoSFTP); err != nil {
		t.Fatal(err)
	}
	c := mustConnect(t, newTransport(t, Options{User: lab.User()}), h)
	b, sum := content(1 << 20)
	r, err := c.Put(within(t, 20*time.Second), executor.Put{Content: bytes.NewReader(b), Size: 1 << 20, SHA256: sum, Dest: "x", Mode: 0o600})
	if err != nil || r.Via != "exec" {
		t.Fatalf("%+v %v, want it by exec", r, err)
	}
	if got, _ := os.ReadFile(filepath.Join(lab.Home(h.Name), "x")); !bytes.Equal(got, b) {
		t.Error("content differs")
	}
}

func TestPutCutShortLeavesNothing(t *testing.T) {
	lab, c := labConn(t, executortest.LabOptions{})
	home := lab.Home(lab.Hosts()[0].Name)
	for size, after := range map[int64]int64{60 << 10: 0, 8 << 20: 4 << 20} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.Put(ctx, executor.Put{Content: &cutReader{after: after, cut: cancel}, Size: size, Dest: "cut"})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("size %d: %v", size, err)
		}
		cancel()
	}
	if _, err := os.Stat(filepath.Join(home, "cut")); err == nil {
		t.Error("a part was placed")
	}
	noLeftovers(t, home)
}

// cutReader cuts the connection's context in the middle of the content.
type cutReader struct {
	after int64
	cut   func()
}

func (r *cutReader) ReadAt(b []byte, off int64) (int, error) {
	if off >= r.after {
		r.cut()
		time.Sleep(10 * time.Millisecond)
	}
	return len(b), nil
}

func TestGetFilesAndDirectories(t *testing.T) {
	lab, c := labConn(t, executortest.LabOptions{})
	home := lab.Home(lab.Hosts()[0].Name)
	want, _ := content(1 << 20)
	mustWrite(t, filepath.Join(home, "f\x1etfw"), string(want))
	os.Mkdir(filepath.Join(home, "d"), 0o755)
	mustWrite(t, filepath.Join(home, "d", "in it"), "inside")

	var got bytes.Buffer
	r, err := c.Get(within(t, 20*time.Second), "~/f\x1etfw", nil, &got)
	if err != nil || r.Dir || r.Mode != 0o600 || r.Bytes != 1<<20 || !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("%+v %v, %d bytes", r, err, got.Len())
	}
	got.Reset()
	if r, err = c.Get(within(t, 20*time.Second), "d", nil, &got); err != nil || !r.Dir {
		t.Fatalf("%+v %v", r, err)
	}
	tar := exec.Command("tar", "-xOf", "-", "./in it")
	tar.Stdin = &got
	if out, err := tar.Output(); err != nil || string(out) != "inside" {
		t.Errorf("tar: %q %v", out, err)
	}
	if _, err = c.Get(within(t, 20*time.Second), "none", nil, io.Discard); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, executor.ErrPath) {
		t.Errorf("absent: %v", err)
	}
	full := errors.New("disk full")
	if _, err = c.Get(within(t, 20*time.Second), "f\x1etfw", nil, failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("failing writer: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestFilesBehindAnyLoginShell(t *testing.T) {
	for _, shell := range []string{"fish", "tcsh", "zsh", "mksh", "bash", "dash"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not installed", shell)
			continue
		}
		t.Run(shell, func(t *testing.T) {
			lab, c := labConn(t, executortest.LabOptions{Shell: path})
			b, sum := content(100 << 10)
			const name = "it's \\ a! $(x) na\tme"
			_, err := c.Put(within(t, 20*time.Second), executor.Put{Content: bytes.NewReader(b), Size: 100 << 10, SHA256: sum, Dest: name})
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(filepath.Join(lab.Home(lab.Hosts()[0].Name), name)); !bytes.Equal(got, b) {
				t.Error("content differs")
			}
			var got bytes.Buffer
			if _, err := c.Get(within(t, 20*time.Second), name, nil, &got); err != nil || !bytes.Equal(got.Bytes(), b) {
				t.Errorf("get: %v, %d bytes", err, got.Len())
			}
		})
	}
}
