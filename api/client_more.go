package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"tfw/executor"
)

// PluginPage is a page of the catalogue.
type PluginPage struct {
	Plugins []Plugin `json:"plugins"`
	Next    string   `json:"next,omitempty" doc:"marker of the next page; absent on the last one"`
}

// Plugins gives the catalogue: what can be run.
func (c *Client) Plugins(ctx context.Context) ([]Plugin, error) {
	q := url.Values{}
	return pages(func(marker string) ([]Plugin, string, error) {
		set(q, "marker", marker)
		var page PluginPage
		err := c.get(ctx, "/v2.1/plugins", q, &page)
		return page.Plugins, page.Next, err
	})
}

// Plugin gives one plugin of the catalogue.
func (c *Client) Plugin(ctx context.Context, name string) (Plugin, error) {
	var p Plugin
	return p, c.get(ctx, "/v2.1/plugins/"+url.PathEscape(name), nil, &p)
}

// TokenPage is a page of tokens.
type TokenPage struct {
	Tokens []executor.Token `json:"tokens"`
	Next   string           `json:"next,omitempty" doc:"marker of the next page; absent on the last one"`
}

// NewToken is a token just made, with its text: the only time it is seen.
type NewToken struct {
	executor.Token
	Text string `json:"token" doc:"the secret itself: it is never shown again"`
}

// TokenRequest asks for a token.
type TokenRequest struct {
	Name    string            `json:"name" minLength:"1" maxLength:"100" doc:"for whom or what it is"`
	Role    executor.Role     `json:"role" enum:"viewer,operator,admin"`
	Groups  []string          `json:"groups,omitempty" doc:"groups of the inventory it may see; absent: all"`
	Expires executor.Duration `json:"expires,omitempty" doc:"how long it is good for; absent: for good"`
}

// CreateToken makes a token.
func (c *Client) CreateToken(ctx context.Context, req TokenRequest) (NewToken, error) {
	var made NewToken
	return made, c.json(ctx, call{method: http.MethodPost, path: "/v2.1/tokens", body: req}, &made)
}

// Tokens lists tokens, revoked and expired ones too, never their text.
func (c *Client) Tokens(ctx context.Context) ([]executor.Token, error) {
	q := url.Values{}
	return pages(func(marker string) ([]executor.Token, string, error) {
		set(q, "marker", marker)
		var page TokenPage
		err := c.get(ctx, "/v2.1/tokens", q, &page)
		return page.Tokens, page.Next, err
	})
}

// RevokeToken ends a token now and for good.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.json(ctx, call{method: http.MethodDelete, path: "/v2.1/tokens/" + url.PathEscape(id)}, nil)
}

// LoginOffer tells how users log in there; it needs no token.
func (c *Client) LoginOffer(ctx context.Context) (LoginOffer, error) {
	var offer LoginOffer
	return offer, c.get(ctx, "/login", nil, &offer)
}

// Login gets a token for an ID token of the controller's OpenID provider.
func (c *Client) Login(ctx context.Context, idToken string) (NewToken, error) {
	var made NewToken
	body := map[string]string{"id_token": idToken}
	return made, c.json(ctx, call{method: http.MethodPost, path: "/login", body: body}, &made)
}

// Whoami asks who this client is to the controller.
func (c *Client) Whoami(ctx context.Context) (Whoami, error) {
	var w Whoami
	return w, c.get(ctx, "/v2.1/whoami", nil, &w)
}

// Artifact is content in the artifact store.
type Artifact struct {
	SHA256 string `json:"sha256" doc:"of the content, hex"`
	Size   int64  `json:"size" doc:"bytes"`
}

// PutArtifact stores content under its SHA-256. It is streamed, never held in memory.
func (c *Client) PutArtifact(ctx context.Context, r io.Reader) (Artifact, error) {
	var a Artifact
	return a, c.json(ctx, call{
		method: http.MethodPost, path: "/v2.1/artifacts", raw: r,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
	}, &a)
}

// GetArtifact opens stored content; the caller closes it. size is -1 when the server did not say.
func (c *Client) GetArtifact(ctx context.Context, sha256 string) (content io.ReadCloser, size int64, err error) {
	return c.ResumeArtifact(ctx, sha256, 0)
}

// ResumeArtifact is GetArtifact without the first bytes, for a copy that broke off: size is of the rest.
func (c *Client) ResumeArtifact(ctx context.Context, sha256 string, skip int64) (content io.ReadCloser, size int64, err error) {
	q := url.Values{}
	if skip > 0 {
		q.Set("skip", strconv.FormatInt(skip, 10))
	}
	resp, err := c.do(ctx, call{method: http.MethodGet, path: "/v2.1/artifacts/" + url.PathEscape(sha256), query: q, accept: "*/*"})
	if err != nil {
		return nil, 0, err
	}
	return resp.Body, resp.ContentLength, nil
}

// Version tells what a controller is.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go,omitempty" doc:"the Go release it was built with"`
	API     string `json:"api" example:"v2.1"`
}

// Version asks which version the controller is.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	return v, c.get(ctx, "/v2.1/version", nil, &v)
}

// Health is nil when the controller takes runs. A [*Problem] says why it does not.
func (c *Client) Health(ctx context.Context) error { return c.get(ctx, "/readyz", nil, nil) }
