package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tfw/executor"
)

// maxProbe bounds the output of a [conn.Probe].
const maxProbe = 1 << 20

// probed remembers what a script's head found out, for all who become the same user.
func (c *conn) probed(b *executor.BecomeAs) func(string) {
	return func(line string) {
		if s, ok := parseSpool(line); ok {
			c.memo().put(keyOf(b), s)
		}
	}
}

// look finds the spool out by an exec of its own, where that cannot wait for the next command's.
func (c *conn) look(ctx context.Context, b *executor.BecomeAs) error {
	_, err := c.ask(ctx, b, text{body: ":\n"}, false)
	return err
}

// ask runs one of our scripts to its end and gives its control lines, without the probe's.
func (c *conn) ask(ctx context.Context, b *executor.BecomeAs, t text, urgent bool) ([]string, error) {
	k, err := c.begin(ctx, b, t, urgent)
	if err != nil {
		return nil, err
	}
	defer k.s.Close()
	var lines []string
	var refused error
	ignore := func([]byte) error { return nil }
	k.run(newDeframer(k.nonce, ignore, func(line string) error {
		if rest, ok := strings.CutPrefix(line, "probe "); ok {
			c.probed(b)(rest)
			boot, _, _ := strings.Cut(rest, " ")
			k.s.link.booted(boot)
		} else if rest, ok := strings.CutPrefix(line, "fail "); ok {
			refused = hostRefused(rest)
		} else if len(lines) < 10_000 {
			lines = append(lines, line)
		}
		return nil
	}), newDeframer(k.nonce, ignore, func(string) error { return nil }), nil)
	_, err = k.s.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case refused != nil:
		return nil, refused
	case err != nil && !errors.Is(err, errSessionClosed):
		return nil, err
	case !k.out.began && c.spool(b) == nil:
		return nil, neverBegan(b, &reply{exit: k.s.exit, stderr: lastLines(string(k.err.noise))})
	}
	return lines, nil
}

// Probe implements executor.Conn.
func (c *conn) Probe(ctx context.Context, script string) ([]byte, error) {
	out, err := c.readOnly(ctx, script)
	return out, c.fail("probe", err)
}

// readOnly sends the script on stdin, so that its text is not on show, and cuts the noise of the login off.
func (c *conn) readOnly(ctx context.Context, script string) ([]byte, error) {
	n := nonce()
	s, err := c.open(ctx, "exec /bin/sh -s")
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var out []byte
	d := newDeframer(n, func(b []byte) error {
		if out = append(out, b...); len(out) > maxProbe {
			return because(executor.ErrRefused, "run it as a command instead", "the probe's output is larger than 1 MiB")
		}
		return nil
	}, func(string) error { return nil })
	var fault error
	k := &talk{s: s, nonce: n, sent: make(chan struct{}), first: "{ echo '\x1eTFW1 " + n + " begin'\n( " + script + "\n) </dev/null\nexit\n}\n"}
	d.data = keepFault(d.data, &fault)
	k.run(d, newDeframer(n, func([]byte) error { return nil }, func(string) error { return nil }), nil)
	end, err := s.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case fault != nil:
		return nil, fault
	case err != nil:
		return nil, err
	case !d.began:
		return nil, neverBegan(nil, &reply{exit: end, stderr: lastLines(string(k.err.noise))})
	case end.Kind == exitStatus && end.Code != 0:
		return out, fmt.Errorf("the probe's script ended with status %d: %s", end.Code, lastLines(string(k.err.noise)))
	}
	return out, nil
}

func keepFault(f func([]byte) error, fault *error) func([]byte) error {
	return func(b []byte) error {
		*fault = f(b)
		return *fault
	}
}

// booted remembers the host's boot id: no link outlives a reboot, what is known of the place does.
func (l *link) booted(id string) {
	if id != "-" && id != "" {
		l.boot.Store(&id)
	}
}

// Info implements executor.Conn. What a probe finds is known after the first
// command; the boot id after the first command of this very connection.
func (c *conn) Info() executor.HostInfo {
	id, took := c.server()
	info := executor.HostInfo{ServerID: id, ConnectedIn: took}
	if l := c.place.live(); l != nil {
		if boot := l.boot.Load(); boot != nil {
			info.BootID = *boot
		}
	}
	s := c.spool(nil)
	if s == nil {
		return info
	}
	info.Spool, info.Durable = s.dir, s.durable == "yes" || s.durable == "scope"
	info.Follow = map[string]string{"gnu": "inotify", "poll": "poll"}[s.tail]
	switch s.durable {
	case "logind":
		info.NotDurable = "systemd-logind kills what a login leaves behind (KillUserProcesses=yes): set it to no, add the user to KillExcludeUsers, or let the user linger (loginctl enable-linger), for tfw to use a scope of systemd's"
	case "noproc":
		info.NotDurable = "no /proc on the host: a command cannot be told from another after a cut"
	}
	return info
}
