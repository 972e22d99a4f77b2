package ssh

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"tfw/inventory"
)

// sshd is a real OpenSSH server on an unprivileged port, with all its files in a temp dir.
type sshd struct {
	t       testing.TB
	dir     string
	port    int
	conf    string
	cmd     *exec.Cmd
	hostKey xssh.Signer
	keyFile string // a user key that may log in
	known   string // known_hosts with the host key under every address used
}

// startSSHD starts sshd with further sshd_config lines.
func startSSHD(t testing.TB, lines ...string) *sshd {
	t.Helper()
	path, err := exec.LookPath("sshd")
	if err != nil {
		path = "/usr/sbin/sshd"
		if _, err := os.Stat(path); err != nil {
			t.Skip("OpenSSH's sshd is not installed: apt-get install openssh-server")
		}
	}
	s := &sshd{t: t, dir: t.TempDir(), port: freePort(t)}
	s.hostKey = writeKey(t, filepath.Join(s.dir, "host"))
	s.keyFile = filepath.Join(s.dir, "id")
	s.authorize(writeKey(t, s.keyFile).PublicKey())
	s.conf = filepath.Join(s.dir, "sshd_config")
	base := []string{
		fmt.Sprintf("Port %d", s.port), "ListenAddress 0.0.0.0", "HostKey " + filepath.Join(s.dir, "host"),
		"AuthorizedKeysFile " + filepath.Join(s.dir, "authorized"), "StrictModes no", "UsePAM no", "PidFile none",
		"PermitRootLogin yes", "LogLevel QUIET", "Subsystem sftp internal-sftp", "SetEnv HOME=" + s.dir, // no .bashrc of this machine
		"PasswordAuthentication no",
	}
	if !strings.Contains(strings.Join(lines, "\n"), "MaxStartups") {
		base = append(base, "MaxStartups 500:30:600")
	}
	mustWrite(t, s.conf, strings.Join(append(lines, base...), "\n")+"\n")
	s.known = filepath.Join(s.dir, "known_hosts")
	mustWrite(t, s.known, xknownhosts.Line([]string{"127.0.0.1:" + s.portText()}, s.hostKey.PublicKey())+"\n")
	s.start(path)
	t.Cleanup(s.kill)
	return s
}

func (s *sshd) portText() string { return fmt.Sprint(s.port) }

func (s *sshd) start(path string) {
	s.t.Helper()
	os.MkdirAll("/run/sshd", 0o755)
	s.cmd = exec.Command(path, "-D", "-e", "-f", s.conf)
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", "127.0.0.1:"+s.portText())
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("sshd does not listen: %v", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// kill ends the server; its connections live on in processes of their own groups.
func (s *sshd) kill() {
	if s.cmd.ProcessState == nil {
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		s.cmd.Wait()
	}
}

func (s *sshd) authorize(keys ...xssh.PublicKey) {
	var text []byte
	for _, k := range keys {
		text = append(text, xssh.MarshalAuthorizedKey(k)...)
	}
	mustWrite(s.t, filepath.Join(s.dir, "authorized"), string(text))
}

// host is the server as a host of the inventory.
func (s *sshd) host() *inventory.Host {
	return &inventory.Host{Name: "dut", Address: "127.0.0.1", SSH: inventory.SSH{
		Port: s.port, IdentityFiles: []string{s.keyFile}, KnownHosts: s.known,
	}}
}

// newTransport is a transport that touches nothing of the user's own files.
func newTransport(t testing.TB, opt Options) *Transport {
	t.Helper()
	if opt.Home == "" {
		opt.Home = t.TempDir()
	}
	if opt.AgentSocket == "" {
		opt.AgentSocket = "none"
	}
	if opt.User == "" {
		u, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		opt.User = u.Username
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	tr := New(opt)
	t.Cleanup(func() { tr.Close() })
	return tr
}

func mustConnect(t testing.TB, tr *Transport, h *inventory.Host) *conn {
	t.Helper()
	c, err := tr.connect(within(t, 20*time.Second), h, nil)
	if err != nil {
		t.Fatalf("connect: %v", fail(h.Name, "connect", err))
	}
	t.Cleanup(c.Release)
	return c
}

// run opens a session, reads it to the end and gives both streams and the exit.
func run(ctx context.Context, c *conn, command string) (stdout, stderr string, e exit, err error) {
	s, err := c.open(ctx, command)
	if err != nil {
		return "", "", exit{}, err
	}
	defer s.Close()
	errs := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(s.Stderr())
		errs <- b
	}()
	out, _ := io.ReadAll(s.Stdout())
	e, err = s.Wait()
	return string(out), string(<-errs), e, err
}

func writeKey(t testing.TB, path string) xssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := xssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, path, string(pem.EncodeToMemory(block)))
	signer, err := xssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func mustWrite(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
