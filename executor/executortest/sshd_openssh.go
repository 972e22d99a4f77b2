package executortest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// openSSH is one host's sshd: the real one, with a configuration of its own.
type openSSH struct {
	lab    *Lab
	host   *labHost
	binary string

	mu      sync.Mutex // guards what follows, and start against stop
	cmd     *exec.Cmd
	exited  chan struct{}
	session map[int]bool // pids of connections that outlived their listener
}

func (s *openSSH) file(name string) string {
	return filepath.Join(s.lab.hostDir(s.host.host.Name), name)
}

// config is the sshd_config. sshd takes the first value that it meets, so the caller's lines come first.
func (s *openSSH) config() string {
	addr, port, _ := net.SplitHostPort(s.host.listen)
	lines := append([]string{}, s.lab.opt.Config...)
	lines = append(lines,
		"ListenAddress "+addr, "Port "+port, "HostKey "+quoted(s.host.key.file), "PidFile none",
		"AuthorizedKeysFile "+quoted(s.lab.authorized()), "StrictModes no", "UsePAM "+yesNo(rootIsLocked()),
		"PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"MaxStartups 500", fmt.Sprintf("MaxSessions %d", s.lab.opt.MaxSessions),
		"UseDNS no", "PrintMotd no", "LogLevel VERBOSE",
		"Subsystem sftp "+sftpServer(s.host.home), "SetEnv "+strings.Join(quotedAll(s.lab.environment(s.host)), " "))
	if s.lab.opt.Shell != "" { // the account's own shell only hands over
		lines = append(lines, `ForceCommand exec `+s.lab.opt.Shell+` -c "$SSH_ORIGINAL_COMMAND"`)
	}
	return strings.Join(lines, "\n") + "\n"
}

// rootIsLocked tells whether sshd would refuse this account without PAM: it takes "!" in shadow(5)
// for a locked account, and Debian's installer leaves root like that when it sets sudo up.
func rootIsLocked() bool {
	shadow, err := os.ReadFile("/etc/shadow")
	if err != nil || os.Getuid() != 0 {
		return false
	}
	return strings.HasPrefix(string(shadow), "root:!") || strings.Contains(string(shadow), "\nroot:!")
}

func sftpServer(home string) string {
	for _, p := range []string{"/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server"} {
		if _, err := os.Stat(p); err == nil {
			return p + " -d " + home
		}
	}
	return "internal-sftp -d " + home
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func quoted(s string) string { return `"` + s + `"` }

func quotedAll(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = quoted(s)
	}
	return out
}

func (s *openSSH) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return nil
	}
	if os.Getuid() == 0 { // sshd's privilege separation directory; Debian makes it when the service starts
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(s.file("sshd_config"), []byte(s.config()), 0o600); err != nil {
		return err
	}
	s.cmd = exec.Command(s.binary, "-D", "-f", s.file("sshd_config"), "-E", s.file("sshd.log"))
	if s.lab.opt.Bootable {
		s.cmd = exec.Command("unshare", append([]string{"-m", "sh", "-c", bootable, "boot", s.lab.bootFile(s.host), s.lab.ownBin(s.host, "systemctl"), binPath}, s.cmd.Args...)...)
	}
	s.exited = make(chan struct{})
	if err := s.lab.spawn.start(s.cmd); err != nil {
		s.cmd = nil
		return err
	}
	go func(cmd *exec.Cmd, exited chan struct{}) {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in sshd.log
	}(s.cmd, s.exited)
	return errors.Join(s.lab.background(s.cmd.Process.Pid), s.ready(ctx))
}

// ready waits for the server's banner.
func (s *openSSH) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		if answers(ctx, s.host.listen) {
			return nil
		}
		select {
		case <-s.exited:
			log, _ := os.ReadFile(s.file("sshd.log"))
			s.cmd = nil
			return fmt.Errorf("sshd on %s ended: %s", s.host.listen, strings.TrimSpace(string(log)))
		case <-ctx.Done():
			return fmt.Errorf("sshd on %s does not answer: %w", s.host.listen, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func answers(ctx context.Context, addr string) bool {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 4)
	_, err = c.Read(b)
	return err == nil && string(b) == "SSH-"
}

func (s *openSSH) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	s.remember()
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		err = nil
	case <-time.After(10 * time.Second):
		err = errors.Join(err, s.cmd.Process.Kill(), errors.New("sshd did not end within 10 s"))
		<-s.exited
	}
	s.cmd = nil
	return err
}

// remember notes the listener's connections: once it is gone, nothing tells whose they were.
func (s *openSSH) remember() {
	if s.session == nil {
		s.session = map[int]bool{}
	}
	table := readProcesses()
	for pid, p := range table {
		if s.cmd != nil && p.parent == s.cmd.Process.Pid {
			s.session[pid] = true
		}
	}
	for grown := true; grown; { // the monitor's unprivileged child, when logged in as an ordinary user
		grown = false
		for pid, p := range table {
			if s.session[p.parent] && !s.session[pid] && strings.HasPrefix(p.command, "sshd") {
				s.session[pid], grown = true, true
			}
		}
	}
	for pid := range s.session { // a pid that is no sshd any more is somebody else's
		if !strings.HasPrefix(table[pid].command, "sshd") {
			delete(s.session, pid)
		}
	}
}

func (s *openSSH) disconnect() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remember()
	var errs []error
	for pid := range s.session {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, err)
		}
	}
	s.session = nil
	return errors.Join(errs...)
}
