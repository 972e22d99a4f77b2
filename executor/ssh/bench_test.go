package ssh

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"tfw/executor"
	"tfw/executor/executortest"
	"tfw/inventory"
)

// hundred gives a hundred hosts that one sshd plays on 127.1.0.1 to 127.1.0.100.
func (s *sshd) hundred() []*inventory.Host {
	pin := string(xssh.MarshalAuthorizedKey(s.hostKey.PublicKey()))
	var hosts []*inventory.Host
	for i := 1; i <= 100; i++ {
		h := *s.host()
		h.Name = fmt.Sprintf("h%03d", i)
		h.Address = fmt.Sprintf("127.1.0.%d", i)
		h.SSH.HostKey, h.SSH.KnownHosts = pin, ""
		h.SSH.ConnectTimeout = time.Minute
		hosts = append(hosts, &h)
	}
	return hosts
}

// clientCPU reports the CPU time of this process per operation: it says more than the
// wall clock on a busy machine.
func clientCPU(b *testing.B) func() {
	b.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Milliseconds())/float64(b.N), "cpu-ms/op") }
}

func fanOut(t testing.TB, tr *Transport, hosts []*inventory.Host) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, h := range hosts {
		wg.Go(func() {
			c, err := tr.connect(ctx, h, nil)
			if err != nil {
				t.Error(fail(h.Name, "connect", err))
				return
			}
			defer c.Release()
			if _, _, e, err := run(ctx, c, "true"); err != nil || e.Code != 0 || e.Kind != exitStatus {
				t.Errorf("%s: %+v %v", h.Name, e, err)
			}
		})
	}
	wg.Wait()
}

func TestHundredHosts(t *testing.T) {
	s := startSSHD(t)
	tr := newTransport(t, Options{})
	fanOut(t, tr, s.hundred())
	fanOut(t, tr, s.hundred())
	if st := tr.Stats(); st.Connections != 100 || st.Dials != 100 {
		t.Errorf("%+v, want 100 dials", st)
	}
}

// TestMaxStartupsDrops dials more than an unchanged sshd lets in at a time.
func TestMaxStartupsDrops(t *testing.T) {
	s := startSSHD(t, "MaxStartups 3:50:8")
	fanOut(t, newTransport(t, Options{}), s.hundred()[:40])
}

func BenchmarkCold100(b *testing.B) {
	s := startSSHD(b)
	defer clientCPU(b)()
	for b.Loop() {
		tr := newTransport(b, Options{MaxDials: dialsFromEnv()})
		fanOut(b, tr, s.hundred())
		tr.Close()
	}
}

func BenchmarkWarm100(b *testing.B) {
	s := startSSHD(b)
	tr := newTransport(b, Options{})
	fanOut(b, tr, s.hundred())
	defer clientCPU(b)()
	for b.Loop() {
		fanOut(b, tr, s.hundred())
	}
}

// The same with nothing but x/crypto/ssh.
func bareDial(b *testing.B, s *sshd, h *inventory.Host, key xssh.Signer) *xssh.Client {
	c, err := xssh.Dial("tcp", fmt.Sprintf("%s:%d", h.Address, s.port), &xssh.ClientConfig{
		User: newUser(), Auth: []xssh.AuthMethod{xssh.PublicKeys(key)},
		HostKeyCallback: xssh.FixedHostKey(s.hostKey.PublicKey()), Timeout: time.Minute,
	})
	if err != nil {
		b.Error(err)
	}
	return c
}

func newUser() string { return (&Options{}).withDefaults().User }

func bareRun(b *testing.B, c *xssh.Client) {
	s, err := c.NewSession()
	if err != nil {
		b.Error(err)
		return
	}
	defer s.Close()
	if err := s.Run("true"); err != nil {
		b.Error(err)
	}
}

func bareKey(b *testing.B, s *sshd) xssh.Signer {
	text, err := os.ReadFile(s.keyFile)
	if err != nil {
		b.Fatal(err)
	}
	key, err := xssh.ParsePrivateKey(text)
	if err != nil {
		b.Fatal(err)
	}
	return key
}

func BenchmarkBareCold100(b *testing.B) {
	s := startSSHD(b)
	key := bareKey(b, s)
	defer clientCPU(b)()
	for b.Loop() {
		var wg sync.WaitGroup
		for _, h := range s.hundred() {
			wg.Go(func() {
				c := bareDial(b, s, h, key)
				defer c.Close()
				bareRun(b, c)
			})
		}
		wg.Wait()
	}
}

func BenchmarkBareWarm100(b *testing.B) {
	s := startSSHD(b)
	key := bareKey(b, s)
	var clients []*xssh.Client
	for _, h := range s.hundred() {
		c := bareDial(b, s, h, key)
		defer c.Close()
		clients = append(clients, c)
	}
	defer clientCPU(b)()
	for b.Loop() {
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() { bareRun(b, c) })
		}
		wg.Wait()
	}
}

const streamed = 400 << 20

func BenchmarkStream400MB(b *testing.B) {
	s := startSSHD(b)
	c := mustConnect(b, newTransport(b, Options{}), s.host())
	b.SetBytes(streamed)
	defer clientCPU(b)()
	for b.Loop() {
		sess, err := c.open(b.Context(), fmt.Sprintf("head -c %d /dev/zero", streamed))
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, sess.Stdout()); n != streamed || err != nil {
			b.Fatal(n, err)
		}
		sess.Close()
	}
}

func BenchmarkBareStream400MB(b *testing.B) {
	s := startSSHD(b)
	c := bareDial(b, s, s.host(), bareKey(b, s))
	defer c.Close()
	b.SetBytes(streamed)
	defer clientCPU(b)()
	for b.Loop() {
		sess, err := c.NewSession()
		if err != nil {
			b.Fatal(err)
		}
		out, _ := sess.StdoutPipe()
		if err := sess.Start(fmt.Sprintf("head -c %d /dev/zero", streamed)); err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(struct{ io.Writer }{io.Discard}, out); n != streamed || err != nil {
			b.Fatal(n, err)
		}
		sess.Close()
	}
}

func dialsFromEnv() int {
	n := 0
	fmt.Sscan(os.Getenv("TFW_BENCH_DIALS"), &n)
	return n
}

// BenchmarkPutOver50ms sends 128 MB on a link of 50 ms round trip.
func BenchmarkPutOver50ms(b *testing.B) {
	lab, _ := labConn(b, executortest.LabOptions{Proxied: true})
	lab.Proxy(lab.Hosts()[0].Name).SetLatency(25 * time.Millisecond)
	c := mustConnect(b, newTransport(b, Options{User: lab.User()}), lab.Hosts()[0])
	data, sum := content(128 << 20)
	b.SetBytes(128 << 20)
	for i := 0; b.Loop(); i++ {
		put := executor.Put{Content: bytes.NewReader(data), Size: 128 << 20, SHA256: sum, Dest: fmt.Sprint("f", i)}
		if r, err := c.Put(b.Context(), put); err != nil || r.Skipped {
			b.Fatal(r, err)
		}
	}
}
