package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"tfw/executor"
)

const (
	// followAfter is how long a command may take before its output is followed:
	// what ends sooner comes back whole and costs the host nothing more.
	followAfter = 20 * time.Millisecond
	// followShare is added for each command that is just being started.
	followShare = 5 * time.Millisecond
	// reportEvery is how often the host hears how far its output was read, for its spool's bound.
	reportEvery = 250 * time.Millisecond
	// keptEvery is how many bytes the sink must have stored anew for the host to hear of it and give them back to its disk.
	keptEvery = 16 << 20
	// stuckAfter is how long nothing may come of the bytes missing after the end until they are fetched anew.
	stuckAfter = 8 * time.Second
)

// Variables for tests only: how long a launch may leave a request to follow unanswered until its helper is taken for
// dead, and an attach say nothing at all, until the host's shell is taken for one that never will.
var deafAfter, muteAfter = 20 * time.Second, time.Minute

// talk is one of our scripts at work on the host.
type talk struct {
	s     *session
	leave func() // ends the turn to start, of a launch
	again bool   // the shell has stood by for this
	nonce string
	first string
	sent  chan struct{} // closed when the script is on its way
	out   *deframer
	err   *deframer
}

// text is a script without its head; it sees the nonce's head before it.
type text struct {
	vars string // assignments
	body string
}

// beginLaunch gives a command's block to a shell that stands by, or opens a session for one.
func (c *conn) beginLaunch(ctx context.Context, b *executor.BecomeAs, block string) (*talk, error) {
	if b != nil || c.t.opt.StandbyIdle < 0 {
		k, err := c.begin(ctx, b, text{"", launchText + "t_k='' t_R=''\n" + block}, false)
		if err != nil {
			return nil, err
		}
		if k.leave, err = c.place.start(ctx); err != nil {
			k.s.Close()
			return nil, err
		}
		return k, nil
	}
	n := nonce()
	k := &talk{nonce: n, sent: make(chan struct{})}
	request, _, err := c.shellFor(nil, n)
	if err != nil {
		return nil, err
	}
	if k.s, k.again, k.leave, err = c.place.shell(ctx, execRequest(request)); err != nil {
		return nil, c.fail("open session", err)
	}
	if k.again {
		k.first = "( t_n=" + n + " t_R=1 t_k=$t_K\n" + block + ") || exit\n"
		return k, nil
	}
	k.first = "{ " + c.spool(nil).head(n) + launchText + "t_wait\n}\n( t_R='' t_k=$t_K\n" + block + ") || exit\n"
	return k, nil
}

// begin starts a script on the host as the user asked for. Its whole text is one
// brace group: a cut upload runs nothing.
func (c *conn) begin(ctx context.Context, b *executor.BecomeAs, t text, urgent bool) (*talk, error) {
	n := nonce()
	request, first, err := c.shellFor(b, n)
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
	return &talk{s: s, nonce: n, first: all, sent: make(chan struct{})}, nil
}

// run sends the script and reads both streams until all is said (a reader gives an error, or over is
// closed), or the session is over. It returns when both readers have.
func (t *talk) run(out, err *deframer, over <-chan struct{}) {
	t.out, t.err = out, err
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.WriteString(t.s.Stdin(), t.first) // a failure shows in what is read
		close(t.sent)
	})
	wg.Go(func() { t.read(t.s.out, out, over) })
	wg.Go(func() { t.read(t.s.err, err, over) })
	wg.Wait()
}

// read brings a stream to its reader, in the session's own buffers.
func (t *talk) read(r *pump, d *deframer, over <-chan struct{}) {
	_, err := r.copyTo(feeding{d}, over)
	if err == nil {
		err = d.close()
	}
	if err != nil && !errors.Is(err, errOver) {
		t.s.Close() // the sink failed
	}
}

type feeding struct{ d *deframer }

