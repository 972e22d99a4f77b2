package inventory

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How the files are watched. Editors save by writing in place, by renaming a new
// file over the old, by removing and creating, or by swapping a symlink: so the
// directories are watched, an edit counts once the directory has been quiet for
// a moment, and a slow poll is the net below for file systems without notice.
const (
	quiet      = 120 * time.Millisecond
	impatience = 2 * time.Second // a directory that is never quiet
	pollEvery  = 5 * time.Second
	refresh    = 5 * time.Minute // for executables, whose answer changes without a file
)

// watch reloads on changes until ctx ends.
func (l *Live) watch(ctx context.Context) {
	defer close(l.done)
	w, err := fsnotify.NewWatcher()
	var events chan fsnotify.Event
	var failures chan error
	if err == nil { // without inotify the poll remains
		defer w.Close()
		events, failures = w.Events, w.Errors
	}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	l.follow(w)
	if l.stale() { // edited between the first load and now
		settle(ctx, events)
		_ = l.Reload(ctx)
	}
	for {
		l.follow(w)
		select {
		case <-ctx.Done():
			return
		case err := <-failures: // look, if events were lost then once the directory is quiet
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				settle(ctx, events)
			}
		case <-events:
			settle(ctx, events)
		case <-poll.C:
			if !l.stale() {
				continue
			}
			settle(ctx, events) // it may be in the middle of being written
		}
		if ctx.Err() == nil {
			_ = l.Reload(ctx) // the error is in Status, and onChange was told
		}
	}
}

// settle waits until no event has come for a moment.
func settle(ctx context.Context, events <-chan fsnotify.Event) {
	give := time.NewTimer(impatience)
	defer give.Stop()
	for {
		calm := time.NewTimer(quiet)
		select {
		case <-events:
			calm.Stop()
		case <-calm.C:
			return
		case <-give.C:
			calm.Stop()
			return
		case <-ctx.Done():
			calm.Stop()
			return
		}
	}
}

// follow watches the directories of all files read, and of what symlinks lead to.
func (l *Live) follow(w *fsnotify.Watcher) {
	if w == nil {
		return
	}
	for _, p := range l.watched() {
		for _, dir := range directories(p) {
			_ = w.Add(dir) // already watched is fine; gone or unreadable is left to the poll
		}
	}
}

func directories(path string) []string {
	dirs := []string{filepath.Dir(path)}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return dirs
	}
	dirs = append(dirs, filepath.Dir(real))
	if info, err := os.Stat(real); err == nil && info.IsDir() {
		dirs = append(dirs, real)
	}
	return dirs
}

// fileStamp tells whether a file was touched without reading it.
type fileStamp struct {
	size    int64
	changed time.Time
	gone    bool
	info    fs.FileInfo // tells one file from another of the same size and time
}

func (s fileStamp) same(as fileStamp) bool {
	if s.gone || as.gone || s.info == nil || as.info == nil {
		return s.gone == as.gone && s.info == nil && as.info == nil
	}
	return s.size == as.size && s.changed.Equal(as.changed) && os.SameFile(s.info, as.info)
}

func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{gone: errors.Is(err, os.ErrNotExist), size: -1}
	}
	return fileStamp{size: info.Size(), changed: info.ModTime(), info: info}
}

// stale is true when a file was touched since it was read, when the last load
// failed, or when it is time to ask an executable again.
func (l *Live) stale() bool {
	l.mu.Lock()
	stamp, loaded := l.stamp, l.status.Loaded
	l.mu.Unlock()
	if stamp == nil {
		return true
	}
	for p, s := range stamp {
		if !stampOf(p).same(s) {
			return true
		}
	}
	return l.Current().draft.dynamic && time.Since(loaded) > max(refresh, l.opt.CacheFor)
}
