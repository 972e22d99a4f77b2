package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// partFrom is the size from which an artifact that broke off is worth keeping.
const partFrom = 1 << 20

// partArtifact goes on with the unfinished artifact of that key. While another download is at
// it, it waits: what that one brings need not come twice. Where there is none, the last
// artifact of the key may be what is wanted, or its beginning.
func (e *Executor) partArtifact(ctx context.Context, key string, limit int64) (*artifactWriter, error) {
	if e.cfg.Artifacts == "" {
		return e.newArtifact(limit)
	}
	if err := os.MkdirAll(e.cfg.Artifacts, 0o700); err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	f, err := lockPart(ctx, filepath.Join(e.cfg.Artifacts, ".new-part-"+key))
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	w := &artifactWriter{e: e, f: f, hash: sha256.New(), limit: limit, part: true, key: key}
	if w.size, err = io.Copy(w.hash, f); err == nil && w.size > limit {
		err = w.afresh()
	}
	if err != nil {
		w.discard()
		return nil, fmt.Errorf("artifact: %w", err)
	}
	if w.size == 0 {
		w.built(e.fetched.last(key))
	}
	return w, nil
}

// lockPart opens the file and locks it. One that lost its name since it was opened is an artifact by now, or gone.
func lockPart(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			opened, err := f.Stat()
			named, errNamed := os.Stat(path)
			if err == nil && errNamed == nil && os.SameFile(opened, named) {
				return f, nil
			}
		}
		_ = f.Close()
		if !sleep(ctx, 50*time.Millisecond) {
			return nil, context.Cause(ctx)
		}
	}
}

// built makes an artifact the beginning, where it is there and within the limit.
func (w *artifactWriter) built(sum string) {
	f, size, err := w.e.openArtifact(sum)
	if err != nil {
		return
	}
	_ = f.Close()
	if size > 0 && size <= w.limit {
		w.base, w.held = sum, size
	}
}

// Held implements [Partial].
func (w *artifactWriter) Held() (int64, string) {
	w.goingOn = false
	if w.base != "" {
		return w.held, w.base
	}
	return w.size, hex.EncodeToString(w.hash.Sum(nil))
}

// Resume implements [Partial].
func (w *artifactWriter) Resume() { w.goingOn = true }

// afresh drops what there is, unless what comes goes on with it.
func (w *artifactWriter) afresh() error {
	base := w.base
	w.base = ""
	switch {
	case base != "" && w.goingOn:
		return w.copy(base)
	case w.goingOn || w.size == 0:
		w.goingOn = true
		return nil
	}
	w.goingOn, w.size = true, 0
	w.hash.Reset()
	_, err := w.f.Seek(0, io.SeekStart)
	return errors.Join(err, w.f.Truncate(0))
}

// copy begins with an artifact's content.
func (w *artifactWriter) copy(sum string) error {
	f, _, err := w.e.openArtifact(sum)
	if err != nil {
		return err
	}
	defer f.Close()
	w.size, err = io.Copy(io.MultiWriter(w.f, w.hash), f)
	return err
}

// keep closes, and leaves what may be gone on with for a day (see leftover).
func (w *artifactWriter) keep() {
	if w.part && w.err == nil && w.size >= partFrom {
		_ = w.f.Close()
		return
	}
	w.discard()
}

// fetched remembers what the downloads of a key brought last.
type fetched struct {
	mu   sync.Mutex
	sums map[string]string
}

// maxFetched bounds what is remembered: beyond, all is forgotten.
const maxFetched = 10_000

func (f *fetched) note(key, sum string) {
	if key == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sums == nil || len(f.sums) >= maxFetched {
		f.sums = map[string]string{}
	}
	f.sums[key] = sum
}

func (f *fetched) last(key string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sums[key]
}
