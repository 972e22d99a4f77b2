package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"tfw/executor"
	"tfw/inventory"
	"tfw/plugins"
)

// Executor is what the server asks of an executor. *executor.Executor is one.
type Executor interface {
	Leases
	Audit
	Secrets
	HostKeys

	Submit(ctx context.Context, p executor.Principal, req executor.Request) (*executor.Run, error)
	Select(ctx context.Context, p executor.Principal, q inventory.Query) (inventory.Selection, error)
	Check(ctx context.Context, p executor.Principal, req executor.Request) error
	Run(ctx context.Context, p executor.Principal, id string) (*executor.Run, error)
	Runs(ctx context.Context, p executor.Principal, f executor.RunFilter) (runs []*executor.Run, next string, err error)
	Wait(ctx context.Context, p executor.Principal, id string) (*executor.Run, error)
	WithOutput(ctx context.Context, p executor.Principal, run *executor.Run) error
	Cancel(ctx context.Context, p executor.Principal, id, reason string) (*executor.Run, error)
	Rerun(ctx context.Context, p executor.Principal, id string, failedOnly bool, requestID string) (*executor.Run, error)
	Log(ctx context.Context, p executor.Principal, q executor.LogQuery) (executor.LogPage, error)
	Changed(id executor.RunID) <-chan struct{}

	Hosts(ctx context.Context, p executor.Principal, q inventory.Query) ([]executor.HostStatus, error)
	Host(ctx context.Context, p executor.Principal, name string) (executor.HostStatus, error)
	Explain(ctx context.Context, p executor.Principal, host string) ([]inventory.Setting, error)
	Groups(ctx context.Context, p executor.Principal) ([]*inventory.Group, error)
	GroupUsers(ctx context.Context, p executor.Principal) (map[string][]executor.GroupUser, error)
	SetState(ctx context.Context, p executor.Principal, target string, state inventory.State, reason string) ([]executor.HostStatus, error)
	ProbeHosts(ctx context.Context, p executor.Principal, q inventory.Query) ([]executor.HostStatus, error)

	PutArtifact(ctx context.Context, p executor.Principal, r io.Reader) (sha256 string, size int64, err error)
	OpenArtifact(ctx context.Context, p executor.Principal, sha256 string) (io.ReadCloser, int64, error)

	CreateToken(ctx context.Context, p executor.Principal, t executor.Token) (text string, made executor.Token, err error)
	Tokens(ctx context.Context, p executor.Principal) ([]executor.Token, error)
	RevokeToken(ctx context.Context, p executor.Principal, id string) error
	Authenticate(ctx context.Context, text, source string) (executor.Principal, error)
	Identify(id executor.Identity, source string) (executor.Principal, error)
	Login(ctx context.Context, id executor.Identity, d time.Duration, source, request string) (text string, made executor.Token, err error)
	Still(ctx context.Context, p executor.Principal) (executor.Principal, error)
}

var _ Executor = (*executor.Executor)(nil)

// Config is what a [Server] is made of. Executor and Plugins are required.
type Config struct {
	Executor  Executor
	Plugins   *plugins.Registry
	Plans     Plans                  // nil: the routes of test plans are not there
	Inventory func() InventoryStatus // nil: the route is not there
	Ready     func() error           // why the controller takes no runs; nil: always ready
	Log       *slog.Logger           // nil: nothing is logged
	Version   string

	// Auth asks for a token on every connection but those of the process's own
	// user over a unix socket or a [Pipe]. Without it every caller is an admin:
	// then callers that come through a web browser's page of another site are refused.
	Auth bool
	// Login lets users in who prove who they are to somebody else; nil: with tokens and certificates only.
	Login    LoginMethod
	LoginFor time.Duration // how long the token of a login is good; 0 is 12 h
	// Metrics is where /metrics is gathered from, and where the server's own are registered; nil makes one.
	Metrics *prometheus.Registry
	// MetricsToken asks for proof at /metrics as under /v2.1, by somebody who sees all groups. Without it /metrics is open.
	MetricsToken bool

	BodyLimit     int64         // bytes of a JSON body; 0 is 8 MiB
	ArtifactLimit int64         // bytes of an uploaded artifact; 0 is 4 GiB
	ReadTimeout   time.Duration // for a request's head and JSON body; 0 is 30 s
	WriteTimeout  time.Duration // for each piece of a response; 0 is 30 s
	Heartbeat     time.Duration // of followed logs; 0 is 15 s
}

// Server serves the REST API on any number of listeners.
type Server struct {
	cfg      Config
	log      *slog.Logger
	app      *fiber.App
	http     *fasthttp.Server
	api      huma.API
	metrics  *metrics
	throttle *throttle
	endings  endings

	ctx      context.Context // of every request; ends with Shutdown
	cancel   context.CancelFunc
	stop     context.CancelFunc
	ending   context.Context // ends when Shutdown begins
	stopping <-chan struct{} // of ending

	mu    sync.Mutex
	conns map[*conn]struct{} // open ones
}

