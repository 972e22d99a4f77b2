package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/cmd/tfwctl/screen"
	"tfw/executor"
)

func newTop(a *app) *cobra.Command {
	var delay time.Duration
	cmd := &cobra.Command{
		Use: "top", Short: "Watch hosts, runs and the selected run's log on a full screen",
		Long: `Watch a lab: hosts that fare alike in one row, the newest runs, how the hosts of
the selected run fare, and its log as it comes. Only what changed is sent to the
terminal, at a bounded rate, so it may stay open over a slow link. When the
controller goes away the screen says so and goes on when it is back.

Keys: up and down select a run, page up and down go through its log, end follows
it, left and right move over long lines, / names a host to show the log of, a
shows what probes print, c cancels the run, ctrl-l draws anew, q quits.
Nothing is cancelled by quitting.`,
		Example: "  tfwctl top\n  tfwctl top --delay 2s           over a slow link\n  tfwctl top --server http://lab1:8774",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if delay < 100*time.Millisecond || delay > time.Minute {
				return usageError{fmt.Sprintf("--delay: got %s, want from 100ms to 1m", delay)}
			}
			return a.top(cmd.Context(), delay)
		},
	}
	cmd.Flags().DurationVarP(&delay, "delay", "d", time.Second, "look and draw at most so often")
	return cmd
}

// bytesPerSecond is what the screen may take of a link on average. A frame
// that needs more is followed by a pause.
const bytesPerSecond = 8 << 10

// topLoop is one session of top.
type topLoop struct {
	t       *screen.Terminal
	m       *topModel
	feed    *topFeed
	client  *api.Client
	delay   time.Duration
	next    time.Time // when the next frame may be drawn that no key asked for
	signals chan os.Signal
}

func (a *app) top(ctx context.Context, delay time.Duration) (err error) {
	if a.setting.output.value != "table" {
		return usageError{"top is for people (for scripts: tfwctl runs -o " + a.setting.output.value + ")"}
	}
	if !isTerminal(a.in) || !isTerminal(a.out) {
		return usageError{"top needs a terminal (see: tfwctl runs, tfwctl hosts, tfwctl logs -f)"}
	}
	if !a.redraws(a.out) {
		return usageError{"top cannot draw on a terminal that is TERM=dumb (see: tfwctl runs, tfwctl hosts, tfwctl logs -f)"}
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	m := &topModel{server: a.where()}
	if m.hosts, err = client.Hosts(ctx, "", ""); err != nil { // what is refused is said before the screen is taken
		return err
	}
	l := &topLoop{m: m, client: client, delay: delay, signals: make(chan os.Signal, 8)}
	signal.Notify(l.signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGWINCH)
	defer signal.Stop(l.signals)
	if l.t, err = screen.Open(a.in, a.out, a.colour(a.out)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.t.Close()) }() // on a panic too
	ctx, stop := context.WithCancel(ctx)
	l.feed = startTopFeed(ctx, client, delay)
	defer l.feed.wait()
	defer stop()
	return l.run(ctx)
}

// where names the controller for the title.
func (a *app) where() string {
	if s := a.setting.server.value; s != "" {
		return s
	}
	return a.setting.inventory.value
}

// run draws and listens until the person quits or a signal ends it.
func (l *topLoop) run(ctx context.Context) error {
	if err := l.draw(); err != nil {
		return err
	}
	clock := time.NewTicker(l.delay)
	defer clock.Stop()
	for {
		select {
		case pressed, more := <-l.t.Keys():
			if !more {
				return nil // the terminal is gone
			}
			if quit, err := l.press(ctx, pressed); quit || err != nil {
				return err
			}
			l.next = time.Time{}
		case update := <-l.feed.updates:
			update(l.m)
			continue // the clock draws
		case p := <-l.feed.panics:
			panic(p)
		case s := <-l.signals:
			if s != syscall.SIGWINCH {
				return statusError(128 + int(s.(syscall.Signal)))
			}
			l.t.Redraw()
			l.next = time.Time{}
		case <-clock.C:
		}
		if time.Now().Before(l.next) {
			continue
		}
		if err := l.draw(); err != nil {
			return err
		}
	}
}

func (l *topLoop) draw() error {
	l.feed.want(l.m.wants())
	g := screen.NewGrid(l.t.Size())
	n, err := l.t.Show(g, l.m.draw(g, time.Now()))
	l.next = time.Now().Add(time.Duration(n) * time.Second / bytesPerSecond)
	return err
}

// press does what keys ask for.
func (l *topLoop) press(ctx context.Context, pressed []screen.Key) (quit bool, err error) {
	for _, k := range pressed {
		switch l.m.press(k) {
		case topQuit:
			return true, nil
		case topRedraw:
			l.t.Redraw()
		case topSuspend:
			if err := l.suspend(); err != nil {
				return true, err
			}
		case topCancel:
			l.cancel(ctx, l.m.selected)
		}
	}
	return false, nil
}

// suspend stops the process as a shell's Ctrl-Z does, until it is continued.
func (l *topLoop) suspend() error {
	return l.t.Suspend(func() {
		_ = syscall.Kill(0, syscall.SIGTSTP) // our own group always exists
		time.Sleep(50 * time.Millisecond)    // the stop may come a moment later
	})
}

func (l *topLoop) cancel(ctx context.Context, id executor.RunID) {
	l.feed.do(func() {
		ctx, done := context.WithTimeout(ctx, topPatience)
		defer done()
		_, err := l.client.Cancel(ctx, string(id), "asked in tfwctl top")
		l.feed.tell(ctx, func(m *topModel) {
			if m.notice = "asked to cancel run " + string(id); err != nil {
				m.notice = "cancel: " + plain(err)
			}
		})
	})
}

// topPanic is a panic of a goroutine, brought to the one that owns the terminal.
type topPanic struct {
	value any
	stack []byte
}

func (p topPanic) String() string { return fmt.Sprintf("%v\n%s", p.value, p.stack) }

func caught(to chan<- topPanic) {
	if v := recover(); v != nil {
		to <- topPanic{v, debug.Stack()}
	}
}
