package ssh

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/executortest"
)

// A transfer whose connection broke goes on where it was, and what arrives is
// what was sent, also where the part that was left is not ours.
func TestPutGoesOnAfterACut(t *testing.T) {
	lab, _ := labConn(t, executortest.LabOptions{Proxied: true})
	h := lab.Hosts()[0]
	tr := newTransport(t, Options{User: lab.User()})
	want, sum := content(48 << 20)
	for _, tt := range []struct {
		name string
		harm func(temp string)
		goOn bool
	}{
		{"as it was", func(string) {}, true},
		{"another's bytes", func(temp string) { overwrite(t, temp, []byte("not ours")) }, false},
		{"longer than the file", func(temp string) { stretch(t, temp, 64<<20) }, false},
		{"gone", func(temp string) { os.Remove(temp) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dest := "f " + tt.name
			put := executor.Put{Content: bytes.NewReader(want), Size: int64(len(want)), SHA256: sum, Dest: dest, Key: "0123456789abcdef"}
			c := mustConnect(t, tr, h)
			lab.Proxy(h.Name).CutAfter(32<<20, -1, true)
			if _, err := c.Put(within(t, 30*time.Second), put); !errors.Is(err, executor.ErrLost) {
				t.Fatalf("cut in the middle: %v", err)
			}
			lab.Proxy(h.Name).CutAfter(-1, -1, false)
			temps, _ := filepath.Glob(filepath.Join(lab.Home(h.Name), "."+dest+".tfw-*"))
			if len(temps) != 1 {
				t.Fatalf("left behind: %q", temps)
			}
			tt.harm(temps[0])
			r, err := mustConnect(t, tr, h).Put(within(t, 30*time.Second), put)
			if err != nil || r.Resumed > 0 != tt.goOn {
				t.Fatalf("%+v %v, want it resumed: %v", r, err, tt.goOn)
			}
			if got, _ := os.ReadFile(filepath.Join(lab.Home(h.Name), dest)); !bytes.Equal(got, want) {
				t.Error("the content differs")
			}
		})
	}
	noLeftovers(t, lab.Home(h.Name))
}

func overwrite(t *testing.T, name string, text []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(text, 1000); err != nil {
		t.Fatal(err)
	}
}

func stretch(t *testing.T, name string, size int64) {
	t.Helper()
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
}
