package executortest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/sourcegraph/conc/pool"
)

// listen brings every host's server up on one port that is free on all addresses.
func (l *Lab) listen(ctx context.Context) error {
	port, err := freePort(l.hosts[0].host.Address)
	if err != nil {
		return err
	}
	sshd, err := findSSHD(l.opt)
	if err != nil {
		return err
	}
	starts := pool.New().WithErrors().WithMaxGoroutines(8)
	for _, h := range l.hosts {
		h.host.SSH.Port, h.listen = port, fmt.Sprintf("%s:%d", h.host.Address, port)
		if h.server = newEmbedded(l, h); sshd != "" {
			h.server = &openSSH{lab: l, host: h, binary: sshd}
		}
	}
	if err := l.prepareBoot(); err != nil {
		return err
	}
	for _, h := range l.hosts {
		starts.Go(func() error { return h.server.start(ctx) })
	}
	if err := starts.Wait(); err != nil {
		return errors.Join(err, l.Kill())
	}
	return l.putProxies()
}

// putProxies places a proxy before every server, all on one other port.
func (l *Lab) putProxies() error {
	if !l.opt.Proxied {
		return nil
	}
	port, err := freePort(l.hosts[0].host.Address)
	if err != nil {
		return err
	}
	for _, h := range l.hosts {
		if h.proxy, err = NewProxy(fmt.Sprintf("%s:%d", h.host.Address, port), h.listen); err != nil {
			break
		}
		h.host.SSH.Port = port
	}
	if err == nil {
		return nil
	}
	for _, h := range l.hosts {
		if h.proxy != nil {
			h.proxy.Close()
		}
	}
	return errors.Join(err, l.Kill())
}

func freePort(host string) (int, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, fmt.Errorf("no free port on %s: %w", host, err)
	}
	return ln.Addr().(*net.TCPAddr).Port, ln.Close()
}

// findSSHD gives the path of sshd, "" to use the embedded server. sshd must be
// called by an absolute path, and ordinary users seldom have sbin on PATH.
func findSSHD(opt LabOptions) (string, error) {
	if opt.Embedded {
		return "", nil
	}
	for _, p := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"} {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	if opt.OpenSSH {
		return "", ErrNoOpenSSH
	}
	return "", nil
}
