package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tfw/executor"
)

// LeasePage is a page of leases.
type LeasePage struct {
	Leases []executor.Lease `json:"leases"`
	Next   string           `json:"next,omitempty" doc:"marker of the next page; absent on the last one"`
}

// Lease reserves hosts, all or none. With req.Wait it may come back waiting: see [Client.WaitLease].
func (c *Client) Lease(ctx context.Context, req executor.LeaseRequest) (executor.Lease, error) {
	var l executor.Lease
	return l, c.json(ctx, call{method: http.MethodPost, path: "/v2.1/leases", body: req}, &l)
}

// Leases lists those that wait or are held, oldest first.
func (c *Client) Leases(ctx context.Context) ([]executor.Lease, error) {
	q := url.Values{}
	return pages(func(marker string) ([]executor.Lease, string, error) {
		set(q, "marker", marker)
		var page LeasePage
		err := c.get(ctx, "/v2.1/leases", q, &page)
		return page.Leases, page.Next, err
	})
}

// WaitLease gives the lease once it does not wait any more, or as it stands after patience.
func (c *Client) WaitLease(ctx context.Context, id string, patience time.Duration) (executor.Lease, error) {
	var l executor.Lease
	return l, c.get(ctx, leasePath(id), url.Values{"wait": {patience.String()}}, &l)
}

// RenewLease makes a held lease end so long from now.
func (c *Client) RenewLease(ctx context.Context, id string, d time.Duration) (executor.Lease, error) {
	var l executor.Lease
	body := map[string]executor.Duration{"for": executor.Duration(d)}
	return l, c.json(ctx, call{method: http.MethodPost, path: leasePath(id) + "/renew", body: body}, &l)
}

// ReleaseLease ends a lease. Another's needs an admin and a reason.
func (c *Client) ReleaseLease(ctx context.Context, id, reason string) error {
	q := url.Values{}
	set(q, "reason", reason)
	return c.json(ctx, call{method: http.MethodDelete, path: leasePath(id), query: q}, nil)
}

func leasePath(id string) string { return "/v2.1/leases/" + url.PathEscape(id) }

// AuditPage is a page of the audit record.
type AuditPage struct {
	Entries []executor.AuditEntry `json:"entries"`
	Next    string                `json:"next,omitempty" doc:"marker of the next page; absent on the last one"`
}

// AuditProof is what a walk over the whole audit record found.
type AuditProof struct {
	Whole   bool      `json:"whole"`
	Entries uint64    `json:"entries" doc:"that fit, from the first"`
	Head    string    `json:"head" doc:"hash of the last entry that fits: compare it with one kept elsewhere"`
	Problem string    `json:"problem,omitempty" doc:"the first entry that does not fit"`
	At      time.Time `json:"at"`
}

// Audit gives a page of the audit record and the After of the next one, 0 at the end.
func (c *Client) Audit(ctx context.Context, f executor.AuditFilter) (entries []executor.AuditEntry, next uint64, err error) {
	q := url.Values{}
	for name, value := range map[string]string{"who": f.Who, "action": f.Action, "host": f.Host, "object": f.Object, "outcome": f.Outcome, "request": f.Request} {
		set(q, name, value)
	}
	for name, at := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !at.IsZero() {
			q.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	for name, n := range map[string]uint64{"after": f.After, "limit": uint64(max(f.Limit, 0)), "marker": f.Before} {
		if n > 0 {
			q.Set(name, strconv.FormatUint(n, 10))
		}
	}
	if f.Newest {
		q.Set("sort", "-time")
	}
	var page AuditPage
	if err = c.get(ctx, "/v2.1/audit", q, &page); err == nil && page.Next != "" {
		next, err = strconv.ParseUint(page.Next, 10, 64)
	}
	return page.Entries, next, err
}

// VerifyAudit has the controller check the whole audit record.
func (c *Client) VerifyAudit(ctx context.Context) (AuditProof, error) {
	var p AuditProof
	return p, c.get(ctx, "/v2.1/audit/verify", nil, &p)
}
