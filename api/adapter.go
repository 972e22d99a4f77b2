package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
)

// adapter lets huma register its operations with fiber. huma's own one brings
// fiber v3 into the program beside v2, and hands out streamed bodies without a
// bound: this one does only what this package needs.
type adapter struct{ app *fiber.App }

// Handle registers an operation; a GET answers HEAD too.
func (a adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	path := strings.NewReplacer("{", ":", "}", "").Replace(op.Path)
	serve := func(c *fiber.Ctx) error {
		r := requestOf(c)
		if err := checkQuery(string(c.Request().URI().QueryString())); err != nil {
			return err
		}
		handler(&humaContext{op: op, c: c, r: r, ctx: context.WithValue(r.ctx, requestKey{}, r)})
		return nil
	}
	a.app.Add(op.Method, path, serve)
	if op.Method == fiber.MethodGet {
		a.app.Add(fiber.MethodHead, path, serve)
	}
}

// ServeHTTP is for huma's own tests only.
func (a adapter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "not served here", http.StatusNotImplemented)
}

// humaContext shows a fiber request to huma.
type humaContext struct {
	op     *huma.Operation
	c      *fiber.Ctx
	r      *request
	ctx    context.Context
	status int
}

func (h *humaContext) Operation() *huma.Operation { return h.op }
func (h *humaContext) Context() context.Context   { return h.ctx }
func (h *humaContext) Method() string             { return h.c.Method() }
func (h *humaContext) Host() string               { return h.c.Hostname() }
func (h *humaContext) RemoteAddr() string         { return h.c.Context().RemoteAddr().String() }
func (h *humaContext) Param(name string) string   { return h.c.Params(name) }
func (h *humaContext) Query(name string) string   { return h.c.Query(name) }
func (h *humaContext) Header(name string) string {
	if name == fiber.HeaderContentType {
		return h.r.contentType(h.c)
	}
	return h.c.Get(name)
}

// URL is only asked for its query; a path that is no URL was answered before.
func (h *humaContext) URL() url.URL {
	u, err := url.Parse(h.c.OriginalURL())
	if err != nil {
		return url.URL{Path: h.c.Path()}
	}
	return *u
}

func (h *humaContext) EachHeader(cb func(name, value string)) {
	for k, v := range h.c.Request().Header.All() {
		cb(string(k), string(v))
	}
}

func (h *humaContext) BodyReader() io.Reader {
	if h.r.body == nil {
		return bytes.NewReader(nil)
	}
	return h.r.body
}

func (h *humaContext) GetMultipartForm() (*multipart.Form, error) {
	return nil, errors.New("forms are not read here")
}
func (h *humaContext) SetReadDeadline(t time.Time) error {
	if h.r.conn == nil {
		return nil
	}
	return h.r.conn.SetReadDeadline(t)
}
func (h *humaContext) SetStatus(code int)              { h.status = code; h.c.Status(code) }
func (h *humaContext) Status() int                     { return h.status }
func (h *humaContext) AppendHeader(name, value string) { h.c.Append(name, value) }
func (h *humaContext) SetHeader(name, value string)    { h.c.Set(name, value) }
func (h *humaContext) BodyWriter() io.Writer           { return h.c.Context() }
func (h *humaContext) TLS() *tls.ConnectionState       { return nil }
func (h *humaContext) Version() huma.ProtoVersion {
	return huma.ProtoVersion{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
}

// requestKey finds the request in a handler's context.
type requestKey struct{}

func requestIn(ctx context.Context) *request { return ctx.Value(requestKey{}).(*request) }
