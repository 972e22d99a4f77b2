package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

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
	Resolve   func(inventory.Secret) (string, error) // nil: env: and file: only, and secret: of Secrets
	Secrets   Secrets                                // behind secret:NAME; nil: there are none
	Policy    func() *Policy                         // the current one; nil: tokens have their own rights
	Clock     func() time.Time                       // the wall clock; nil: time.Now
	Place     string                                 // of the inventory, where controllers of several share a store by turns: see [Executor.Began]

	Parallel      int           // hosts of one run at a time; 0 is 256
	MaxRuns       int           // runs at a time, the others stay queued; 0 is 1,000
	LostAfter     time.Duration // give up a host that is out of reach for so long; 0 is 24 h
	Grace         time.Duration // between TERM and KILL; 0 is 10 s
	MaxOutput     int64         // bytes kept per host and run; 0 is 4 GiB
	ArtifactLimit int64         // bytes of one artifact; 0 is 4 GiB
	ProbeEvery    time.Duration // ask every host in the background how it fares, about so often; 0: never
	ProbeParallel int           // hosts that are asked so at a time; 0 is 16
}

// Executor owns runs from the request to the last host's result. Safe for concurrent use.
type Executor struct {
	cfg   Config
	store Store
	log   *slog.Logger

	clock *clock
	slots slots // one for each run that may be under way
	gate  gate  // of the parts that begin

	noting   sync.Map // ids of tokens whose use is just being noted
	mu       sync.Mutex
	active   map[RunID]*active
	unended  unended // what users have among them
	most     pile    // of it, of one user
	draining bool
	told     map[string]time.Time // acknowledgements passed on, until they are forgotten
	meetings map[string]unacked   // settings key -> the last command that ended there, until strays were looked for
	strays   map[string]int       // host -> how many there were
	hostIDs  map[string]int       // as far as they are known: see identify

	counters counters
	desk     *desk
	hall     hall
	refusals refusals
	fetched  fetched

	background context.Context // ends when Drain is done waiting
	end        context.CancelFunc
	work       conc.WaitGroup // every goroutine of the executor
}

// New makes an executor. Call [Executor.Recover] before the first Submit.
func New(cfg Config) (*Executor, error) {
	if cfg.Store == nil || cfg.Transport == nil || cfg.Plugins == nil || cfg.Inventory == nil {
		return nil, errors.New("executor: store, transport, plugins and inventory are required")
	}
	setDefaults(&cfg)
	e := &Executor{
		cfg:    cfg,
		store:  cfg.Store,
		log:    cfg.Log,
		clock:  newClock(cfg.Clock),
		slots:  slots{all: cfg.MaxRuns},
		active: map[RunID]*active{}, unended: unended{}, most: mostUnended,
	}
	e.desk = newDesk(e.clock)
	e.desk.limits = func() []Limit {
		if p := e.policy(); p != nil {
			return p.Limits
		}
		return nil
	}
	e.background, e.end = context.WithCancel(context.Background())
	return e, nil
}

func setDefaults(cfg *Config) {
	orElse(&cfg.Parallel, 256)
	orElse(&cfg.MaxRuns, 1000)
	orElse(&cfg.LostAfter, 24*time.Hour)
	orElse(&cfg.Grace, 10*time.Second)
	orElse(&cfg.MaxOutput, 4<<30)
	orElse(&cfg.ArtifactLimit, 4<<30)
	orElse(&cfg.ProbeParallel, 16)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Resolve == nil {
		cfg.Resolve = Resolver(cfg.Secrets)
	}
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// Changed gives a channel that is closed at the next change of the run's log or
// record. Take it before looking.
func (e *Executor) Changed(id RunID) <-chan struct{} { return e.store.Changed(string(id)) }

// Drain refuses new runs and lets go of every run: the commands go on on their
// hosts, and the next process's [Executor.Recover] takes them up. It returns once nothing of this
// executor touches a host or the store any more, or with ctx's error.
func (e *Executor) Drain(ctx context.Context) error {
	e.slots.close() // first: what one run lets go of must not begin another
	e.desk.close()
	e.mu.Lock()
	e.draining = true
	for _, a := range e.active {
		a.cancel(errDrain)
	}
	e.mu.Unlock()
	e.end()
	done := make(chan struct{})
	go func() { defer close(done); e.work.Wait() }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain: %w", ctx.Err())
	}
}
