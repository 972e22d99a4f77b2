package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"tfw/plugins"
)

// remote is the plugins.Remote of one assignment. It numbers the operations,
// stores what each was asked and how it ended, and on a replay answers from that.
type remote struct {
	e *Executor
	a *active
	p *part

	conn    Conn
	next    int       // ordinal of the next operation
	pending *opRecord // ended, not stored yet: goes along with the next write
	pendOrd int
	acks    []unacked // stored with the next flush, then told to the host

	last   *End // of the last command that ended
	out    int64
	err    int64
	masks  masks // secrets that commands were given
	kept   int64 // bytes of this host's output that the log holds
	broken error // an error no plugin may turn into a pass

	reached    bool           // a connection was made
	begun      bool           // this process has stored an intent
	stopped    error          // the run's end that an operation met: no plugin may turn it into a pass either
	notDurable string         // why this host's commands end with their connection
	notes      map[string]int // lines that an earlier process had written behind the last operation on record
	trouble    string         // why the host is out of reach, as the tester was told last
}

var _ plugins.Remote = (*remote)(nil)
var _ plugins.Artifacts = (*remote)(nil)
var _ plugins.Rebooter = (*remote)(nil)

// Host tells which host this is.
func (r *remote) Host() plugins.Host { return r.p.view }

// Note writes a line for the tester. On a replay it is not written again.
func (r *remote) Note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if r.next < len(r.p.ops) || r.next == len(r.p.ops) && r.noted(text) {
		return
	}
	r.event(text)
}

// noted reports whether an earlier process wrote the note, behind the last operation on
// record: what it had written there is read once, and each line counts for one note.
func (r *remote) noted(text string) bool {
	if !r.p.revived {
		return false
	}
	if r.notes == nil {
		r.notes = map[string]int{}
		ordinal := max(0, r.next-1)
		raw, err := r.e.head(context.WithoutCancel(r.a.ctx), LogQuery{Run: r.a.run.ID, Host: r.p.host.Name, Stream: Events, Command: &ordinal}, 1<<20)
		if err != nil {
			r.e.log.Warn("cannot tell what was noted before", "run", r.a.run.ID, "host", r.p.host.Name, "error", err)
		}
		for line := range strings.Lines(string(raw)) {
			r.notes[strings.TrimSuffix(line, "\n")]++
		}
	}
	if line, _, _ := strings.Cut(r.masks.text(text), "\n"); r.notes[line] > 0 {
		r.notes[line]--
		return true
	}
	return false
}

// event appends a line to the events of the host's log. It is best effort: a
// store that cannot take it says so by itself.
func (r *remote) event(text string) {
	entry := Entry{Time: r.e.now(), Run: r.a.run.ID, Host: r.p.host.Name, Command: max(0, r.next-1), Stream: Events, Data: []byte(r.masks.text(text) + "\n")}
	if err := r.e.store.Append(context.WithoutCancel(r.a.ctx), entry); err != nil {
		r.e.log.Warn("cannot store an event", "run", r.a.run.ID, "host", r.p.host.Name, "event", text, "error", err)
	}
}

// step gives the next operation: new, or recorded by an earlier process. A
// recorded one must have been asked for the same.
func (r *remote) step(kind string, ask any) (*opRecord, int, error) {
	if r.broken != nil {
		return nil, 0, r.broken
	}
	ordinal := r.next
	r.next++
	print := fingerprint(ask)
	if ordinal >= len(r.p.ops) {
		return &opRecord{Kind: kind, Print: print}, ordinal, nil
	}
	op := &r.p.ops[ordinal]
	if op.Kind != kind || op.Print != print {
		r.broken = fmt.Errorf("%w: operation %d was a %s and is now another %s (see docs/plugins.md)", ErrNotDeterministic, ordinal, op.Kind, kind)
		return nil, 0, r.broken
	}
	return op, ordinal, nil
}

