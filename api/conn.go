package api

import (
	"crypto/tls"
	"io"
	"net"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tfw/executor"
)

// listener wraps what it accepts into [conn].
type listener struct {
	net.Listener
	s      *Server
	closed sync.Once
}

func (l *listener) Close() (err error) {
	l.closed.Do(func() { err = l.Listener.Close() })
	return err
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	wrapped := newConn(c)
	l.s.mu.Lock()
	l.s.conns[wrapped] = struct{}{}
	l.s.mu.Unlock()
	wrapped.forget = func() {
		l.s.mu.Lock()
		delete(l.s.conns, wrapped)
		l.s.mu.Unlock()
	}
	return wrapped, nil
}

// conn is a connection that knows who is at the other end, whether the other
// end is still there, and how to close so that a last answer arrives.
type conn struct {
	net.Conn
	raw    syscall.RawConn     // nil when there is no descriptor
	peer   *executor.Principal // over a unix socket, the process's own user or root
	user   *executor.Identity  // over a unix socket, another user
	linger atomic.Bool         // the client may still be sending: let it read our answer
	spoke  atomic.Bool         // the client has sent something
	closed sync.Once
	forget func() // called by Close
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.spoke.Store(true)
	}
	return n, err
}

func newConn(c net.Conn) *conn {
	wrapped := &conn{Conn: c}
	under := c
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		under = t.NetConn()
	}
	if sc, ok := under.(syscall.Conn); ok {
		wrapped.raw, _ = sc.SyscallConn()
	}
	if _, ok := under.(*net.UnixConn); ok && wrapped.raw != nil {
		wrapped.peer, wrapped.user = peerOf(wrapped.raw)
	}
	return wrapped
}

// gone reports whether the client hung up. fasthttp does not look at a
// connection while a handler works, so the socket itself is asked: POLLRDHUP
// of poll(2) is set once the peer closed, or shut down its writing half.
func (c *conn) gone() bool {
	if c.raw == nil {
		return false
	}
	gone := false
	err := c.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		gone = err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone || err != nil
}

// Close closes. A connection that is closed with unread input is reset by TCP,
// which takes our last answer away from the client: then the input is read away first, for a while.
func (c *conn) Close() error {
	var err error
	c.closed.Do(func() {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() && half.CloseWrite() == nil {
			c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			io.CopyN(io.Discard, c.Conn, 64<<20)
		}
		err = c.Conn.Close()
		c.forget()
	})
	return err
}

// peerOf tells who is at a unix socket's other end, by SO_PEERCRED of unix(7): the
// process's own user and root have all rights, others those that the policy gives a local user, if any.
func peerOf(raw syscall.RawConn) (*executor.Principal, *executor.Identity) {
	var cred *unix.Ucred
	var credErr error
	err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || credErr != nil {
		return nil, nil
	}
	if name := userName(cred.Uid); cred.Uid != 0 && int(cred.Uid) != unix.Geteuid() {
		return nil, &executor.Identity{Kind: executor.ByUnixUser, Name: name, Names: []string{name}}
	}
	p := executor.Local(userName(cred.Uid))
	p.Source = "unix:pid=" + strconv.Itoa(int(cred.Pid))
	return &p, nil
}

// identity is what the connection itself proves of its other end: a local user, or a
// certificate that one of our authorities signed (RFC 5280). It is nil without. A certificate is looked at for each
// request: it may expire while its connection stays open.
func (c *conn) identity() *executor.Identity {
	if c == nil {
		return nil
	}
	if c.user != nil {
		return c.user
	}
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	state := t.ConnectionState()
	if len(state.VerifiedChains) == 0 {
		return nil
	}
	cert := state.PeerCertificates[0]
	id := &executor.Identity{Kind: executor.ByCertificate, Name: cert.Subject.CommonName, Expires: cert.NotAfter}
	if cert.Subject.CommonName != "" {
		id.Names = append(id.Names, "CN="+cert.Subject.CommonName)
	}
	for kind, names := range map[string][]string{"dns:": cert.DNSNames, "email:": cert.EmailAddresses} {
		for _, n := range names {
			id.Names = append(id.Names, kind+n)
		}
	}
	for _, u := range cert.URIs {
		id.Names = append(id.Names, "uri:"+u.String())
	}
	slices.Sort(id.Names)
	if id.Name == "" && len(id.Names) > 0 {
		id.Name = id.Names[0]
	}
	return id
}

var userNames sync.Map // uid to name

func userName(uid uint32) string {
	if name, ok := userNames.Load(uid); ok {
		return name.(string)
	}
	id := strconv.FormatUint(uint64(uid), 10)
	name := "uid " + id
	if u, err := user.LookupId(id); err == nil {
		name = u.Username
	}
	userNames.Store(uid, name)
	return name
}
