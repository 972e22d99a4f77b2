package executor

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Stream names one of the byte streams of a command in the log.
type Stream string

// The streams. Events are notes of the executor and of plugins for the tester;
// they are no bytes of the host.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
	Events Stream = "event"
)

// CommandID is the identity of one remote command: which run, on which host of
// the inventory, the how-many-th of its method. It is started exactly once.
type CommandID struct {
	Run     RunID
	Host    string
	Ordinal int
}

// String is the id in the form used on the host: of A-Za-z0-9._- only, unique,
// and never beginning with a dot.
func (id CommandID) String() string {
	return fmt.Sprintf("%s.%d.%s", id.Run, id.Ordinal, plain(id.Host))
}

// plain escapes a host name to the portable filename character set (POSIX
// 3.265) so that two names never meet: any other byte becomes _HH, "_" too.
func plain(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.':
			b.WriteByte(c)
		default:
			b.WriteString("_" + strconv.FormatUint(uint64(c)+0x100, 16)[1:])
		}
	}
	return b.String()
}

// DurableCommand is what a [Conn] is asked to start: everything is decided, nothing is policy.
type DurableCommand struct {
	ID     CommandID
	Script []byte // what to run; starts with "#!" for another interpreter than /bin/sh
	// Login: Script is a line for the login user's own shell, run as sshd would
	// run it ($SHELL -c LINE, $0 its base name; /bin/sh where $SHELL is no POSIX
	// shell), so that bytes and status equal those of "ssh HOST LINE". Its rc files are not read a second time.
	Login  bool
	Args   []string          // of Script; not with Login
	Env    map[string]string // exported to the command; names are checked by the caller
	Path   string            // a directory of the host put before its PATH; "" is none
	Cwd    string            // "" is the login user's home; one that is not there ends with status 126 and a line on stderr
	Stdin  []byte            // nil is /dev/null
	Become *BecomeAs
	Merge  bool // stderr goes to stdout
	// BootID and Begun are the host's boot id ("" where it was not known) and the
	// time when the start was first intended, before any launch was sent. A host that
	// was booted since is not asked to start it: it may have run. Zero values: no such check.
	BootID string
	Begun  time.Time
	// MaxSpool bounds the output that waits on the host unacknowledged; 0 is the
	// transport's default. At the bound the command is stalled, nothing is lost.
	MaxSpool int64
	Secrets  bool // script or stdin hold secrets: they must not be seen by ps on the host
}

// BecomeAs is a resolved change of user. The password must never be logged or stored.
type BecomeAs struct {
	User, Method, Password string
}

// Offsets counts the bytes of both streams, from the command's start.
type Offsets struct {
	Stdout int64 `json:"stdout"`
	Stderr int64 `json:"stderr"`
}

// EndKind tells how a command ended, or why that cannot be told.
type EndKind string

// The kinds of end. Everything but EndExit and EndSignal means that the exit
// status is not known, and is never guessed.
const (
	EndExit      EndKind = "exit"           // by itself, with Code
	EndSignal    EndKind = "signal"         // killed by Signal
	EndReboot    EndKind = "host rebooted"  // the host has another boot id than at the start
	EndWrapper   EndKind = "wrapper killed" // tfw's shell on the host died before it could record the end
	EndSpoolGone EndKind = "spool removed"  // the spool directory vanished under the run
	EndSpoolFull EndKind = "spool disk full"
	EndUnknown   EndKind = "not known on the host" // an attach found no trace
)

// End is the end of a command as the host recorded it.
type End struct {
	Kind    EndKind       `json:"kind"`
	Code    int           `json:"code"`             // exit status; 128+n for a signal
	Signal  string        `json:"signal,omitempty"` // "TERM", "KILL" ...
	Sizes   Offsets       `json:"sizes"`            // bytes of each stream, all delivered to the sink
	Elapsed time.Duration `json:"elapsed"`          // by the host's clock
	Note    string        `json:"note,omitempty"`   // detail for the tester, such as "disk full: 4096 bytes of stdout lost"
}

// KillReport proves what a kill did.
type KillReport struct {
	Gone   bool          `json:"gone"`   // it had ended before
	Killed int           `json:"killed"` // processes that were alive and are not any more
	Left   []LeftProcess `json:"left,omitempty"`
}

// LeftProcess is a process that could not be killed.
type LeftProcess struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
}

// String is the proof in the words of the result: "killed 3 processes", "already gone" or
// "left: 4711 sleep".
func (k KillReport) String() string {
	switch {
	case len(k.Left) > 0:
		var b strings.Builder
		b.WriteString("left: ")
		for i, p := range k.Left {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%d %s", p.PID, p.Command)
		}
		return b.String()
	case k.Gone && k.Killed == 0:
		return "already gone"
	}
	if k.Killed == 1 {
		return "killed 1 process"
	}
	return fmt.Sprintf("killed %d processes", k.Killed)
}
