package api

import (
	"context"
	"net/http"
	"net/url"

	"tfw/inventory"
)

// HostPage is a page of hosts.
type HostPage struct {
	Hosts []Host `json:"hosts"`
	Next  string `json:"next,omitempty" doc:"marker of the next page; absent on the last one"`
}

// GroupPage is a page of groups.
type GroupPage struct {
	Groups []Group `json:"groups"`
	Next   string  `json:"next,omitempty" doc:"marker of the next page; absent on the last one"`
}

// HostFilter chooses hosts. The zero value is all of them.
type HostFilter struct {
	Target, Where string
	AllowMissing  bool // leave names out of the target that are unknown
}

// Hosts lists the hosts of a target, filtered by an expression; both "" is all of them.
func (c *Client) Hosts(ctx context.Context, target, where string) ([]Host, error) {
	return c.FindHosts(ctx, HostFilter{Target: target, Where: where})
}

// FindHosts lists the hosts that f chooses.
func (c *Client) FindHosts(ctx context.Context, f HostFilter) ([]Host, error) {
	q := url.Values{}
	set(q, "target", f.Target)
	set(q, "where", f.Where)
	if f.AllowMissing {
		q.Set("allow_missing", "true")
	}
	return pages(func(marker string) ([]Host, string, error) {
		set(q, "marker", marker)
		var page HostPage
		err := c.get(ctx, "/v2.1/hosts", q, &page)
		return page.Hosts, page.Next, err
	})
}

// pages gathers every page of a list.
func pages[T any](page func(marker string) ([]T, string, error)) ([]T, error) {
	all := []T{}
	for marker := ""; ; {
		items, next, err := page(marker)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" || next == marker {
			return all, nil
		}
		marker = next
	}
}

// Host finds a host by name, address, id or uuid.
func (c *Client) Host(ctx context.Context, name string) (Host, error) {
	var h Host
	return h, c.get(ctx, "/v2.1/hosts/"+url.PathEscape(name), nil, &h)
}

// Explain tells of each setting of a host where it came from and what it overrode.
func (c *Client) Explain(ctx context.Context, name string) ([]inventory.Setting, error) {
	var e Explanation
	err := c.get(ctx, "/v2.1/hosts/"+url.PathEscape(name)+"/explain", nil, &e)
	return e.Settings, err
}

// SetHostState sets the state of a target's hosts, with the reason that users will read.
func (c *Client) SetHostState(ctx context.Context, target string, state inventory.State, reason string) ([]Host, error) {
	var page HostPage
	err := c.json(ctx, call{
		method: http.MethodPatch, path: "/v2.1/hosts", query: url.Values{"target": {target}},
		body: hostPatch{State: state, Reason: reason},
	}, &page)
	return page.Hosts, err
}

// hostPatch changes a host.
type hostPatch struct {
	State  inventory.State `json:"state" enum:"active,maintenance,quarantined,retired"`
	Reason string          `json:"reason,omitempty" maxLength:"500" doc:"why, for those who find the host so"`
}

// ProbeHosts asks the target's hosts now whether they answer, and for their facts.
func (c *Client) ProbeHosts(ctx context.Context, target, where string) ([]Host, error) {
	return c.ProbeFound(ctx, HostFilter{Target: target, Where: where})
}

// ProbeFound is [Client.ProbeHosts] for the hosts that f chooses.
func (c *Client) ProbeFound(ctx context.Context, f HostFilter) ([]Host, error) {
	var page HostPage
	err := c.json(ctx, call{method: http.MethodPost, path: "/v2.1/hosts/probe", body: probeRequest(f)}, &page)
	return page.Hosts, err
}

type probeRequest struct {
	Target       string `json:"target" minLength:"1" doc:"hosts to ask"`
	Where        string `json:"where,omitempty" doc:"expression that filters them"`
	AllowMissing bool   `json:"allow_missing,omitempty" doc:"leave names out of the target that are unknown"`
}

// Groups lists the groups of the inventory.
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	q := url.Values{}
	return pages(func(marker string) ([]Group, string, error) {
		set(q, "marker", marker)
		var page GroupPage
		err := c.get(ctx, "/v2.1/groups", q, &page)
		return page.Groups, page.Next, err
	})
}

// Group finds a group by its name.
func (c *Client) Group(ctx context.Context, name string) (Group, error) {
	var g Group
	return g, c.get(ctx, "/v2.1/groups/"+url.PathEscape(name), nil, &g)
}

// InventoryStatus tells which inventory is in use and whether the last edit was taken.
func (c *Client) InventoryStatus(ctx context.Context) (InventoryStatus, error) {
	var s InventoryStatus
	return s, c.get(ctx, "/v2.1/inventory", nil, &s)
}
