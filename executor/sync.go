package executor

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sourcegraph/conc"
)

// Host sync: a command of a run that belongs to a meeting finds tfw-sync on its PATH. What it
// asks lies in a directory of its own on the host; it is brought here by a probe that waits for it there, stored,
// and answered by another. All of it may be done twice: after a cut or a restart the directory is read anew.

//go:embed tfw-sync.sh
var syncTool string

// callDir is the directory of a command on its host, in the words of a shell there.
func callDir(id CommandID) string { return `"$HOME/.cache/tfw/sync/` + id.String() + `"` }

// syncing is the host sync of one command over one connection.
type syncing struct {
	x     *execution
	conn  Conn
	s     *assembly
	party Party
	dir   string // in the words of a shell
	told  map[int]bool
	shown map[int]time.Duration // calls of which the tester was told that they wait, and after how long
}

// syncs reports whether the command may call tfw-sync.
func (x *execution) syncs() bool { return x.cmd.Sync && x.r.a.run.Meeting != "" }

// prepareSync makes the command's directory with the tool, and puts it on the PATH.
func (x *execution) prepareSync(dc *DurableCommand) error {
	if !x.syncs() {
		return nil
	}
	if b := dc.Become; b != nil && b.User != "root" {
		return fmt.Errorf("tfw-sync works for the login user and for root, not for %s (leave become out, or sync out)", b.User)
	}
	script := `umask 077
d=` + callDir(x.id) + `
find "${d%/*}" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} + 2>/dev/null
mkdir -p "$d" && { [ -x "$d/tfw-sync" ] || { printf '%s' ` + quoteText(syncTool) + ` >"$d/tool" && chmod 755 "$d/tool" && mv "$d/tool" "$d/tfw-sync"; }; } || exit 1
"$d/tfw-sync" --here || { echo noexec; exit 0; }
cd "$d" && pwd`
	out, err := x.r.conn.Probe(x.ctx, script)
	if err != nil {
		return fmt.Errorf("prepare tfw-sync: %w", err)
	}
	dir := strings.TrimSpace(string(out))
	if !strings.HasPrefix(dir, "/") || strings.ContainsAny(dir, ":\n") {
		return fmt.Errorf("prepare tfw-sync: it cannot be run from ~/.cache/tfw on this host (is the home mounted noexec?)")
	}
	dc.Path = dir
	return nil
}

// sync serves the command's calls until stop is called. It costs one session of the host.
func (x *execution) sync() (stop func()) {
	if !x.syncs() {
		return func() {}
	}
	s, err := x.r.e.assembly(x.ctx, x.r.a.run.Meeting)
	if err != nil {
		x.r.event("tfw-sync does not work: " + err.Error())
		return func() {}
	}
	y := &syncing{x: x, conn: x.r.conn, s: s, party: x.r.party(), dir: callDir(x.id), told: map[int]bool{}, shown: map[int]time.Duration{}}
	ctx, cancel := context.WithCancel(x.ctx)
	var both conc.WaitGroup
	both.Go(func() { y.hear(ctx) })
	both.Go(func() { y.tell(ctx) })
	return func() { cancel(); both.Wait() }
}

func (r *remote) party() Party { return Party{r.a.run.Step, r.p.host.Name} }

// endSync takes the directory away. It is best effort: what stays is swept by a later command.
func (x *execution) endSync() {
	if !x.syncs() || x.r.conn == nil {
		return
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(x.ctx), 10*time.Second)
	defer done()
	_, _ = x.r.conn.Probe(ctx, "rm -rf "+callDir(x.id))
}

// hear brings what the command asks. The first look brings all that is there: an
// earlier one may have been lost on its way.
func (y *syncing) hear(ctx context.Context) {
	all, wait := true, 200*time.Millisecond
	for ctx.Err() == nil {
		out, err := y.conn.Probe(ctx, y.look(all))
		if all = err != nil; err == nil {
			all = !y.take(ctx, string(out))
		}
		if !all {
			wait = 200 * time.Millisecond
			continue
		}
		sleep(ctx, wait)
		wait = min(2*wait, 10*time.Second)
	}
}

// look waits on the host for calls, for up to half a minute. Those that were brought are set aside.
func (y *syncing) look(all bool) string {
	again := ""
	if all {
		again = `for f in "$d"/s.*; do [ -e "$f" ] && mv "$f" "$d/q.${f##*.}"; done
`
	}
	return "d=" + y.dir + "\n" + again + `i=0
while [ $i -lt 150 ] && [ -d "$d" ]; do
  set -- "$d"/q.*
  if [ -e "$1" ]; then
    for f do IFS= read -r l <"$f" && printf '%s %s\n' "${f##*.}" "$l" && mv "$f" "$d/s.${f##*.}"; done
    exit 0
  fi
  i=$((i+1)); sleep 0.2 2>/dev/null || sleep 1
done`
}

// take stores what was brought. False: once more, please.
func (y *syncing) take(ctx context.Context, text string) bool {
	for line := range strings.Lines(text) {
		c, gone, ok := y.parse(strings.TrimSuffix(line, "\n"))
		if !ok {
			continue // a host may say what it likes
		}
		var err error
		if gone {
			err = y.x.r.e.withdraw(ctx, y.s, y.party, c.Command, c.N)
		} else {
			err = y.x.r.e.arrive(ctx, y.s, c)
		}
		if err != nil {
			y.x.r.e.log.Error("cannot store a call of tfw-sync, trying again", "run", y.x.id.Run, "host", y.x.id.Host, "error", err)
			y.again(ctx)
			return false
		}
	}
	return true
}

