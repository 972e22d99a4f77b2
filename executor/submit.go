package executor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tfw/inventory"
	"tfw/plugins"
)

// keyRecord remembers which run an idempotency key made, and of which request.
type keyRecord struct {
	Run   RunID     `json:"run"`
	Print string    `json:"print"`
	At    time.Time `json:"at"`
}

// Submit checks the request, stores the run as queued and starts it. The error
// wraps [ErrBadRequest], [ErrForbidden], [ErrNotFound], [ErrLeased], [ErrTooMany] or [ErrDraining], or plugins.ErrUnknown;
// no host was touched then. With an IdempotencyKey seen before the first run is returned.
func (e *Executor) Submit(ctx context.Context, p Principal, req Request) (*Run, error) {
	known, err := e.replayed(ctx, p, req)
	if err != nil {
		return nil, err
	}
	if known != "" {
		return e.Run(ctx, p, string(known))
	}
	if err := e.room(p, req.Parameters); err != nil {
		return nil, err
	}
	a, err := e.prepare(p, req)
	if err != nil {
		return nil, err
	}
	if err := e.unleased(p, a); err != nil {
		if no := (*leaseRefusal)(nil); errors.As(err, &no) {
			e.recordAudit(ctx, p, AuditEntry{Action: "run", Hosts: a.names(), Outcome: "refused", Detail: no.record})
		}
		return nil, err
	}
	known, err = e.record(ctx, p, req, a)
	if err != nil {
		return nil, err
	}
	if known != "" {
		return e.Run(ctx, p, string(known))
	}
	answer := a.snapshot() // before the goroutine owns it
	if err := e.begin(a); err != nil {
		return nil, err
	}
	return answer, nil
}

// Check tells why Submit would refuse the request now, nil when it would not. Nothing is stored.
func (e *Executor) Check(_ context.Context, p Principal, req Request) error {
	a, err := e.prepare(p, req)
	if err != nil {
		return err
	}
	return e.unleased(p, a)
}

// Begun gives the run that the request's idempotency key made before, "" for none: what [Executor.Submit] would answer
// with in place of a new run.
func (e *Executor) Begun(ctx context.Context, p Principal, req Request) (RunID, error) {
	return e.replayed(ctx, p, req)
}

// replayed gives the run that the request's idempotency key made before: a request
// that is sent again gets its answer even where the inventory, a lease or a drain would refuse it now.
func (e *Executor) replayed(ctx context.Context, p Principal, req Request) (known RunID, err error) {
	if req.IdempotencyKey == "" || !p.May(Operator) {
		return "", nil
	}
	err = e.view(ctx, func(tx Tx) error {
		known, err = keyed(tx, p, req)
		return err
	})
	return known, err
}

func keyed(tx Tx, p Principal, req Request) (RunID, error) {
	var k keyRecord
	var by runRecord
	ok, err := get(tx, tableKeys, p.Name+"\x00"+req.IdempotencyKey, &k)
	if ok && err == nil && req.Plan == "" { // a test plan meets its runs again whatever its owner sees by now
		ok, err = get(tx, tableRuns, string(k.Run), &by)
	}
	switch {
	case err != nil || !ok:
		return "", err
	case req.Plan == "" && !p.Same(by.owner()):
		return "", ErrNamesakeKey
	case k.Print != requestPrint(req):
		return "", fmt.Errorf("idempotency key of run %s: %w", k.Run, ErrReplayedKey)
	}
	return k.Run, nil
}

