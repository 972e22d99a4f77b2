package bolt

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// maxNotes bounds what Health lists of one kind.
const maxNotes = 20

// sickness is what Health tells: a trouble that lasts, and what was set aside.
type sickness struct {
	log *slog.Logger

	mu    sync.Mutex
	now   error // writing fails, and why
	since time.Time
	notes []error
}

// writing notes the result of a write; nil ends a trouble.
func (s *sickness) writing(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && s.now != nil:
		s.log.Info("store writes again", "after", time.Since(s.since).Round(time.Millisecond))
	case err != nil && s.now == nil:
		s.since = time.Now()
		s.log.Error("store cannot write, log entries wait in memory", "error", err)
	}
	s.now = err
}

// quarantined notes a shard that was set aside, now or in an earlier life.
func (s *sickness) quarantined(aside string, cause error) {
	err := fmt.Errorf("%s: damaged log shard was set aside, the rest is served (look at it with bbolt, then remove it)", aside)
	if cause != nil {
		s.log.Error("log shard is damaged and was set aside", "file", aside, "error", cause)
		err = fmt.Errorf("%w: %w", err, cause)
	}
	s.note(err)
}

// note adds what Health is to tell until the next start.
func (s *sickness) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := func(e error) bool { return e.Error() == err.Error() }
	if len(s.notes) < maxNotes && !slices.ContainsFunc(s.notes, same) {
		s.notes = append(s.notes, err)
	}
}

func (s *sickness) error() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(append(slices.Clone(s.notes), s.now)...)
}
