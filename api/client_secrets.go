package api

import (
	"context"
	"net/http"
	"net/url"

	"tfw/executor"
)

// SecretPage is a page of secrets.
type SecretPage struct {
	Secrets []executor.Secret `json:"secrets"`
	Next    string            `json:"next,omitempty" doc:"marker of the next page; absent on the last one"`
}

// SecretRequest makes or replaces a secret.
type SecretRequest struct {
	Value  string   `json:"value,omitempty" doc:"the secret, 4 to 8192 bytes"`
	Base64 []byte   `json:"base64,omitempty" doc:"in the place of value, for one that is no text"`
	Groups []string `json:"groups,omitempty" doc:"only users of these groups may name it; absent: every operator"`
}

// Secrets lists the secrets that may be named, never their values.
func (c *Client) Secrets(ctx context.Context) ([]executor.Secret, error) {
	q := url.Values{}
	return pages(func(marker string) ([]executor.Secret, string, error) {
		set(q, "marker", marker)
		var page SecretPage
		err := c.get(ctx, "/v2.1/secrets", q, &page)
		return page.Secrets, page.Next, err
	})
}

// SetSecret makes or replaces a secret.
func (c *Client) SetSecret(ctx context.Context, name string, req SecretRequest) (executor.Secret, error) {
	var made executor.Secret
	return made, c.json(ctx, call{method: http.MethodPut, path: secretPath(name), body: req}, &made)
}

// RemoveSecret forgets a secret.
func (c *Client) RemoveSecret(ctx context.Context, name string) error {
	return c.json(ctx, call{method: http.MethodDelete, path: secretPath(name)}, nil)
}

func secretPath(name string) string { return "/v2.1/secrets/" + url.PathEscape(name) }
