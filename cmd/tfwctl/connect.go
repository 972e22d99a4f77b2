package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tfw/api"
	"tfw/cmd/controller"
	"tfw/executor"
)

// connection is the way to a controller: over HTTP, over the socket of the one that
// owns the state directory, or to one that runs in this very process.
type connection struct {
	client *api.Client
	local  *local // nil when a server was named
}

func (c *connection) close() {
	c.client.Close()
	if c.local != nil {
		c.local.close()
	}
}

func connect(ctx context.Context, a *app) (*connection, error) {
	if server := a.setting.server; server.value != "" {
		if !strings.Contains(server.value, "://") {
			server.value = "http://" + server.value
		}
		token := a.setting.token.value
		if token == "" {
			token = a.adminToken(server.value)
		}
		opts, err := a.clientOptions(token)
		if err != nil {
			return nil, err
		}
		client, err := api.NewClient(server.value, opts...)
		if err != nil {
			return nil, usageError{fmt.Sprintf("%s: %v", server.from, err)}
		}
		return &connection{client: client}, nil
	}
	l := &local{a: a}
	// The first dial decides, so that what is wrong (an inventory with a mistake, a
	// directory in use) is said as it is, and not as a connection that failed.
	first, err := l.dial(ctx)
	if err != nil {
		l.close()
		return nil, err
	}
	ready := first
	dial := func(ctx context.Context) (net.Conn, error) {
		l.mu.Lock()
		c := ready
		ready = nil
		l.mu.Unlock()
		if c != nil {
			return c, nil
		}
		return l.dial(ctx)
	}
	client, err := api.NewClient("http://localhost", api.WithUserAgent("tfwctl/"+versionText()), api.WithPatience(patience), api.WithDial(dial))
	return &connection{client: client, local: l}, err
}

// clientOptions are those of a client of a server that was named.
func (a *app) clientOptions(token string) ([]api.Option, error) {
	opts := []api.Option{api.WithUserAgent("tfwctl/" + versionText()), api.WithPatience(patience), api.WithToken(token)}
	ca, cert, key := a.setting.ca, a.setting.cert, a.setting.key
	if ca.value+cert.value+key.value == "" {
		return opts, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca.value != "" {
		text, err := os.ReadFile(ca.value)
		if err != nil {
			return nil, usageError{fmt.Sprintf("%s: %v", ca.from, err)}
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, usageError{fmt.Sprintf("%s: %s holds no certificate (want PEM)", ca.from, ca.value)}
		}
	}
	if cert.value+key.value != "" {
		pair, err := tls.LoadX509KeyPair(cert.value, key.value)
		if err != nil {
			return nil, usageError{fmt.Sprintf("client certificate (%s): %v", first(cert, key).from, err)}
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return append(opts, api.WithTLS(t)), nil
}

// patience is how long a controller that went away may take to come back.
const patience = 30 * time.Second

// local finds the controller of this machine's state directory at every dial
// anew: when the process that owned it has ended, this one takes over, runs and all.
type local struct {
	a  *app
	mu sync.Mutex

	own   *controller.Controller
	inner func(ctx context.Context) (net.Conn, error)
	ended bool
}

func (l *local) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.own != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := l.own.Close(ctx); err != nil && l.a.flags.verbose {
			l.a.say("tfwctl: %v", err)
		}
	}
}

func (l *local) dial(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, net.ErrClosed
	}
	if l.own != nil {
		return l.inner(ctx)
	}
	state := l.a.stateDir()
	for end := time.Now().Add(10 * time.Second); ; {
		if conn, err := l.owner(ctx, state); conn != nil || err != nil {
			return conn, err
		}
		err := l.embed(ctx, state)
		if err == nil {
			return l.inner(ctx)
		}
		if !errors.Is(err, executor.ErrLocked) || time.Now().After(end) {
			return nil, err
		}
		select { // the owner is just starting, or just ending
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// owner dials the controller that owns the state; nil without an error when there is none.
func (l *local) owner(ctx context.Context, state string) (net.Conn, error) {
	o, err := controller.ReadOwner(state)
	if err != nil {
		return nil, nil //nolint:nilerr // no owner is no error
	}
	conn, err := dialOwner(ctx, o)
	if err != nil {
		return nil, nil //nolint:nilerr // it has ended; its socket was left
	}
	if err := l.agrees(o); err != nil {
		conn.Close()
		return nil, err
	}
	l.a.debug("controller: process %d at %s", o.PID, o.Socket)
	return conn, nil
}

func dialOwner(ctx context.Context, o controller.Owner) (net.Conn, error) {
	return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", o.Socket)
}

// agrees refuses to act on another lab than the one that was asked for.
func (l *local) agrees(o controller.Owner) error {
	inv := l.a.setting.inventory
	asked, err := filepath.Abs(inv.value)
	if err != nil || asked == o.Inventory {
		return err
	}
	if inv.from == "default" && (!o.Embedded || !exists(asked)) {
		return nil
	}
	program, remedy := "tfwd", "leave -i out, or start another one with TFW_DATA set to another directory"
	if o.Embedded {
		program, remedy = "another tfwctl", "wait for its end, or set TFW_DATA to another directory"
	}
	return usageError{fmt.Sprintf("inventory %s: %s (process %d) owns %s and uses %s (%s)", asked, program, o.PID, l.a.stateDir(), o.Inventory, remedy)}
}

// embed starts a controller in this process.
func (l *local) embed(ctx context.Context, state string) error {
	ln, dial := api.Pipe()
	level := slog.LevelError + 4
	if l.a.flags.verbose {
		level = slog.LevelInfo
	}
	if inv := l.a.setting.inventory; inv.from == "default" && !exists(inv.value) {
		return usageError{"no controller and no inventory: " + inv.value + " is not here (name a file with -i FILE, a controller with --server URL, or try things on: tfwctl lab up)"}
	}
	own, err := controller.Start(ctx, controller.Config{
		Inventory: l.a.setting.inventory.value, Data: state, Listener: ln, Embedded: true, NoAuth: true, Version: versionText(),
		Secrets: l.a.env("TFW_SECRETS"), SecretsKey: l.a.env("TFW_SECRETS_KEY"),
		Log: slog.New(slog.NewTextHandler(l.a.err, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		return err
	}
	l.own, l.inner = own, dial
	l.a.debug("controller: embedded, state in %s", state)
	return nil
}

// stateDir is where the embedded controller keeps its state, and where tfwd does by default.
func (a *app) stateDir() string {
	if dir := a.env("TFW_DATA"); dir != "" {
		return dir
	}
	return controller.StateDir()
}

// adminToken finds the admin token of a tfwd on this machine that belongs to this user, or "".
func (a *app) adminToken(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	ip := net.ParseIP(u.Hostname())
	if u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return ""
	}
	for _, path := range controller.TokenFiles(u.Host, a.stateDir()) {
		if token, err := readToken(path); err == nil {
			a.debug("token: %s", path)
			return token
		}
	}
	return ""
}

func readToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

func (a *app) debug(format string, args ...any) {
	if a.flags.verbose {
		a.say("tfwctl: "+format, args...)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
