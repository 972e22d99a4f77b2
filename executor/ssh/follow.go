package ssh

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"tfw/executor"
)

// wholeLimit is how much of a stream the launch gives back by itself; launch.sh
// has the same number. A stream that fills it may be longer: attach.
const wholeLimit = 128 << 10

// outcome is how one talk with the host about a command came out.
type outcome int

const (
	outcomeNone   outcome = iota // the talk broke off
	outcomeEnd                   // delivery.end is the end, every byte is delivered
	outcomeAttach                // it is there, but must be attached to
	outcomeAbsent                // the host knows nothing of it
	outcomeTorn                  // a claim without content: the disk was full
	outcomeMoved                 // the host was booted since the start was asked for: not started
	outcomeStale                 // the shell that stood by is of no use any more: not started
)

// flow is one stream of a command on its way to the sink.
type flow struct {
	name executor.Stream
	at   int64 // offset of the next byte to arrive
	have int64 // offset of the next byte the sink lacks
	size int64 // -1: not known yet
	over bool  // the host said that the stream is over
}

func (f *flow) complete() bool { return f.size >= 0 && f.have >= f.size }

// delivery brings what one exec says about a command to the sink.
// Both streams' readers call it: mu makes them take turns, so a slow sink holds back both.
type delivery struct {
	mu       sync.Mutex
	sink     executor.Sink
	out, err flow
	from     executor.Offsets // what the exec was asked to begin at
	found    bool             // the command had been started before
	told     bool             // the sink knows that it was started
	follows  bool             // the host is following
	stalled  bool
	pending  *executor.End // its bytes are still coming
	needErr  bool          // the end waits for the end of stderr
	ready    bool          // the shell stands by for another command

	result outcome
	end    executor.End
	fault  error // the sink's, or what the host refused
	done   chan struct{}
	probed func(string)
	boot   func(string) // told the host's boot id
	lasts  func()       // called when the host follows: the command was not over in a moment
}

func newDelivery(sink executor.Sink, from executor.Offsets, found bool, probed func(string)) *delivery {
	return &delivery{
		sink: sink, found: found, probed: probed, boot: func(string) {}, lasts: func() {}, done: make(chan struct{}),
		out: flow{name: executor.Stdout, have: from.Stdout, size: -1},
		err: flow{name: executor.Stderr, have: from.Stderr, size: -1},
	}
}

// again makes the delivery ready for another exec that begins where this one stopped.
func (d *delivery) again() {
	d.from = executor.Offsets{Stdout: d.out.have, Stderr: d.err.have}
	d.follows, d.pending, d.needErr, d.ready, d.result, d.fault = false, nil, false, false, outcomeNone, nil
	d.done = make(chan struct{})
	for _, f := range []*flow{&d.out, &d.err} {
		f.at, f.size, f.over = 0, -1, false
	}
}

func (d *delivery) offsets() executor.Offsets {
	d.mu.Lock()
	defer d.mu.Unlock()
	return executor.Offsets{Stdout: d.out.have, Stderr: d.err.have}
}

func (d *delivery) following() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.follows
}

// errOver ends the reading of a stream of which all that counts has come.
var errOver = errors.New("over")

func (d *delivery) settled() bool { return d.result != outcomeNone || d.fault != nil }

func (d *delivery) settle(o outcome, fault error) error {
	d.decide(o, fault)
	return errOver
}

func (d *delivery) decide(o outcome, fault error) {
	if !d.settled() {
		d.result, d.fault = o, fault
		close(d.done)
	}
}

// bytes takes raw bytes of a stream.
func (d *delivery) bytes(f *flow, b []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled() {
		return errOver
	}
	start := f.at
	f.at += int64(len(b))
	if f.at <= f.have {
		return nil
	}
	b = b[max(0, f.have-start):]
	if f.size >= 0 && f.have+int64(len(b)) > f.size {
		b = b[:max(0, f.size-f.have)] // what a child writes after the end is no part of it
	}
	if len(b) > 0 {
		if err := d.sink.Bytes(f.name, f.have, b); err != nil {
			return d.settle(outcomeNone, err)
		}
		f.have += int64(len(b))
	}
	return d.check()
}

// check ends the talk when the end is known and all bytes are there.
func (d *delivery) check() error {
	if d.pending == nil || d.needErr && !d.err.over || !d.out.complete() || !d.err.complete() {
		return nil
	}
	d.end = *d.pending
	d.end.Sizes = executor.Offsets{Stdout: d.out.have, Stderr: d.err.have}
	return d.settle(outcomeEnd, nil)
}

