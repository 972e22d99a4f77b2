package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sourcegraph/conc/pool"

	"tfw/inventory"
)

// HostKeys is an optional power of a [Transport], found by assertion: it keeps the
// keys by which hosts are known. via finds jump hosts, as for [Transport].Connect. Errors are [*TransportError].
type HostKeys interface {
	// ScanKeys asks the host which keys it shows now, of every kind, without logging in.
	ScanKeys(ctx context.Context, host *inventory.Host, via func(name string) (*inventory.Host, bool)) ([]HostKey, error)
	// PinnedKeys gives the keys on file for the host.
	PinnedKeys(host *inventory.Host, via func(name string) (*inventory.Host, bool)) ([]HostKey, error)
	// PinKeys puts keys on file in one step, in the place of those that are there when replace is set, and tells in which file.
	// Without keys it only takes away. Removed counts what went.
	PinKeys(host *inventory.Host, via func(name string) (*inventory.Host, bool), keys []HostKey, replace bool) (file string, removed int, err error)
}

// HostKey is a public key of a host. Nothing proves that a key which was scanned is the
// right one: compare the fingerprint with one that came another way.
type HostKey struct {
	Host        string `json:"host"`
	Address     string `json:"address"`     // "host:port"
	Type        string `json:"type"`        // "ssh-ed25519" ...
	Fingerprint string `json:"fingerprint"` // SHA256:...
	Known       bool   `json:"known"`       // on file, or pinned in the inventory
	Line        string `json:"line"`        // for known_hosts
}

// KeyProblem says why a host's keys could not be told.
type KeyProblem struct {
	Host    string `json:"host"`
	Problem string `json:"problem"`
}

// KeyChoice is a key that somebody found right: it is trusted only if the host shows it.
type KeyChoice struct {
	Host        string `json:"host"`
	Fingerprint string `json:"fingerprint"`
}

// PinnedHost tells what was done to the keys on file of one host.
type PinnedHost struct {
	Host         string   `json:"host"`
	Address      string   `json:"address,omitempty"`
	File         string   `json:"file"`
	Fingerprints []string `json:"fingerprints"` // put on file, or taken off it
}

// HostKeyAccepted records that a key is put on file unseen: the inventory says accept-new for the host, which had none
// there. Whoever is about to trust it must not do so when there is an error.
func (e *Executor) HostKeyAccepted(ctx context.Context, k HostKey) error {
	return e.store.Update(ctx, func(tx Tx) error {
		return e.audit(tx, Principal{Name: "tfw", Source: k.Address},
			AuditEntry{Action: "hostkeys.accept", Object: k.Host, Hosts: []string{k.Host}, Outcome: "trusted", Detail: k.Fingerprint + ", the first that it showed"})
	})
}

const scanWidth = 16

func (e *Executor) hostKeys(p Principal) (HostKeys, error) {
	if !p.May(Admin) {
		return nil, fmt.Errorf("%s may not handle host keys: %w (needs the role admin)", p.Name, ErrForbidden)
	}
	keeper, ok := e.cfg.Transport.(HostKeys)
	if !ok {
		return nil, fmt.Errorf("this controller keeps no host keys: %w", ErrConflict)
	}
	return keeper, nil
}

// keyHosts resolves a target: nothing empty ever means all.
func (e *Executor) keyHosts(p Principal, target string) ([]*inventory.Host, error) {
	if strings.TrimSpace(target) == "" {
		return nil, fmt.Errorf("target: %w: is empty", ErrBadRequest)
	}
	return e.targets(p, inventory.Query{Target: target})
}

// ScanHostKeys asks the target's hosts for the keys that they show now, in the order of the
// inventory. Hosts that could not be asked are told apart.
func (e *Executor) ScanHostKeys(ctx context.Context, p Principal, target string) ([]HostKey, []KeyProblem, error) {
	keeper, err := e.hostKeys(p)
	if err != nil {
		return nil, nil, err
	}
	hosts, err := e.keyHosts(p, target)
	if err != nil {
		return nil, nil, err
	}
	found, problems := e.scanKeys(ctx, keeper, hosts)
	return found, problems, ctx.Err()
}

func (e *Executor) scanKeys(ctx context.Context, keeper HostKeys, hosts []*inventory.Host) ([]HostKey, []KeyProblem) {
	found, errs := make([][]HostKey, len(hosts)), make([]error, len(hosts))
	workers := pool.New().WithMaxGoroutines(scanWidth)
	for i, h := range hosts {
		workers.Go(func() { found[i], errs[i] = keeper.ScanKeys(ctx, h, e.cfg.Inventory().Host) })
	}
	workers.Wait()
	keys, problems := []HostKey{}, []KeyProblem{}
	for i, h := range hosts {
		keys = append(keys, found[i]...)
		if errs[i] != nil {
			problems = append(problems, KeyProblem{h.Name, reason(errs[i])})
		}
	}
	return keys, problems
}

