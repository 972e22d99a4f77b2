package inventory

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Live keeps an inventory up to date with its files. A bad edit keeps the last
// good inventory. All methods may be called by many goroutines.
type Live struct {
	path     string
	opt      Options
	onChange func(*Inventory, Status)
	current  atomic.Pointer[Inventory]
	loading  sync.Mutex // one load at a time
	mu       sync.Mutex // guards status and stamp
	status   Status
	stamp    map[string]fileStamp
	cancel   context.CancelFunc
	done     chan struct{}
}

// Status is how the last load went.
type Status struct {
	Path     string    `json:"path"`
	Revision string    `json:"revision"` // of the inventory in use
	Loaded   time.Time `json:"loaded"`   // when that was read
	Hosts    int       `json:"hosts"`
	Groups   int       `json:"groups"`
	Error    string    `json:"error,omitempty"` // why a newer edit is not in use
	Failed   time.Time `json:"failed,omitzero"` // when that was seen
	Problems Problems  `json:"problems,omitempty"`
	Warnings []Problem `json:"warnings,omitempty"`
	Diff     Diff      `json:"diff"`    // what the last change brought
	Reloads  int       `json:"reloads"` // loads that brought a change, after the first
	Failures int       `json:"failures"`
}

// Diff names the hosts that two inventories differ in, in inventory order.
type Diff struct {
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Altered []string `json:"altered,omitempty"`
}

// NewLive loads the inventory at path, which must succeed, and watches it until
// ctx ends or Close. onChange (may be nil) is called after every load that
// brought a new inventory or a new error, one call at a time, never within
// NewLive; it must not call Reload or Close.
func NewLive(ctx context.Context, path string, opt Options, onChange func(*Inventory, Status)) (*Live, error) {
	l := &Live{path: path, opt: opt, onChange: onChange, done: make(chan struct{})}
	inv, err := Load(ctx, path, opt)
	if err != nil {
		return nil, err
	}
	l.adopt(inv, Diff{})
	ctx, l.cancel = context.WithCancel(ctx)
	go l.watch(ctx)
	return l, nil
}

// Current is the last good inventory.
func (l *Live) Current() *Inventory { return l.current.Load() }

// Status is how the last load went.
func (l *Live) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// Reload reads the files again now. On an error ([Problems]) the inventory in
// use stays.
func (l *Live) Reload(ctx context.Context) error {
	l.loading.Lock()
	defer l.loading.Unlock()
	inv, err := Load(ctx, l.path, l.opt)
	if ctx.Err() != nil && err != nil {
		return ctx.Err() // the caller gave up: that says nothing about the files
	}
	var changed bool
	if err != nil {
		changed = l.reject(err)
	} else {
		changed = l.accept(inv)
	}
	if changed && l.onChange != nil {
		l.onChange(l.Current(), l.Status())
	}
	return err
}

// Close ends watching and waits for a load under way.
func (l *Live) Close() {
	l.cancel()
	<-l.done
}

func (l *Live) reject(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ps, _ := err.(Problems)
	if l.status.Error == err.Error() {
		return false
	}
	l.status.Error, l.status.Failed, l.status.Problems = err.Error(), time.Now(), ps
	l.status.Failures++
	l.stamp = nil // look again at the next poll, whatever the files' times say
	return true
}

func (l *Live) accept(inv *Inventory) bool {
	old := l.Current()
	if inv.revision == old.revision {
		l.mu.Lock()
		defer l.mu.Unlock()
		cleared := l.status.Error != ""
		l.stamp = inv.draft.stamps
		l.status.Error, l.status.Problems, l.status.Failed = "", nil, time.Time{}
		return cleared
	}
	l.adopt(inv, diff(old, inv))
	l.mu.Lock()
	l.status.Reloads++
	l.mu.Unlock()
	return true
}

func (l *Live) adopt(inv *Inventory, d Diff) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = Status{
		Path: l.path, Revision: inv.revision, Loaded: time.Now(), Hosts: len(inv.hosts), Groups: len(inv.groups),
		Warnings: inv.Warnings(), Diff: d, Reloads: l.status.Reloads, Failures: l.status.Failures,
	}
	l.stamp = inv.draft.stamps
	l.current.Store(inv)
}

func diff(old, now *Inventory) Diff {
	var d Diff
	for _, h := range now.hosts {
		before, ok := old.index[h.Name]
		switch {
		case !ok:
			d.Added = append(d.Added, h.Name)
		case !reflect.DeepEqual(old.hosts[before], h):
			d.Altered = append(d.Altered, h.Name)
		}
	}
	for _, h := range old.hosts {
		if _, ok := now.index[h.Name]; !ok {
			d.Removed = append(d.Removed, h.Name)
		}
	}
	return d
}

// watched are the files and directories that the inventory in use was read from.
func (l *Live) watched() []string {
	paths := []string{l.path}
	for p := range l.Current().draft.stamps {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