func fingerprint(ask any) string {
	raw, _ := json.Marshal(ask) // plain structs: cannot fail
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// intend stores the operation before the host hears of it.
func (r *remote) intend(op *opRecord, ordinal int) error {
	if conn := r.conn; conn != nil {
		op.BootID = conn.Info().BootID
		if op.Kind == "reboot" { // all depends on it
			boot, err := r.askBoot(r.a.ctx)
			if err != nil {
				return err
			}
			op.BootID = boot
		}
	}
	op.Begun = r.e.now()
	first := !r.begun
	r.begun = true
	return r.store(func(tx Tx) error {
		if first {
			if err := put(tx, tableResults, resultKey(r.a.run.ID, r.p.index), r.p.record()); err != nil {
				return err
			}
		}
		return put(tx, tableOps, opKey(r.a.run.ID, r.p.index, ordinal), op)
	})
}

// store writes, together with what is pending.
func (r *remote) store(fn func(tx Tx) error) error {
	err := r.e.persist(r.a, func(tx Tx) error {
		if err := r.flush(tx); err != nil {
			return err
		}
		return fn(tx)
	})
	if err == nil {
		r.flushed()
	}
	return err
}

// close ends an operation. It is written with the next thing that is: until then
// the host remembers it, so a crash in between costs nothing.
func (r *remote) close(op *opRecord, ordinal int) {
	op.Ended = true
	r.pending, r.pendOrd = op, ordinal
	if op.Kind == "run" && op.End != nil {
		id := CommandID{r.a.run.ID, r.p.host.Name, ordinal}
		r.acks = append(r.acks, unacked{ID: id, As: op.As, Settings: r.p.settings, Jumps: r.a.jumps})
	}
}

// flush writes the pending end.
func (r *remote) flush(tx Tx) error {
	if r.pending == nil {
		return nil
	}
	for _, u := range r.acks {
		u.At = r.e.now()
		if err := put(tx, tableUnacked, u.ID.String(), u); err != nil {
			return err
		}
	}
	return put(tx, tableOps, opKey(r.a.run.ID, r.p.index, r.pendOrd), r.pending)
}

// flushed lets the host forget what is stored now.
func (r *remote) flushed() {
	r.pending = nil
	if len(r.acks) == 0 {
		return
	}
	if r.conn != nil {
		r.e.acknowledge(r.conn, r.p.host, r.acks)
	}
	r.e.met(r.acks)
	r.acks = nil
}

func (r *remote) release() {
	if r.conn != nil {
		r.conn.Release()
		r.conn = nil
	}
}

// tally sums up what the commands did for the host's result.
func (r *remote) tally() {
	res := &r.p.result
	res.StdoutBytes, res.StderrBytes = r.out, r.err
	if r.last == nil {
		return
	}
	if r.last.Kind == EndExit || r.last.Kind == EndSignal {
		code := r.last.Code
		res.ExitCode, res.Signal = &code, r.last.Signal
	}
}

// opFailure is an operation's error as it is recorded, so that a replay meets the same.
type opFailure struct {
	Text    string      `json:"text"`
	Code    string      `json:"code"`
	Verdict Verdict     `json:"verdict,omitempty"` // of a stop
	Kill    *KillReport `json:"kill,omitempty"`
}

// recordedError is a failure met again. It is known by the same errors.Is as the first.
type recordedError struct {
	text string
	code string
	kind error
}

func (e *recordedError) Error() string { return e.text }
func (e *recordedError) Unwrap() error { return e.kind }

var kindOfCode = map[string]error{
	"auth": ErrAuth, "host_key": ErrHostKey, "unreachable": ErrUnreachable, "lost": ErrLost,
	"refused": ErrRefused, "path": ErrPath, "become": ErrBecome, "not_exist": ErrNotFound,
}

// failure records an error; known reports whether the replay gives the same answer.
func failure(err error) *opFailure {
	var s *stopError
	if errors.As(err, &s) {
		return &opFailure{Text: s.reason, Code: s.code, Verdict: s.verdict, Kill: s.kill}
	}
	return &opFailure{Text: reason(err), Code: codeOf(err)}
}

// failed gives the method an operation's failure, and remembers when it was the run's own end.
func (r *remote) failed(op *opRecord) error {
	err := op.Failure.error()
	if op.Failure.Verdict != "" && r.a.ctx.Err() != nil {
		r.stopped = err
	}
	return err
}

func (f *opFailure) error() error {
	if f.Verdict != "" {
		return &stopError{verdict: f.Verdict, code: f.Code, reason: f.Text, kill: f.Kill}
	}
	return &recordedError{text: f.Text, code: f.Code, kind: kindOfCode[f.Code]}
}
