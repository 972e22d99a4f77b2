package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

var errNotExist = fs.ErrNotExist

// ErrTooLarge says that a file is over the artifact limit.
var ErrTooLarge = errors.New("too large")

// PutArtifact stores content under its SHA-256 (hex), once, however often it
// comes. The error wraps [ErrTooLarge] beyond the limit.
func (e *Executor) PutArtifact(_ context.Context, p Principal, r io.Reader) (sum string, size int64, err error) {
	if !p.May(Operator) {
		return "", 0, fmt.Errorf("%s may not store artifacts: %w", p.Name, ErrForbidden)
	}
	w, err := e.newArtifact(e.cfg.ArtifactLimit)
	if err != nil {
		return "", 0, err
	}
	defer w.discard()
	if _, err := io.Copy(w, r); err != nil {
		return "", 0, fmt.Errorf("artifact: %w", err)
	}
	return w.commit()
}

// OpenArtifact opens stored content, or gives [ErrNotFound]. The reader is an *os.File.
func (e *Executor) OpenArtifact(_ context.Context, p Principal, sum string) (io.ReadCloser, int64, error) {
	if !p.May(Viewer) {
		return nil, 0, ErrForbidden
	}
	return e.openArtifact(sum)
}

func (e *Executor) openArtifact(sum string) (*os.File, int64, error) {
	path, err := e.artifactPath(sum)
	if err != nil {
		return nil, 0, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("artifact %s: %w", sum, ErrNotFound)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("artifact %s: %w", sum, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("artifact %s: %w", sum, err), f.Close())
	}
	used := time.Now()
	_ = os.Chtimes(path, used, used) // what is used is not old: see Prune
	return f, info.Size(), nil
}

// artifactPath refuses everything but a hash: names come from users.
func (e *Executor) artifactPath(sum string) (string, error) {
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size || hex.EncodeToString(raw) != sum {
		return "", fmt.Errorf("artifact %q: want the 64 hexadecimal digits of a SHA-256: %w", sum, ErrNotFound)
	}
	return filepath.Join(e.cfg.Artifacts, sum[:2], sum), nil
}

// artifactWriter takes content into a temporary file beside its place. It is a [Partial].
type artifactWriter struct {
	e       *Executor
	f       *os.File
	hash    hash.Hash
	size    int64
	limit   int64
	err     error
	part    bool // may be kept for another writer of the same key
	goingOn bool // what comes follows what is there
	placed  bool // under its own name; the temporary one may be another's by now
}

func (e *Executor) newArtifact(limit int64) (*artifactWriter, error) {
	if e.cfg.Artifacts == "" {
		return nil, errors.New("artifact: no artifact directory is configured")
	}
	if err := os.MkdirAll(e.cfg.Artifacts, 0o700); err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	f, err := os.CreateTemp(e.cfg.Artifacts, ".new-*") // 0600
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	return &artifactWriter{e: e, f: f, hash: sha256.New(), limit: limit}, nil
}

// partFrom is the size from which an artifact that broke off is worth keeping.
const partFrom = 1 << 20

// partArtifact goes on with the unfinished artifact of that key, where there is one that nobody is at.
func (e *Executor) partArtifact(key string, limit int64) (*artifactWriter, error) {
	if e.cfg.Artifacts == "" {
		return e.newArtifact(limit)
	}
	path := filepath.Join(e.cfg.Artifacts, ".new-part-"+key)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return e.newArtifact(limit)
	}
	w := &artifactWriter{e: e, f: f, hash: sha256.New(), limit: limit, part: true}
	if !ours(f, path) {
		_ = f.Close()
		return e.newArtifact(limit)
	}
	if w.size, err = io.Copy(w.hash, f); err == nil && w.size > limit {
		err = w.afresh()
	}
	if err != nil {
		w.discard()
		return nil, fmt.Errorf("artifact: %w", err)
	}
	return w, nil
}

// ours locks f, unless somebody has it, or it lost its name since it was opened: then it is an artifact by now.
func ours(f *os.File, path string) bool {
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	opened, err := f.Stat()
	named, errNamed := os.Stat(path)
	return err == nil && errNamed == nil && os.SameFile(opened, named)
}

// Held implements [Partial].
func (w *artifactWriter) Held() (int64, string) {
	w.goingOn = false
	return w.size, hex.EncodeToString(w.hash.Sum(nil))
}

// Resume implements [Partial].
func (w *artifactWriter) Resume() { w.goingOn = true }

// afresh drops what there is, unless what comes goes on with it.
func (w *artifactWriter) afresh() error {
	if w.goingOn || w.size == 0 {
		w.goingOn = true
		return nil
	}
	w.goingOn, w.size = true, 0
	w.hash.Reset()
	_, err := w.f.Seek(0, io.SeekStart)
	return errors.Join(err, w.f.Truncate(0))
}

func (w *artifactWriter) Write(b []byte) (int, error) {
	if w.err == nil {
		w.err = w.afresh()
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.size+int64(len(b)) > w.limit {
		w.err = fmt.Errorf("more than the artifact limit of %d bytes: %w", w.limit, ErrTooLarge)
		return 0, w.err
	}
	n, err := w.f.Write(b)
	w.hash.Write(b[:n])
	w.size += int64(n)
	w.err = err
	return n, err
}

// commit puts the file in its place, durably, and gives its name.
func (w *artifactWriter) commit() (string, int64, error) {
	if err := w.afresh(); err != nil { // nothing came, and nothing was to be kept: it is empty
		return "", 0, fmt.Errorf("artifact: %w", err)
	}
	sum := hex.EncodeToString(w.hash.Sum(nil))
	path, err := w.e.artifactPath(sum)
	if err != nil {
		return "", 0, err
	}
	if err := w.f.Sync(); err != nil {
		return "", 0, fmt.Errorf("artifact: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", 0, fmt.Errorf("artifact: %w", err)
	}
	if err := os.Rename(w.f.Name(), path); err != nil {
		return "", 0, fmt.Errorf("artifact: %w", err)
	}
	w.placed = true
	return sum, w.size, syncDir(filepath.Dir(path))
}

// keep closes, and leaves what may be gone on with for a day (see leftover).
func (w *artifactWriter) keep() {
	if w.part && w.err == nil && w.size >= partFrom {
		_ = w.f.Close()
		return
	}
	w.discard()
}

// discard closes, and removes what was not committed.
func (w *artifactWriter) discard() {
	_ = w.f.Close()
	if !w.placed {
		_ = os.Remove(w.f.Name())
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
