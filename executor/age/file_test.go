package age

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tfw/executor"
)

// sshKeygen makes a key as an admin would.
func sshKeygen(t *testing.T, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	out, err := exec.Command("ssh-keygen", append([]string{"-q", "-f", path}, args...)...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("no ssh-keygen")
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

func keys(paths ...string) func() []string { return func() []string { return paths } }

func put(t *testing.T, f *File, name, value string, groups ...string) {
	t.Helper()
	if err := f.Put(executor.Secret{Name: name, Groups: groups, By: "ada"}, value); err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, f *File, name string) string {
	t.Helper()
	_, v, err := f.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSecretsAreKept(t *testing.T) {
	for _, kind := range [][]string{{"-t", "ed25519", "-N", ""}, {"-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""}} {
		t.Run(strings.Join(kind, " "), func(t *testing.T) {
			key := sshKeygen(t, kind...)
			path := filepath.Join(t.TempDir(), "secrets.age")
			f := New(path, keys("/nonexistent/key", key))
			if all, err := f.List(); err != nil || len(all) != 0 {
				t.Fatalf("no file: %v %v", all, err)
			}
			put(t, f, "database", "correct horse battery", "red")
			put(t, f, "bin", "\x00\xff\n binary \n")
			put(t, f, "database", "second value", "red")
			again := New(path, keys(key)) // as after a restart
			if got := value(t, again, "database"); got != "second value" {
				t.Errorf("%q", got)
			}
			if got := value(t, again, "bin"); got != "\x00\xff\n binary \n" {
				t.Errorf("%q", got)
			}
			all, err := again.List()
			if err != nil || len(all) != 2 || all[0].Name != "bin" || all[1].Groups[0] != "red" || all[1].By != "ada" {
				t.Errorf("%+v %v", all, err)
			}
			raw, err := os.ReadFile(path)
			if err != nil || bytes.Contains(raw, []byte("second")) || bytes.Contains(raw, []byte("database")) {
				t.Errorf("the file tells something: %q %v", raw, err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Error(info.Mode(), err)
			}
			if err := again.Remove("database"); err != nil {
				t.Fatal(err)
			}
			if _, _, err := f.Open("database"); !errors.Is(err, executor.ErrNotFound) { // f sees what again did
				t.Error(err)
			}
			if err := f.Remove("database"); !errors.Is(err, executor.ErrNotFound) {
				t.Error(err)
			}
		})
	}
}

// What stands against opening the file is told, with what to do, and changes nothing.
func TestWhatCannotBeOpened(t *testing.T) {
	mine, other := sshKeygen(t, "-t", "ed25519", "-N", ""), sshKeygen(t, "-t", "ed25519", "-N", "")
	locked, ec := sshKeygen(t, "-t", "ed25519", "-N", "passphrase"), sshKeygen(t, "-t", "ecdsa", "-N", "")
	path := filepath.Join(t.TempDir(), "secrets.age")
	put(t, New(path, keys(mine)), "database", "correct horse battery")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(good)
	broken[len(broken)-3] ^= 1
	for _, c := range []struct {
		content []byte
		keys    []string
		want    string
	}{
		{good, nil, "no SSH key at"},
		{good, []string{"/nonexistent/id"}, "no SSH key at /nonexistent/id"},
		{good, []string{other}, "encrypted to another key than " + other},
		{good, []string{locked}, "without a passphrase"},
		{good, []string{ec}, "want an Ed25519 or RSA key"},
		{broken, []string{mine}, "damaged"},
		{good[:len(good)-1], []string{mine}, "damaged"},
		{good[:10], []string{mine}, "damaged"},
		{nil, []string{mine}, "damaged"},
		{[]byte("db: correct horse battery\n"), []string{mine}, "damaged"},
	} {
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		f := New(path, keys(c.keys...))
		_, _, openErr := f.Open("database")
		_, listErr := f.List()
		for what, err := range map[string]error{"open": openErr, "list": listErr, "put": f.Put(executor.Secret{Name: "x"}, "value"), "remove": f.Remove("database")} {
			if !errors.Is(err, executor.ErrSealed) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "horse") {
				t.Errorf("%s with %v: %v", what, c.keys, err)
			}
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, c.content) {
			t.Errorf("the file was changed (%v)", err)
		}
	}
	// The same keeper goes on once the file is whole again.
	f := New(path, keys(locked, mine))
	if _, _, err := f.Open("database"); err == nil {
		t.Fatal("opened")
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if value(t, f, "database") != "correct horse battery" {
		t.Error("not read again")
	}
}

// Every byte of the file is authenticated: an altered one never gives a value.
func TestEveryByteOfTheFileCounts(t *testing.T) {
	key := sshKeygen(t, "-t", "ed25519", "-N", "")
	path := filepath.Join(t.TempDir(), "secrets.age")
	put(t, New(path, keys(key)), "database", "correct horse battery")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x01
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := New(path, keys(key)).Open("database"); !errors.Is(err, executor.ErrSealed) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

// Several keepers of one file, as in several processes, lose nothing of each other.
func TestKeepersSideBySide(t *testing.T) {
	key := sshKeygen(t, "-t", "ed25519", "-N", "")
	path := filepath.Join(t.TempDir(), "secrets.age")
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			f := New(path, keys(key))
			for j := range 5 {
				if err := f.Put(executor.Secret{Name: fmt.Sprintf("s%d.%d", i, j)}, "some value"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if list, err := New(path, keys(key)).List(); err != nil || len(list) != 20 {
		t.Errorf("%d secrets, %v", len(list), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".secrets-*")); err != nil || left != nil {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// What the age program encrypts to the key is read too, armored or not.
func TestArmoredFile(t *testing.T) {
	key := sshKeygen(t, "-t", "ed25519", "-N", "")
	path := filepath.Join(t.TempDir(), "secrets.age")
	found, err := readKeys([]string{key})
	if err != nil {
		t.Fatal(err)
	}
	sealed := sealArmored(t, found[0].recipient, `{"version":1,"secrets":[{"name":"database","value":"aHVudGVyMg=="}]}`)
	if err := os.WriteFile(path, sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := value(t, New(path, keys(key)), "database"); got != "hunter2" {
		t.Errorf("%q", got)
	}
	for text, want := range map[string]string{`{"version":2}`: "version 2", `["db"]`: "something else", `db: hunter2`: "something else"} {
		if err := os.WriteFile(path, sealArmored(t, found[0].recipient, text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(path, keys(key)).List(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
