package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"tfw/api"
	"tfw/executor"
)

// ErrRefused is wrapped by the errors for settings that would not be safe.
var ErrRefused = errors.New("refused")

// check holds the rule about addresses: what is not loopback needs TLS and tokens.
func (cfg *Config) check() error {
	if (cfg.TLSCert == "") != (cfg.TLSKey == "") {
		return fmt.Errorf("%w: tls_cert and tls_key go together", ErrRefused)
	}
	if cfg.Listen == "" || cfg.Listen == "none" {
		return nil
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return fmt.Errorf("%w: listen %q: want HOST:PORT, such as 127.0.0.1:8774", ErrRefused, cfg.Listen)
	}
	if loopback(host) {
		return nil
	}
	if cfg.NoAuth {
		return fmt.Errorf("%w: listen %s without tokens would let anybody run commands on the lab (leave no_auth out, or listen on 127.0.0.1)", ErrRefused, cfg.Listen)
	}
	if cfg.TLSCert == "" && !cfg.Insecure {
		return fmt.Errorf("%w: listen %s without TLS would send tokens in the clear (give tls_cert and tls_key, listen on 127.0.0.1, or say --insecure)", ErrRefused, cfg.Listen)
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// serve opens every listener, then answers on them.
func (c *Controller) serve(ctx context.Context) error {
	var err error
	c.server, err = api.New(api.Config{
		Executor: c.exec, Plans: c.plans, Plugins: c.registry, Inventory: c.status, Ready: c.store.Health, Log: c.log,
		Version: c.cfg.Version, Auth: !c.cfg.NoAuth, ArtifactLimit: c.cfg.ArtifactLimit,
	})
	if err != nil {
		return err
	}
	if err := c.loadCert(); err != nil {
		return err
	}
	var listeners []net.Listener
	opened := func(ln net.Listener, err error) error {
		if err == nil {
			listeners = append(listeners, ln)
		}
		return err
	}
	err = opened(c.listenSocket())
	if err == nil && c.cfg.Listen != "" && c.cfg.Listen != "none" {
		err = opened(c.listenHTTP(ctx))
	}
	if err == nil && !c.cfg.Embedded {
		err = c.adminToken(ctx)
	}
	if err == nil {
		err = c.own()
	}
	if err != nil {
		for _, ln := range listeners {
			ln.Close()
		}
		return err
	}
	if c.cfg.Listener != nil {
		listeners = append(listeners, c.cfg.Listener)
	}
	for _, ln := range listeners {
		c.work.Add(1)
		go func() {
			defer c.work.Done()
			if err := c.server.Serve(ln); err != nil {
				c.failed <- err
			}
		}()
	}
	return nil
}

func (c *Controller) listenHTTP(ctx context.Context) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen %s: another program listens there (choose another address with --listen, or end that one)", c.cfg.Listen)
	}
	if err != nil {
		return nil, err
	}
	c.http = ln
	if c.cfg.TLSCert != "" {
		return tls.NewListener(ln, &tls.Config{
			MinVersion:     tls.VersionTLS12,
			NextProtos:     []string{"http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.cert.Load(), nil },
		}), nil
	}
	return ln, nil
}

// loadCert reads the certificate, so that a renewed one is taken without a restart.
func (c *Controller) loadCert() error {
	if c.cfg.TLSCert == "" {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(c.cfg.TLSCert, c.cfg.TLSKey)
	if err != nil {
		return fmt.Errorf("tls_cert %s, tls_key %s: %w", c.cfg.TLSCert, c.cfg.TLSKey, err)
	}
	c.cert.Store(&cert)
	return nil
}

// listenSocket opens the unix socket. Holding the data directory's lock, what lies in its
// place there was left by a process that is gone; elsewhere it is asked first.
func (c *Controller) listenSocket() (net.Listener, error) {
	path, err := c.socketPath()
	if err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("socket %s: there is something else in its place (choose another with --socket)", path)
		}
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
			return nil, fmt.Errorf("socket %s: another program answers there (choose another with --socket)", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	c.owner.Socket = path
	return ln, nil
}

// adminToken writes the first token into the data directory, where tfwctl finds it.
func (c *Controller) adminToken(ctx context.Context) error {
	local := executor.Local("tfwd")
	tokens, err := c.exec.Tokens(ctx, local)
	if err != nil || len(tokens) > 0 {
		return err
	}
	text, _, err := c.exec.CreateToken(ctx, local, executor.Token{Name: "admin", Role: executor.Admin})
	if err != nil {
		return fmt.Errorf("admin token: %w", err)
	}
	return private(filepath.Join(c.cfg.Data, tokenFile), []byte(text+"\n"))
}
