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
	key     string
	base    string // an artifact that may be the beginning, while nothing was written
	held    int64  // its size
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
	if w.base != "" && w.goingOn { // it is that very one
		return w.base, w.held, nil
	}
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
	w.e.fetched.note(w.key, sum)
	return sum, w.size, syncDir(filepath.Dir(path))
}

// discard closes, and removes what was not committed.
func (w *artifactWriter) discard() {
	if !w.placed { // while it is locked: the name is ours
		_ = os.Remove(w.f.Name())
	}
	_ = w.f.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
