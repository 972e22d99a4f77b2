package ssh

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
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

// held is a Partial that has what is in it.
type held struct {
	bytes.Buffer
	resumed bool
	first   func() // called before the first byte is taken
}

func (h *held) Held() (int64, string) {
	sum := sha256.Sum256(h.Bytes())
	return int64(h.Len()), hex.EncodeToString(sum[:])
}
func (h *held) Resume() { h.resumed = true }

func (h *held) Write(b []byte) (int, error) {
	if h.first != nil {
		h.first()
		h.first = nil
	}
	return h.Buffer.Write(b)
}

// A Get sends only what is missing, where what is there is how the file begins.
func TestGetGoesOnWithWhatIsThere(t *testing.T) {
	lab, c := labConn(t, executortest.LabOptions{})
	want, _ := content(3 << 20)
	mustWrite(t, filepath.Join(lab.Home(lab.Hosts()[0].Name), "f"), string(want))
	for name, tt := range map[string]struct {
		there []byte
		goOn  bool
	}{
		"nothing":          {nil, false},
		"the beginning":    {want[:2_000_001], true},
		"all of it":        {want, true},
		"another file":     {bytes.Repeat([]byte("x"), 1000), false},
		"more than it has": {append(bytes.Clone(want), 'x'), false},
	} {
		h := &held{}
		h.Buffer.Write(tt.there)
		r, err := c.Get(within(t, 20*time.Second), "f", nil, h)
		got := h.Bytes()
		if !tt.goOn {
			got = got[len(tt.there):]
		}
		if err != nil || h.resumed != tt.goOn || !bytes.Equal(got, want) {
			t.Errorf("%s: %+v %v, resumed: %v, %d bytes", name, r, err, h.resumed, len(got))
		}
	}
}

// What is written to while it is read is never handed out as if it were whole.
func TestGetTellsOfChanges(t *testing.T) {
	lab, c := labConn(t, executortest.LabOptions{})
	file := filepath.Join(lab.Home(lab.Hosts()[0].Name), "f")
	want, _ := content(24 << 20) // more than the connection holds: the host is not done when the first byte comes
	change := func(flags int, what string) func() {
		return func() {
			f, err := os.OpenFile(file, flags|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString(what)
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		change func()
		torn   bool
		note   string
	}{
		"grows":           {change(os.O_APPEND, "more"), false, "it grew to 25165828 bytes"},
		"is written over": {change(0, "other"), true, ""},
		"is cut off":      {change(os.O_TRUNC, ""), true, ""},
		"is replaced":     {func() { os.Rename(file, file+".1"); mustWrite(t, file, "new") }, false, ""},
	} {
		mustWrite(t, file, string(want))
		h := &held{first: tt.change}
		r, err := c.Get(within(t, 30*time.Second), "f", nil, h)
		if errors.Is(err, executor.ErrTorn) != tt.torn || !strings.HasPrefix(r.Note, tt.note) || r.Note != "" && tt.note == "" {
			t.Errorf("%s: %+v %v", name, r, err)
		}
		if !tt.torn && !bytes.Equal(h.Bytes(), want) {
			t.Errorf("%s: %d bytes, and not those that were there", name, h.Len())
		}
	}
}
