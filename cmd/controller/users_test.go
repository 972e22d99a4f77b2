package controller

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfw/api"
	"tfw/executor"
)

// authority signs client certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key}
}

func (a *authority) pem() string {
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	return b.String()
}

// client makes a way to the controller with a certificate of the authority.
func (a *authority) client(c *Controller, edit func(*x509.Certificate)) *api.Client {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	edit(tmpl)
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	t := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}} //nolint:gosec // the client's side is what is tested
	return client(a.t, c.URL(), api.WithTLS(t))
}

func named(cn string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject.CommonName = cn }
}

// TestClientCertificates: who shows a certificate of the authority is the user that the policy says, and nobody else is.
func TestClientCertificates(t *testing.T) {
	cfg := config(t)
	dir := t.TempDir()
	cfg.TLSCert, cfg.TLSKey, cfg.ClientCA = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	certify(t, cfg, 1)
	ours, others := newAuthority(t, "lab"), newAuthority(t, "lab")
	write(t, cfg.ClientCA, ours.pem())
	policy := filepath.Join(filepath.Dir(cfg.Inventory), policyFile)
	write(t, policy, `users:
  - {name: robot, role: operator, cert: ["CN=ci"]}
  - {role: viewer, cert: ["email:ann@lab.example", "uri:spiffe://lab/probe"]}
rules:
  - {name: robot, deny: ["deploy.*"]}
`)
	c := start(t, cfg)
	uri, _ := url.Parse("spiffe://lab/probe")
	for _, one := range []struct {
		name string
		edit func(*x509.Certificate)
		want string // name and role, "" refused
	}{
		{"CN", named("ci"), "robot operator"},
		{"email", func(c *x509.Certificate) { c.EmailAddresses = []string{"ann@lab.example"} }, "email:ann@lab.example viewer"},
		{"uri", func(c *x509.Certificate) { c.URIs = append(c.URIs, uri); c.Subject.CommonName = "probe" }, "probe viewer"},
		{"of nobody", named("eve"), ""},
		{"name of another kind", func(c *x509.Certificate) { c.DNSNames = []string{"ci"}; c.Subject.CommonName = "x" }, ""},
		{"a name that looks like another kind", named("email:ann@lab.example"), ""},
	} {
		me, err := ours.client(c, one.edit).Whoami(t.Context())
		if one.want == "" && !errors.Is(err, api.ErrUnauthenticated) || one.want != "" && (err != nil || me.Name+" "+string(me.Role) != one.want || me.Login != "cert") {
			t.Errorf("%s: %+v %v", one.name, me, err)
		}
	}
	// The handshake itself refuses what proves nothing.
	for name, cl := range map[string]*api.Client{
		"another authority of the same name": others.client(c, named("ci")),
		"expired":                            ours.client(c, func(c *x509.Certificate) { c.Subject.CommonName = "ci"; c.NotAfter = time.Now().Add(-time.Minute) }),
		"for servers only": ours.client(c, func(c *x509.Certificate) {
			c.Subject.CommonName = "ci"
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}),
	} {
		if me, err := cl.Whoami(t.Context()); err == nil {
			t.Errorf("%s: let in as %+v", name, me)
		}
	}
	// Another authority counts from the next connection; a broken file changes nothing.
	write(t, cfg.ClientCA, others.pem())
	if err := c.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.client(c, named("ci")).Whoami(t.Context()); err == nil {
		t.Error("the authority before is still taken")
	}
	write(t, cfg.ClientCA, "garbage")
	if err := c.Reload(t.Context()); err == nil {
		t.Error("garbage was taken for an authority")
	}
	last := others.client(c, named("ci"))
	if _, err := last.Whoami(t.Context()); err != nil {
		t.Error(err)
	}
	// Who is no user of the policy any more is out at the next request, on the same connection.
	write(t, policy, "rules: []\n")
	if err := c.readPolicy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := last.Whoami(t.Context()); !errors.Is(err, api.ErrUnauthenticated) {
		t.Errorf("%v", err)
	}
}

// TestLocalUsers: another user of the machine is who the policy says, by the socket's own word, and needs a token without.
func TestLocalUsers(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil || os.Getuid() != 0 {
		t.Skip("needs root and curl to ask as another user")
	}
	cfg := config(t)
	dir, err := os.MkdirTemp("", "tfwsock")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg.SocketGroup = "nogroup"
	if _, err := Start(t.Context(), cfg); !errors.Is(err, ErrRefused) {
		t.Errorf("a socket in a closed directory: %v", err)
	}
	cfg.Socket = filepath.Join(dir, "s")
	var logs bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&logs, nil))
	policy := filepath.Join(filepath.Dir(cfg.Inventory), policyFile)
	write(t, policy, "users:\n  - {role: viewer, unix: [nobody]}\nrules: []\n")
	c := start(t, cfg)
	ask := func(uid, gid uint32) string {
		cmd := exec.Command(curl, "-s", "--max-time", "10", "--unix-socket", cfg.Socket, "http://localhost/v2.1/whoami")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
		cmd.Dir = "/"
		out, _ := cmd.CombinedOutput() // a refused connection is an empty answer
		return string(out)
	}
	if got := ask(65534, 65534); !strings.Contains(got, `"name":"nobody","role":"viewer"`) {
		t.Errorf("nobody: %s", got)
	}
	if got := ask(1, 65534); !strings.Contains(got, "unauthenticated") {
		t.Errorf("daemon, of the group: %s", got)
	}
	if got := ask(65534, 1); got != "" {
		t.Errorf("nobody, not of the group: %s", got)
	}
	if me, err := client(t, "unix://"+c.owner.Socket).Whoami(t.Context()); err != nil || me.Role != executor.Admin {
		t.Errorf("its own user: %+v %v", me, err)
	}
}