// again reads the meeting from the store anew.
func (y *syncing) again(ctx context.Context) {
	if s, err := y.x.r.e.assembly(ctx, y.x.r.a.run.Meeting); err == nil {
		y.s = s
	}
}

var syncName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// parse reads "N VERB NAME [VALUE]". The line comes from the host: nothing in it is trusted.
func (y *syncing) parse(line string) (c *call, gone, ok bool) {
	w := strings.SplitN(line, " ", 4)
	n, err := strconv.Atoi(w[0])
	if err != nil || n < 1 || n > maxCalls || len(w) < 2 || len(line) > 8192 {
		return nil, false, false
	}
	c = &call{Party: y.party, Command: y.x.ordinal, N: n, Verb: w[1], At: y.x.r.e.now()}
	if c.Verb == "gone" {
		return c, true, true
	}
	if len(w) < 3 || !syncName.MatchString(w[2]) {
		return nil, false, false
	}
	c.Name = w[2]
	rest := strings.Join(w[3:], "")
	switch c.Verb {
	case "set":
		c.Value = strings.ToValidUTF8(rest, "\uFFFD")
		if y.x.r.masks.text(rest) != rest {
			c.Value, c.Answer = "", &answer{Text: "the value holds a secret, which is not passed on (give it to the other step as a parameter of its own)"}
		}
	case "get":
		if c.From = rest; rest != "" && !syncName.MatchString(rest) {
			return nil, false, false
		}
	case "wait":
	default:
		return nil, false, false
	}
	return c, false, true
}

// tell passes answers on, and tells the tester who waits long for whom.
func (y *syncing) tell(ctx context.Context) {
	wait := 200 * time.Millisecond
	for ctx.Err() == nil {
		told, waits, bell := y.s.answers(y.party, y.x.ordinal)
		patience := y.show(told, waits)
		if err := y.pass(ctx, told); err != nil {
			sleep(ctx, wait)
			wait = min(2*wait, 10*time.Second)
			continue
		}
		wait = 200 * time.Millisecond
		look := time.NewTimer(patience)
		select {
		case <-bell:
		case <-look.C:
		case <-ctx.Done():
		}
		look.Stop()
	}
}

// longWait is when a wait is told to the tester, and again whenever it has doubled.
const longWait = 4 * time.Second

// show writes to the run's events who waits for whom, once that takes long, and how it
// ended. It gives the time until it has to look again.
func (y *syncing) show(told []call, waits []waiting) (patience time.Duration) {
	patience = time.Hour
	for _, w := range waits {
		next := max(longWait, 2*y.shown[w.n])
		since := time.Since(w.since)
		if since >= next {
			y.shown[w.n], next = since, 2*since
			y.x.r.event(fmt.Sprintf("tfw-sync: %s, since %s", w.what, since.Round(time.Second)))
		}
		patience = min(patience, next-since)
	}
	for _, c := range told {
		if y.told[c.N] {
			continue
		}
		if !c.Answer.OK {
			y.x.r.event("tfw-sync: " + c.Answer.Text)
		} else if y.shown[c.N] > 0 {
			y.x.r.event(fmt.Sprintf("tfw-sync: %q is there", c.Name))
		}
	}
	return max(patience, 10*time.Millisecond)
}

// pass writes answers where tfw-sync waits for them. One that it has had is not written again.
func (y *syncing) pass(ctx context.Context, told []call) error {
	var b strings.Builder
	var some []int
	for _, c := range told {
		if y.told[c.N] {
			continue
		}
		how := "no"
		if c.Answer.OK {
			how = "ok"
		}
		if c.Verb == "get" && c.Answer.OK {
			how = "value"
		}
		fmt.Fprintf(&b, `[ -e "$d/a.%[1]d" ] || { printf '%%s\n' %[2]s >"$d/b.%[1]d" && mv "$d/b.%[1]d" "$d/a.%[1]d" && rm -f "$d/s.%[1]d" "$d/q.%[1]d"; } || exit 1
`, c.N, quoteText(how+"\n"+c.Answer.Text))
		some = append(some, c.N)
	}
	if len(some) == 0 {
		return nil
	}
	_, err := y.conn.Probe(ctx, "umask 077; d="+y.dir+"; [ -d \"$d\" ] || exit 0\n"+b.String())
	if err != nil {
		return err
	}
	for _, n := range some {
		y.told[n] = true
	}
	return nil
}

// quoteText makes a text one word for a shell (POSIX 2.2.2).
func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// inVain makes a failure of a method's pass when its command waited in vain: a script may have overlooked that.
func (r *remote) inVain(err error) error {
	if r.a.run.Meeting == "" {
		return err
	}
	s, missing := r.e.assembly(context.WithoutCancel(r.a.ctx), r.a.run.Meeting)
	if missing != nil {
		return err
	}
	return s.blame(r.party(), err)
}

// parted tells the meeting that a host's part is over.
func (e *Executor) parted(a *active, p *part) {
	if a.run.Meeting == "" || p.result.Verdict == "" {
		return
	}
	why := string(p.result.Verdict)
	switch {
	case strings.Contains(p.result.Reason, "deadlock: "):
		why += ": it had waited in vain" // the whole of it is told there
	case p.result.Reason != "":
		why += ": " + p.result.Reason
	}
	if err := e.Leave(context.WithoutCancel(a.ctx), a.run.Meeting, Party{a.run.Step, p.host.Name}, why); err != nil && !errors.Is(err, ErrClosed) {
		e.log.Error("cannot tell a meeting that a host is over", "run", a.run.ID, "host", p.host.Name, "error", err)
	}
}