// line takes a control line of stdout.
func (d *delivery) line(text string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled() {
		return errOver
	}
	word, rest, _ := strings.Cut(text, " ")
	f := strings.Fields(rest)
	switch word {
	case "probe":
		d.probed(rest)
		if len(f) > 0 {
			d.boot(f[0])
		}
	case "fail":
		return d.settle(outcomeNone, hostRefused(rest))
	case "dup":
		d.found = true
		return d.settle(outcomeAttach, nil)
	case "again":
		return d.settle(outcomeAttach, nil)
	case "moved":
		d.found = true
		return d.settle(outcomeMoved, nil)
	case "stale":
		return d.settle(outcomeStale, nil)
	case "out":
		d.out.at = 0
	case "over":
		d.out.over = true
	case "started":
		return d.started(f)
	case "whole":
		return d.whole(f)
	case "end":
		return d.ended(f)
	case "gone", "lost":
		return d.gone(word, f)
	case "acked":
		return d.acked(rest)
	case "state":
		return d.state(f, rest)
	case "orphan":
		d.sink.Event("tfw's shell on the host was killed; the command runs on, its exit status will not be known")
	case "stall", "resumed":
		d.stall(word == "stall", f)
	}
	return nil
}

// errLine takes a control line of stderr.
func (d *delivery) errLine(text string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled() {
		return errOver
	}
	switch text {
	case "all":
		d.err.at = 0
	case "err":
		d.err.at = d.from.Stderr
	case "over":
		d.err.over = true
	case "end":
		d.err.over, d.err.size = true, d.err.at
		if d.err.at >= wholeLimit {
			return d.settle(outcomeAttach, nil)
		}
		return d.check()
	}
	return nil
}

func (d *delivery) tell(pid, boot string) error {
	d.boot(boot)
	if d.told {
		return nil
	}
	d.told = true
	s := executor.Started{Found: d.found}
	if boot != "-" {
		s.BootID = boot
	}
	s.PID, _ = strconv.Atoi(pid)
	if err := d.sink.Started(s); err != nil {
		return d.settle(outcomeNone, err)
	}
	return nil
}

// started: PID BOOT. The raw bytes that follow begin at the offsets asked for.
func (d *delivery) started(f []string) error {
	if len(f) < 2 {
		return d.garbled("started", f)
	}
	d.follows = true
	d.lasts()
	d.out.at = d.from.Stdout
	return d.tell(f[0], f[1])
}

// whole: PID BOOT FLAGS RECORD. The command ended, its output is on this channel from the first byte.
func (d *delivery) whole(f []string) error {
	if len(f) < 4 {
		return d.garbled("whole", f)
	}
	r, ok := parseRecord(strings.Join(f[3:], " "))
	if !ok {
		return d.garbled("whole", f)
	}
	if err := d.tell(f[0], f[1]); err != nil {
		return err
	}
	if strings.Contains(f[2], "x") || d.out.at >= wholeLimit {
		return d.settle(outcomeAttach, nil)
	}
	e := r.end()
	d.ready = strings.HasSuffix(f[2], ".r")
	d.pending, d.needErr = &e, strings.Contains(f[2], "e")
	d.out.size = d.out.at
	if !d.needErr {
		d.err.size = 0
	}
	if d.out.size < d.out.have || !d.needErr && d.err.have > 0 {
		return d.short()
	}
	return d.check()
}

// ended: PID BOOT OUT ERR RECORD. The rest of the bytes is on its way.
func (d *delivery) ended(f []string) error {
	if len(f) < 5 {
		return d.garbled("end", f)
	}
	r, ok := parseRecord(strings.Join(f[4:], " "))
	sizes := parseSizes(f[2], f[3])
	if !ok || sizes == nil {
		return d.garbled("end", f)
	}
	if err := d.tell(f[0], f[1]); err != nil {
		return err
	}
	e := r.end()
	return d.expect(&e, *sizes)
}

func (d *delivery) expect(e *executor.End, sizes executor.Offsets) error {
	d.pending = e
	d.out.size, d.err.size = max(sizes.Stdout, d.out.at), max(sizes.Stderr, d.err.at)
	if !d.follows {
		d.out.size, d.err.size = sizes.Stdout, sizes.Stderr
	}
	if sizes.Stdout < d.from.Stdout || sizes.Stderr < d.from.Stderr {
		return d.short()
	}
	return d.check()
}

// short: the host has less than what was delivered before: its files are not those any more.
func (d *delivery) short() error {
	d.end = executor.End{Kind: executor.EndSpoolGone, Note: "the host's files are shorter than what had arrived"}
	d.end.Sizes = executor.Offsets{Stdout: d.out.have, Stderr: d.err.have}
	return d.settle(outcomeEnd, nil)
}

