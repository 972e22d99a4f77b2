package bolt

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"tfw/executor"
)

// dirLock holds a data directory for one process. The kernel drops flock with
// the process, however it ends; the pid inside is for people, and its absence
// says that the last holder closed cleanly.
type dirLock struct {
	file    *os.File
	unclean bool // the holder before us did not come to its end
}

// lockDir makes the directory ours alone (0700) and locks it.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory needs its x bits
		return nil, fmt.Errorf("data directory must be private to this user: %w", err)
	}
	name := filepath.Join(dir, "lock")
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory must be writable: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w by %s (end that one, or give another data directory)", dir, executor.ErrLocked, holder(file))
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	l := &dirLock{file: file, unclean: holderPID(file) != ""}
	if err := l.write(strconv.Itoa(os.Getpid()) + "\n"); err != nil {
		file.Close()
		return nil, classify(fmt.Errorf("lock %s: %w", name, err))
	}
	return l, nil
}

// release marks a clean end and gives the directory back.
func (l *dirLock) release(clean bool) error {
	var err error
	if clean {
		err = l.write("")
	}
	return errors.Join(err, l.file.Close())
}

func (l *dirLock) write(text string) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(text), 0)
	return err
}

func holder(file *os.File) string {
	if pid := holderPID(file); pid != "" {
		return "process " + pid
	}
	return "another process"
}

func holderPID(file *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(file, 0, 32))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
