package api

import (
	"context"
	"fmt"
	"time"

	"tfw/executor"
)

// The fake's one lease, L1, is anybody's who asks for dut1; the real rules are
// tested against a real executor (see matrix_test.go).
var fakeLease = executor.Lease{ID: "L1", Holder: "ann", Purpose: "soak", Hosts: []string{"dut1"}, State: executor.LeaseHeld,
	Created: time.Unix(1e9, 0).UTC(), For: executor.Duration(time.Hour), Expires: time.Unix(1e9+3600, 0).UTC()}

func (f *fake) Lease(_ context.Context, _ executor.Principal, req executor.LeaseRequest) (executor.Lease, error) {
	if req.Target != "dut1" {
		return executor.Lease{}, fmt.Errorf("%w: dut2 is taken by lease L1", executor.ErrLeased)
	}
	l := fakeLease
	if req.Wait > 0 {
		l.State = executor.LeaseWaiting
	}
	return l, nil
}
func (f *fake) Leases(context.Context, executor.Principal) ([]executor.Lease, error) {
	return []executor.Lease{fakeLease}, nil
}
func (f *fake) FindLease(_ context.Context, _ executor.Principal, id string) (executor.Lease, error) {
	if id != "L1" {
		return executor.Lease{}, fmt.Errorf("lease %q: %w", id, executor.ErrNotFound)
	}
	return fakeLease, nil
}
func (f *fake) WaitLease(ctx context.Context, p executor.Principal, id string) (executor.Lease, error) {
	return f.FindLease(ctx, p, id)
}
func (f *fake) Renew(ctx context.Context, p executor.Principal, id string, _ executor.Duration) error {
	_, err := f.FindLease(ctx, p, id)
	return err
}
func (f *fake) Release(ctx context.Context, p executor.Principal, id, _ string) error {
	_, err := f.FindLease(ctx, p, id)
	return err
}
func (f *fake) Audit(_ context.Context, _ executor.Principal, q executor.AuditFilter) ([]executor.AuditEntry, bool, error) {
	return []executor.AuditEntry{{Seq: q.After + 1, Time: time.Unix(1e9, 0).UTC(), Who: "ann", Action: "run", Outcome: "queued", Hash: "00"}}, true, nil
}
func (f *fake) VerifyAudit(context.Context, executor.Principal) (uint64, string, error) {
	return 1, "00", fmt.Errorf("audit entry 2 was altered: %w", executor.ErrCorrupt)
}
func (f *fake) Refused(context.Context, executor.Principal, string, string) {}

func (f *fake) Secrets(context.Context, executor.Principal) ([]executor.Secret, error) {
	return []executor.Secret{{Name: "db", Groups: []string{"duts"}, Changed: time.Unix(1e9, 0).UTC(), By: "ann"}}, nil
}
func (f *fake) SetSecret(_ context.Context, p executor.Principal, s executor.Secret, value string) (executor.Secret, error) {
	if len(value) < 4 {
		return executor.Secret{}, fmt.Errorf("value: %w: want 4 bytes or more", executor.ErrBadRequest)
	}
	s.Changed, s.By = time.Unix(1e9, 0).UTC(), p.Name
	return s, nil
}
func (f *fake) RemoveSecret(_ context.Context, _ executor.Principal, name string) error {
	if name != "db" {
		return fmt.Errorf("secret %q: %w", name, executor.ErrNotFound)
	}
	return nil
}

func (f *fake) ScanHostKeys(_ context.Context, _ executor.Principal, target string) ([]executor.HostKey, []executor.KeyProblem, error) {
	if target != "dut1" {
		return nil, nil, fmt.Errorf("%q: %w", target, executor.ErrBadRequest)
	}
	return []executor.HostKey{{Host: "dut1", Address: "127.0.0.1:22", Type: "ssh-ed25519", Fingerprint: "SHA256:x", Line: "127.0.0.1 ssh-ed25519 AAAA"}},
		[]executor.KeyProblem{{Host: "dut2", Problem: "connection refused"}}, nil
}
func (f *fake) TrustHostKeys(_ context.Context, _ executor.Principal, keys []executor.KeyChoice) ([]executor.PinnedHost, error) {
	if keys[0].Host != "dut1" {
		return nil, fmt.Errorf("host %q: %w", keys[0].Host, executor.ErrNotFound)
	}
	return []executor.PinnedHost{{Host: "dut1", Address: "127.0.0.1:22", File: "/k", Fingerprints: []string{keys[0].Fingerprint}}}, nil
}
func (f *fake) ForgetHostKeys(_ context.Context, _ executor.Principal, target string) ([]executor.PinnedHost, error) {
	if target != "dut1" {
		return nil, fmt.Errorf("%q: %w", target, executor.ErrBadRequest)
	}
	return nil, nil
}

func (f *fake) Identify(id executor.Identity, source string) (executor.Principal, error) {
	if id.Name != "ann" {
		return executor.Principal{}, fmt.Errorf("%s: %w", id.Name, executor.ErrForbidden)
	}
	return executor.Principal{Name: "ann", Role: executor.Viewer, Source: source}, nil
}
func (f *fake) Login(ctx context.Context, id executor.Identity, _ time.Duration, source, _ string) (string, executor.Token, error) {
	p, err := f.Identify(id, source)
	if err != nil {
		return "", executor.Token{}, err
	}
	return f.CreateToken(ctx, p, executor.Token{Name: p.Name, Role: p.Role, Login: id.Kind})
}
func (f *fake) Still(_ context.Context, p executor.Principal) (executor.Principal, error) {
	return p, nil
}
func (f *fake) Queue(context.Context, executor.Principal) ([]executor.Waiting, error) {
	return nil, nil
}
