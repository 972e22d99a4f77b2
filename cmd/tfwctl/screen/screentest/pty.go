package screentest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pty is a program on a pseudo terminal, and what it has sent.
type Pty struct {
	Cmd    *exec.Cmd
	master *os.File
	slave  *os.File // kept open, so that the terminal's settings can be read after the program has ended
	done   chan struct{}
	// drained is closed when all that the program has sent was read: Wait sends a NUL after it.
	drained chan struct{}

	mu   sync.Mutex
	sent bytes.Buffer
	eye  *Emulator
}

// StartPty starts cmd as the leader of a session on a terminal of a size. What cmd has
// set for its standard files stays: the others are the terminal. Linux only.
func StartPty(cmd *exec.Cmd, width, height int) (*Pty, error) {
	master, slave, err := open(width, height)
	if err != nil {
		return nil, err
	}
	if cmd.Stdin == nil {
		cmd.Stdin = slave
	}
	if cmd.Stdout == nil {
		cmd.Stdout = slave
	}
	if cmd.Stderr == nil {
		cmd.Stderr = slave
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, slave)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2 + len(cmd.ExtraFiles)}
	p := &Pty{Cmd: cmd, master: master, slave: slave, done: make(chan struct{}), drained: make(chan struct{}), eye: NewEmulator(width, height)}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, master.Close(), slave.Close())
	}
	go p.read()
	return p, nil
}

// Open gives a terminal of a size for code of the test itself: the file to use as one, and
// the eye that sees it.
func Open(width, height int) (*os.File, *Pty, error) {
	master, slave, err := open(width, height)
	if err != nil {
		return nil, nil, err
	}
	p := &Pty{master: master, slave: slave, done: make(chan struct{}), drained: make(chan struct{}), eye: NewEmulator(width, height)}
	go p.read()
	return slave, p, nil
}

func open(width, height int) (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)})
	}
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, slave, nil
}

func (p *Pty) read() {
	defer close(p.done)
	b := make([]byte, 32<<10)
	for {
		n, err := p.master.Read(b)
		got, _, last := bytes.Cut(b[:n], []byte{0}) // behind it the terminal may echo a key that nobody read
		p.mu.Lock()
		p.sent.Write(got)
		_, _ = p.eye.Write(got) // it takes everything
		p.mu.Unlock()
		if last {
			close(p.drained)
			return
		}
		if err != nil {
			return
		}
	}
}

// Type presses keys.
func (p *Pty) Type(keys string) error {
	_, err := p.master.WriteString(keys)
	return err
}

// Resize changes the terminal's size and rings for it, as a window manager does.
func (p *Pty) Resize(width, height int) error {
	p.mu.Lock()
	p.eye = NewEmulator(width, height)
	p.eye.Alternate, p.eye.CursorHidden, p.eye.nowrap = true, true, true
	p.mu.Unlock()
	return unix.IoctlSetWinsize(int(p.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)})
}

// Screen is what a person would see now.
func (p *Pty) Screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.eye.Text()
}

// Sent is every byte so far.
func (p *Pty) Sent() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent.String()
}

// State tells of the alternate screen, the hidden cursor, and sequences that no plain terminal knows.
func (p *Pty) State() (alternate, hidden bool, unknown []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.eye.Alternate, p.eye.CursorHidden, p.eye.Unknown
}

// Settings are the terminal's (termios(3)).
func (p *Pty) Settings() (unix.Termios, error) {
	t, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		return unix.Termios{}, err
	}
	return *t, nil
}

// Until waits until ok holds for the screen; false after patience.
func (p *Pty) Until(patience time.Duration, ok func(screen string) bool) bool {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if ok(p.Screen()) {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// Wait waits for the program's end and gives its exit status, as a shell counts it.
func (p *Pty) Wait(patience time.Duration) (int, error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Cmd.Wait() // ProcessState tells how it ended
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		_ = p.Cmd.Process.Kill() // it is told below
		<-ended
		return -1, fmt.Errorf("%s: not ended within %s", p.Cmd.Path, patience)
	}
	if err := p.Drain(); err != nil {
		return -1, err
	}
	if s, ok := p.Cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal()), nil
	}
	return p.Cmd.ProcessState.ExitCode(), nil
}

// Drain waits until all that was sent so far has been read. It is the end of reading: call it once.
func (p *Pty) Drain() error {
	if _, err := p.slave.Write([]byte{0}); err != nil {
		return err
	}
	select {
	case <-p.drained:
		return nil
	case <-time.After(20 * time.Second):
		return errors.New("the terminal does not give what was written to it")
	}
}

// Close lets the terminal go, and ends a program that is still on it.
func (p *Pty) Close() {
	if p.Cmd != nil && p.Cmd.ProcessState == nil {
		_ = p.Cmd.Process.Kill() // it may just have ended
		_ = p.Cmd.Wait()
	}
	p.slave.Close()
	p.master.Close()
	<-p.done
}