func (f feeding) Write(b []byte) (int, error) {
	if err := f.d.feed(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// deliver runs the talk for a command and gives how it came out.
func (c *conn) deliver(ctx context.Context, b *executor.BecomeAs, k *talk, d *delivery, ask bool) (outcome, error) {
	reusable := false
	defer func() {
		if !reusable || !c.place.keep(k.s) {
			k.s.Close()
		}
	}()
	d.boot = k.s.link.booted
	out := newDeframer(k.nonce, func(p []byte) error { return d.bytes(&d.out, p) }, d.line)
	errs := newDeframer(k.nonce, func(p []byte) error { return d.bytes(&d.err, p) }, d.errLine)
	ended := make(chan struct{})
	var wg sync.WaitGroup
	pace := func() time.Duration { return reportEvery }
	if ask {
		begun := time.Now()
		c.place.launches(1)
		d.lasts = sync.OnceFunc(func() { c.place.launches(-1); k.leave() })
		defer d.lasts()
		pace = func() time.Duration { return c.patience() - time.Since(begun) }
		defer func() { c.paced(d, time.Since(begun)) }()
	}
	wg.Go(func() {
		select {
		case <-k.sent:
			d.speak(k.s, ask, pace, ended)
		case <-ended:
		}
	})
	k.run(out, errs, d.done)
	close(ended)
	wg.Wait()
	reusable = d.ready && d.result == outcomeEnd && d.fault == nil
	if ctx.Err() != nil {
		return outcomeNone, context.Cause(ctx)
	}
	return c.result(k, b, d, ask)
}

// result says what came of a talk whose streams are over.
func (c *conn) result(k *talk, b *executor.BecomeAs, d *delivery, launched bool) (outcome, error) {
	d.mu.Lock()
	settled := d.settled()
	d.mu.Unlock()
	if settled {
		return d.result, d.fault
	}
	end, err := k.s.Wait()
	switch {
	case errors.Is(err, errSessionClosed):
		return outcomeAttach, nil // we gave it up
	case err != nil:
		return outcomeNone, err
	case !k.out.began && !k.err.began:
		if k.again || end.Kind != exitStatus || end.Code == 128+9 {
			return outcomeAttach, nil // our shell was killed before it said anything
		}
		return outcomeNone, neverBegan(b, &reply{exit: k.s.exit, stderr: lastLines(string(k.err.noise))})
	}
	if !launched && d.missing() {
		return d.result, d.fault
	}
	return outcomeAttach, nil // the wrapper fell silent, or its helper: what the spool says counts
}

// lastLines gives the end of a text for a message.
func lastLines(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 400 {
		s = "... " + s[len(s)-400:]
	}
	return s
}

// patience is how long a command may take before it is followed: a host, or a controller, that
// is busy with many others takes longer for the short ones too, and must not be given more to do.
func (c *conn) patience() time.Duration {
	n, _ := c.memo().get(paceKey{}).(time.Duration)
	return followAfter + n + time.Duration(c.t.launching.Load())*followShare
}

// paceKey is where a place remembers how long its short commands take, smoothed.
type paceKey struct{}

// paced learns from short commands, also from those that were followed in vain: else a host
// that is busy would have all of them followed, which costs it more than they do. What says much is none of them, however
// soon it ended: its output took the time, and the next of its kind would not be followed before all of it is written.
func (c *conn) paced(d *delivery, took time.Duration) {
	if d.result != outcomeEnd || d.end.Elapsed > max(10*time.Millisecond, took/4) || d.end.Sizes.Stdout+d.end.Sizes.Stderr > wholeLimit {
		return
	}
	n, ok := c.memo().get(paceKey{}).(time.Duration)
	if !ok {
		n = took
	}
	c.memo().put(paceKey{}, min((3*n+took)/4, time.Second))
}

// speak tells the host to follow once the command has lasted a while, again and
// again until it is heard: what comes while a shell still reads its script is lost. Then it reports how far we are.
func (d *delivery) speak(s *session, ask bool, pace func() time.Duration, ended <-chan struct{}) {
	wait, idle, asked := pace(), time.Duration(0), followAfter
	var first time.Time // when it was asked to follow
	var muted time.Duration
	var told, kept executor.Offsets
	for {
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-timer.C:
		case <-d.done:
			timer.Stop()
			return
		case <-ended:
			timer.Stop()
			return
		}
		now := d.offsets()
		if ask && !d.following() {
			if wait = pace(); wait <= 0 {
				if first.IsZero() {
					first = time.Now()
				} else if time.Since(first) > deafAfter {
					s.Close() // attach instead
					return
				}
				_, _ = io.WriteString(s.Stdin(), ":\n") // a failure shows in what is read
				asked = min(2*asked, time.Second)
				wait = asked
			}
			continue
		}
		if muted += wait; !ask && !d.following() && muted > muteAfter {
			d.mute()
			return
		}
		if wait = reportEvery; now != told {
			tell(s, ask, "got", now)
			told, idle = now, 0
			kept = d.keep(s, ask, now, kept)
		} else if idle += reportEvery; idle > stuckAfter && d.owing() {
			s.Close() // attach anew
			return
		}
	}
}

// mute ends a talk in which the host says nothing of ours, though it may say much: the command is out of reach.
func (d *delivery) mute() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.decide(outcomeNone, because(executor.ErrLost, "does the login shell or its profile wait for something, or say something without end?", "nothing that tfw could read came from the host's shell within %s", muteAfter))
}

// keep tells the host how much of the output is stored for good, when that is much more than it was told before.
func (d *delivery) keep(s *session, launched bool, now, told executor.Offsets) executor.Offsets {
	k, ok := d.sink.(executor.Keeper)
	if !ok || now.Stdout-told.Stdout < keptEvery && now.Stderr-told.Stderr < keptEvery {
		return told
	}
	kept, err := k.Kept()
	if err != nil || kept.Stdout-told.Stdout < keptEvery && kept.Stderr-told.Stderr < keptEvery {
		return told // the host keeps it: that does no harm
	}
	tell(s, launched, "kept", kept)
	return kept
}

// tell says what we have: to a launch in words that a shell which stands by makes nothing of.
func tell(s *session, launched bool, word string, o executor.Offsets) {
	line := fmt.Sprintf("%s %d %d\n", word, o.Stdout, o.Stderr)
	if launched {
		line = fmt.Sprintf(": %d %d%s\n", o.Stdout, o.Stderr, map[string]string{"kept": " k"}[word])
	}
	_, _ = io.WriteString(s.Stdin(), line) // a failure shows in what is read
}
