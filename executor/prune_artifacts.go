package executor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// leftover is the age from which an unfinished artifact belongs to a process that died.
const leftover = 24 * time.Hour

// sweptArtifacts removes artifacts last made or used before the limit (see
// openArtifact), and what a killed process left half done. before is an error to be kept.
func (e *Executor) sweptArtifacts(limit time.Time, before error) (files int, bytes int64, err error) {
	if e.cfg.Artifacts == "" {
		return 0, 0, before
	}
	err = filepath.WalkDir(e.cfg.Artifacts, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		end := limit
		if strings.HasPrefix(d.Name(), ".new-") {
			end = time.Now().Add(-leftover)
		}
		if !info.ModTime().Before(end) {
			return nil
		}
		if err := os.Remove(path); err != nil {
			return ignoreGone(err)
		}
		files++
		bytes += info.Size()
		return nil
	})
	return files, bytes, errors.Join(before, err)
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
