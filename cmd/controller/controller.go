// Package controller wires the rooms into one running controller: inventory,
// store, SSH transport, plugins, executor, test plans and the REST API. tfwd is one in a
// process of its own; tfwctl starts one in its process when there is no other.
package controller

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tfw/api"
	"tfw/api/oidc"
	"tfw/executor"
	"tfw/executor/bolt"
	"tfw/executor/ssh"
	"tfw/inventory"
	"tfw/plan"
	"tfw/plugins"
)

// Config is what a [Controller] is made of. Inventory and Data are required.
type Config struct {
	Inventory  string // file; a relative path is of the working directory
	Data       string // directory of all state, 0700, one process at a time
	PluginsDir string // plugins made of scripts; "": plugins.d beside the inventory
	Secrets    string // file of the secrets behind secret:NAME; "": secrets.age beside the inventory
	SecretsKey string // SSH key that it is encrypted to; "": see secretsKeys

	Listen       string       // address of the REST API; "" or "none": the socket only
	Socket       string       // unix socket; "": tfwd.sock in Data
	Listener     net.Listener // served too, such as one of api.Pipe
	TLSCert      string       // PEM files; both or none
	TLSKey       string
	ClientCA     string // PEM file of authorities: client certificates of theirs let in the policy's users; "": none
	NoAuth       bool   // ask for no token; on loopback only
	Insecure     bool   // Listen may be another address than loopback without TLS
	MetricsToken bool   // /metrics asks for a token that sees all groups; else for none
	Embedded     bool   // in the process of a tfwctl

	SocketGroup string        // members of this local group may reach the socket; "": this user only
	OIDC        oidc.Config   // whose users may log in; without an issuer none
	LoginFor    time.Duration // how long a login is good; 0: 12 h

	Log     *slog.Logger // nil: nothing is logged
	Version string

	// Bounds of the executor; 0 is its default.
	Parallel, MaxRuns        int
	LostAfter, Grace         time.Duration
	MaxOutput, ArtifactLimit int64
	ProbeEvery               time.Duration // every host is asked in the background how it fares, about so often; 0: never
	ProbeParallel            int           // hosts at a time; 0 is the executor's default
	KeepLogs                 time.Duration // logs older than it are dropped; 0 keeps them
	KeepLogSize              int64         // the oldest logs beyond it are dropped; 0 keeps them
	KeepRuns                 time.Duration // done runs and unused artifacts older than it are dropped; 0 keeps them
	KeepAudit                time.Duration // entries of the audit record older than it are dropped; 0 keeps them
	KeepRunCount             int           // the oldest done runs beyond it are dropped; 0 keeps them
}

// Controller is one running controller. Safe for concurrent use.
type Controller struct {
	cfg   Config
	log   *slog.Logger
	owner Owner

	store     *bolt.Store
	transport *ssh.Transport
	registry  *plugins.Registry
	live      *inventory.Live
	exec      *executor.Executor
	plans     *plan.Engine
	hook      atomic.Pointer[executor.Executor] // exec, for the inventory's watcher
	server    *api.Server
	cert      atomic.Pointer[tls.Certificate]
	clientCA  atomic.Pointer[x509.CertPool]   // nil: client certificates are not asked for
	policy    atomic.Pointer[executor.Policy] // nil: none
	http      net.Listener                    // nil: none

	reloading  sync.Mutex // guards what follows
	policyText []byte     // of the file in force
	policyBad  string     // the mistake that is on record, "" for none

	stop    context.CancelFunc // of the background work
	work    sync.WaitGroup
	failed  chan error // a listener that broke
	closing sync.Once
	closed  error
}

// Start brings a controller up: when it returns, what was running before is taken
// up again and the API answers. ctx bounds the start only. The error wraps executor.ErrLocked when another
// process has the data directory, inventory.Problems when the inventory has mistakes, and [ErrRefused] for
// settings that would not be safe.
func Start(ctx context.Context, cfg Config) (*Controller, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Embedded { // a tfwctl has no settings for it; tfwd's defaults are the same
		cfg.KeepLogs, cfg.KeepRuns, cfg.KeepRunCount = 30*24*time.Hour, 90*24*time.Hour, 100_000
	}
	background, stop := context.WithCancel(context.Background())
	c := &Controller{cfg: cfg, log: cfg.Log, stop: stop, failed: make(chan error, 4)}
	for _, step := range []func(ctx context.Context) error{
		c.openStore, c.readPlugins, c.readInventory, c.readPolicy, c.makeExecutor, c.makePlans, c.serve,
	} {
		if err := step(ctx); err != nil {
			stop()
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return nil, errors.Join(err, c.Close(closing))
		}
	}
	c.work.Go(func() { c.retain(background) })
	c.work.Go(func() { c.watchPolicy(background) })
	return c, nil
}

func (c *Controller) readPolicy(context.Context) error {
	return c.loadPolicy(policyText(c.policyPath()))
}

