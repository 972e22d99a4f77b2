package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"tfw/api"
)

// app is one invocation: where it reads and writes, what was asked for all
// commands, and the one client that every command speaks through.
type app struct {
	in       *os.File
	out, err *os.File
	env      func(string) string

	flags   globals
	setting settings // resolved from flags, environment and context when first needed

	conn *connection // opened when first needed

	left     bool      // something was left to itself: a controller must go on with it
	answerBy time.Time // of a completion, however much it looks up
}

// globals are the flags that every command takes.
type globals struct {
	server, token, inventory, output, context string
	noColor, verbose, printConfig             bool
	lines                                     bool // of plan run: no tree
}

func newApp() *app {
	return &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
}

// client gives the client, connecting at the first call.
func (a *app) client(ctx context.Context) (*api.Client, error) {
	if a.conn == nil {
		conn, err := connect(ctx, a)
		if err != nil {
			return nil, err
		}
		a.conn = conn
	}
	return a.conn.client, nil
}

// close ends what client began. An embedded controller leaves its runs: they go on on their hosts.
func (a *app) close() {
	if a.conn != nil {
		a.conn.close()
	}
}

// say writes a line for the person, apart from what the command was asked for.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// redraws reports whether a line that was written to f can be written over.
func (a *app) redraws(f *os.File) bool { return isTerminal(f) && a.env("TERM") != "dumb" }

// width is the terminal's, or 0 when w is none.
func width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return n
}

// colour reports whether f may be coloured (https://no-color.org).
func (a *app) colour(f *os.File) bool {
	return !a.flags.noColor && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb" && isTerminal(f)
}

// since is a short age for tables.
func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return short(time.Since(t)) + " ago"
}

// short is a duration in at most two units.
func short(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
