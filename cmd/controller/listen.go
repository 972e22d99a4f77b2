package controller

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"tfw/api"
	"tfw/api/oidc"
	"tfw/executor"
)

// ErrRefused is wrapped by the errors for settings that would not be safe.
var ErrRefused = errors.New("refused")

// check holds the rule about addresses: what is not loopback needs TLS and tokens.
func (cfg *Config) check() error {
	if (cfg.TLSCert == "") != (cfg.TLSKey == "") {
		return fmt.Errorf("%w: tls_cert and tls_key go together", ErrRefused)
	}
	if cfg.ClientCA != "" && cfg.TLSCert == "" {
		return fmt.Errorf("%w: tls_client_ca needs tls_cert and tls_key: client certificates are shown over TLS only", ErrRefused)
	}
	if cfg.SocketGroup != "" && cfg.Socket == "" {
		return fmt.Errorf("%w: socket_group needs socket: the data directory is closed to everybody else (choose one such as /run/tfw/tfwd.sock)", ErrRefused)
	}
	if cfg.OIDC != (oidc.Config{}) {
		if err := cfg.OIDC.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
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
	login, err := c.login()
	if err != nil {
		return err
	}
	c.server, err = api.New(api.Config{
		Executor: c.exec, Plans: c.plans, Plugins: c.registry, Inventory: c.status, Ready: c.store.Health, Log: c.log,
		Version: c.cfg.Version, Auth: !c.cfg.NoAuth, ArtifactLimit: c.cfg.ArtifactLimit,
		Login: login, LoginFor: c.cfg.LoginFor, MetricsToken: c.cfg.MetricsToken,
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
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.tls(), nil },
		}), nil
	}
	return ln, nil
}

// tls is the settings of a new connection, with the certificates that are in force.
func (c *Controller) tls() *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{*c.cert.Load()}, SessionTicketsDisabled: true}
	if pool := c.clientCA.Load(); pool != nil {
		t.ClientAuth, t.ClientCAs = tls.VerifyClientCertIfGiven, pool
	}
	return t
}

func (c *Controller) login() (api.LoginMethod, error) {
	if c.cfg.OIDC.Issuer == "" {
		return nil, nil
	}
	return oidc.New(c.cfg.OIDC)
}

// loadCert reads the certificates, so that renewed ones are taken without a restart. On an error all stay as they were.
func (c *Controller) loadCert() error {
	if c.cfg.TLSCert == "" {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(c.cfg.TLSCert, c.cfg.TLSKey)
	if err != nil {
		return fmt.Errorf("tls_cert %s, tls_key %s: %w", c.cfg.TLSCert, c.cfg.TLSKey, err)
	}
	var pool *x509.CertPool
	if c.cfg.ClientCA != "" {
		text, err := os.ReadFile(c.cfg.ClientCA)
		if err != nil {
			return fmt.Errorf("tls_client_ca: %w", err)
		}
		if pool = x509.NewCertPool(); !pool.AppendCertsFromPEM(text) {
			return fmt.Errorf("tls_client_ca %s: holds no certificate (want PEM)", c.cfg.ClientCA)
		}
	}
	c.clientCA.Store(pool)
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
	if err := c.openTo(path); err != nil {
		ln.Close()
		return nil, err
	}
	c.owner.Socket = path
	return ln, nil
}

// openTo lets this user connect to the socket, and the members of the group that is set. What they may do there the
// policy says: see executor.User.
func (c *Controller) openTo(path string) error {
	if c.cfg.SocketGroup == "" {
		return os.Chmod(path, 0o600)
	}
	g, err := user.LookupGroup(c.cfg.SocketGroup)
	if err != nil {
		return fmt.Errorf("socket_group: %w", err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err == nil {
		err = os.Chown(path, -1, gid)
	}
	if err != nil {
		return fmt.Errorf("socket_group %s: %w", c.cfg.SocketGroup, err)
	}
	return os.Chmod(path, 0o660)
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
