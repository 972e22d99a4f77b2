package ssh

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"tfw/executor"
)

const (
	// followAfter is how long a command may take before its output is followed:
	// what ends sooner comes back whole and costs the host nothing more.
	followAfter = 20 * time.Millisecond
	// reportEvery is how often the host hears how far its output was read, for its spool's bound.
	reportEvery = 250 * time.Millisecond
	// stuckAfter is how long bytes may be missing after the end until they are taken for lost.
	stuckAfter = 30 * time.Second
)

// talk is one of our scripts at work on the host.
type talk struct {
	s     *session
	nonce string
	first string
	out   *deframer
	err   *deframer
}

// text is a script without its head; it sees the nonce's head before it.
type text struct {
	vars string // assignments
	body string
}

// begin starts a script on the host as the user asked for. Its whole text is one
// brace group: a cut upload runs nothing.
func (c *conn) begin(ctx context.Context, b *executor.BecomeAs, t text, urgent bool) (*talk, error) {
	n := nonce()
	request, first, err := shellFor(b, n)
	if err != nil {
		return nil, err
	}
	open := c.open
	if urgent {
		open = c.openUrgent
	}
	s, err := open(ctx, request)
	if err != nil {
		return nil, err
	}
	home := ""
	if b != nil {
		home = "cd \"$HOME\" 2>/dev/null || cd /\n"
	}
	all := first + "{ " + c.spool(b).head(n) + home + t.vars + "\n" + t.body + "exit\n}\n"
	return &talk{s: s, nonce: n, first: all}, nil
}

// run sends the script and reads both streams until one of them is over for its reader, or the
// session is. It returns when both readers have.
func (t *talk) run(out, err *deframer) {
	t.out, t.err = out, err
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := io.WriteString(t.s.Stdin(), t.first); err != nil {
			t.s.Close()
		}
	})
	wg.Go(func() { t.read(t.s.Stdout(), out) })
	wg.Go(func() { t.read(t.s.Stderr(), err) })
	wg.Wait()
}

func (t *talk) read(r io.Reader, d *deframer) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 && d.feed(buf[:n]) != nil {
			t.s.Close() // all is said, or the sink failed
			return
		}
		if err != nil {
			if err == io.EOF && d.close() != nil {
				t.s.Close()
			}
			return
		}
	}
}

// deliver runs the talk for a command and gives how it came out.
func (c *conn) deliver(ctx context.Context, b *executor.BecomeAs, t text, d *delivery, ask bool) (outcome, error) {
	k, err := c.begin(ctx, b, t, false)
	if err != nil {
		return outcomeNone, err
	}
	defer k.s.Close()
	out := newDeframer(k.nonce, func(p []byte) error { return d.bytes(&d.out, p) }, d.line)
	errs := newDeframer(k.nonce, func(p []byte) error { return d.bytes(&d.err, p) }, d.errLine)
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { d.speak(k.s, ask, ended) })
	k.run(out, errs)
	close(ended)
	wg.Wait()
	if ctx.Err() != nil {
		return outcomeNone, context.Cause(ctx)
	}
	return c.result(k, b, d)
}

// result says what came of a talk whose streams are over.
func (c *conn) result(k *talk, b *executor.BecomeAs, d *delivery) (outcome, error) {
	d.mu.Lock()
	settled := d.settled()
	d.mu.Unlock()
	if settled {
		return d.result, d.fault
	}
	if _, err := k.s.Wait(); err != nil && !errors.Is(err, errSessionClosed) {
		return outcomeNone, err
	}
	if !k.out.began && !k.err.began {
		return outcomeNone, neverBegan(b, &reply{exit: k.s.exit, stderr: lastLines(string(k.err.noise))})
	}
	if d.missing() {
		return d.result, d.fault
	}
	return outcomeAttach, nil // the wrapper fell silent: what the spool says counts
}

// lastLines gives the end of a text for a message.
func lastLines(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 400 {
		s = "... " + s[len(s)-400:]
	}
	return s
}

// speak tells the host to follow once the command has lasted a while, again and
// again until it is heard: what comes while a shell still reads its script is lost. Then it reports how far we are.
func (d *delivery) speak(s *session, ask bool, ended <-chan struct{}) {
	wait, idle := reportEvery, time.Duration(0)
	if ask {
		wait = followAfter
	}
	var said executor.Offsets
	for {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-d.done:
			timer.Stop()
			s.Close()
			return
		case <-ended:
			timer.Stop()
			return
		}
		now := d.offsets()
		if ask && !d.following() {
			tell(s, "follow", d.from)
			wait = min(2*wait, time.Second)
			continue
		}
		if wait = reportEvery; now != said {
			tell(s, "got", now)
			said, idle = now, 0
		} else if idle += reportEvery; idle > stuckAfter && d.missing() {
			s.Close()
			return
		}
	}
}

func tell(s *session, word string, o executor.Offsets) {
	line := word + " " + strconv.FormatInt(o.Stdout, 10) + " " + strconv.FormatInt(o.Stderr, 10) + "\n"
	io.WriteString(s.Stdin(), line) // a failure shows in what is read
}
