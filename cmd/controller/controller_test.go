package controller

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tfw/api"
	"tfw/executor"
	"tfw/inventory"
)

// fasthttp looks after idle workers in a goroutine that ends up to two seconds late.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

const oneHost = "version: 1\nhosts:\n  a: {address: 127.0.0.1, plugins: [linux_system]}\n"

func config(t *testing.T) Config {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	file := filepath.Join(dir, "inventory.yaml")
	write(t, file, oneHost)
	return Config{Inventory: file, Data: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Version: "test"}
}

func write(t *testing.T, file, text string) { t.Helper(); writeTo(t, file, text) }

func writeTo(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, cfg Config) *Controller {
	t.Helper()
	c, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t *testing.T, c *Controller) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
}

func client(t *testing.T, base string, opts ...api.Option) *api.Client {
	t.Helper()
	return clientOf(t, base, opts...)
}

func clientOf(t testing.TB, base string, opts ...api.Option) *api.Client {
	t.Helper()
	c, err := api.NewClient(base, append(opts, api.WithPatience(0))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestTokenOverHTTPAndNoneOverTheSocket(t *testing.T) {
	cfg := config(t)
	c := start(t, cfg)
	if _, err := client(t, c.URL()).Hosts(t.Context(), "", ""); !errors.Is(err, executor.ErrForbidden) {
		t.Errorf("without a token: %v", err)
	}
	files := TokenFiles(c.Addr().String(), filepath.Join(t.TempDir(), "elsewhere"))
	if len(files) != 1 {
		t.Fatalf("token files: %v", files)
	}
	token, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := client(t, c.URL(), api.WithToken(strings.TrimSpace(string(token)))).Hosts(t.Context(), "", "")
	if err != nil || len(hosts) != 1 {
		t.Errorf("with the token: %v, %v", hosts, err)
	}
	if _, err := client(t, "unix://"+c.owner.Socket).Hosts(t.Context(), "", ""); err != nil {
		t.Errorf("over the socket: %v", err)
	}
	for path, want := range map[string]os.FileMode{cfg.Data: 0o700, files[0]: 0o600, c.owner.Socket: 0o600, filepath.Join(cfg.Data, ownerFile): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if got := TokenFiles("127.0.0.1:1", cfg.Data); len(got) != 0 {
		t.Errorf("the token is offered to another port: %v", got)
	}
}

// TestMetricsOverTheSocket: where /metrics asks for a token, the socket knows tfwd's own user there too.
func TestMetricsOverTheSocket(t *testing.T) {
	cfg := config(t)
	cfg.MetricsToken = true
	c := start(t, cfg)
	token, err := os.ReadFile(filepath.Join(cfg.Data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	socket := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.owner.Socket)
	}}
	defer socket.CloseIdleConnections()
	for _, ask := range []struct {
		over  *http.Transport
		url   string
		token string
		want  int
	}{
		{http.DefaultTransport.(*http.Transport), c.URL(), "", http.StatusUnauthorized},
		{http.DefaultTransport.(*http.Transport), c.URL(), strings.TrimSpace(string(token)), http.StatusOK},
		{socket, "http://localhost", "", http.StatusOK},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ask.url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if ask.token != "" {
			req.Header.Set("Authorization", "Bearer "+ask.token)
		}
		res, err := (&http.Client{Transport: ask.over}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != ask.want {
			t.Errorf("%s: %d, want %d", ask.url, res.StatusCode, ask.want)
		}
	}
}

func TestOneAtATime(t *testing.T) {
	cfg := config(t)
	c := start(t, cfg)
	_, err := Start(t.Context(), cfg)
	if !errors.Is(err, executor.ErrLocked) {
		t.Fatalf("a second one: %v", err)
	}
	o, err := ReadOwner(cfg.Data)
	if err != nil || o.PID != os.Getpid() || o.Inventory != cfg.Inventory || o.HTTP != c.Addr().String() {
		t.Errorf("owner %+v, %v", o, err)
	}
	stop(t, c)
	if _, err := ReadOwner(cfg.Data); err == nil {
		t.Error("the owner is still named after the end")
	}
	again := start(t, cfg)
	if _, err := client(t, "unix://"+again.owner.Socket).Hosts(t.Context(), "", ""); err != nil {
		t.Error(err)
	}
}

// A socket that a killed process left is taken over; what is no socket is left alone.
func TestStaleSocket(t *testing.T) {
	cfg := config(t)
	cfg.Socket = filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", cfg.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "another program answers there") {
		t.Errorf("a living socket: %v", err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	stop(t, start(t, cfg))
	write(t, cfg.Socket, "precious")
	if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "something else in its place") {
		t.Errorf("a file: %v", err)
	}
}

func TestUnsafeAddressesAreRefused(t *testing.T) {
	for _, c := range []struct {
		listen string
		cfg    Config
		ok     bool
	}{
		{"127.0.0.1:0", Config{NoAuth: true}, true},
		{"[::1]:0", Config{}, true},
		{"localhost:0", Config{}, true},
		{"none", Config{NoAuth: true}, true},
		{"0.0.0.0:0", Config{}, false},
		{":0", Config{}, false},
		{"192.0.2.1:0", Config{}, false},
		{"lab.example:0", Config{}, false},
		{"0.0.0.0:0", Config{Insecure: true}, true},
		{"0.0.0.0:0", Config{Insecure: true, NoAuth: true}, false},
		{"0.0.0.0:0", Config{TLSCert: "c", TLSKey: "k"}, true},
		{"0.0.0.0:0", Config{TLSCert: "c", TLSKey: "k", NoAuth: true}, false},
		{"127.0.0.1:0", Config{TLSCert: "c"}, false},
		{"127.0.0.1", Config{}, false},
	} {
		c.cfg.Listen = c.listen
		err := c.cfg.check()
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%s %+v: %v", c.listen, c.cfg, err)
		}
	}
}

func TestMistakesOfTheInventoryComeThrough(t *testing.T) {
	cfg := config(t)
	write(t, cfg.Inventory, "version: 1\nhosts:\n  a: {adress: x}\n")
	_, err := Start(t.Context(), cfg)
	var problems inventory.Problems
	if !errors.As(err, &problems) || problems[0].Line != 3 {
		t.Errorf("got %v", err)
	}
	write(t, cfg.Inventory, oneHost)
	stop(t, start(t, cfg)) // nothing was left locked
}

func TestReloadKeepsTheLastGood(t *testing.T) {
	cfg := config(t)
	c := start(t, cfg)
	write(t, cfg.Inventory, "version: 1\nhosts: {a: {}, b: {}}\n")
	if err := c.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, cfg.Inventory, "version: 1\nhosts: {a: {}, a: {}}\n")
	if err := c.Reload(t.Context()); err == nil {
		t.Error("a bad edit was taken")
	}
	cl := client(t, "unix://"+c.owner.Socket)
	hosts, err := cl.Hosts(t.Context(), "", "")
	if err != nil || len(hosts) != 2 {
		t.Errorf("%d hosts, %v", len(hosts), err)
	}
	status, err := cl.InventoryStatus(t.Context())
	if err != nil || status.Problem == "" || status.Source != cfg.Inventory {
		t.Errorf("%+v, %v", status, err)
	}
	if len(status.Problems) != 1 || status.Problems[0].Line != 2 || !slices.Equal(status.Changed.Added, []string{"b"}) || !slices.Equal(status.Changed.Altered, []string{"a"}) {
		t.Errorf("the edit: %+v", status)
	}
	for path, want := range map[string]string{"/metrics": "tfw_inventory_edit_refused 1", "/readyz": "the last edit of the inventory was not taken"} {
		res, err := http.Get(c.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d without %q", path, res.StatusCode, want)
		}
	}
}

func TestSocketPathThatIsTooLong(t *testing.T) {
	cfg := config(t)
	cfg.Data = filepath.Join(cfg.Data, strings.Repeat("long/", 25))
	c := start(t, cfg)
	if len(c.owner.Socket) > maxSocket {
		t.Errorf("socket %s", c.owner.Socket)
	}
	if _, err := client(t, "unix://"+c.owner.Socket).Hosts(t.Context(), "", ""); err != nil {
		t.Error(err)
	}
}

// A renewed certificate is taken by Reload, without a restart.
func TestCertificateIsReloaded(t *testing.T) {
	cfg := config(t)
	dir := t.TempDir()
	cfg.TLSCert, cfg.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, cfg, 1)
	c := start(t, cfg)
	if !strings.HasPrefix(c.URL(), "https://") {
		t.Errorf("URL %s", c.URL())
	}
	if got := serial(t, c); got != 1 {
		t.Errorf("serial %d", got)
	}
	certify(t, cfg, 2)
	if err := c.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := serial(t, c); got != 2 {
		t.Errorf("serial %d after the reload", got)
	}
	write(t, cfg.TLSCert, "garbage")
	if err := c.Reload(t.Context()); err == nil {
		t.Error("garbage was taken for a certificate")
	}
	if got := serial(t, c); got != 2 {
		t.Errorf("serial %d after a bad reload", got)
	}
}

func certify(t *testing.T, cfg Config, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "tfwd"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cfg.TLSCert: {Type: "CERTIFICATE", Bytes: cert}, cfg.TLSKey: {Type: "EC PRIVATE KEY", Bytes: der}} {
		var b bytes.Buffer
		if err := pem.Encode(&b, block); err != nil {
			t.Fatal(err)
		}
		write(t, file, b.String())
	}
}

func serial(t *testing.T, c *Controller) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", c.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // its own certificate is what is looked at
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}