func (c *Controller) openStore(ctx context.Context) (err error) {
	c.store, err = bolt.Open(ctx, bolt.Options{Dir: c.cfg.Data, Log: c.log})
	return err
}

func (c *Controller) readPlugins(context.Context) (err error) {
	c.registry, err = Registry(c.cfg.Inventory, c.cfg.PluginsDir)
	return err
}

// Registry holds the plugins that come with tfw and those of a directory; "" is
// plugins.d beside the inventory, which need not be there.
func Registry(inventoryFile, dir string) (*plugins.Registry, error) {
	if dir == "" {
		dir = filepath.Join(filepath.Dir(inventoryFile), "plugins.d")
	}
	scripts, err := plugins.LoadDir(dir)
	if err != nil {
		return nil, err
	}
	return plugins.NewRegistry(append(plugins.Builtin(), scripts...)...)
}

func (c *Controller) readInventory(ctx context.Context) error {
	path, err := filepath.Abs(c.cfg.Inventory)
	if err != nil {
		return err
	}
	c.cfg.Inventory = path
	opt := inventory.Options{Plugins: c.registry.Names(), CacheDir: filepath.Join(c.cfg.Data, "inventory")}
	// The watching goes on after the start: Close ends it.
	c.live, err = inventory.NewLive(context.WithoutCancel(ctx), path, opt, func(_ *inventory.Inventory, s inventory.Status) { c.inventoryChanged(s) })
	return err
}

// inventoryChanged tells of an edit that was taken, or of a new mistake.
func (c *Controller) inventoryChanged(s inventory.Status) {
	e := c.hook.Load()
	if s.Error != "" {
		c.log.Error("inventory: the edit is not taken, the last good one stays in use", "error", s.Error)
		if e != nil {
			e.Reloaded(context.Background(), "file", executor.AuditEntry{Action: executor.InventoryFile, Object: s.Revision}, errors.New(s.Error))
		}
		return
	}
	c.log.Info("inventory: reloaded", "revision", s.Revision, "hosts", s.Hosts)
	if e == nil {
		return
	}
	if err := e.InventoryChanged(context.Background()); err != nil {
		c.log.Error("inventory: new hosts have no ids yet", "error", err)
	}
}

func (c *Controller) makeExecutor(ctx context.Context) (err error) {
	secrets := c.secrets()
	resolve := executor.Resolver(secrets)
	place := ""
	if c.cfg.Embedded { // a tfwctl here goes by this inventory, one there by that: neither edited the other's
		place = c.cfg.Inventory
	}
	c.transport = ssh.New(ssh.Options{Logger: c.log, Secret: resolve, Accepted: func(k executor.HostKey) error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return c.exec.HostKeyAccepted(ctx, k)
	}})
	c.exec, err = executor.New(executor.Config{
		Store: c.store, Transport: c.transport, Plugins: c.registry, Inventory: c.live.Current, Policy: c.policy.Load, Secrets: secrets, Resolve: resolve,
		Artifacts: filepath.Join(c.cfg.Data, "artifacts"), Log: c.log, Place: place,
		Parallel: c.cfg.Parallel, MaxRuns: c.cfg.MaxRuns, LostAfter: c.cfg.LostAfter, Grace: c.cfg.Grace,
		MaxOutput: c.cfg.MaxOutput, ArtifactLimit: c.cfg.ArtifactLimit,
		ProbeEvery: c.cfg.ProbeEvery, ProbeParallel: c.cfg.ProbeParallel,
	})
	if err != nil {
		return err
	}
	c.hook.Store(c.exec)
	if err := c.exec.Recover(ctx); err != nil {
		return err
	}
	c.exec.Began(ctx, c.policyRevision())
	return nil
}

// makePlans takes up the test plans that were under way; their runs are under way again already.
func (c *Controller) makePlans(ctx context.Context) error {
	c.plans = plan.New(plan.Config{Executor: c.exec, Store: c.store, Plugins: c.registry, Inventory: c.live.Current, Log: c.log})
	return c.plans.Recover(ctx)
}

// Addr is the address of the REST API, nil when it is on the socket only.
func (c *Controller) Addr() net.Addr {
	if c.http == nil {
		return nil
	}
	return c.http.Addr()
}

// URL is where the REST API answers: "http://127.0.0.1:8774" or "unix:///...".
func (c *Controller) URL() string {
	if c.http == nil {
		return "unix://" + c.owner.Socket
	}
	if c.cfg.TLSCert != "" {
		return "https://" + c.http.Addr().String()
	}
	return "http://" + c.http.Addr().String()
}

// Failed gives the error of a listener that broke; the controller is of no use then.
func (c *Controller) Failed() <-chan error { return c.failed }

// Idle reports whether no run and no test plan is under way.
func (c *Controller) Idle(ctx context.Context) (bool, error) {
	if !c.plans.Idle() {
		return false, nil
	}
	for _, state := range []executor.State{executor.Running, executor.Queued} {
		runs, _, err := c.exec.Runs(ctx, executor.Local("tfw"), executor.RunFilter{State: state, Limit: 1})
		if err != nil || len(runs) > 0 {
			return false, err
		}
	}
	return true, nil
}

