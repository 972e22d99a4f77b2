package api

import (
	"context"
	"net/http"
	"net/url"

	"tfw/executor"
)

// HostKeyScan is what hosts showed.
type HostKeyScan struct {
	Keys     []executor.HostKey    `json:"keys"`
	Problems []executor.KeyProblem `json:"problems" doc:"hosts that could not be asked"`
}

// PinnedHosts tells what was done to the keys on file, host by host.
type PinnedHosts struct {
	Hosts []executor.PinnedHost `json:"hosts"`
}

// ScanHostKeys asks hosts for the keys that they show now.
func (c *Client) ScanHostKeys(ctx context.Context, target string) (HostKeyScan, error) {
	var found HostKeyScan
	body := map[string]string{"target": target}
	return found, c.json(ctx, call{method: http.MethodPost, path: "/v2.1/hostkeys/scan", body: body}, &found)
}

// TrustHostKeys puts keys on file, as far as the hosts show them.
func (c *Client) TrustHostKeys(ctx context.Context, keys []executor.KeyChoice) ([]executor.PinnedHost, error) {
	var done PinnedHosts
	body := map[string][]executor.KeyChoice{"keys": keys}
	err := c.json(ctx, call{method: http.MethodPost, path: "/v2.1/hostkeys", body: body}, &done)
	return done.Hosts, err
}

// ForgetHostKeys takes the keys of hosts off the file.
func (c *Client) ForgetHostKeys(ctx context.Context, target string) ([]executor.PinnedHost, error) {
	var done PinnedHosts
	err := c.json(ctx, call{method: http.MethodDelete, path: "/v2.1/hostkeys", query: url.Values{"target": {target}}}, &done)
	return done.Hosts, err
}
