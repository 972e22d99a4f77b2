package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"tfw/executor"
)

// request is what the server knows of a request beside its HTTP.
type request struct {
	id        string
	path      string
	source    string // where it came from
	principal executor.Principal
	ctx       context.Context
	conn      *conn
	body      *body
	over      atomic.Bool // the rights that it began with are not there any more
}

const requestLocal = "tfw.request"

func requestOf(c *fiber.Ctx) *request { return c.Locals(requestLocal).(*request) }

// body is a request's body that remembers whether it was read to its end.
type body struct {
	r    io.Reader
	done bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.done {
		return 0, io.EOF
	}
	n, err := b.r.Read(p)
	b.done = err == io.EOF
	return n, err
}

// admit is the first to see a request that has a head: it gives it an id, lets
// in who may come in, keeps a panic from ending the process and counts.
func (s *Server) admit(c *fiber.Ctx) (err error) {
	start := time.Now()
	r := &request{id: requestID(c.Get("X-Request-Id")), path: c.Path(), source: sourceOf(c), ctx: s.ctx}
	r.conn, _ = c.Context().Conn().(*conn)
	if stream := c.Request().BodyStream(); stream != nil {
		r.body = &body{r: stream}
	}
	c.Locals(requestLocal, r)
	c.Set("X-Request-Id", r.id)
	c.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	if err := s.serve(c, r); err != nil {
		_ = s.onError(c, err) // it has answered
	}
	s.settle(c, r)
	s.refused(r, c.Method(), c.Response().StatusCode())
	s.metrics.count(c, time.Since(start))
	s.log.Debug("request", "request", r.id, "method", c.Method(), "path", c.Path(), "status", c.Response().StatusCode(),
		"by", r.principal.Name, "from", sourceOf(c), "took", time.Since(start))
	return nil
}

// serve does the work; a panic in it is an error.
func (s *Server) serve(c *fiber.Ctx, r *request) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.log.Error("panic in a request", "request", r.id, "path", c.Path(), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			c.Response().ResetBody()
			err = errPanicked
		}
	}()
	if twoLengths(&c.Request().Header) {
		c.Context().SetConnectionClose()
		return fmt.Errorf("%w: a request comes with a Content-Length or in chunks, not both", executor.ErrBadRequest)
	}
	if limit := s.bodyLimit(c.Path()); int64(c.Request().Header.ContentLength()) > limit {
		return tooLarge(limit)
	}
	if err := s.authenticate(c, r); err != nil {
		return err
	}
	r.principal.Request = r.id
	if err := c.Next(); err != nil {
		return err
	}
	notModified(c)
	return nil
}

// twoLengths reports a request that says how long its body is and sends it in chunks (RFC 9112, 6.1). The chunks would
// count here; who passed it on may have gone by the length, and would take the rest for another's request.
func twoLengths(h *fasthttp.RequestHeader) bool {
	return h.ContentLength() == -1 && bytes.Contains(bytes.ToLower(append([]byte("\n"), h.RawHeaders()...)), []byte("\ncontent-length:"))
}

// errPanicked stands for a panic, which was logged.
var errPanicked = fmt.Errorf("panic: %w", ErrInternal)

// settle closes the connection after an answer that was given before the whole
// body was read: what is left of it must not be taken for the next request.
func (s *Server) settle(c *fiber.Ctx, r *request) {
	if r.body == nil || r.body.done || c.Request().Header.ContentLength() == 0 {
		return
	}
	c.Context().SetConnectionClose()
	if r.conn != nil {
		r.conn.linger.Store(true)
	}
}

// bodyLimit is the bound of a body sent to a path.
func (s *Server) bodyLimit(path string) int64 {
	if strings.HasPrefix(path, "/v2.1/artifacts") {
		return s.cfg.ArtifactLimit
	}
	return s.cfg.BodyLimit
}

func tooLarge(limit int64) error {
	return fmt.Errorf("the body is %w: at most %d bytes are taken here", ErrTooLarge, limit)
}

// expect answers "Expect: 100-continue" (RFC 9110, 10.1.1): a body that is too
// large is refused before it is sent.
func (s *Server) expect(c *fasthttp.RequestCtx) int {
	limit := s.bodyLimit(string(c.Path()))
	if int64(c.Request.Header.ContentLength()) <= limit {
		return fasthttp.StatusContinue
	}
	p, _ := problemOf(tooLarge(limit))
	writeProblem(c, p, requestID(string(c.Request.Header.Peek("X-Request-Id"))))
	return http.StatusRequestEntityTooLarge
}

// refusedUnread keeps fasthttp from waiting for the first 8 KiB of a body whose
// declared length is over the limit: the handler refuses it for that at once.
func (s *Server) refusedUnread(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if int64(h.ContentLength()) <= s.bodyLimit(string(h.RequestURI())) {
		return fasthttp.RequestConfig{}
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: 1}
}

