package ssh

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/executortest"
)

func TestFilesAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, whom sudo asks for no password")
	}
	if _, err := exec.LookPath("sudo"); err != nil {
		t.Skip("sudo is not installed")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	dir, err := os.MkdirTemp("", "tfw-become-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	_, c := labConn(t, executortest.LabOptions{})
	b, sum := content(300 << 10)
	dest := filepath.Join(dir, "it's here")
	for _, as := range []executor.BecomeAs{{User: "nobody"}, {User: "nobody", Password: "not asked for"}} {
		os.Remove(dest)
		r, err := c.Put(within(t, 20*time.Second), executor.Put{Content: bytes.NewReader(b), Size: 300 << 10, SHA256: sum, Dest: dest, Become: &as})
		if err != nil || r.Via != "exec" {
			t.Fatalf("%+v %v", r, err)
		}
		st, err := os.Stat(dest)
		if err != nil || int(st.Sys().(*syscall.Stat_t).Uid) != uid {
			t.Fatalf("%v %v: not nobody's", st, err)
		}
		if got, _ := os.ReadFile(dest); !bytes.Equal(got, b) {
			t.Error("content differs: the password got into it, or it was cut")
		}
		var got bytes.Buffer
		if _, err := c.Get(within(t, 20*time.Second), dest, &as, &got); err != nil || !bytes.Equal(got.Bytes(), b) {
			t.Errorf("get: %d bytes, %v", got.Len(), err)
		}
	}
	as := &executor.BecomeAs{User: "no-such-user-4711", Password: "hidden-4711"}
	_, err = c.Put(within(t, 20*time.Second), executor.Put{Content: bytes.NewReader(b), Size: 10, Dest: dest, Become: as})
	if !errors.Is(err, executor.ErrBecome) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("an unknown user: %v", err)
	}
}
