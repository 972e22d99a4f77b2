package executor

import (
	"encoding/json"
	"time"
)

// RunID names a run: 12 characters of a-z and 0-9, random, safe in paths and file names.
type RunID string

// State says how far a run is.
type State string

// The states of a run.
const (
	Queued  State = "queued"
	Running State = "running"
	Done    State = "done"
)

// Verdict is how a run, or its part on one host, ended.
type Verdict string

// The verdicts. See [Worst] for their order.
const (
	Passed    Verdict = "passed"
	Skipped   Verdict = "skipped"
	Failed    Verdict = "failed"    // the host was reached and said no
	Cancelled Verdict = "cancelled" //
	TimedOut  Verdict = "timed_out" //
	Errored   Verdict = "errored"   // we could not tell: unreachable, auth, host key, plugin bug
)

// Worst gives the worse of two verdicts: errored > timed_out > cancelled >
// failed > passed > skipped; "" is no verdict yet.
func Worst(a, b Verdict) Verdict {
	if rank[b] > rank[a] {
		return b
	}
	return a
}

var rank = map[Verdict]int{"": 0, Skipped: 1, Passed: 2, Failed: 3, Cancelled: 4, TimedOut: 5, Errored: 6}

// Request asks for a run: one method on one target.
type Request struct {
	Plugin     string          `json:"plugin"`
	Method     string          `json:"method"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
	Target     string          `json:"target"`
	Where      string          `json:"where,omitempty"`
	Options
	IdempotencyKey string `json:"-"` // the same key of the same user never runs twice
	RequestID      string `json:"-"`
	Plan           string `json:"plan,omitempty"` // the test plan run it belongs to, "" for none
	Step           string `json:"step,omitempty"`
	Meeting        string `json:"-"` // of [Executor.Meet]: the user's commands may call tfw-sync
	AdHoc          bool   `json:"-"` // enforce max_hosts

	rerunOf RunID
}

// Options say how a run goes about its hosts.
type Options struct {
	AllowMissing       bool     `json:"allow_missing,omitempty"` // unknown names in the target are left out
	Expect             int      `json:"expect,omitempty"`        // refuse any other number of hosts; 0: any
	IncludeMaintenance bool     `json:"include_maintenance,omitempty"`
	Parallel           int      `json:"parallel,omitempty"` // hosts at a time; 0 is the executor's default
	Serial             []string `json:"serial,omitempty"`   // batches: "1", "5", "20%"; the last one repeats
	MaxFail            string   `json:"max_fail,omitempty"` // "3" or "10%": stop starting hosts when more than that did not pass
	FailFast           bool     `json:"fail_fast,omitempty"`
	Timeout            Duration `json:"timeout,omitempty"` // of the whole run
	CommandTimeout     Duration `json:"command_timeout,omitempty"`
	SilenceTimeout     Duration `json:"silence_timeout,omitempty"`
	ConnectTimeout     Duration `json:"connect_timeout,omitempty"`
	LostAfter          Duration `json:"lost_after,omitempty"` // give a host up that has been out of reach this long
	Grace              Duration `json:"grace,omitempty"`      // between TERM and KILL; 0 is 10 s
	MaxOutput          int64    `json:"max_output,omitempty"` // bytes kept of each host's output; 0 is the executor's default
	Lease              string   `json:"lease,omitempty"`      // id of a lease to run under
	Priority           int      `json:"priority,omitempty"`
	QueueTimeout       Duration `json:"queue_timeout,omitempty"` // wait so long for a host that is leased, taken or in maintenance; 0: a lease or maintenance refuses the run, else for as long as it takes
	Purpose            string   `json:"purpose,omitempty"`       // for whom waits: shown with leases and queues
}

// Run is one method on one target, as it stands. It is a value: names,
// parameters and results, no machinery.
type Run struct {
	ID         RunID           `json:"id"`
	Plugin     string          `json:"plugin"`
	Method     string          `json:"method"`
	Parameters json.RawMessage `json:"parameters,omitzero"` // absent in lists when longer than 4 KiB
	Target     string          `json:"target"`
	Where      string          `json:"where,omitempty"`
	Options    *Options        `json:"options,omitempty"`
	State      State           `json:"state"`
	Verdict    Verdict         `json:"verdict"` // "" until done
	Reason     string          `json:"reason,omitempty"`
	Created    time.Time       `json:"created"`
	Started    time.Time       `json:"started,omitzero"`
	Finished   time.Time       `json:"finished,omitzero"`
	HostCount  int             `json:"host_count"`      // hosts that have a part in it
	Tally      map[Verdict]int `json:"tally,omitempty"` // how many hosts have ended how, so far
	Hosts      []HostResult    `json:"hosts,omitzero"`  // one for each host, always, in inventory order; nil in lists, see [Executor.Runs]

	By        string `json:"by,omitempty"` // who asked
	RequestID string `json:"request_id,omitempty"`
	Inventory string `json:"inventory,omitempty"` // revision of the snapshot it keeps
	Plan      string `json:"plan,omitempty"`
	Step      string `json:"step,omitempty"`
	RerunOf   RunID  `json:"rerun_of,omitempty"`
	Meeting   string `json:"meeting,omitempty"` // where its hosts wait for those of other runs
	Cancel    string `json:"cancel,omitempty"`  // who asked to cancel, and why

	partial bool // hosts that the reader does not see were taken out
}

// HostResult is the part of a run on one host.
type HostResult struct {
	Host        string          `json:"host"`
	Verdict     Verdict         `json:"verdict"`   // "" until ended
	ExitCode    *int            `json:"exit_code"` // of the last command; null when none ended
	Signal      string          `json:"signal,omitempty"`
	Reason      string          `json:"reason,omitempty"` // why it did not pass, and what to do next
	Started     time.Time       `json:"started,omitzero"`
	Finished    time.Time       `json:"finished,omitzero"`
	Outputs     json.RawMessage `json:"outputs,omitempty"`
	StdoutBytes int64           `json:"stdout_bytes"`
	StderrBytes int64           `json:"stderr_bytes"`
	Stdout      string          `json:"stdout,omitempty"` // the first 64 KiB, only where a caller asked to wait
	Stderr      string          `json:"stderr,omitempty"`
	Truncated   bool            `json:"truncated,omitempty"` // output over the limit was not kept
	Code        string          `json:"code,omitempty"`      // machine word for Reason: unreachable, auth, host_key, lost, reboot ...
	Kill        *KillReport     `json:"kill,omitempty"`      // proof of a cancel or time-out
	Reconnects  int             `json:"reconnects,omitempty"`
	Waiting     string          `json:"waiting,omitempty"` // why it has not begun, and how many wait before it; only while it waits
}