// knownMethod answers methods that fiber does not know before it does, in plain text.
func (s *Server) knownMethod(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	known := map[string]bool{}
	for _, m := range fiber.DefaultMethods {
		known[m] = true
	}
	return func(c *fasthttp.RequestCtx) {
		if known[string(c.Method())] {
			next(c)
			return
		}
		p := newProblem(http.StatusNotImplemented, "unknown_method", "the method of the request is not known here")
		writeProblem(c, p, requestID(string(c.Request.Header.Peek("X-Request-Id"))))
		c.SetConnectionClose()
	}
}

var plainID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,100}$`)

// requestID is the client's own when it is fit for logs and headers, else a new one.
func requestID(given string) string {
	if plainID.MatchString(given) {
		return given
	}
	return strings.ToLower(rand.Text()[:16])
}

// contentType is the media type of the body. What looks like a JSON object is
// one, whatever curl -d calls it: requests from other sites' web pages are refused on other grounds (see sameSite).
func (r *request) contentType(c *fiber.Ctx) string {
	given := c.Get(fiber.HeaderContentType)
	kind, _, _ := mime.ParseMediaType(given)
	if kind == "" || kind == fiber.MIMEApplicationForm {
		return fiber.MIMEApplicationJSON
	}
	return given
}

// onError is the one place that turns what went wrong outside of a handler into
// an answer: unknown paths, wrong methods, heads that cannot be parsed, refused callers.
func (s *Server) onError(c *fiber.Ctx, err error) error {
	id, _ := c.Locals(requestLocal).(*request)
	requestID := requestID(c.Get("X-Request-Id"))
	if id != nil {
		requestID = id.id
	} else if wrapped, ok := c.Context().Conn().(*conn); ok {
		wrapped.linger.Store(true) // fasthttp closes after an error of the head
	}
	p := s.explain(err, requestID)
	p.Instance = c.Path()
	for k, v := range headersOf(p) {
		c.Set(k, v)
	}
	writeProblem(c.Context(), p, requestID)
	return nil
}

// explain turns an error into a problem, and logs it when the user is not told its text.
func (s *Server) explain(err error, requestID string) *Problem {
	var said *fiber.Error
	if errors.As(err, &said) {
		return ofStatus(said.Code, said.Message)
	}
	p, known := problemOf(err)
	switch {
	case errors.Is(err, errPanicked):
		p.Detail = fmt.Sprintf("internal error: the controller's log has the cause under request %s", requestID)
	case !known:
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return newProblem(http.StatusServiceUnavailable, "draining", "the controller is shutting down: try again")
		}
		s.log.Error("request failed", "request", requestID, "error", err)
		p.Detail = fmt.Sprintf("internal error: the controller's log has the cause under request %s", requestID)
	}
	copied := *p
	return &copied
}

// ofStatus words what fiber and fasthttp only number.
func ofStatus(status int, text string) *Problem {
	p := newProblem(status, "", strings.ToLower(text))
	switch status {
	case http.StatusNotFound:
		p.Code, p.Detail = "not_found", "no such path (see: /docs)"
	case http.StatusMethodNotAllowed:
		p.Code, p.Detail = "method_not_allowed", "the path does not take this method (see the Allow header and /docs)"
	case http.StatusRequestHeaderFieldsTooLarge:
		p.Code, p.Detail = "head_too_large", "the head of the request is over 16 KiB"
	case http.StatusRequestTimeout:
		p.Code, p.Detail = "timeout", "the request did not arrive in time"
	case http.StatusRequestEntityTooLarge:
		p.Code = "too_large"
	case http.StatusBadRequest:
		p.Code, p.Detail = "bad_request", "the request is not valid HTTP"
	case http.StatusBadGateway: // what fiber makes of a connection that broke
		p.Status, p.Title, p.Code = http.StatusBadRequest, http.StatusText(http.StatusBadRequest), "bad_request"
	}
	return p
}

func headersOf(p *Problem) map[string]string {
	switch p.Status {
	case http.StatusUnauthorized:
		return map[string]string{"WWW-Authenticate": "Bearer"}
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return map[string]string{"Retry-After": "2"}
	}
	return nil
}

func writeProblem(c *fasthttp.RequestCtx, p *Problem, requestID string) {
	p.Request = requestID
	var b bytes.Buffer
	encode(&b, p)
	c.Response.SetStatusCode(p.Status)
	c.Response.Header.SetContentType("application/problem+json")
	c.Response.Header.Set("X-Request-Id", requestID)
	c.Response.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	c.Response.SetBody(b.Bytes())
}
