package executortest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// faultConn is the server's end of a connection that can fall silent after a given message of the
// handshake. What it is told to swallow is reported as written: the server above goes on believing.
type faultConn struct {
	net.Conn
	mu     sync.Mutex
	silent bool
	gone   bool // reading is over too
	last   byte // the message after which nothing is sent; 0 is none
	buf    []byte
	plain  bool // no NEWKEYS yet: messages can be told apart
	greet  bool // the version line is through
}

// Messages of the handshake (RFC 4253 section 12, RFC 5656 section 7.1).
const (
	msgVersion  = 1 // not on the wire: stands for the version line
	msgKexInit  = 20
	msgNewKeys  = 21
	msgKexReply = 31
)

var lastMessage = map[Fault]byte{
	FaultHangVersion: msgVersion, FaultHangKexInit: msgKexInit, FaultHangKexReply: msgKexReply, FaultHangNewKeys: msgNewKeys,
}

func newFaultConn(c net.Conn, f Fault) *faultConn {
	return &faultConn{Conn: c, last: lastMessage[f], plain: true}
}

// Write passes bytes on up to the last message that may be seen.
func (c *faultConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent {
		return len(b), nil
	}
	if c.last == 0 || !c.plain {
		return c.Conn.Write(b)
	}
	c.buf = append(c.buf, b...)
	for {
		n, message := c.next()
		if n == 0 {
			return len(b), nil
		}
		if _, err := c.Conn.Write(c.buf[:n]); err != nil {
			return 0, err
		}
		c.buf = c.buf[n:]
		if message == c.last {
			c.silent = true
			return len(b), nil
		}
	}
}

// next finds the first whole message in the buffer: its length with all framing, and its number.
func (c *faultConn) next() (int, byte) {
	if !c.greet {
		n := bytes.IndexByte(c.buf, '\n') + 1
		c.greet = n > 0
		return n, msgVersion
	}
	if len(c.buf) < 6 { // length(4), padding length(1), message number(1)
		return 0, 0
	}
	n := 4 + int(binary.BigEndian.Uint32(c.buf))
	if len(c.buf) < n {
		return 0, 0
	}
	return n, c.buf[5]
}

// Read gives nothing any more once the peer has vanished.
func (c *faultConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	gone := c.gone
	c.mu.Unlock()
	if gone && err == nil {
		c.waitClosed()
		return 0, io.EOF
	}
	return n, err
}

// vanish makes the connection half-open: what is sent and what arrives is lost.
func (c *faultConn) vanish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent, c.gone = true, true
}

// waitClosed blocks until the client has closed, or our side was.
func (c *faultConn) waitClosed() { _, _ = io.Copy(io.Discard, c.Conn) }
