package ssh

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tfw/executor"
)

// maxControl bounds a control line. Ours are below 300 bytes.
const maxControl = 4 << 10

// deframer takes our control lines out of a stream of raw bytes. A line is
// 0x1E "TFW1 " nonce " " text "\n" and may stand anywhere, since pipes keep a
// small write in one piece; the nonce is new with every exec, so that no
// output is ever taken for one. What comes before the first line is noise of the login.
type deframer struct {
	prefix  []byte
	began   bool
	held    []byte // what may become a control line
	noise   []byte // the last of what came before the first line
	data    func([]byte) error
	control func(string) error
}

func newDeframer(nonce string, data func([]byte) error, control func(string) error) *deframer {
	return &deframer{prefix: []byte("\x1eTFW1 " + nonce + " "), data: data, control: control}
}

// feed takes the next bytes of the stream.
func (d *deframer) feed(b []byte) error {
	if len(d.held) > 0 {
		b = append(d.held, b...)
		d.held = nil
	}
	for len(b) > 0 {
		i := d.find(b)
		if i > 0 {
			if err := d.raw(b[:i]); err != nil {
				return err
			}
			b = b[i:]
			continue
		}
		end := bytes.IndexByte(b, '\n')
		if len(b) < len(d.prefix) || end < 0 && len(b) < maxControl {
			d.held = bytes.Clone(b)
			return nil
		}
		if end < 0 {
			return fmt.Errorf("a control line without an end")
		}
		d.began = true
		if err := d.control(string(b[len(d.prefix):end])); err != nil {
			return err
		}
		b = b[end+1:]
	}
	return nil
}

// find gives where a control line begins, or may begin at the end of b; len(b) when nowhere.
func (d *deframer) find(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], d.prefix[0])
		if i < 0 {
			return len(b)
		}
		at += i
		if n := min(len(d.prefix), len(b)-at); bytes.Equal(b[at:at+n], d.prefix[:n]) {
			return at
		}
		at++
	}
}

func (d *deframer) raw(b []byte) error {
	if d.began {
		return d.data(b)
	}
	d.noise = append(d.noise, b...)
	if len(d.noise) > maxControl {
		d.noise = append(d.noise[:0], d.noise[len(d.noise)-maxControl:]...)
	}
	return nil
}

// close gives out what was held when the stream ended.
func (d *deframer) close() error {
	held := d.held
	d.held = nil
	if len(held) == 0 {
		return nil
	}
	return d.raw(held)
}

// record is the end of a command as the wrapper wrote it: "exit1 status uptime0 uptime1 flags [out err] .".
type record struct {
	code    int
	signal  bool
	elapsed time.Duration
	known   bool // false: the status never was
	never   bool // it was killed before it could start
	full    bool // the spool's disk was full: some of the output may never have been written
	sizes   *executor.Offsets
}

func parseRecord(text string) (record, bool) {
	f := strings.Fields(text)
	if len(f) < 6 || f[0] != "exit1" || f[len(f)-1] != "." {
		return record{}, false
	}
	r := record{signal: strings.Contains(f[4], "s"), never: strings.Contains(f[4], "k"), full: strings.Contains(f[4], "f")}
	if n, err := strconv.Atoi(f[1]); err == nil && n >= 0 {
		r.code, r.known = n, true
	}
	u0, err0 := strconv.ParseFloat(f[2], 64)
	u1, err1 := strconv.ParseFloat(f[3], 64)
	if err0 == nil && err1 == nil && u1 >= u0 && u1-u0 < 1e9 {
		r.elapsed = time.Duration((u1 - u0) * float64(time.Second)).Round(time.Millisecond)
	}
	if len(f) >= 8 {
		r.sizes = parseSizes(f[5], f[6])
	}
	return r, true
}

func parseSizes(out, err string) *executor.Offsets {
	o, err0 := strconv.ParseInt(out, 10, 64)
	e, err1 := strconv.ParseInt(err, 10, 64)
	if err0 != nil || err1 != nil || o < 0 || e < 0 {
		return nil
	}
	return &executor.Offsets{Stdout: o, Stderr: e}
}

// end gives the record as an End, without sizes.
func (r record) end() executor.End {
	e := executor.End{Kind: executor.EndExit, Code: r.code, Elapsed: r.elapsed}
	if r.code > 256 {
		r.code, r.signal = r.code-128, true // ksh: 256 + signal
		e.Code = r.code
	}
	if n := r.code - 128; n > 0 && (r.signal || r.never) {
		e.Kind, e.Signal = executor.EndSignal, signalName(n)
	}
	if r.never {
		e.Note = "cancelled before it was started"
	}
	if !r.known {
		e.Kind, e.Note = executor.EndWrapper, "the status was never recorded"
	}
	if r.full && r.known {
		e.Note = fmt.Sprintf("it ended with status %d; what it wrote while the host's disk was full is lost (make room there, then run it again)", e.Code)
		e.Kind, e.Code, e.Signal = executor.EndSpoolFull, 0, ""
	}
	return e
}

// signalName gives Linux' name of a signal, without SIG (signal(7)).
func signalName(n int) string {
	names := strings.Fields("HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS")
	if n >= 1 && n <= len(names) {
		return names[n-1]
	}
	return strconv.Itoa(n)
}
