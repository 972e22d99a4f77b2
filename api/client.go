package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Client talks to a controller over its REST API. Safe for concurrent use; it
// keeps connections open: Close it when done.
//
// Every error that the controller gave is a [*Problem]; errors.Is sees through
// it to the executor's sentinels (executor.ErrNotFound, executor.ErrLeased ...).
// An error without a Problem means that the controller was not reached or did
// not speak this API.
type Client struct {
	base     string // without a trailing slash
	http     *http.Client
	token    string
	agent    string
	patience time.Duration
	shown    string // the address as the user knows it, for messages
}

// Option adjusts a [Client].
type Option func(*Client, *http.Transport)

// WithToken sends the token with every request.
func WithToken(token string) Option { return func(c *Client, _ *http.Transport) { c.token = token } }

// WithUserAgent names the program, for the controller's log.
func WithUserAgent(name string) Option { return func(c *Client, _ *http.Transport) { c.agent = name } }

// WithDial connects by dial whatever the base URL's host is: for a server in
// the same process (see [Pipe]) or behind a tunnel.
func WithDial(dial func(ctx context.Context) (net.Conn, error)) Option {
	return func(_ *Client, t *http.Transport) {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	}
}

// WithTLS sets the settings for https.
func WithTLS(cfg *tls.Config) Option {
	return func(_ *Client, t *http.Transport) { t.TLSClientConfig = cfg }
}

// WithPatience bounds how long [Client.Wait] and [Client.Log] go on trying
// while the controller cannot be reached (it may be restarting); 0 gives up at the first failure.
// The default is one minute.
func WithPatience(d time.Duration) Option {
	return func(c *Client, _ *http.Transport) { c.patience = d }
}

// NewClient makes a client of the controller at base: "http://HOST:PORT",
// "https://HOST:PORT" (a path before /v2.1 is kept) or "unix:///PATH" for its
// socket. Nothing is dialled yet.
func NewClient(base string, opts ...Option) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w", base, err)
	}
	// Responses may take as long as a run does: only the connecting is bounded here.
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: false,
		TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second,
	}
	c := &Client{http: &http.Client{Transport: t}, agent: "tfw", patience: time.Minute, shown: base}
	switch {
	case u.Scheme == "unix" && u.Path != "":
		c.base, t.Proxy = "http://localhost", nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", u.Path)
		}
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		u.RawQuery, u.Fragment = "", ""
		c.base = strings.TrimSuffix(strings.TrimSuffix(u.String(), "/"), "/v2.1")
	default:
		return nil, fmt.Errorf("server %q: want http://HOST:PORT, https://HOST:PORT or unix:///PATH", base)
	}
	for _, opt := range opts {
		opt(c, t)
	}
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// call is one request of the client.
type call struct {
	method string
	path   string // after the base; escaped
	query  url.Values
	body   any       // sent as JSON when not nil
	raw    io.Reader // sent as it is when body is nil
	accept string
	header http.Header
	safe   bool // may be sent twice, though it is no GET
}

// cut reports whether the connection broke before any answer came, and the call may be sent again: a controller
// that is just ending does that to who calls in this moment.
func (r call) cut(err error) bool {
	again := r.safe || r.method == http.MethodGet || r.header.Get("Idempotency-Key") != ""
	return again && r.raw == nil && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
}

// do sends the request and gives the response of a 2xx status; the caller closes its body. A call that was cut off is sent once more.
func (c *Client) do(ctx context.Context, r call) (*http.Response, error) {
	resp, err := c.once(ctx, r)
	if err == nil || !r.cut(err) {
		return resp, err
	}
	select {
	case <-time.After(100 * time.Millisecond):
		return c.once(ctx, r)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Client) once(ctx context.Context, r call) (*http.Response, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := ctx.Err(); cause != nil {
			return nil, cause
		}
		var opaque *url.Error // its text repeats the method and URL
		if errors.As(err, &opaque) {
			err = opaque.Err
		}
		return nil, &unreachable{server: c.shown, err: err}
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, problemFrom(resp, r)
}

func (c *Client) request(ctx context.Context, r call) (*http.Request, error) {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	body := r.raw
	if r.body != nil {
		raw, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	if r.header != nil {
		req.Header = r.header.Clone()
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	accept := r.accept
	if accept == "" {
		accept = "application/json"
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", c.agent)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// get decodes the response to a GET.
func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	return c.json(ctx, call{method: http.MethodGet, path: path, query: query}, into)
}

// json decodes the response into into, when that is not nil.
func (c *Client) json(ctx context.Context, r call, into any) error {
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &unreachable{server: c.shown, err: fmt.Errorf("%s %s: %w", r.method, r.path, err)}
	}
	return nil
}

// unreachable says that no answer came: what was asked may or may not have been done.
type unreachable struct {
	server string
	err    error
}

func (e *unreachable) Error() string {
	return fmt.Sprintf("controller %s: %v (is tfwd running?)", e.server, e.err)
}
func (e *unreachable) Unwrap() error { return e.err }

// problemFrom reads the problem of a response that is none of ours too: a proxy may have written it.
func problemFrom(resp *http.Response, r call) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	p := &Problem{}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(body, p) != nil || p.Title == "" {
		text := strings.ToLower(http.StatusText(resp.StatusCode))
		p = newProblem(resp.StatusCode, "", fmt.Sprintf("%s %s: the server answered %d %s, and not as a tfw controller does", r.method, r.path, resp.StatusCode, text))
	}
	if p.Status == 0 {
		p.Status = resp.StatusCode
	}
	return p
}