// TrustHostKeys puts keys on file that were found right. Each host is asked again: only what it shows
// at that moment, with the fingerprint of a choice for it, is taken. The error names choices that are not shown; what could be taken is taken all the same.
func (e *Executor) TrustHostKeys(ctx context.Context, p Principal, choices []KeyChoice) ([]PinnedHost, error) {
	keeper, err := e.hostKeys(p)
	if err != nil {
		return nil, err
	}
	wanted := map[string][]string{}
	var names []string
	for _, c := range choices {
		if wanted[c.Host] == nil {
			names = append(names, c.Host)
		}
		wanted[c.Host] = append(wanted[c.Host], c.Fingerprint)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("keys: %w: name at least one host and fingerprint", ErrBadRequest)
	}
	inv := e.inventory(p)
	hosts := make([]*inventory.Host, len(names))
	for i, name := range names {
		h, ok := inv.Host(name)
		if !ok {
			return nil, fmt.Errorf("host %q: %w (see: tfwctl hosts)", name, ErrNotFound)
		}
		hosts[i] = h
	}
	shown, problems := e.scanKeys(ctx, keeper, hosts)
	done := []PinnedHost{}
	for _, h := range hosts {
		one, err := e.trust(ctx, p, keeper, h, shown, wanted[h.Name])
		if err != nil {
			return done, err
		}
		if len(one.Fingerprints) > 0 {
			done = append(done, one)
		} else if !slices.ContainsFunc(problems, func(k KeyProblem) bool { return k.Host == h.Name }) {
			problems = append(problems, KeyProblem{h.Name, "shows no key with the fingerprint " + strings.Join(wanted[h.Name], " or ")})
		}
	}
	return done, notTrusted(problems)
}

func notTrusted(problems []KeyProblem) error {
	var errs []error
	for _, k := range problems {
		errs = append(errs, fmt.Errorf("%s: %w: nothing was trusted: %s", k.Host, ErrConflict, k.Problem))
	}
	return errors.Join(errs...)
}

// trust pins those keys of the host that were chosen.
func (e *Executor) trust(ctx context.Context, p Principal, keeper HostKeys, h *inventory.Host, shown []HostKey, wanted []string) (PinnedHost, error) {
	one := PinnedHost{Host: h.Name}
	var keys []HostKey
	for _, k := range shown {
		if k.Host == h.Name && slices.Contains(wanted, k.Fingerprint) {
			keys = append(keys, k)
			one.Address, one.Fingerprints = k.Address, append(one.Fingerprints, k.Fingerprint)
		}
	}
	if len(keys) == 0 {
		return one, nil
	}
	var err error
	if one.File, _, err = keeper.PinKeys(h, e.cfg.Inventory().Host, keys, false); err != nil {
		return one, err
	}
	e.recordAudit(ctx, p, AuditEntry{Action: "hostkeys.trust", Object: h.Name, Hosts: []string{h.Name}, Outcome: "trusted", Detail: strings.Join(one.Fingerprints, " ")})
	return one, nil
}

// ForgetHostKeys takes the keys of the target's hosts off the file.
func (e *Executor) ForgetHostKeys(ctx context.Context, p Principal, target string) ([]PinnedHost, error) {
	keeper, err := e.hostKeys(p)
	if err != nil {
		return nil, err
	}
	hosts, err := e.keyHosts(p, target)
	if err != nil {
		return nil, err
	}
	done := []PinnedHost{}
	for _, h := range hosts {
		one := PinnedHost{Host: h.Name, Fingerprints: []string{}}
		pinned, err := keeper.PinnedKeys(h, e.cfg.Inventory().Host)
		if err == nil {
			one.File, _, err = keeper.PinKeys(h, e.cfg.Inventory().Host, nil, true)
		}
		if err != nil {
			return done, err
		}
		for _, k := range pinned {
			one.Address, one.Fingerprints = k.Address, append(one.Fingerprints, k.Fingerprint)
		}
		e.recordAudit(ctx, p, AuditEntry{Action: "hostkeys.forget", Object: h.Name, Hosts: []string{h.Name}, Outcome: "forgotten", Detail: strings.Join(one.Fingerprints, " ")})
		done = append(done, one)
	}
	return done, nil
}
