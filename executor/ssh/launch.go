package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tfw/executor"
)

// defaultMaxSpool bounds what waits on a host when nobody says otherwise.
const defaultMaxSpool = 256 << 20

// inlineLimit is how much script and stdin travels in the launch's text; more is staged by an exec of its own.
const inlineLimit = 64 << 10

// Run implements executor.Conn. See docs/durable.md for how.
func (c *conn) Run(ctx context.Context, cmd executor.DurableCommand, from executor.Offsets, attach bool, sink executor.Sink) (executor.End, error) {
	if err := ctx.Err(); err != nil {
		return executor.End{}, context.Cause(ctx)
	}
	end, err := c.run(ctx, cmd, from, attach, sink)
	switch {
	case err == nil:
		c.ended(cmd, end)
		return end, nil
	case ctx.Err() != nil:
		return executor.End{}, context.Cause(ctx)
	}
	return executor.End{}, c.fail("run", err)
}

func (c *conn) run(ctx context.Context, cmd executor.DurableCommand, from executor.Offsets, attach bool, sink executor.Sink) (executor.End, error) {
	d := newDelivery(sink, from, attach, c.probed(cmd.Become))
	d.from = from
	moved := ""
	for try := 0; try < 8; try++ {
		before := d.offsets()
		out, err := outcomeAttach, error(nil)
		if !attach {
			out, err = c.launch(ctx, cmd, d)
		}
		if out == outcomeAttach && err == nil {
			d.again()
			out, err = c.attach(ctx, cmd, d)
		}
		var lostSpool *spoolError
		switch {
		case errors.As(err, &lostSpool) && try < 2:
			c.memo().drop(keyOf(cmd.Become)) // look again where the spool is
			c.place.dismiss()
		case err != nil:
			return executor.End{}, err
		case out == outcomeEnd:
			return d.end, nil
		case out == outcomeAbsent && attach:
			return executor.End{Kind: executor.EndUnknown, Sizes: from, Note: moved}, nil
		case out == outcomeStale:
			d.again()
			continue // it was not started, and that shell is gone
		case out == outcomeMoved:
			attach, moved = true, "the host was booted after the start was asked for, and it was not started again"
		case out == outcomeTorn && attach:
			return executor.End{Kind: executor.EndUnknown, Sizes: from, Note: "its claim on the host is empty: the disk was full and it was not started"}, nil
		case out == outcomeTorn:
			return executor.End{}, because(executor.ErrRefused, "make room on the host's disk, then start it anew", "the command was not started: the spool's disk on the host was full")
		}
		if d.offsets() != before {
			try = 0 // slow is not stuck
		}
		d.again()
		if err := rest(ctx, time.Duration(try)*100*time.Millisecond); err != nil {
			return executor.End{}, err
		}
	}
	return executor.End{}, because(executor.ErrRefused, "is its disk full, or the spool being deleted?", "the host does not tell what became of %s", cmd.ID)
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// launch asks the host to start the command, once for ever.
func (c *conn) launch(ctx context.Context, cmd executor.DurableCommand, d *delivery) (outcome, error) {
	if cmd.Become != nil && c.spool(nil) == nil { // it is the login's session that its host may end
		if err := c.look(ctx, nil); err != nil {
			return outcomeNone, err
		}
	}
	if len(cmd.Script)+len(cmd.Stdin) > inlineLimit && c.spool(cmd.Become) == nil {
		if err := c.look(ctx, cmd.Become); err != nil {
			return outcomeNone, err
		}
	}
	some := c.place.acks().take(keyOf(cmd.Become), ackBatch)
	out, err := c.launchWith(ctx, cmd, d, acksText(some))
	if out != outcomeEnd && some != nil {
		c.place.acks().putBack(keyOf(cmd.Become), some) // doing it twice does no harm
	}
	return out, err
}

// launchWith launches the command; after is what the host does when all is said.
func (c *conn) launchWith(ctx context.Context, cmd executor.DurableCommand, d *delivery, after string) (outcome, error) {
	block, err := c.block(ctx, cmd, d.from, after)
	if err != nil {
		return outcomeNone, err
	}
	k, err := c.beginLaunch(ctx, cmd.Become, block)
	if err != nil {
		return outcomeNone, err
	}
	return c.deliver(ctx, cmd.Become, k, d, true)
}

// block is the text for one command, for a shell that knows launch.sh's functions. after is done when all is said.
func (c *conn) block(ctx context.Context, cmd executor.DurableCommand, from executor.Offsets, after string) (string, error) {
	id, err := idText(cmd.ID)
	if err != nil {
		return "", err
	}
	script, err := c.program(ctx, cmd, id)
	if err != nil {
		return "", err
	}
	setup, err := setupText(cmd)
	if err != nil {
		return "", err
	}
	stdin := payload{name: "/dev/null"}
	if cmd.Stdin != nil {
		if stdin, err = c.payload(ctx, cmd, id, "in", cmd.Stdin); err != nil {
			return "", err
		}
	}
	own, merge, leaves := "$t_S", "", "1"
	if cmd.Merge {
		merge = "1"
		stdin.stage += `t_put s '' >"$t_f+err" && `
	}
	if cmd.Login && isQuiet(cmd.Script) {
		own, leaves = "", ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "t_i=%s t_f=$t_d/%s t_F=%s t_N=%s t_q=%d %s t_j=%d t_J=%d t_M=%s t_O=%s t_L=%s\n%s\n", id, id, script.name, stdin.name, bound(cmd.MaxSpool), sinceText(cmd),
		from.Stdout, from.Stderr, merge, own, leaves, script.run)
	function(&b, "t_stage", script.stage+stdin.stage+":\n", ":\n")
	function(&b, "t_setup", setup, "")
	function(&b, "t_clean", script.clean+stdin.clean+after, "")
	b.WriteString("t_go")
	for _, a := range cmd.Args {
		if strings.ContainsRune(a, 0) {
			return "", because(executor.ErrRefused, "pass it on stdin", "an argument holds a NUL byte")
		}
		b.WriteString(" " + quote(a))
	}
	return b.String() + "\n", nil
}

// function writes a shell function where it has anything else to do than the usual.
func function(b *strings.Builder, name, body, usual string) {
	if body != usual {
		fmt.Fprintf(b, "%s() {\n%s}\n", name, body)
	}
}

// sinceText tells the launch on which boot, or at what uptime (seconds), the command may be started.
func sinceText(cmd executor.DurableCommand) string {
	boot, age := cmd.BootID, time.Duration(0)
	if !allIn(strings.ToLower(boot), "0123456789abcdef-") {
		boot = ""
	}
	if !cmd.Begun.IsZero() {
		age = max(0, time.Since(cmd.Begun))
	}
	return fmt.Sprintf("t_B=%s t_A=%d", boot, int64(age/time.Second))
}

func bound(n int64) int64 {
	switch {
	case n == 0:
		return defaultMaxSpool
	case n < 0:
		return 1 << 62
	}
	return n
}

// interpreter is what the script is to be run by: what its first line says, as the kernel reads
// it (execve(2): a path and at most one argument), without asking for the right to execute.
func interpreter(script []byte) []string {
	line, _, _ := strings.Cut(string(script[:min(len(script), 4096)]), "\n")
	rest, ok := strings.CutPrefix(line, "#!")
	rest = strings.Trim(rest, " \t\r")
	if !ok || rest == "" {
		return []string{"/bin/sh"}
	}
	path, arg, _ := strings.Cut(strings.ReplaceAll(rest, "\t", " "), " ")
	if arg = strings.TrimSpace(arg); arg == "" {
		return []string{path}
	}
	return []string{path, arg}
}
