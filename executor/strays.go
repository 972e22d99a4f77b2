package executor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sourcegraph/conc/pool"
)

// StrayProcess is a process on a host that outlived the run which had started it.
type StrayProcess struct {
	Run     RunID     `json:"run"`
	PID     int       `json:"pid"`
	Command string    `json:"command"` // the program's name
	Seen    time.Time `json:"seen"`    // when it was found first
}

// met notes hosts on which commands have ended: what these left behind is looked for soon.
func (e *Executor) met(all []unacked) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.meetings == nil {
		e.meetings = map[string]unacked{}
	}
	for _, u := range all {
		e.meetings[u.Settings] = u
	}
}

// lookForStrays asks the hosts on which commands have ended since the last time, and
// those that had strays then, what still runs there of runs that are over.
func (e *Executor) lookForStrays(ctx context.Context) {
	e.mu.Lock()
	all := e.meetings
	e.meetings = nil
	e.mu.Unlock()
	callers := pool.New().WithMaxGoroutines(16)
	for _, u := range all {
		callers.Go(func() {
			if err := e.lookAt(ctx, u); err != nil {
				e.log.Debug("strays not looked for", "host", u.ID.Host, "error", err)
			}
		})
	}
	callers.Wait()
}

func (e *Executor) lookAt(ctx context.Context, u unacked) error {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	host, conn, err := e.reach(ctx, u.Settings, u.Jumps)
	if err != nil {
		return err
	}
	defer conn.Release()
	left, err := e.reportStrays(ctx, conn, host.Name)
	if len(left) > 0 {
		e.met([]unacked{u}) // until they are gone
	}
	return err
}

// reportStrays asks the host, and tells the operator and whoever reads the log of their run of those that are new.
func (e *Executor) reportStrays(ctx context.Context, conn Conn, host string) ([]StrayProcess, error) {
	found, err := conn.Strays(ctx)
	if err != nil {
		return nil, err
	}
	left, fresh, err := e.keepStrays(ctx, host, found)
	if err != nil {
		return nil, err
	}
	for _, s := range fresh {
		e.log.Warn("a process outlived its run", "run", s.Run, "host", host, "pid", s.PID, "process", s.Command)
		entry := Entry{Time: e.now(), Run: s.Run, Host: host, Stream: Events,
			Data: fmt.Appendf(nil, "left behind: %d %s still runs on the host (end it: tfwctl exec %s -- kill %d)\n", s.PID, s.Command, host, s.PID)}
		if err := e.store.Append(ctx, entry); err != nil {
			return left, err
		}
	}
	return left, nil
}

// keepStrays stores what was found on the host and tells which of it were not known. Processes
// of runs that are under way are none, nor are those of runs that are not known here.
func (e *Executor) keepStrays(ctx context.Context, host string, found []Stray) (left, fresh []StrayProcess, err error) {
	e.mu.Lock()
	found = slices.DeleteFunc(found, func(s Stray) bool { return e.active[s.Command.Run] != nil })
	had := e.strays[host]
	e.mu.Unlock()
	if len(found) == 0 && had == 0 {
		return nil, nil, nil
	}
	err = e.store.Update(ctx, func(tx Tx) error {
		left, fresh = nil, nil
		var h healthRecord
		if _, err := get(tx, tableHealth, host, &h); err != nil {
			return err
		}
		for _, s := range found {
			if _, known := tx.Get(tableRuns, string(s.Command.Run)); !known {
				continue
			}
			p := StrayProcess{Run: s.Command.Run, PID: s.PID, Command: s.LeftProcess.Command, Seen: e.now()}
			same := func(o StrayProcess) bool { return o.Run == p.Run && o.PID == p.PID }
			if i := slices.IndexFunc(h.Strays, same); i >= 0 {
				p = h.Strays[i]
			} else {
				fresh = append(fresh, p)
				tx.Ring(string(p.Run))
			}
			left = append(left, p)
		}
		h.Strays = left
		return put(tx, tableHealth, host, h)
	})
	if err != nil {
		return nil, nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.strays == nil {
		e.strays = map[string]int{}
	}
	if e.strays[host] = len(left); len(left) == 0 {
		delete(e.strays, host)
	}
	return left, fresh, nil
}

// recoverStrays counts what was found before this process began.
func (e *Executor) recoverStrays(ctx context.Context) error {
	found := map[string]int{}
	err := e.view(ctx, func(tx Tx) error {
		clear(found)
		return rangePrefix(tx, tableHealth, "", func(host string, h healthRecord) error {
			if len(h.Strays) > 0 {
				found[host] = len(h.Strays)
			}
			return nil
		})
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.strays = found
	return err
}
