package ssh

import (
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crypto/ed25519"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"tfw/executor"
	"tfw/inventory"
)

// connectError tries to connect with these options and settings.
func connectError(t *testing.T, opt Options, h *inventory.Host) error {
	t.Helper()
	tr := newTransport(t, opt)
	c, err := tr.connect(within(t, 30*time.Second), h, nil)
	if err != nil {
		return fail(h.Name, "connect", err)
	}
	c.Release()
	return nil
}

func TestWrongKeyIsRefusedWithItsReason(t *testing.T) {
	s := startSSHD(t)
	other := filepath.Join(s.dir, "other")
	writeKey(t, other)
	h := s.host()
	h.SSH.IdentityFiles = []string{other, filepath.Join(s.dir, "absent")}
	err := connectError(t, Options{}, h)
	if !errors.Is(err, executor.ErrAuth) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"dut", "absent", "1 keys offered", "authorized_keys"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestNothingToLogInWith(t *testing.T) {
	s := startSSHD(t)
	h := s.host()
	h.SSH.IdentityFiles = nil
	if err := connectError(t, Options{}, h); !errors.Is(err, executor.ErrAuth) || !strings.Contains(err.Error(), "identity_file") {
		t.Errorf("got %v", err)
	}
}

func TestDefaultIdentityOfTheHome(t *testing.T) {
	s := startSSHD(t)
	home := t.TempDir()
	os.Mkdir(filepath.Join(home, ".ssh"), 0o700)
	os.Link(s.keyFile, filepath.Join(home, ".ssh", "id_ed25519"))
	h := s.host()
	h.SSH.IdentityFiles = nil
	if err := connectError(t, Options{Home: home}, h); err != nil {
		t.Error(err)
	}
}

// startAgent serves keys on a socket, as ssh-agent does.
func startAgent(t *testing.T, keys ...agent.AddedKey) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(k); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			agent.ServeAgent(ring, c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

func newKey(t *testing.T) (ed25519.PrivateKey, xssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return private, signer.PublicKey()
}

func TestEncryptedKeyComesFromTheAgent(t *testing.T) {
	s := startSSHD(t)
	private, public := newKey(t)
	s.authorize(public)
	block, err := xssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(s.dir, "locked")
	mustWrite(t, locked, string(pem.EncodeToMemory(block)))
	h := s.host()
	h.SSH.IdentityFiles = []string{locked}

	err = connectError(t, Options{}, h)
	if !errors.Is(err, executor.ErrAuth) || !strings.Contains(err.Error(), "ssh-add "+locked) {
		t.Errorf("without an agent: %v", err)
	}
	// Seven other keys come first in the agent: more than sshd would listen to.
	var keys []agent.AddedKey
	for range 7 {
		other, _ := newKey(t)
		keys = append(keys, agent.AddedKey{PrivateKey: other})
	}
	socket := startAgent(t, append(keys, agent.AddedKey{PrivateKey: private})...)
	if err := connectError(t, Options{AgentSocket: socket}, h); err != nil {
		t.Errorf("with the agent: %v", err)
	}
	if err := connectError(t, Options{AgentSocket: filepath.Join(s.dir, "no-agent")}, h); err == nil || !strings.Contains(err.Error(), "ssh-agent") {
		t.Errorf("with a dead agent: %v", err)
	}
}

func TestUserCertificateBesideTheKey(t *testing.T) {
	dir := t.TempDir()
	ca := writeKey(t, filepath.Join(dir, "ca"))
	mustWrite(t, filepath.Join(dir, "ca.pub"), string(xssh.MarshalAuthorizedKey(ca.PublicKey())))
	s := startSSHD(t, "TrustedUserCAKeys "+filepath.Join(dir, "ca.pub"))
	key := writeKey(t, filepath.Join(dir, "user"))
	cert := &xssh.Certificate{Key: key.PublicKey(), CertType: xssh.UserCert, ValidPrincipals: []string{newUser()}, ValidBefore: xssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	h := s.host()
	h.SSH.IdentityFiles = []string{filepath.Join(dir, "user")}
	if err := connectError(t, Options{}, h); !errors.Is(err, executor.ErrAuth) {
		t.Fatalf("without the certificate: %v", err)
	}
	mustWrite(t, filepath.Join(dir, "user-cert.pub"), string(xssh.MarshalAuthorizedKey(cert)))
	if err := connectError(t, Options{}, h); err != nil {
		t.Error(err)
	}
}

// passwordServer is a Go server: a real sshd needs a real account for a password.
func passwordServer(t *testing.T, interactive bool) (addr *net.TCPAddr, key xssh.PublicKey) {
	t.Helper()
	private, public := newKey(t)
	signer, _ := xssh.NewSignerFromKey(private)
	conf := &xssh.ServerConfig{}
	conf.AddHostKey(signer)
	refused := errors.New("no")
	if interactive {
		conf.KeyboardInteractiveCallback = func(_ xssh.ConnMetadata, ask xssh.KeyboardInteractiveChallenge) (*xssh.Permissions, error) {
			a, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil || len(a) != 1 || a[0] != "open sesame" {
				return nil, refused
			}
			return nil, nil
		}
	} else {
		conf.PasswordCallback = func(_ xssh.ConnMetadata, p []byte) (*xssh.Permissions, error) {
			if string(p) != "open sesame" {
				return nil, refused
			}
			return nil, nil
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving crew
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				conn, chans, reqs, err := xssh.NewServerConn(c, conf)
				if err != nil {
					return
				}
				serving.Go(func() { xssh.DiscardRequests(reqs) })
				serving.Go(func() {
					for ch := range chans {
						ch.Reject(xssh.Prohibited, "no")
					}
				})
				conn.Wait()
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return l.Addr().(*net.TCPAddr), public
}

func TestPasswordByReference(t *testing.T) {
	for _, interactive := range []bool{false, true} {
		addr, key := passwordServer(t, interactive)
		h := &inventory.Host{Name: "old", Address: "127.0.0.1", SSH: inventory.SSH{
			Port: addr.Port, Password: "env:TFW_TEST_PASSWORD", HostKey: string(xssh.MarshalAuthorizedKey(key)),
		}}
		t.Run("right", func(t *testing.T) {
			t.Setenv("TFW_TEST_PASSWORD", "open sesame")
			tr := newTransport(t, Options{})
			c, err := tr.connect(within(t, 20*time.Second), h, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.Release()
			tr.Close()
		})
		t.Run("wrong", func(t *testing.T) {
			t.Setenv("TFW_TEST_PASSWORD", "guess-4711")
			err := connectError(t, Options{}, h)
			if !errors.Is(err, executor.ErrAuth) || strings.Contains(err.Error(), "guess-4711") {
				t.Errorf("got %v", err)
			}
		})
		t.Run("not set", func(t *testing.T) {
			if err := connectError(t, Options{}, h); !errors.Is(err, executor.ErrAuth) || !strings.Contains(err.Error(), "TFW_TEST_PASSWORD") {
				t.Errorf("got %v", err)
			}
		})
	}
}
