package api

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"tfw/executor"
)

// authenticate finds out who asks. Only /v2.1 needs that: the rest tells
// nothing of the lab's but numbers (health, metrics, the API's description).
func (s *Server) authenticate(c *fiber.Ctx, r *request) error {
	if path := c.Path(); path != "/v2.1" && !strings.HasPrefix(path, "/v2.1/") {
		return nil
	}
	return s.identify(c, r)
}

// identify makes whoever asks the request's principal, or refuses it.
func (s *Server) identify(c *fiber.Ctx, r *request) error {
	token := tokenOf(c)
	switch {
	case s.cfg.Auth && token != "":
		return s.byToken(c, r, token)
	case r.conn != nil && r.conn.peer != nil:
		r.principal = *r.conn.peer
	case s.cfg.Auth && r.conn.identity() != nil:
		if err := foreignPage(c); err != nil {
			return err
		}
		return s.byProof(r, *r.conn.identity())
	case s.cfg.Auth:
		s.metrics.refused.Inc()
		return fmt.Errorf("%w: send one as \"Authorization: Bearer TOKEN\" (the first start wrote one to admin.token in tfwd's data directory)", ErrUnauthenticated)
	default:
		r.principal = executor.Principal{Name: "anonymous", Role: executor.Admin, Source: sourceOf(c)}
		return sameSite(c)
	}
	return nil
}

// byToken lets a valid token in at once, and slows down a source that keeps failing.
func (s *Server) byToken(c *fiber.Ctx, r *request, token string) error {
	p, err := s.cfg.Executor.Authenticate(r.ctx, token, r.source)
	if err == nil {
		r.principal = p
		return nil
	}
	if !errors.Is(err, executor.ErrForbidden) {
		return err
	}
	return s.slowed(r, fmt.Errorf("%w: the token is wrong, expired or revoked (see: tfwctl token list)", ErrUnauthenticated))
}

// byProof lets in who is known by its client certificate, or as a local user.
func (s *Server) byProof(r *request, id executor.Identity) error {
	p, err := s.cfg.Executor.Identify(id, r.source)
	if err != nil {
		s.metrics.refused.Inc()
		s.log.Warn("authentication failed", "request", r.id, "from", r.source, "path", r.path, "kind", id.Kind, "name", id.Name)
		return fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	r.principal = p
	return nil
}

// failedLogin is the answer to a login that was refused.
func (s *Server) failedLogin(r *request, why error) error {
	s.log.Warn("login refused", "request", r.id, "from", r.source, "error", why)
	return s.slowed(r, fmt.Errorf("%w: %w", ErrUnauthenticated, why))
}

// slowed holds the answer up the longer, the more often the source failed.
func (s *Server) slowed(r *request, answer error) error {
	s.metrics.refused.Inc()
	wait, allowed := s.throttle.failed(hostOfAddr(r.source))
	s.log.Warn("authentication failed", "request", r.id, "from", r.source, "path", r.path, "delay", wait)
	if !allowed {
		return fmt.Errorf("%w: too many failed authentications from here: try again later", ErrTooMany)
	}
	pause(s.stopping, wait)
	s.throttle.done()
	return answer
}

// tokenOf is the token of the request, in one of its two places.
func tokenOf(c *fiber.Ctx) string {
	if kind, token, ok := strings.Cut(c.Get(fiber.HeaderAuthorization), " "); ok && strings.EqualFold(kind, "bearer") {
		return strings.TrimSpace(token)
	}
	return c.Get("X-Auth-Token")
}

// sourceOf is where a request came from.
func sourceOf(c *fiber.Ctx) string {
	if w, ok := c.Context().Conn().(*conn); ok && w.peer != nil {
		return w.peer.Source
	}
	return c.Context().RemoteAddr().String()
}

// hostOfAddr is an address without its port.
func hostOfAddr(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// sameSite refuses what a web page of another site makes a browser ask of a
// controller that asks nobody for a token: by the Origin that browsers send
// with it, or by the name of a site that was made to resolve to us (DNS rebinding).
func sameSite(c *fiber.Ctx) error {
	host := hostOfAddr(string(c.Context().Host()))
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "localhost" {
		return fmt.Errorf("%w: without tokens the controller is only reachable by its address or as localhost, not as %q", executor.ErrForbidden, host)
	}
	return foreignPage(c)
}

// foreignPage refuses what a browser was made to ask by a page of another site: it shows
// its certificate, or has the way in, without its user's wish.
func foreignPage(c *fiber.Ctx) error {
	if site := c.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return fmt.Errorf("%w: a web page of another site may not ask this", executor.ErrForbidden)
	}
	if origin := c.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, string(c.Context().Host())) {
			return fmt.Errorf("%w: a web page of another site may not ask this", executor.ErrForbidden)
		}
	}
	return nil
}
