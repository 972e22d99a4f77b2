package screen

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// ErrNoTerminal tells that there is nothing to draw on.
var ErrNoTerminal = errors.New("standard input and output are no terminal")

const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l"              // alternate screen, no cursor, no wrapping
	leave = "\x1b[r\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l" // and all of it back
)

// Terminal is a terminal that was taken over. [Terminal.Close] gives it back as it was.
type Terminal struct {
	in, out *os.File
	colours bool
	before  *term.State
	shown   *Grid // nil: the screen is not what we drew
	keys    chan []Key
	wake    [2]int // a pipe that ends the reader
	once    sync.Once
}

// Open takes the terminal over: raw keys, the alternate screen. Colours are sent when colours says so.
// Whoever opens must call Close on every way out, and so on a panic.
func Open(in, out *os.File, colours bool) (*Terminal, error) {
	if !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return nil, ErrNoTerminal
	}
	t := &Terminal{in: in, out: out, colours: colours, keys: make(chan []Key)}
	if err := unix.Pipe2(t.wake[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	if err := t.take(); err != nil {
		return nil, err
	}
	go t.read()
	return t, nil
}

func (t *Terminal) take() error {
	state, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return err
	}
	t.before, t.shown = state, nil
	_, err = t.out.WriteString(enter)
	return err
}

func (t *Terminal) giveBack() error {
	_, err := t.out.WriteString(leave)
	return errors.Join(err, term.Restore(int(t.in.Fd()), t.before))
}

// Close gives the terminal back as it was, and ends the reading of keys. It may be called again.
func (t *Terminal) Close() error {
	var err error
	t.once.Do(func() {
		err = t.giveBack()
		unix.Close(t.wake[1])
		for range t.keys { // until the reader has ended
		}
		unix.Close(t.wake[0])
	})
	return err
}

// Suspend gives the terminal back, calls fn, and takes it again.
func (t *Terminal) Suspend(fn func()) error {
	if err := t.giveBack(); err != nil {
		return err
	}
	fn()
	return t.take()
}

// Keys gives the keys that are pressed; closed when the terminal has gone, or by Close.
func (t *Terminal) Keys() <-chan []Key { return t.keys }

// Size is the terminal's, 80x24 where it does not say.
func (t *Terminal) Size() (width, height int) {
	width, height, err := term.GetSize(int(t.out.Fd()))
	if err != nil || width < 1 || height < 1 {
		return 80, 24
	}
	return width, height
}

// Redraw makes the next Show draw everything anew.
func (t *Terminal) Redraw() { t.shown = nil }

// Show draws a frame: only what changed since the one before. It tells how many bytes that took.
func (t *Terminal) Show(g *Grid, scroll Rows) (int, error) {
	out := diff(t.shown, g, scroll, t.colours)
	t.shown = g
	if len(out) == 0 {
		return 0, nil
	}
	return t.out.Write(out)
}

// read waits for keys and for the end, whichever comes first: nothing is left reading the terminal behind.
func (t *Terminal) read() {
	defer close(t.keys)
	buf := make([]byte, 256)
	for {
		fds := []unix.PollFd{{Fd: int32(t.in.Fd()), Events: unix.POLLIN}, {Fd: int32(t.wake[0]), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil || fds[1].Revents != 0 {
			return
		}
		n, err := unix.Read(int(t.in.Fd()), buf)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			time.Sleep(10 * time.Millisecond)
			continue
		case err != nil || n == 0:
			return
		}
		if k := keys(buf[:n]); len(k) > 0 {
			t.keys <- k
		}
	}
}