// gone: PID BOOT [RECORD], lost: STATE OUT ERR.
func (d *delivery) gone(word string, f []string) error {
	if word == "lost" && len(f) == 3 {
		if sizes := parseSizes(f[1], f[2]); sizes != nil {
			e := executor.End{Kind: executor.EndWrapper}
			if f[0] == "reboot" {
				e.Kind = executor.EndReboot
			}
			return d.expect(&e, *sizes)
		}
	}
	d.end = executor.End{Kind: executor.EndSpoolGone, Note: "output beyond what is here is lost"}
	if len(f) > 2 {
		if r, ok := parseRecord(strings.Join(f[2:], " ")); ok && r.known {
			d.end.Note = fmt.Sprintf("the exit status was %d; %s", r.code, d.end.Note)
			d.end.Elapsed = r.elapsed
		}
	}
	d.end.Sizes = executor.Offsets{Stdout: d.out.have, Stderr: d.err.have}
	return d.settle(outcomeEnd, nil)
}

// acked: the tombstone's record. Its bytes were stored by whoever acknowledged them.
func (d *delivery) acked(rest string) error {
	d.found = true
	have := executor.Offsets{Stdout: d.out.have, Stderr: d.err.have}
	r, ok := parseRecord(rest)
	if !ok {
		d.end = executor.End{Kind: executor.EndUnknown, Sizes: have, Note: "it had ended and was acknowledged"}
		return d.settle(outcomeEnd, nil)
	}
	d.end = r.end()
	d.end.Sizes = have
	if r.sizes != nil && *r.sizes != have {
		d.end.Note = fmt.Sprintf("it was acknowledged before: %d bytes of stdout and %d of stderr are not on the host any more", r.sizes.Stdout, r.sizes.Stderr)
	}
	return d.settle(outcomeEnd, nil)
}

func (d *delivery) state(f []string, rest string) error {
	switch {
	case len(f) > 0 && f[0] == "acked":
		return d.acked(strings.TrimPrefix(rest, "acked "))
	case len(f) > 0 && f[0] == "torn":
		return d.settle(outcomeTorn, nil)
	}
	return d.settle(outcomeAbsent, nil)
}

// stall: WHY KIB DIR. The host's guard has stopped the command, or let it go on.
func (d *delivery) stall(on bool, f []string) {
	if on == d.stalled {
		return
	}
	d.stalled = on
	switch {
	case !on:
		d.sink.Event("resumed: there is room for the command's output again")
	case len(f) > 2 && f[0] == "disk":
		kib, _ := strconv.ParseInt(f[1], 10, 64)
		d.sink.Event(fmt.Sprintf("stalled: the disk of %s on the host is nearly full (%d MB are free); the command is stopped until there is room: delete something there, or cancel the run", f[2], kib>>10))
	default:
		d.sink.Event("stalled: more output waits on the host than its spool may hold; the command is stopped until it is read")
	}
}

func (d *delivery) garbled(word string, f []string) error {
	return d.settle(outcomeNone, because(executor.ErrRefused, "another version of tfw may have left it", "cannot read what the host says: %s %q", word, f))
}

// owing reports whether the end is known but bytes are to come.
func (d *delivery) owing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pending != nil && !d.settled()
}

// missing makes an end of what is known when the host has no more to give: it sent all that
// it could read, said so, and nothing of what we lack was among it. Anything less is a channel that broke off.
func (d *delivery) missing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	none := d.out.have == d.from.Stdout && d.err.have == d.from.Stderr
	if d.settled() || d.pending == nil || !none || !d.out.over || !d.err.over {
		return d.settled()
	}
	d.end = *d.pending
	d.end.Note = fmt.Sprintf("status %d; %d bytes of stdout and %d of stderr are missing on the host",
		d.end.Code, max(0, d.out.size-d.out.have), max(0, d.err.size-d.err.have))
	d.end.Kind, d.end.Code, d.end.Signal = executor.EndSpoolGone, 0, ""
	d.end.Sizes = executor.Offsets{Stdout: d.out.have, Stderr: d.err.have}
	d.decide(outcomeEnd, nil)
	return true
}

// hostRefused makes an error of "fail WORD TEXT".
func hostRefused(rest string) error {
	word, text, _ := strings.Cut(rest, " ")
	switch word {
	case "nospool":
		return &spoolError{because(executor.ErrRefused, "tfw needs a private directory in /var/tmp, the home directory or /tmp", "no spool on the host: %s", text)}
	case "readonly": // it is not left for another: what was started there must be found again
		return because(executor.ErrRefused, "make it writable again, or remove that directory for another place to be used", "the command was not started: %s on the host cannot be written (is its file system read-only?)", text)
	case "full":
		return because(executor.ErrRefused, "make room on the host's disk, then run it again", "the command was not started: the spool's disk on the host is full")
	}
	return because(executor.ErrRefused, "", "the host said: %s", rest)
}

// spoolError tells that the remembered spool is of no use: it must be looked for again.
type spoolError struct{ error }

func (e *spoolError) Unwrap() error { return e.error }