// prepare makes the run out of the request without touching the store or a host.
func (e *Executor) prepare(p Principal, req Request) (*active, error) {
	if !p.May(Operator) {
		return nil, fmt.Errorf("%s may not run methods: %w (needs the role operator)", p.Name, ErrForbidden)
	}
	if err := p.mayRun(req.Plugin + "." + req.Method); err != nil {
		return nil, err
	}
	method, err := e.method(req.Plugin, req.Method, req.Parameters)
	if err != nil {
		return nil, err
	}
	limits, err := req.Options.check()
	if err == nil && (req.Priority > 0 && !p.May(Admin) || req.Priority < -100 || req.Priority > 100) {
		err = fmt.Errorf("priority: %d: want -100 to 100; above 0 is for admins", req.Priority)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	if err := e.checkSecrets(p, req.Parameters); err != nil {
		return nil, err
	}
	whole := e.wholeInventory()
	inv := p.view(whole)
	sel, err := inv.Select(inventory.Query{Target: req.Target, Where: req.Where, AllowMissing: req.AllowMissing,
		Expect: req.Expect, AdHoc: req.AdHoc, Facts: e.facts})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	if err := fit(sel.Hosts, req); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	run := Run{
		ID: RunID(NewID()), Plugin: req.Plugin, Method: req.Method, Parameters: req.Parameters,
		Target: req.Target, Where: req.Where, Options: &req.Options, State: Queued, Created: e.now(),
		By: p.Name, RequestID: req.RequestID, Inventory: inv.Revision(), Plan: req.Plan, Step: req.Step, Meeting: req.Meeting, RerunOf: req.rerunOf,
	}
	if len(run.Parameters) == 0 {
		run.Parameters = json.RawMessage("{}")
	}
	a, err := e.newActive(run, method, limits, sel.Hosts, whole)
	if err != nil {
		return nil, err
	}
	a.owner = p
	return a, nil
}

func (e *Executor) method(plugin, name string, params json.RawMessage) (plugins.Method, error) {
	m, err := e.cfg.Plugins.Method(plugin, name)
	if err != nil {
		return m, err
	}
	if err := m.Parameters.Check(params); err != nil {
		return m, fmt.Errorf("%s.%s: %w: %w", plugin, name, ErrBadRequest, err)
	}
	return m, nil
}

// fit refuses hosts that do not carry the plugin or are not to be used.
func fit(hosts []*inventory.Host, req Request) error {
	var without, idle []string
	why, remedy := "", ""
	for _, h := range hosts {
		if !h.Has(req.Plugin) {
			without = append(without, h.Name)
		}
		if h.State == inventory.Maintenance && (req.QueueTimeout > 0 || req.IncludeMaintenance) {
			continue // it waits for the end of it, or need not
		}
		if h.State != inventory.Active && h.State != "" {
			idle = append(idle, h.Name)
			why, remedy = strings.TrimSpace(string(h.State)+" "+h.Reason), "leave it out"
			if h.State == inventory.Maintenance {
				remedy = "leave it out, or say --include-maintenance"
			}
		}
	}
	switch {
	case len(without) > 0:
		return fmt.Errorf("%s: does not declare the plugin %q (narrow the target, or add it under plugins: in the inventory)",
			inventory.Fold(without), req.Plugin)
	case len(idle) > 0:
		return fmt.Errorf("%s: not active: %s (%s)", inventory.Fold(idle), why, remedy)
	}
	return nil
}

// record stores the queued run, or gives the run that the idempotency key made before.
func (e *Executor) record(ctx context.Context, p Principal, req Request, a *active) (known RunID, err error) {
	print := requestPrint(req)
	err = e.store.Update(ctx, func(tx Tx) error {
		known = ""
		if req.IdempotencyKey != "" {
			if known, err = keyed(tx, p, req); err != nil || known != "" {
				return err
			}
			if err := put(tx, tableKeys, p.Name+"\x00"+req.IdempotencyKey, keyRecord{a.run.ID, print, a.run.Created}); err != nil {
				return err
			}
		}
		if err := a.create(tx); err != nil {
			return err
		}
		return e.audit(tx, p, AuditEntry{Action: "run", Object: string(a.run.ID), Hosts: a.names(), Outcome: "queued", Detail: req.Plugin + "." + req.Method})
	})
	return known, err
}

func requestPrint(req Request) string {
	raw, _ := json.Marshal(req) // only JSON values: cannot fail
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// create writes the run and one result for each host.
func (a *active) create(tx Tx) error {
	seq, err := tx.Next(tableOrder)
	if err != nil {
		return err
	}
	a.seq = seq
	id := string(a.run.ID)
	rec := a.record()
	if err := errors.Join(
		put(tx, tableRuns, id, rec),
		index(tx, &rec, a.names()),
		tx.Put(tableOrder, orderKey(seq), []byte(id)),
		tx.Put(tableOpen, id, []byte(orderKey(seq))),
	); err != nil {
		return err
	}
	for _, s := range a.settings {
		if _, there := tx.Get(tableSettings, s.key); !there {
			if err := tx.Put(tableSettings, s.key, s.raw); err != nil {
				return err
			}
		}
	}
	for _, part := range a.parts {
		if err := put(tx, tableResults, resultKey(a.run.ID, part.index), part.record()); err != nil {
			return err
		}
	}
	tx.Ring(id)
	tx.Ring(TopicRuns)
	return nil
}

// TopicRuns is the [Store.Changed] topic that rings when any run is made or ends.
const TopicRuns = "runs"

var idAlphabet = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

// NewID makes an id of 12 characters of a-z and 2-9 out of 60 random bits, safe
// in paths and file names: no two meet, on a host shared by several controllers either.
func NewID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return idAlphabet.EncodeToString(b[:])[:12]
}
