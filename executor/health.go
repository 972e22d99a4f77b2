package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sourcegraph/conc/pool"

	"tfw/inventory"
	"tfw/plugins"
)

// healthRecord is what the last probes of a host found.
type healthRecord struct {
	Reachable bool            `json:"reachable"`
	Seen      time.Time       `json:"seen,omitzero"`
	Latency   time.Duration   `json:"latency"`
	Clock     time.Duration   `json:"clock"`
	Problem   string          `json:"problem,omitempty"`
	Facts     json.RawMessage `json:"facts,omitempty"`
	FactsAt   time.Time       `json:"facts_at,omitzero"`
	Probed    time.Time       `json:"probed,omitzero"`
	Strays    []StrayProcess  `json:"strays,omitempty"`

	NotDurable string `json:"not_durable,omitempty"` // why commands end with the connection
}

func (h healthRecord) into(s *HostStatus) {
	s.Reachable, s.LastSeen, s.Latency, s.Clock, s.Problem, s.Probed = &h.Reachable, h.Seen, h.Latency, h.Clock, h.Problem, h.Probed
	s.Strays, s.NotDurable = h.Strays, h.NotDurable
	if len(h.Facts) > 0 {
		_ = json.Unmarshal(h.Facts, &s.Facts) // written by us
	}
}

const (
	probeWidth   = 64
	probeTimeout = 15 * time.Second
)

// ProbeHosts asks the target's hosts now whether they answer, how fast, what
// their clock says, and for their facts. The commands change nothing on the hosts.
func (e *Executor) ProbeHosts(ctx context.Context, p Principal, q inventory.Query) ([]HostStatus, error) {
	if !p.May(Operator) {
		return nil, fmt.Errorf("%s may not probe hosts: %w (needs the role operator)", p.Name, ErrForbidden)
	}
	hosts, err := e.targets(p, q)
	if err != nil {
		return nil, err
	}
	found := make([]healthRecord, len(hosts))
	workers := pool.New().WithMaxGoroutines(probeWidth)
	for i, h := range hosts {
		workers.Go(func() { found[i] = e.probe(ctx, h, true) })
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := e.storeHealth(ctx, hosts, found); err != nil {
		return nil, err
	}
	return e.status(ctx, hosts)
}

func (e *Executor) storeHealth(ctx context.Context, hosts []*inventory.Host, found []healthRecord) error {
	return e.store.Update(ctx, func(tx Tx) error {
		for i, h := range hosts {
			var before healthRecord
			if _, err := get(tx, tableHealth, h.Name, &before); err != nil {
				return err
			}
			if err := put(tx, tableHealth, h.Name, found[i].after(before, e.now())); err != nil {
				return err
			}
		}
		return nil
	})
}

// after is a probe's record with what it did not find out anew.
func (h healthRecord) after(before healthRecord, now time.Time) healthRecord {
	if h.Facts == nil {
		h.Facts, h.FactsAt = before.Facts, before.FactsAt
	}
	if h.Seen.IsZero() {
		h.Seen, h.NotDurable = before.Seen, before.NotDurable
	}
	h.Strays = before.Strays
	h.Probed = now
	return h
}

// probe reaches one host and reads its clock, and its facts when they are wanted.
func (e *Executor) probe(ctx context.Context, h *inventory.Host, facts bool) healthRecord {
	ctx, stop := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("no answer within %s", probeTimeout))
	defer stop()
	conn, err := e.cfg.Transport.Connect(ctx, h, e.cfg.Inventory().Host)
	if err != nil {
		return healthRecord{Problem: reason(err)}
	}
	defer conn.Release()
	before := time.Now()
	out, err := conn.Probe(ctx, "date +%s")
	took := time.Since(before)
	if err != nil {
		return healthRecord{Problem: reason(err)}
	}
	h2 := healthRecord{Reachable: true, Seen: e.now(), Latency: took}
	if seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64); err == nil {
		h2.Clock = clockOffset(time.Unix(seconds, 0), before.Add(took/2))
	}
	if facts && h.Has("linux_system") {
		h2.Facts, h2.FactsAt = e.askFacts(ctx, conn, h), e.now()
	}
	if _, err := e.reportStrays(ctx, conn, h.Name); err != nil {
		e.log.Debug("strays not looked for", "host", h.Name, "error", err)
	}
	h2.NotDurable = conn.Info().NotDurable
	return h2
}

// askFacts calls the method that runs use, but on a probe: nothing of it stays on
// the host or on record. That there are none is no problem of the host's.
func (e *Executor) askFacts(ctx context.Context, conn Conn, h *inventory.Host) json.RawMessage {
	m, err := e.cfg.Plugins.Method("linux_system", "system_information")
	if err != nil {
		return nil
	}
	facts, err := m.Call(ctx, &probing{conn: conn, host: h}, json.RawMessage("{}"))
	if err != nil {
		e.log.Debug("no facts of a host", "host", h.Name, "error", err)
		return nil
	}
	return facts
}

// probing is a host for a method that only looks: its scripts run without durability.
type probing struct {
	plugins.Remote // what is not below is not for probes
	conn           Conn
	host           *inventory.Host
}

func (p *probing) Host() plugins.Host {
	return plugins.Host{Name: p.host.Name, Address: p.host.Address}
}

func (p *probing) Run(ctx context.Context, cmd plugins.Command) (plugins.Result, error) {
	began := time.Now()
	out, err := p.conn.Probe(ctx, string(cmd.Script))
	return plugins.Result{Stdout: out, Started: began, Elapsed: time.Since(began)}, err
}

// clockOffset ignores what a clock of whole seconds cannot tell.
func clockOffset(theirs, ours time.Time) time.Duration {
	off := theirs.Sub(ours.Truncate(time.Second))
	if off.Abs() <= time.Second {
		return 0
	}
	return off
}

// learn keeps, along with the result, what a run found out about its host: that it answers, or why
// not, and its facts. Where nothing is new the record is not written again.
func (r *remote) learn(tx Tx) error {
	res := &r.p.result
	var h healthRecord
	if _, err := get(tx, tableHealth, res.Host, &h); err != nil {
		h = healthRecord{} // damaged: begun anew
	}
	facts := r.a.run.Plugin == "linux_system" && r.a.run.Method == "system_information" && res.Verdict == Passed && len(res.Outputs) > 0
	switch {
	case outOfReach[res.Code]:
		h.Reachable, h.Problem = false, res.Reason
	case !r.reached:
		return nil
	case h.Reachable && !facts && h.NotDurable == r.notDurable && res.Finished.Sub(h.Seen) < freshFor:
		return nil
	default:
		h.Reachable, h.Problem, h.Seen = true, "", res.Finished
		if r.last != nil { // a command has told
			h.NotDurable = r.notDurable
		}
	}
	if facts {
		h.Facts, h.FactsAt = res.Outputs, res.Finished
	}
	return put(tx, tableHealth, res.Host, h)
}

// freshFor is how exact "last seen" is.
const freshFor = 10 * time.Second

// outOfReach are the codes of results that say: tfw cannot work on this host now.
var outOfReach = map[string]bool{"unreachable": true, "auth": true, "host_key": true, "out_of_reach": true}
