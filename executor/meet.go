package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tfw/plugins"
)

// Tables of meetings. A call's record is written before its answer goes to the host.
const (
	tableMeetings     = "meetings"       // id -> meetingRecord
	tableMeetingCalls = "meetings.calls" // id/%06d -> call
	tableMeetingLeft  = "meetings.left"  // id/step/host -> leftRecord
)

type meetingRecord struct {
	Parties []Party `json:"parties"`
}

type leftRecord struct {
	Party Party  `json:"party"`
	Why   string `json:"why"`
}

// hall holds the meetings that this process knows of.
type hall struct {
	mu   sync.Mutex
	open map[string]*assembly
}

// assembly is one meeting at work: its state, and a bell for those who wait for answers.
type assembly struct {
	mu   sync.Mutex // held over its writes to the store: one change at a time
	id   string
	m    *meeting
	bell chan struct{} // closed when there are new answers
}

// Meet makes a meeting: runs whose Request names it may use tfw-sync, and wait for these
// parties. Making it again, after a restart too, changes nothing.
func (e *Executor) Meet(ctx context.Context, id string, parties []Party) error {
	err := e.store.Update(ctx, func(tx Tx) error {
		if _, there := tx.Get(tableMeetings, id); there {
			return nil
		}
		return put(tx, tableMeetings, id, meetingRecord{Parties: parties})
	})
	if err != nil {
		return fmt.Errorf("meeting %s: %w", id, err)
	}
	return nil
}

// Leave says that a party will not come any more: who waits for it is told. Nothing
// happens where there is no such meeting or party, or it has left.
func (e *Executor) Leave(ctx context.Context, id string, p Party, why string) error {
	s, err := e.assembly(ctx, id)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, left := s.m.left[p]; left || !s.m.has(p) {
		return nil
	}
	s.m.left[p] = why
	return e.decide(ctx, s, nil, &leftRecord{p, why})
}

// Adjourn forgets a meeting that is over.
func (e *Executor) Adjourn(ctx context.Context, id string) error {
	e.hall.mu.Lock()
	delete(e.hall.open, id)
	e.hall.mu.Unlock()
	all := func([]byte) bool { return true }
	return e.store.Update(ctx, func(tx Tx) error {
		return errors.Join(tx.Delete(tableMeetings, id), dropWhere(tx, tableMeetingCalls, id+"/", all), dropWhere(tx, tableMeetingLeft, id+"/", all))
	})
}

// assembly gives the meeting, read from the store where this process does not know it yet.
func (e *Executor) assembly(ctx context.Context, id string) (*assembly, error) {
	e.hall.mu.Lock()
	defer e.hall.mu.Unlock()
	if s := e.hall.open[id]; s != nil {
		return s, nil
	}
	m, err := e.loadMeeting(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("meeting %s: %w", id, err)
	}
	s := &assembly{id: id, m: m, bell: make(chan struct{})}
	if e.hall.open == nil {
		e.hall.open = map[string]*assembly{}
	}
	e.hall.open[id] = s
	return s, nil
}

func (e *Executor) loadMeeting(ctx context.Context, id string) (m *meeting, err error) {
	err = e.view(ctx, func(tx Tx) error {
		var rec meetingRecord
		if ok, err := get(tx, tableMeetings, id, &rec); err != nil || !ok {
			return errors.Join(err, ErrNotFound)
		}
		m = newMeeting(rec.Parties)
		if err := rangePrefix(tx, tableMeetingCalls, id+"/", func(_ string, c call) error { m.add(&c); return nil }); err != nil {
			return err
		}
		return rangePrefix(tx, tableMeetingLeft, id+"/", func(_ string, l leftRecord) error { m.left[l.Party] = l.Why; return nil })
	})
	return m, err
}

// decide settles the meeting and writes what changed, then rings. A store that cannot
// take it leaves the meeting to be read anew: nobody has heard of the decision. s is locked.
func (e *Executor) decide(ctx context.Context, s *assembly, changed []*call, left *leftRecord) error {
	changed = append(changed, s.m.settle()...)
	err := e.store.Update(context.WithoutCancel(ctx), func(tx Tx) error {
		if _, there := tx.Get(tableMeetings, s.id); !there {
			return nil // adjourned meanwhile
		}
		for _, c := range changed {
			if err := put(tx, tableMeetingCalls, fmt.Sprintf("%s/%06d", s.id, c.index), c); err != nil {
				return err
			}
		}
		if left == nil {
			return nil
		}
		return put(tx, tableMeetingLeft, s.id+"/"+left.Party.Step+"/"+left.Party.Host, left)
	})
	if err != nil {
		e.hall.mu.Lock()
		delete(e.hall.open, s.id)
		e.hall.mu.Unlock()
		return fmt.Errorf("meeting %s: %w", s.id, err)
	}
	close(s.bell)
	s.bell = make(chan struct{})
	return nil
}

// maxCalls bounds what one command may ask: the record of a meeting is kept whole.
const maxCalls = 10_000

// arrive takes a call of a host in. It is the same call when it was heard before.
func (e *Executor) arrive(ctx context.Context, s *assembly, c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.m.find(c.Party, c.Command, c.N); known != nil {
		return nil
	}
	s.m.add(c)
	return e.decide(ctx, s, []*call{c}, nil)
}

// withdraw takes back a call whose tfw-sync was killed while it waited.
func (e *Executor) withdraw(ctx context.Context, s *assembly, p Party, command, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.m.find(p, command, n)
	if c == nil || c.Answer != nil || c.Gone {
		return nil
	}
	s.m.withdraw(c)
	return e.decide(ctx, s, []*call{c}, nil)
}

// waiting is a call that has no answer yet.
type waiting struct {
	n     int
	what  string
	since time.Time
}

// answers gives the answered calls of a command, what those that wait wait for, and the bell that rings when that changes.
func (s *assembly) answers(p Party, command int) (told []call, waits []waiting, bell <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.m.of[p] {
		switch {
		case c.Command != command || c.Gone:
		case c.Answer != nil:
			told = append(told, *c)
		default:
			waits = append(waits, waiting{c.N, s.m.waits(c), c.At})
		}
	}
	return told, waits, s.bell
}

// failed gives why a party's waiting was in vain, "" when it was not.
func (s *assembly) failed(p Party) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.m.of[p] {
		if c.Answer != nil && !c.Answer.OK {
			return c.Answer.Text
		}
	}
	return ""
}

// blame adds to a method's end that its command waited in vain.
func (s *assembly) blame(p Party, err error) error {
	why := s.failed(p)
	if why == "" {
		return err
	}
	var failed *plugins.FailedError
	switch {
	case err == nil:
		return plugins.Failed("%s", why)
	case errors.As(err, &failed):
		return &plugins.FailedError{Reason: failed.Reason + "; " + why, ExitCode: failed.ExitCode, Signal: failed.Signal}
	}
	return err
}
