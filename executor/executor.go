package executor

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"tfw/inventory"
	"tfw/plugins"
)

// Config is what an [Executor] is made of. Store, Transport, Plugins and Inventory are required.
type Config struct {
	Store     Store
	Transport Transport
	Plugins   *plugins.Registry
	Inventory func() *inventory.Inventory // the current snapshot
	Artifacts string                      // directory of the artifact store
	Log       *slog.Logger
	Resolve   func(inventory.Secret) (string, error) // nil: env: and file: only

	Parallel      int           // hosts of one run at a time; 0 is 256
	MaxRuns       int           // runs at a time; 0 is 1,000
	LostAfter     time.Duration // 0 is 24 h
	Grace         time.Duration // 0 is 10 s
	MaxOutput     int64         // bytes kept per host and run; 0 is 4 GiB
	MaxRunOutput  int64         // bytes kept per run; 0 is 64 GiB
	ArtifactLimit int64         // bytes of one artifact; 0 is 4 GiB
}

// Executor owns runs from the request to the last host's result. Safe for concurrent use.
type Executor struct{ cfg Config }

var errNotBuilt = errors.New("not built yet")

// New makes an executor. Call [Executor.Recover] before the first Submit.
func New(cfg Config) (*Executor, error) { return &Executor{cfg: cfg}, nil }

// Recover takes up every run that an earlier process left unfinished. It returns once
// all are running again in the background.
func (e *Executor) Recover(ctx context.Context) error { return errNotBuilt }

// Submit checks the request, stores the run as queued and starts it. The error
// wraps [ErrBadRequest], [ErrForbidden], [ErrNotFound], [ErrLeased] or [ErrDraining], or plugins.ErrUnknown;
// no host was touched then. With an IdempotencyKey seen before the first run is returned.
func (e *Executor) Submit(ctx context.Context, p Principal, req Request) (*Run, error) {
	return nil, errNotBuilt
}

// Select resolves a target as a run of the principal would: the preview of --dry-run.
func (e *Executor) Select(ctx context.Context, p Principal, q inventory.Query) (inventory.Selection, error) {
	return inventory.Selection{}, errNotBuilt
}

// Run gives a run as it stands, or [ErrNotFound]. id may be a unique prefix or
// "last", the principal's newest.
func (e *Executor) Run(ctx context.Context, p Principal, id string) (*Run, error) {
	return nil, errNotBuilt
}

// RunFilter selects runs. Empty fields do not filter.
type RunFilter struct {
	State   State
	Verdict Verdict
	Host    string
	Plugin  string
	Plan    string
	Limit   int    // 0 is 50, at most 1,000
	Marker  string // of the page before
}

// Runs lists runs, newest first, and the marker of the next page, "" at the end.
func (e *Executor) Runs(ctx context.Context, p Principal, f RunFilter) (runs []*Run, next string, err error) {
	return nil, "", errNotBuilt
}

// Wait returns the run once it is done, or as it stands when ctx ends, with ctx's error.
func (e *Executor) Wait(ctx context.Context, p Principal, id string) (*Run, error) {
	return nil, errNotBuilt
}

// WithOutput fills in the first 64 KiB of each host's streams.
func (e *Executor) WithOutput(ctx context.Context, p Principal, run *Run) error { return errNotBuilt }

// Cancel asks a run to end: its processes are killed on the hosts, with proof in
// the results. It returns at once; Wait for the end. Cancelling twice is no error, what is done is [ErrConflict].
func (e *Executor) Cancel(ctx context.Context, p Principal, id, reason string) (*Run, error) {
	return nil, errNotBuilt
}

// Rerun submits the same request again, on the hosts that did not pass when failedOnly.
func (e *Executor) Rerun(ctx context.Context, p Principal, id string, failedOnly bool, requestID string) (*Run, error) {
	return nil, errNotBuilt
}

// Log pages through a run's log. Take [Executor.Changed] before calling it to wait for more.
func (e *Executor) Log(ctx context.Context, p Principal, q LogQuery) (LogPage, error) {
	return LogPage{}, errNotBuilt
}

// Changed gives a channel that is closed at the next change of the run's log or record.
func (e *Executor) Changed(id RunID) <-chan struct{} { return e.cfg.Store.Changed(string(id)) }

// HostStatus is a host as users see it: the inventory's words and how it fares.
type HostStatus struct {
	*inventory.Host
	ID        int            // of the file, or assigned once and remembered
	Reachable *bool          // nil: never probed
	LastSeen  time.Time      // when it last answered
	Latency   time.Duration  // of the last probe
	Clock     time.Duration  // its clock minus ours
	Problem   string         // why it is not reachable, with the next step
	Facts     map[string]any // of the last system_information
	StateBy   string         // who set the state, "" when the file says so
}

// Hosts lists the hosts that the principal sees, of a target and expression; both empty is all of them.
func (e *Executor) Hosts(ctx context.Context, p Principal, target, where string) ([]HostStatus, error) {
	return nil, errNotBuilt
}

// Host finds one by name, address, id (as digits) or uuid, or gives [ErrNotFound].
func (e *Executor) Host(ctx context.Context, p Principal, name string) (HostStatus, error) {
	return HostStatus{}, errNotBuilt
}

// Groups lists the groups with the members that the principal sees.
func (e *Executor) Groups(ctx context.Context, p Principal) ([]*inventory.Group, error) {
	return nil, errNotBuilt
}

// SetState sets the state of a target's hosts on record. Where the inventory file says something, it wins and this is [ErrConflict].
func (e *Executor) SetState(ctx context.Context, p Principal, target string, state inventory.State, reason string) ([]HostStatus, error) {
	return nil, errNotBuilt
}

// ProbeHosts asks the target's hosts whether they answer, and for their facts, now.
func (e *Executor) ProbeHosts(ctx context.Context, p Principal, target, where string) ([]HostStatus, error) {
	return nil, errNotBuilt
}

// PutArtifact stores content under its SHA-256, once.
func (e *Executor) PutArtifact(ctx context.Context, p Principal, r io.Reader) (sha256 string, size int64, err error) {
	return "", 0, errNotBuilt
}

// OpenArtifact opens stored content, or gives [ErrNotFound]. The reader is an io.ReaderAt and io.Seeker too.
func (e *Executor) OpenArtifact(ctx context.Context, p Principal, sha256 string) (io.ReadCloser, int64, error) {
	return nil, 0, errNotBuilt
}

// Drain refuses new runs and leaves every run: the commands go on on their hosts and
// the next process takes them up. It returns when nothing of this process touches a host any more, or when ctx ends.
func (e *Executor) Drain(ctx context.Context) error { return errNotBuilt }
