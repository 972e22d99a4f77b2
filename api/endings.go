package api

import (
	"context"
	"sync"

	"tfw/executor"
)

// endings lets the followers of one run ask only once for each ring whether it
// is done: a run on a thousand hosts is a big record, and a ring wakes them all.
type endings struct {
	mu   sync.Mutex
	runs map[executor.RunID]*ending
}

// ending is what is known of a run since a bell was hung up.
type ending struct {
	mu        sync.Mutex
	followers int // of endings.mu
	bell      <-chan struct{}
	done      *executor.Run // nil: not done when looked at after the bell was hung up
}

func (e *endings) join(id executor.RunID) *ending {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.runs == nil {
		e.runs = map[executor.RunID]*ending{}
	}
	one := e.runs[id]
	if one == nil {
		one = &ending{}
		e.runs[id] = one
	}
	one.followers++
	return one
}

func (e *endings) leave(id executor.RunID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if one := e.runs[id]; one != nil {
		if one.followers--; one.followers == 0 {
			delete(e.runs, id)
		}
	}
}

// look gives the run when it is done, else nil. bell was taken before: whatever
// was seen by anyone under the same bell is still so, or the bell has rung.
func (one *ending) look(ctx context.Context, s *Server, r *request, id executor.RunID, bell <-chan struct{}) (*executor.Run, error) {
	if r.principal.Groups != nil { // sees it in its own way
		run, err := s.cfg.Executor.Run(ctx, r.principal, string(id))
		if err != nil || run.State != executor.Done {
			return nil, err
		}
		return run, nil
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.bell == bell || one.done != nil {
		return one.done, nil
	}
	run, err := s.cfg.Executor.Run(ctx, r.principal, string(id))
	if err != nil {
		return nil, err
	}
	one.bell = bell
	if run.State == executor.Done {
		one.done = run
	}
	return one.done, nil
}
