package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"tfw/inventory"
	"tfw/plugins"
)

// active is a run that this process works on: the value, and the machinery that
// the value must not hold.
type active struct {
	seq      uint64
	method   plugins.Method
	limits   limits
	hosts    map[string]*inventory.Host // its snapshot: the targets and their jump hosts
	jumps    map[string]string          // settings keys of the jump hosts
	parts    []*part
	settings []setting // to be stored with the run
	owner    Principal // who asked; after a restart what of it is on record

	ctx    context.Context // ends with a *stopError, or errDrain
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the run is done or let go

	mu   sync.Mutex // guards run and what follows
	run  Run
	bad  int    // hosts that ended and did not pass
	halt string // why no further host is started, "" while they are
}

// part is one assignment: the run on one host. Its goroutine owns it.
type part struct {
	index    int
	host     *inventory.Host
	view     plugins.Host // what plugins see: the same after a restart
	settings string
	result   HostResult
	ops      []opRecord // recorded by an earlier process, by ordinal
	revived  bool       // an earlier process had it
	waiting  time.Time  // since when it waits for its host, where that has an end
	place    *tenant    // its place on the host, when an earlier process began it
	begun    func()     // called when its first command runs or its first file is on its way
}

type setting struct {
	key string
	raw []byte
}

func (p *part) record() resultRecord {
	return resultRecord{HostResult: p.result, Settings: p.settings, Waiting: p.waiting}
}

// newActive takes the snapshot of the hosts that the run keeps, with those on the way to them: a principal need
// not see them to pass.
func (e *Executor) newActive(run Run, method plugins.Method, l limits, hosts []*inventory.Host, whole *inventory.Inventory) (*active, error) {
	a := &active{method: method, limits: l, run: run, hosts: map[string]*inventory.Host{}, jumps: map[string]string{}}
	for i, h := range hosts {
		part, err := a.keep(i, h)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
		a.parts = append(a.parts, part)
	}
	for _, h := range hosts {
		if err := a.keepJumps(h, whole); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
	}
	a.arm(e.background)
	return a, nil
}

// arm gives the run its context. It outlives the request, not the executor.
func (a *active) arm(background context.Context) {
	a.ctx, a.cancel = context.WithCancelCause(context.WithoutCancel(background))
	a.done = make(chan struct{})
}

func (a *active) keep(index int, h *inventory.Host) (*part, error) {
	key, raw, err := settings(h)
	if err != nil {
		return nil, err
	}
	a.settings = append(a.settings, setting{key, raw})
	a.hosts[h.Name] = h
	return newPart(index, h, key, raw)
}

// newPart makes the view for plugins from the stored form, so that a replay sees
// the very same values (JSON has one kind of number).
func newPart(index int, h *inventory.Host, key string, raw []byte) (*part, error) {
	var stored inventory.Host
	if err := json.Unmarshal(raw, &stored); err != nil {
		return nil, fmt.Errorf("host %q: settings: %w", h.Name, err)
	}
	view := plugins.Host{Name: h.Name, Address: h.Address, Groups: h.Groups, Tags: h.Tags, Vars: stored.Vars}
	return &part{index: index, host: h, view: view, settings: key, result: HostResult{Host: h.Name}}, nil
}

// keepJumps stores the hosts on the way too.
func (a *active) keepJumps(h *inventory.Host, inv *inventory.Inventory) error {
	for _, name := range h.SSH.Jump {
		if _, known := a.jumps[name]; known {
			continue
		}
		jump, ok := inv.Host(name)
		if !ok {
			return fmt.Errorf("host %q: jump host %q is not in the inventory", h.Name, name)
		}
		key, raw, err := settings(jump)
		if err != nil {
			return err
		}
		a.settings = append(a.settings, setting{key, raw})
		a.jumps[name] = key
		if a.hosts[name] == nil {
			a.hosts[name] = jump
		}
		if err := a.keepJumps(jump, inv); err != nil {
			return err
		}
	}
	return nil
}

// via looks up a jump host in the run's snapshot.
func (a *active) via(name string) (*inventory.Host, bool) {
	h, ok := a.hosts[name]
	return h, ok
}

// record is the run as it is stored, without its hosts.
func (a *active) record() runRecord {
	a.mu.Lock()
	defer a.mu.Unlock()
	run := a.run
	run.Hosts, run.HostCount, run.Tally = nil, len(a.parts), maps.Clone(run.Tally)
	return runRecord{Run: run, Seq: a.seq, Jumps: a.jumps, ByToken: a.owner.Token, ByGroups: a.owner.Groups}
}

// summary is the run as lists show it. What is not stored yet of its end is left out.
func (a *active) summary() *Run {
	run := a.record().Run
	if run.Verdict = ""; run.State == Done {
		run.State, run.Finished, run.Reason = Running, time.Time{}, ""
	}
	brief(&run)
	return &run
}

// snapshot is the run as it stands before its first host has begun.
func (a *active) snapshot() *Run {
	run := a.record().Run
	run.Hosts = make([]HostResult, len(a.parts))
	for i, p := range a.parts {
		run.Hosts[i] = p.result
	}
	return &run
}

func (a *active) names() []string {
	names := make([]string, len(a.parts))
	for i, p := range a.parts {
		names[i] = p.host.Name
	}
	return names
}

// options are the run's, never nil.
func (a *active) options() Options {
	if a.run.Options == nil {
		return Options{}
	}
	return *a.run.Options
}

// ended counts a host's end and says whether the others are to be stopped.
func (a *active) ended(v Verdict) (stopOthers bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.run.Verdict = Worst(a.run.Verdict, v)
	if a.run.Tally == nil {
		a.run.Tally = map[Verdict]int{}
	}
	a.run.Tally[v]++
	if v == Passed || v == Skipped {
		return false
	}
	a.bad++
	o := a.options()
	switch {
	case o.FailFast && a.halt == "":
		a.halt = "not started: another host did not pass (fail_fast)"
		return true
	case a.limits.tooMany(a.bad, len(a.parts)) && a.halt == "":
		a.halt = fmt.Sprintf("not started: too many hosts did not pass (max_fail %s)", o.MaxFail)
	}
	return false
}

func (a *active) halted() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.halt
}