// New makes a server. Nothing listens yet.
func New(cfg Config) (*Server, error) {
	if cfg.Executor == nil || cfg.Plugins == nil {
		return nil, errors.New("api: Config.Executor and Config.Plugins are required")
	}
	cfg.setDefaults()
	s := &Server{cfg: cfg, log: cfg.Log, throttle: newThrottle(), conns: map[*conn]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.ending, s.stop = context.WithCancel(context.Background())
	s.stopping = s.ending.Done()
	var err error
	if s.metrics, err = newMetrics(cfg.Metrics, cfg.Version); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if err := s.metrics.meter(cfg.Executor); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if cfg.Inventory != nil {
		if err := s.metrics.watchInventory(cfg.Inventory); err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
	}
	s.app = fiber.New(fiber.Config{
		// Without Immutable strings of one request turn into another's while a log is streamed.
		Immutable:                    true,
		CaseSensitive:                true,
		UnescapePath:                 true,
		DisableStartupMessage:        true,
		StreamRequestBody:            true, // bodies are read by the handler, each within its own limit
		DisablePreParseMultipartForm: true,
		DisableDefaultDate:           true, // fasthttp's costs a goroutine for ever; see admit
		BodyLimit:                    int(cfg.BodyLimit),
		ReadTimeout:                  cfg.ReadTimeout,
		WriteTimeout:                 cfg.WriteTimeout,
		IdleTimeout:                  2 * time.Minute,
		ReadBufferSize:               16 << 10, // the bound of a request's head
		ErrorHandler:                 s.onError,
	})
	s.app.Use(s.admit)
	s.api = huma.NewAPI(apiConfig(cfg.Version), adapter{s.app})
	s.routes()
	s.wholeRuns()
	s.describeAll()
	s.http = s.app.Server()
	s.http.Handler = s.knownMethod(s.app.Handler())
	s.http.ExpectHandler = s.expect
	s.http.HeaderReceived = s.refusedUnread
	s.http.MaxIdleWorkerDuration = 2 * time.Second // and so long a goroutine of fasthttp outlives Shutdown
	return s, nil
}

func (cfg *Config) setDefaults() {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&cfg.ReadTimeout, 30 * time.Second}, {&cfg.WriteTimeout, 30 * time.Second}, {&cfg.Heartbeat, 15 * time.Second}, {&cfg.LoginFor, 12 * time.Hour}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if cfg.BodyLimit <= 0 {
		cfg.BodyLimit = 8 << 20
	}
	if cfg.ArtifactLimit <= 0 {
		cfg.ArtifactLimit = 4 << 30
	}
}

// OpenAPI gives the API's description (OpenAPI 3.1, JSON).
func (s *Server) OpenAPI() ([]byte, error) { return s.api.OpenAPI().MarshalJSON() }

// Serve answers requests on a listener until [Server.Shutdown], then returns
// nil. It may be called for several listeners at a time.
func (s *Server) Serve(ln net.Listener) error {
	// At once when Shutdown has begun already: fasthttp would not know of the listener.
	wrapped := &listener{Listener: ln, s: s}
	release := context.AfterFunc(s.ending, func() { wrapped.Close() })
	defer release()
	err := s.http.Serve(wrapped)
	if err != nil && s.ending.Err() == nil {
		return fmt.Errorf("listening on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown closes the listeners, ends followed logs (their clients resume
// elsewhere or later) and waits, and lets every other request finish. It
// returns when no connection is left; when ctx ends first, with its error, after cutting off what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	over := make(chan struct{})
	var spare sync.WaitGroup
	spare.Go(func() { s.cutSpare(over) })
	err := s.http.ShutdownWithContext(ctx)
	close(over)
	spare.Wait()
	s.cancel()
	if err != nil {
		s.cut(func(*conn) bool { return true })
	}
	return err
}

// spareFor is how long after the listeners are closed a connection is given that has not asked for anything yet: browsers
// and pools of clients hold some in reserve, and fasthttp would wait five seconds for each.
const spareFor = 500 * time.Millisecond

func (s *Server) cutSpare(over <-chan struct{}) {
	select {
	case <-over:
	case <-time.After(spareFor):
		s.cut(func(c *conn) bool { return !c.spoke.Load() })
	}
}

// cut closes those of the connections that are left.
func (s *Server) cut(which func(*conn) bool) {
	s.mu.Lock()
	left := slices.DeleteFunc(slices.Collect(maps.Keys(s.conns)), func(c *conn) bool { return !which(c) })
	s.mu.Unlock()
	for _, c := range left {
		c.linger.Store(false)
		c.Close()
	}
}
