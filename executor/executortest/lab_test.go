package executortest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// kinds runs a test against both servers; OpenSSH is left out only where it is not installed.
func kinds(t *testing.T, opt LabOptions, test func(t *testing.T, l *Lab)) {
	for _, embedded := range []bool{false, true} {
		t.Run(map[bool]string{false: "openssh", true: "embedded"}[embedded], func(t *testing.T) {
			opt.Embedded, opt.OpenSSH = embedded, !embedded
			if _, err := findSSHD(opt); err != nil {
				t.Skip(err)
			}
			test(t, newTestLab(t, opt))
		})
	}
}

func newTestLab(t *testing.T, opt LabOptions) *Lab {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	l, err := NewLab(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if left := l.Processes(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		goleak.VerifyNone(t, ignore)
	})
	return l
}

// dial logs in to a host as any client would: with the lab's key and its known_hosts.
func dial(t *testing.T, l *Lab, name string) (*ssh.Client, error) {
	t.Helper()
	h, ok := l.Lookup(name)
	if !ok {
		t.Fatalf("no host %s", name)
	}
	pem, err := os.ReadFile(l.IdentityFile())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	check, err := knownhosts.New(l.KnownHosts())
	if err != nil {
		t.Fatal(err)
	}
	return ssh.Dial("tcp", fmt.Sprintf("%s:%d", h.Address, h.SSH.Port), &ssh.ClientConfig{
		User: l.User(), Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: check, Timeout: 10 * time.Second,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
}

func login(t *testing.T, l *Lab, name string) *ssh.Client {
	t.Helper()
	c, err := dial(t, l, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func session(t *testing.T, c *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func output(t *testing.T, c *ssh.Client, command string) string {
	t.Helper()
	s := session(t, c)
	defer s.Close()
	out, err := s.Output(command)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return string(out)
}

func TestLabHostsRunCommandsInTheirOwnHome(t *testing.T) {
	kinds(t, LabOptions{Hosts: 6}, func(t *testing.T, l *Lab) {
		for _, h := range l.Hosts() {
			c := login(t, l, h.Name)
			got := output(t, c, `cd; pwd; echo "$LAB_HOST"; echo mine > file`)
			if want := l.Home(h.Name) + "\n" + h.Name + "\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if b, err := os.ReadFile(filepath.Join(l.Home(h.Name), "file")); err != nil || string(b) != "mine\n" {
				t.Errorf("%q, %v", b, err)
			}
		}
	})
}

func TestLabCommandEnds(t *testing.T) {
	kinds(t, LabOptions{}, func(t *testing.T, l *Lab) {
		c := login(t, l, "dut01")
		for command, want := range map[string]string{
			"exit 77":       "Process exited with status 77",
			"no-such":       "Process exited with status 127",
			"kill -TERM $$": "Process exited with status 143 from signal TERM",
			"true":          "<nil>",
		} {
			s := session(t, c)
			if got := fmt.Sprint(s.Run(command)); got != want {
				t.Errorf("%s: %s, want %s", command, got, want)
			}
			s.Close()
		}
		s := session(t, c)
		defer s.Close()
		var out, errs bytes.Buffer
		s.Stdin, s.Stdout, s.Stderr = strings.NewReader("in\x00\xff"), &out, &errs
		if err := s.Run("cat; echo e >&2"); err != nil || out.String() != "in\x00\xff" || errs.String() != "e\n" {
			t.Errorf("%q %q %v", out.String(), errs.String(), err)
		}
	})
}

func TestLabSFTPStartsInTheHome(t *testing.T) {
	kinds(t, LabOptions{}, func(t *testing.T, l *Lab) {
		c, err := sftp.NewClient(login(t, l, "dut01"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f, err := c.Create("up")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(f, "load")
		f.Close()
		if b, err := os.ReadFile(filepath.Join(l.Home("dut01"), "up")); err != nil || string(b) != "load" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestLabHostIsAJumpHost(t *testing.T) {
	kinds(t, LabOptions{Hosts: 2}, func(t *testing.T, l *Lab) {
		far, _ := l.Lookup("dut02")
		conn, err := login(t, l, "dut01").Dial("tcp", fmt.Sprintf("%s:%d", far.Address, far.SSH.Port))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		b := make([]byte, 4)
		if _, err := conn.Read(b); err != nil || string(b) != "SSH-" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestLabStopStartKill(t *testing.T) {
	kinds(t, LabOptions{Hosts: 2}, func(t *testing.T, l *Lab) {
		c := login(t, l, "dut01")
		if err := l.Stop("dut01"); err != nil {
			t.Fatal(err)
		}
		output(t, c, "true") // a live connection goes on
		if c, err := dial(t, l, "dut01"); err == nil {
			c.Close()
			t.Error("a stopped host answers")
		}
		if err := l.Start(t.Context(), "dut01"); err != nil {
			t.Fatal(err)
		}
		output(t, login(t, l, "dut01"), "true") // the same port, the same key
		output(t, c, "true")
		if err := l.Kill("dut01"); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err == nil {
			t.Error("killed, and the connection ended in good order")
		}
		output(t, login(t, l, "dut02"), "true")
	})
}

// A command goes on when its connection is killed; it is seen, and Close ends it.
func TestLabSeesWhatOutlivesAConnection(t *testing.T) {
	kinds(t, LabOptions{}, func(t *testing.T, l *Lab) {
		c := login(t, l, "dut01")
		s := session(t, c)
		if err := s.Start("trap '' HUP; setsid sleep 4711 </dev/null >/dev/null 2>&1 & exec sleep 4712"); err != nil {
			t.Fatal(err)
		}
		sleeps := func() (n int) {
			for _, p := range l.Processes() {
				if strings.HasPrefix(p.Command, "sleep 471") && p.Host == "dut01" {
					n++
				}
			}
			return n
		}
		for deadline := time.Now().Add(10 * time.Second); sleeps() != 2; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not started: %v", l.Processes())
			}
		}
		if err := l.Disconnect(); err != nil {
			t.Fatal(err)
		}
		c.Wait()
		if n := sleeps(); n != 2 {
			t.Errorf("%d of 2 commands left after the connection was killed", n)
		}
	})
}

func TestLabMaxSessions(t *testing.T) {
	kinds(t, LabOptions{MaxSessions: 2}, func(t *testing.T, l *Lab) {
		c := login(t, l, "dut01")
		first, second := session(t, c), session(t, c)
		if _, err := c.NewSession(); err == nil {
			t.Error("a third session was granted")
		}
		first.Close()
		second.Close()
	})
}

func TestLabShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	kinds(t, LabOptions{Shell: bash}, func(t *testing.T, l *Lab) {
		if got := output(t, login(t, l, "dut01"), `echo "$BASH_VERSION" "it's \"x\""`); !strings.Contains(got, `it's "x"`) || strings.HasPrefix(got, " ") {
			t.Errorf("%q", got)
		}
	})
}

func TestLabSSHConfig(t *testing.T) {
	client, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip(err)
	}
	kinds(t, LabOptions{Proxied: true}, func(t *testing.T, l *Lab) {
		out, err := exec.Command(client, "-F", l.SSHConfig(), "dut01", "echo hello").CombinedOutput()
		if err != nil || string(out) != "hello\n" {
			t.Errorf("%q, %v", out, err)
		}
	})
}

func TestLabInventoryNamesEveryHost(t *testing.T) {
	l := newTestLab(t, LabOptions{Hosts: 12, Embedded: true})
	for _, h := range l.Hosts() {
		if line := fmt.Sprintf("%s: {address: %s", h.Name, h.Address); !strings.Contains(string(l.Inventory()), line) {
			t.Errorf("no %q in\n%s", line, l.Inventory())
		}
	}
}

func TestLabKeepsAForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := NewLab(t.Context(), LabOptions{Dir: dir, Embedded: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 || left[0].Name() != "mine" {
		t.Errorf("left: %v", left)
	}
}
