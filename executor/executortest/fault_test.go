package executortest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func faulty(t *testing.T, f Fault) *Lab {
	t.Helper()
	l := newTestLab(t, LabOptions{Embedded: true})
	if err := l.Misbehave("dut01", f); err != nil {
		t.Fatal(err)
	}
	return l
}

// tap gives a raw connection to the host, to hear what a client would hear.
func tap(t *testing.T, l *Lab) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.byName["dut01"].listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// quiet asserts that nothing comes for a while, and that the connection is not closed either.
func quiet(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	n, err := c.Read(make([]byte, 1))
	var timeout net.Error
	if n != 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("read %d bytes, %v; want silence", n, err)
	}
}

func TestFaultNoBanner(t *testing.T) { quiet(t, tap(t, faulty(t, FaultNoBanner))) }

func TestFaultLongBanner(t *testing.T) {
	c := tap(t, faulty(t, FaultLongBanner))
	b := make([]byte, 100<<10)
	if _, err := io.ReadFull(c, b); err != nil || bytes.Contains(b, []byte("SSH-")) {
		t.Errorf("%v: want 100 KiB without a version", err)
	}
	quiet(t, c)
}

// Every stage of the handshake can be the last: x/crypto's own client is made
// to hang there, and what it has received tells where.
func TestFaultHangs(t *testing.T) {
	for _, f := range []Fault{FaultHangVersion, FaultHangKexInit, FaultHangKexReply, FaultHangNewKeys, FaultAuthHangs} {
		t.Run(string(f), func(t *testing.T) {
			l := faulty(t, f)
			heard := &recorder{Conn: tap(t, l)}
			_ = heard.SetDeadline(time.Now().Add(300 * time.Millisecond))
			checked := false
			_, _, _, err := ssh.NewClientConn(heard, "dut01:22", &ssh.ClientConfig{
				User: l.User(), Auth: []ssh.AuthMethod{ssh.PublicKeys(l.client.signer)},
				HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error { checked = true; return nil },
			})
			if err == nil {
				t.Fatal("logged in")
			}
			want, ok := map[Fault][]byte{
				FaultHangVersion: {}, FaultHangKexInit: {msgKexInit}, FaultHangKexReply: {msgKexInit, msgKexReply},
				FaultHangNewKeys: {msgKexInit, msgKexReply, msgNewKeys},
			}[f]
			got, more := heard.messages()
			if ok && (!bytes.Equal(got, want) || more) {
				t.Errorf("heard messages %v (more: %v), want %v and silence", got, more, want)
			}
			if f == FaultAuthHangs && (!more || !checked) {
				t.Errorf("no encrypted traffic (%v) or the host key was not shown (%v): hung too early", more, checked)
			}
		})
	}
}

// recorder keeps what the server sent.
type recorder struct {
	net.Conn
	heard bytes.Buffer
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.heard.Write(b[:n])
	return n, err
}

// messages lists the plain messages heard after the version line, and whether anything came after NEWKEYS.
func (r *recorder) messages() (got []byte, more bool) {
	c := &faultConn{buf: r.heard.Bytes()}
	for {
		n, message := c.next()
		if n == 0 {
			return got, len(c.buf) > 0
		}
		c.buf = c.buf[n:]
		if message != msgVersion {
			got = append(got, message)
		}
		if message == msgNewKeys {
			return got, len(c.buf) > 0
		}
	}
}

func TestFaultAuthBanner(t *testing.T) {
	l := faulty(t, FaultAuthBanner)
	banner := 0
	c, err := ssh.Dial("tcp", l.byName["dut01"].listen, &ssh.ClientConfig{
		User: l.User(), Auth: []ssh.AuthMethod{ssh.PublicKeys(l.client.signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		BannerCallback: func(m string) error { banner = len(m); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if banner < 100_000 {
		t.Errorf("banner of %d bytes", banner)
	}
}

func TestFaultStartupDrops(t *testing.T) {
	l := faulty(t, FaultStartupDrops)
	for i := range 6 {
		c, err := dial(t, l, "dut01")
		if want := i%3 == 2; (err == nil) != want {
			t.Errorf("connection %d: %v, want success %v", i, err, want)
		}
		if err == nil {
			c.Close()
		}
	}
}

func TestFaultKeyChanges(t *testing.T) {
	l := faulty(t, FaultKeyChanges)
	login(t, l, "dut01")
	_, err := dial(t, l, "dut01")
	var key *knownhosts.KeyError
	if !errors.As(err, &key) || len(key.Want) == 0 {
		t.Errorf("second login: %v, want a changed key", err)
	}
	if err := l.Misbehave("dut01", Behave); err != nil {
		t.Fatal(err)
	}
	login(t, l, "dut01")
}

func TestFaultChannelRefused(t *testing.T) {
	var open *ssh.OpenChannelError
	if _, err := login(t, faulty(t, FaultChannelRefused), "dut01").NewSession(); !errors.As(err, &open) {
		t.Errorf("%v, want the channel refused", err)
	}
}

func TestFaultMaxSessions1(t *testing.T) {
	c := login(t, faulty(t, FaultMaxSessions1), "dut01")
	session(t, c)
	if _, err := c.NewSession(); err == nil {
		t.Error("a second session was granted")
	}
}

func TestFaultExecRefused(t *testing.T) {
	s := session(t, login(t, faulty(t, FaultExecRefused), "dut01"))
	if err := s.Run("true"); err == nil || !strings.Contains(err.Error(), "failed") {
		t.Errorf("%v, want exec refused", err)
	}
}

func TestFaultNoExitStatus(t *testing.T) {
	s := session(t, login(t, faulty(t, FaultNoExitStatus), "dut01"))
	out, err := s.Output("echo ran")
	var missing *ssh.ExitMissingError
	if string(out) != "ran\n" || !errors.As(err, &missing) {
		t.Errorf("%q, %v", out, err)
	}
}

func TestFaultEndless(t *testing.T) {
	s := session(t, login(t, faulty(t, FaultEndless), "dut01"))
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("true"); err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, out, 16<<20); err != nil {
		t.Errorf("%v after %d bytes", err, n)
	}
}

func TestFaultZeroWindow(t *testing.T) {
	c := login(t, faulty(t, FaultZeroWindow), "dut01")
	s := session(t, c)
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("cat"); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := in.Write(make([]byte, 8<<20))
		wrote <- err
	}()
	select {
	case err := <-wrote:
		t.Fatalf("8 MiB went into a closed window: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	c.Close()
	if err := <-wrote; err == nil {
		t.Error("a lost connection swallowed 8 MiB")
	}
}

func TestFaultHalfOpen(t *testing.T) {
	c := login(t, faulty(t, FaultHalfOpen), "dut01")
	s := session(t, c)
	ended := make(chan error, 1)
	go func() { ended <- s.Run("true") }()
	select {
	case err := <-ended:
		t.Fatalf("the exec was answered: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	c.Close()
	<-ended
}

func TestFaultNoSFTP(t *testing.T) {
	c := login(t, faulty(t, FaultNoSFTP), "dut01")
	if sc, err := sftp.NewClient(c); err == nil {
		sc.Close()
		t.Error("sftp is there")
	}
	output(t, c, "true")
}

func TestMisbehaveNeedsTheEmbeddedServer(t *testing.T) {
	l, err := NewLab(t.Context(), LabOptions{OpenSSH: true})
	if errors.Is(err, ErrNoOpenSSH) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Misbehave("dut01", FaultEndless); !errors.Is(err, ErrNotEmbedded) {
		t.Error(err)
	}
}
