package ssh

import (
	"context"
	"sync/atomic"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

var _ executor.Conn = (*conn)(nil)

// conn is one host's place in the pool, as its user sees it.
type conn struct {
	t        *Transport
	place    *place
	inv      *inventory.Host
	released atomic.Bool
}

// host is the inventory's view of the host.
func (c *conn) host() *inventory.Host { return c.inv }

// memo remembers things about the host across its connections.
func (c *conn) memo() *memo { return &c.place.memo }

// fail wraps err with this host: a *executor.TransportError, or nil.
func (c *conn) fail(op string, err error) error { return fail(c.inv.Name, op, err) }

// server gives the version string of the server and how long the connection took to make.
func (c *conn) server() (id string, took time.Duration) {
	if l := c.place.live(); l != nil {
		return l.serverID, l.took
	}
	return "", 0
}

// Release implements executor.Conn.
func (c *conn) Release() {
	if c.released.CompareAndSwap(false, true) {
		c.place.release()
	}
}

// open waits for a session of the host and asks the server to run the command
// there. It does not wait for the server's consent to the command: that comes with
// [session.Wait]. The end of ctx closes the session at once, at any time.
func (c *conn) open(ctx context.Context, command string) (*session, error) {
	s, err := c.place.open(ctx, execRequest(command), false)
	return s, c.fail("open session", err)
}

// openUrgent is open for what must be possible when all sessions are taken, such as a kill.
func (c *conn) openUrgent(ctx context.Context, command string) (*session, error) {
	s, err := c.place.open(ctx, execRequest(command), true)
	return s, c.fail("open session", err)
}
