package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tfw/inventory"
)

// Transport reaches hosts. It holds no policy: it does not retry a command and
// gives no verdicts. Safe for concurrent use. Its errors are [*TransportError].
type Transport interface {
	// Connect gives a connection to the host, pooled where there is one. The
	// host's settings are those of this *Host value: a changed setting is
	// another connection. Jump hosts are looked up with via. It honours ctx
	// over every stage (dial, handshake, authentication, probe). The Conn must be released.
	Connect(ctx context.Context, host *inventory.Host, via func(name string) (*inventory.Host, bool)) (Conn, error)
	// Stats counts what the pool holds, for metrics.
	Stats() PoolStats
	// Close ends every connection and waits for all it started. Commands go on on their hosts.
	Close() error
}

// Conn is one host's place in the pool. Its methods may be used side by side:
// each takes a session of the host, waiting for one when the server grants no more.
// Any method's error for a connection that broke is [ErrLost]: a new Conn may go on.
type Conn interface {
	// Run starts the command and blocks until its end is known and every byte
	// up to End.Sizes was given to sink, in order within each stream. Asked twice for one id,
	// by anyone, the host runs it once; the second call attaches. Starting again is
	// safe at any time and after any error.
	//
	// Bytes before from are not sent again: from is what the store holds. When attach
	// is true the command was started before: it is followed, and
	// never started (an unknown id ends with EndUnknown). So it is when the host was
	// booted since the command's start was intended (cmd.BootID, cmd.Begun).
	//
	// When ctx ends Run returns at once with ctx's error and leaves the command running.
	Run(ctx context.Context, cmd DurableCommand, from Offsets, attach bool, sink Sink) (End, error)
	// Acknowledge tells that every byte and the end of the commands, which were run as become
	// says, are stored: the host may forget them. It only queues; the work is done in bulk later.
	Acknowledge(become *BecomeAs, ids ...CommandID)
	// Kill sends TERM to the command's process group and to every process that
	// carries its mark, KILL after grace, and returns when none is left or with what is.
	// Killing twice, or what has ended, is no error.
	Kill(ctx context.Context, id CommandID, become *BecomeAs, grace time.Duration) (KillReport, error)
	// Strays lists processes that carry the mark of tfw runs that ended (no
	// spool says they run), for the report of what outlived its run.
	Strays(ctx context.Context) ([]Stray, error)
	// Probe runs a read-only script without durability, bounded to 1 MiB of output.
	// For facts and reachability, never for users' commands.
	Probe(ctx context.Context, script string) (stdout []byte, err error)
	// Put places content at dest: written beside it, verified by size and hash, renamed.
	// size is the content's length. When the same content is there already it
	// is skipped, unless become makes that unreadable. An interrupted Put leaves no partial dest.
	Put(ctx context.Context, put Put) (PutResult, error)
	// Get streams a file, or a directory as a tar archive, into w; of a file that grows as much as there is
	// at the beginning. A w that is a [Partial] is gone on with. The error wraps fs.ErrNotExist when src is
	// absent, and [ErrTorn] when the file was changed while it was read.
	Get(ctx context.Context, src string, become *BecomeAs, w io.Writer) (GetResult, error)
	// Info tells what the probe found of the host.
	Info() HostInfo
	// Release gives the place back. It does not disturb what others do on the connection.
	Release()
}

// Sink receives what a command does, in the order of arrival. Its methods block
// to slow the host down; an error ends [Conn.Run] with it.
type Sink interface {
	// Started is called once the host has confirmed that the command was started or found.
	Started(s Started) error
	// Bytes gives data of a stream that begins at offset. The slice is the
	// caller's again on return. Offsets are contiguous within a stream.
	Bytes(stream Stream, offset int64, data []byte) error
	// Event reports what a tester should see: "stalled: ...".
	Event(text string)
}

// Keeper is a [Sink] that can tell from where on a later [Conn.Run] may ask for a
// command's bytes again: the host gives those before back to its disk while the
// command still runs. It blocks for a write of the store, and is called seldom.
type Keeper interface {
	Kept() (Offsets, error)
}

// Started is what a host said of a command's start.
type Started struct {
	BootID string // of the host, "" when it has none
	PID    int    // of the wrapper or command, 0 when unknown
	Found  bool   // it had been started before
}

// Put is one file for [Conn.Put].
type Put struct {
	Content io.ReaderAt
	Size    int64
	SHA256  string // hex; "" makes no skip and no check but of the size
	Dest    string
	Mode    uint32
	ModTime time.Time // zero: now
	Become  *BecomeAs
	// Key names the operation, for it alone. A Put whose connection broke is gone on
	// with by another of the same Key; "" begins anew each time.
	Key string
}

// PutResult tells what a Put did.
type PutResult struct {
	Path    string
	Skipped bool   // the same content was there
	Via     string // "sftp", "exec"
	Resumed int64  // so many bytes were there from an earlier Put of the same Key
}

// Partial is a writer that holds what an earlier [Conn.Get] brought of the same file.
// Where the host's file begins with those very bytes, Get calls Resume before the
// first Write and sends only what follows them; else the writer begins anew.
type Partial interface {
	io.Writer
	Held() (size int64, sha256 string) // hex
	Resume()
}

// GetResult tells what a Get brought.
type GetResult struct {
	Bytes   int64  // that were sent
	Note    string // what happened to it meanwhile and did no harm: "it grew ..."
	Dir     bool
	Mode    uint32
	ModTime time.Time
}

// HostInfo is what the probe of a connection found, remembered with it.
type HostInfo struct {
	BootID      string // as this connection was told; "" when nothing was asked yet
	Follow      string // "inotify" (GNU tail) or "poll"
	Spool       string // directory on the host
	Durable     bool   // commands outlive the login
	NotDurable  string // why not
	ServerID    string // the server's SSH version string
	ConnectedIn time.Duration
}

// Stray is a process that outlived its run.
type Stray struct {
	Command CommandID
	LeftProcess
}

// PoolStats counts connections.
type PoolStats struct {
	Connections int
	Sessions    int
	Dialing     int
	Dials       uint64 // since the start
	Failures    uint64
}

// Kinds of a [*TransportError], for errors.Is.
var (
	ErrUnreachable = errors.New("unreachable")         // no connection: refused, no route, timed out, unknown address
	ErrAuth        = errors.New("not authenticated")   // the server is right, the login was refused
	ErrHostKey     = errors.New("host key")            // unknown, changed or revoked
	ErrLost        = errors.New("connection lost")     // it was there and broke; try again
	ErrRefused     = errors.New("refused by the host") // reached, but it will not: no session, no spool, become refused
	ErrBecome      = errors.New("become refused")      // sudo and the like said no
	// ErrPath is of a Put or Get: the host was reached and its files said no (missing, denied, full). It is an [ErrRefused], too.
	ErrPath = fmt.Errorf("%w: its files say no", ErrRefused)
	ErrTorn = errors.New("changed while it was read") // by a Get: what came is neither the old nor the new
)

// TransportError says what could not be done to which host, why, and what to do
// next. It unwraps to its kind and to its cause.
type TransportError struct {
	Kind error  // one of the kinds above
	Host string // inventory name
	Op   string // "connect", "run", "put" ...
	Err  error  // the cause
	Hint string // the next step for a person
}

func (e *TransportError) Error() string {
	s := fmt.Sprintf("%s: %s: %v", e.Host, e.Op, e.Err)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *TransportError) Unwrap() []error { return []error{e.Kind, e.Err} }