// Reload reads the inventory, the policy and the certificate again, as SIGHUP asks for. On an error the ones in use stay.
func (c *Controller) Reload(ctx context.Context) error {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	err := errors.Join(c.live.Reload(ctx), c.readPolicy(ctx), c.loadCert())
	c.exec.Reloaded(ctx, "signal", executor.AuditEntry{Action: "reload", Object: c.live.Current().Revision()}, err)
	return err
}

// Close drains: no new runs, those under way go on on their hosts and the next
// controller takes them up. When ctx ends it gives up waiting. Closing twice is no error.
func (c *Controller) Close(ctx context.Context) error {
	c.closing.Do(func() { c.closed = c.close(ctx) })
	return c.closed
}

func (c *Controller) close(ctx context.Context) error {
	var errs []error
	c.stop()
	if c.plans != nil { // before the executor: it waits for runs
		errs = append(errs, c.plans.Drain(ctx))
	}
	if c.exec != nil {
		errs = append(errs, c.exec.Drain(ctx))
	}
	if c.server != nil {
		errs = append(errs, c.shutdown(ctx))
	}
	c.disown()
	c.work.Wait()
	if c.transport != nil {
		errs = append(errs, c.transport.Close())
	}
	if c.live != nil {
		c.live.Close()
	}
	if c.store != nil {
		errs = append(errs, c.store.Close())
	}
	return errors.Join(errs...)
}

// shutdown ends the answering. Whoever speaks to an embedded controller besides its own
// process takes over when it ends, so it need not wait for them: fasthttp would, in steps of 100 ms,
// which a command of 40 ms would feel. One in the background, with no client of its own, lets everybody finish.
func (c *Controller) shutdown(ctx context.Context) error {
	if !c.cfg.Embedded || c.cfg.Listener == nil {
		return c.server.Shutdown(ctx)
	}
	time.Sleep(time.Millisecond) // our own client has just hung up: let that be noticed
	short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	if err := c.server.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// retain drops what is too old, at the start and every hour.
func (c *Controller) retain(ctx context.Context) {
	for {
		c.retainLogs(ctx)
		c.retainRuns(ctx)
		c.retainRecords(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Hour):
		}
	}
}

func (c *Controller) retainLogs(ctx context.Context) {
	age := c.cfg.KeepLogs
	if why := c.exec.ClockDoubt(); why != "" && age > 0 {
		c.log.Warn("nothing is dropped for its age: the clock is not trusted", "why", why)
		age = 0
	}
	if age == 0 && c.cfg.KeepLogSize == 0 {
		return
	}
	dropped, err := c.store.Retain(ctx, age, c.cfg.KeepLogSize)
	if err != nil && ctx.Err() == nil {
		c.log.Error("logs: old ones could not be dropped", "error", err)
	}
	if len(dropped) > 0 {
		c.log.Info("logs: old ones were dropped", "shards", dropped)
	}
}

func (c *Controller) retainRuns(ctx context.Context) {
	if c.cfg.KeepRuns == 0 && c.cfg.KeepRunCount == 0 {
		return
	}
	var gone executor.Pruned
	open, err := c.plans.Open(ctx)
	if err == nil {
		gone, err = c.exec.Prune(ctx, c.cfg.KeepRuns, c.cfg.KeepRunCount, open)
	}
	if err != nil && ctx.Err() == nil {
		c.log.Error("runs: old ones could not be dropped", "error", err)
	}
	if gone.Runs+gone.Artifacts > 0 {
		c.log.Info("runs: old ones were dropped", "runs", gone.Runs, "artifacts", gone.Artifacts, "bytes", gone.Bytes)
	}
}

// retainRecords drops ended leases as runs are dropped, and audit entries by their own, longer time.
func (c *Controller) retainRecords(ctx context.Context) {
	leases, leaseErr := c.exec.PruneLeases(ctx, c.cfg.KeepRuns)
	entries, auditErr := c.exec.PruneAudit(ctx, c.cfg.KeepAudit)
	if err := errors.Join(leaseErr, auditErr); err != nil && ctx.Err() == nil {
		c.log.Error("leases and audit entries: old ones could not be dropped", "error", err)
	}
	if leases+entries > 0 {
		c.log.Info("leases and audit entries: old ones were dropped", "leases", leases, "entries", entries)
	}
}

// status tells the API how the inventory in use came to be.
func (c *Controller) status() api.InventoryStatus {
	s := c.live.Status()
	return api.InventoryStatus{
		Source: c.cfg.Inventory, Revision: s.Revision, Loaded: s.Loaded,
		Hosts: s.Hosts, Groups: s.Groups, Checked: s.Failed, Problem: s.Error,
		Problems: api.Mistakes(s.Problems), Warnings: api.Mistakes(s.Warnings), Reloads: s.Reloads, Changed: s.Diff,
	}
}

// private makes a file that only its owner may read, whole or not at all.
func private(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
