package executortest

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// command is one command that the embedded server runs. Its output goes through
// pipes of our own, not os/exec's: like sshd, the server must tell the end of the process from
// the end of its output, which a child left behind may hold open.
type command struct {
	cmd     *exec.Cmd
	channel ssh.Channel
	pipes   []*os.File // our ends: stdin, stdout, stderr
	ready   chan struct{}
}

// exec starts the command of an exec request; nil channels mean that it is refused.
// Output waits for [command.release], so that it never overtakes the reply to the request.
func (s *connection) exec(channel ssh.Channel, req *ssh.Request) (*command, <-chan struct{}) {
	var line struct{ Command string }
	if ssh.Unmarshal(req.Payload, &line) != nil || s.fault == FaultExecRefused {
		return nil, nil
	}
	if done := s.fault.instead(s, channel); done != nil {
		return nil, done
	}
	c := &command{channel: channel, ready: make(chan struct{})}
	theirs, err := c.makePipes()
	if err == nil {
		c.cmd = s.server.command(line.Command, theirs)
		err = c.cmd.Start()
	}
	for _, f := range theirs {
		_ = f.Close()
	}
	if err != nil {
		c.closePipes()
		return nil, nil
	}
	done := make(chan struct{})
	s.server.work.Go(func() {
		defer close(done)
		c.serve(s)
	})
	return c, done
}

func (e *embedded) command(line string, files []*os.File) *exec.Cmd {
	shell := e.lab.opt.Shell
	if shell == "" {
		shell = "/bin/sh"
	}
	cmd := exec.Command(shell, "-c", line)
	cmd.Dir = e.host.home
	cmd.Env = append([]string{"USER=" + e.lab.user, "LOGNAME=" + e.lab.user, "SHELL=" + shell,
		"PATH=" + binPath}, e.lab.environment(e.host)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// makePipes makes the three pipes and gives the child's ends.
func (c *command) makePipes() (theirs []*os.File, err error) {
	for i := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			return theirs, err
		}
		if i == 0 {
			r, w = w, r
		}
		c.pipes, theirs = append(c.pipes, r), append(theirs, w)
	}
	return theirs, nil
}

func (c *command) closePipes() {
	for _, f := range c.pipes {
		_ = f.Close()
	}
}

// release lets output flow.
func (c *command) release() { close(c.ready) }

// abandon is what sshd does when the client leaves: it closes the pipes and lets the command run.
func (c *command) abandon() { c.closePipes() }

// serve copies until the process has ended and its output is at its end, as sshd does.
func (c *command) serve(s *connection) {
	<-c.ready
	out, errs := make(chan struct{}), make(chan struct{})
	s.server.work.Go(func() { c.feed(s) })
	s.server.work.Go(func() { defer close(out); c.drain(c.channel, c.pipes[1]) })
	s.server.work.Go(func() { defer close(errs); c.drain(c.channel.Stderr(), c.pipes[2]) })
	waitErr := c.cmd.Wait()
	if s.fault != FaultNoExitStatus {
		c.report(waitErr)
	}
	<-out
	<-errs
	c.closePipes()
	_ = c.channel.Close()
}

func (c *command) feed(s *connection) {
	if s.fault == FaultZeroWindow { // never read: the window that the client was granted at the start is all it gets
		return
	}
	_, _ = io.Copy(c.pipes[0], c.channel)
	_ = c.pipes[0].Close()
}

// drain copies one stream; when the client does not take it any more the pipe
// is closed, and the command gets SIGPIPE at its next write.
func (c *command) drain(to io.Writer, from *os.File) {
	_, _ = io.Copy(struct{ io.Writer }{to}, from)
	_ = from.Close()
}

// report sends exit-status or exit-signal (RFC 4254 section 6.10).
func (c *command) report(err error) {
	var exit *exec.ExitError
	errors.As(err, &exit)
	if exit != nil {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			_, _ = c.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
				Signal     string
				Core       bool
				Text, Lang string
			}{signalName(status.Signal()), status.CoreDump(), "", ""}))
			return
		}
	}
	_, _ = c.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(c.cmd.ProcessState.ExitCode())}))
}

var signals = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP,
	"ILL": syscall.SIGILL, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE,
	"QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

func signalName(sig syscall.Signal) string {
	for name, s := range signals {
		if s == sig {
			return name
		}
	}
	return strings.ToUpper(sig.String()) + "@tfw"
}

// signal passes a signal on to the command's process group.
func (c *command) signal(payload []byte) {
	var req struct{ Name string }
	if ssh.Unmarshal(payload, &req) != nil {
		return
	}
	if sig, known := signals[req.Name]; known {
		_ = syscall.Kill(-c.cmd.Process.Pid, sig) // it may have ended
	}
}
