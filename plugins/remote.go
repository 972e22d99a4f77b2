package plugins

import (
	"context"
	"io"
	"time"
)

// Remote is one host as a method sees it. Every operation is durable: it has an
// identity (run, host, ordinal of the call), is done exactly once, and after a
// restart of the controller is answered from the record when the method is
// replayed. So a method must make the same calls in the same order when it is
// given the same answers; it must not consult clocks, random numbers or the
// controller's files in between.
//
// A Remote is used by one goroutine at a time.
type Remote interface {
	// Host tells which host this is.
	Host() Host
	// Run runs a command and waits for its end. A command that exits with a
	// status other than 0 is a Result, not an error. An error means that the
	// end could not be told (see the executor's reasons) or that ctx ended.
	Run(ctx context.Context, cmd Command) (Result, error)
	// Upload places a file on the host atomically: complete under its name or
	// not at all. It is skipped when the content is there already.
	Upload(ctx context.Context, up Upload) (Transfer, error)
	// Download brings a file or directory of the host into the controller's artifact store.
	Download(ctx context.Context, down Download) (Transfer, error)
	// Note writes a line for the tester into the run's log (stream "event").
	Note(format string, args ...any)
}

// Artifacts is an optional power of a [Remote]: reading what the controller's
// artifact store holds. Found by assertion.
type Artifacts interface {
	// OpenArtifact opens a stored file by its SHA-256 (hex). The error wraps fs.ErrNotExist when there is none.
	OpenArtifact(ctx context.Context, sha256 string) (io.ReadCloser, int64, error)
}

// Rebooter is an optional power of a [Remote]. Found by assertion.
type Rebooter interface {
	// Reboot reboots the host and returns when it answers with a new boot id,
	// or with an error when it has not within wait.
	Reboot(ctx context.Context, wait time.Duration) error
}

// Rekeyer is an optional power of a [Remote], for methods that are [Exclusive]. Found by assertion.
type Rekeyer interface {
	// NewHostKey waits until the host, which was installed anew, shows another key than those
	// on file, and puts that in their place, on record. A host that shows the old ones until ask.Wait is over is an unchanged KeyChange, no error.
	NewHostKey(ctx context.Context, ask NewKey) (KeyChange, error)
}

// NewKey says which key a host that was installed anew may show.
type NewKey struct {
	Wait        time.Duration // how long it may take until it shows one
	Fingerprint string        // the only one that is taken, "SHA256:..."; "": what is shown first
}

// KeyChange tells which keys of a host were on file, and which are now, by fingerprint.
type KeyChange struct {
	Was     []string `json:"was"`
	Now     []string `json:"now,omitempty"`
	Changed bool     `json:"changed"`
}

// Host is what a method may know of its host.
type Host struct {
	Name    string
	Address string
	Groups  []string
	Tags    []string
	Vars    map[string]any
}

// Command is one command for a host. Exactly one of Argv, Shell and Script is set.
type Command struct {
	Argv   []string // run as it is, every word quoted
	Shell  string   // a line for /bin/sh
	Script []byte   // a whole script; its "#!" line is honoured, and Argv[1:] are its arguments when set

	Env   map[string]string // added to the login environment
	Cwd   string            // "" is the login user's home
	Stdin []byte            // nil is /dev/null
	// References to secrets (env:NAME, file:/path, secret:NAME): the executor reads
	// them when it makes the command, stores them nowhere and masks them in all that the host says.
	EnvSecrets  map[string]string `json:",omitempty"` // variable -> reference
	StdinSecret string            `json:",omitempty"` // in the place of Stdin

	Timeout        time.Duration // of the command; 0: none but the run's
	SilenceTimeout time.Duration // without a byte of output; 0: none
	Merge          bool          // 2>&1: strict order, all in stdout
	Become         *Become       // nil: as the login user

	// Sync: a program of the user's. In a step with "sync:" it may call tfw-sync.
	Sync bool `json:"-"`

	Quiet   bool // output is for the method only: it is stored, but live views leave it out
	Capture int  // bytes of each stream kept for Result; 0 is 64 KiB, the first ones; at most 8 MiB
}

// Become asks for another user on the host. Method and password come from the inventory.
type Become struct {
	User string `json:"user,omitempty"` // "" is the host's setting, or root
}

// Result is how a command ended.
type Result struct {
	ExitCode    int           // as the shell saw it; 128+n for a signal
	Signal      string        // "TERM", "KILL" ... when a signal ended it, else ""
	Stdout      []byte        // the first Capture bytes
	Stderr      []byte        // the first Capture bytes
	StdoutBytes int64         // how many there were in all
	StderrBytes int64         //
	Started     time.Time     // by the controller's clock
	Elapsed     time.Duration // by the host's clock
}

// Upload is one file to place on a host. Exactly one of Content and Artifact is set.
type Upload struct {
	Content  []byte // small files
	Artifact string // SHA-256 (hex) of a file in the artifact store
	Dest     string // absolute, or relative to the login user's home; a trailing "/" means into that directory, under Name
	Name     string // base name for a Dest that ends in "/"
	Mode     uint32 // permission bits; 0 is 0644
	ModTime  time.Time
	Become   *Become
}

// Download is one file or directory to bring from a host. A directory comes as a tar archive.
type Download struct {
	Src      string
	Limit    int64 // bytes; 0 is the executor's artifact limit
	Optional bool  // a missing Src is an empty Transfer, not an error
	Become   *Become
}

// Transfer tells what an upload or download did.
type Transfer struct {
	Path    string    `json:"path"`
	SHA256  string    `json:"sha256,omitempty"`
	Bytes   int64     `json:"bytes"`
	Skipped bool      `json:"skipped,omitempty"` // the content was there already
	Dir     bool      `json:"dir,omitempty"`     // the artifact is a tar archive of a directory
	Mode    uint32    `json:"mode,omitempty"`
	ModTime time.Time `json:"mod_time,omitzero"`
	Note    string    `json:"note,omitempty"` // what happened to the file while it was read
}
