// Package age keeps secrets in one file, encrypted to the controller's SSH key in the format of
// age (age-encryption.org/v1). The file may be copied and kept in version control; who has the
// private key can read it.
package age

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"tfw/executor"
)

const (
	version  = 1
	maxFile  = 16 << 20 // bytes on disk
	maxPlain = 8 << 20  // bytes in the clear
)

// File is an [executor.Secrets] in one file. It reads the file again when that
// changed; a change is written beside it, synced and renamed, under a lock that other processes honour.
type File struct {
	path string
	keys func() []string

	mu   sync.Mutex
	seen stamp
	have map[string]record
	err  error // of the last reading
}

var _ executor.Secrets = (*File)(nil)

// New makes a keeper of the secrets in the file at path, which need not be there yet. keys
// names files of private SSH keys (Ed25519 or RSA, without a passphrase), the best first: what is written
// is encrypted to the first that is there, what is read may be to any of them. Nothing is read yet.
func New(path string, keys func() []string) *File { return &File{path: path, keys: keys} }

// record is a secret as it lies in the file.
type record struct {
	executor.Secret
	Value []byte `json:"value"`
}

type content struct {
	Version int      `json:"version"`
	Secrets []record `json:"secrets"`
}

// stamp tells whether a file is the one that was read.
type stamp struct {
	mod  time.Time
	size int64
	ino  uint64
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{mod: info.ModTime(), size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.ino = st.Ino
	}
	return s
}

// Open implements [executor.Secrets].
func (f *File) Open(name string) (executor.Secret, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		return executor.Secret{}, "", err
	}
	r, ok := f.have[name]
	if !ok {
		return executor.Secret{}, "", missing(name)
	}
	return r.Secret, string(r.Value), nil
}

func missing(name string) error {
	return fmt.Errorf("secret %q: %w (see: tfwctl secret list)", name, executor.ErrNotFound)
}

// List implements [executor.Secrets].
func (f *File) List() ([]executor.Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		return nil, err
	}
	all := []executor.Secret{}
	for _, r := range f.have {
		all = append(all, r.Secret)
	}
	slices.SortFunc(all, func(a, b executor.Secret) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Put implements [executor.Secrets].
func (f *File) Put(s executor.Secret, value string) error {
	return f.change(func(have map[string]record) error {
		have[s.Name] = record{s, []byte(value)}
		return nil
	})
}

// Remove implements [executor.Secrets].
func (f *File) Remove(name string) error {
	return f.change(func(have map[string]record) error {
		if _, ok := have[name]; !ok {
			return missing(name)
		}
		delete(have, name)
		return nil
	})
}

// load reads the file when it is not the one that was read last.
func (f *File) load() error {
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.have, f.seen, f.err = nil, stamp{}, nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", executor.ErrSealed, err)
	}
	// An error is not kept: the key may have come meanwhile.
	if now := stampOf(info); now != f.seen || f.err != nil {
		f.have, f.err = f.read(info)
		f.seen = now
	}
	return f.err
}

func (f *File) read(info fs.FileInfo) (map[string]record, error) {
	if info.Size() > maxFile {
		return nil, f.sealed(fmt.Errorf("larger than %d MiB", maxFile>>20))
	}
	sealed, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", executor.ErrSealed, err)
	}
	if !encrypted(sealed) { // the library's error would quote it
		return nil, f.sealed(errors.New("it is damaged, or was never encrypted (restore it from a copy, or remove it and set the secrets again)"))
	}
	keys, err := readKeys(f.keys())
	if err != nil {
		return nil, err
	}
	plain, err := open(sealed, keys)
	var others *age.NoIdentityMatchError
	switch {
	case errors.As(err, &others):
		return nil, f.sealed(fmt.Errorf("it is encrypted to another key than %s (name the right one with secrets_key, or remove the file and set the secrets again)", keys))
	case err != nil:
		return nil, f.sealed(fmt.Errorf("it is damaged (%w): restore it from a copy, or remove it and set the secrets again", err))
	}
	defer clear(plain)
	return f.parse(plain)
}

const intro = "age-encryption.org/" // begins every file of age

func encrypted(text []byte) bool {
	return bytes.HasPrefix(text, []byte(intro)) || armored(text)
}

func armored(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(text), []byte(armor.Header))
}

func (f *File) sealed(why error) error {
	return fmt.Errorf("%s: %w: %w", f.path, executor.ErrSealed, why)
}

// open decrypts; files that were armored with the age program are read too.
func open(sealed []byte, keys sshKeys) ([]byte, error) {
	var from io.Reader = bytes.NewReader(sealed)
	if armored(sealed) {
		from = armor.NewReader(from)
	}
	clearText, err := age.Decrypt(from, keys.identities()...)
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(clearText, maxPlain+1))
	if err == nil && len(plain) > maxPlain {
		err = errors.New("too large in the clear")
	}
	return plain, err
}

// parse reads what was decrypted. The decoder's errors might quote it, so they are not passed on.
func (f *File) parse(plain []byte) (map[string]record, error) {
	var c content
	if err := json.Unmarshal(plain, &c); err != nil {
		return nil, f.sealed(errors.New("it holds something else than tfw's secrets"))
	}
	if c.Version != version {
		return nil, f.sealed(fmt.Errorf("it has version %d, this program knows %d: %w", c.Version, version, executor.ErrNewerData))
	}
	have := map[string]record{}
	for _, r := range c.Secrets {
		have[r.Name] = r
	}
	return have, nil
}

// change edits the content under the lock, on what the file holds at that moment.
func (f *File) change(edit func(map[string]record) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	unlock, err := lock(filepath.Dir(f.path))
	if err != nil {
		return f.sealed(err)
	}
	defer unlock()
	if err := f.load(); err != nil {
		return err
	}
	next := map[string]record{}
	for name, r := range f.have {
		next[name] = r
	}
	if err := edit(next); err != nil {
		return err
	}
	return f.write(next)
}

func (f *File) write(have map[string]record) error {
	keys, err := readKeys(f.keys())
	if err != nil {
		return err
	}
	c := content{Version: version}
	for _, r := range have {
		c.Secrets = append(c.Secrets, r)
	}
	slices.SortFunc(c.Secrets, func(a, b record) int { return strings.Compare(a.Name, b.Name) })
	plain, err := json.Marshal(c)
	if err != nil {
		return f.sealed(err)
	}
	defer clear(plain)
	if len(plain) > maxPlain {
		return fmt.Errorf("%s: %w: more than %d MiB of secrets", f.path, executor.ErrBadRequest, maxPlain>>20)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, keys[0].recipient)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = replace(f.path, sealed.Bytes())
	}
	if err != nil {
		return f.sealed(err)
	}
	f.seen = stamp{} // read back at the next use: what is told is what is on disk
	return nil
}

// replace puts content in the place of the file in one step. A symbolic link stays one.
func replace(path string, content []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".secrets-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lock holds the directory against other processes that change the file: no lock file is left behind (flock(2)).
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		d.Close()
		return nil, err
	}
	return func() { d.Close() }, nil
}
