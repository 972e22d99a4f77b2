package executortest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

	"tfw/inventory"
)

// LabOptions say what kind of lab [NewLab] brings up. The zero value is one
// host, real OpenSSH where it is installed, in a directory of its own.
type LabOptions struct {
	Hosts int      // 0 is 1
	Names []string // of the hosts, instead of the built-in ones; decides Hosts
	Dir   string   // everything is kept below it; "" makes a temporary directory, removed by Close

	// Embedded takes the Go server even where OpenSSH is installed.
	Embedded bool
	// OpenSSH refuses to fall back to the Go server.
	OpenSSH bool
	// Config holds sshd_config lines that win over the lab's own ("MaxSessions 1"). OpenSSH only.
	Config []string
	// MaxSessions is the number of sessions granted on one connection; 0 is 10, OpenSSH's default.
	MaxSessions int
	// Shell is run as the login shell in place of the user's own: a path such as /usr/bin/fish.
	Shell string
	// Bootable gives every host a boot id of its own, so that [Lab.Reboot], or reboot on a host, reboots
	// it. It needs root on Linux and real OpenSSH.
	Bootable bool
	// Guarded keeps commands that end a machine (reboot, poweroff, systemctl halt ...) from doing so to this one, which plays
	// the hosts: reboot is the host's where the lab can be Bootable, the rest is refused.
	Guarded bool
	// Proxied puts a [Proxy] before every host: its address is the one that the inventory names.
	Proxied bool
	// Background leaves the hosts only the processor time that nothing else wants, as far as the system
	// lets it: in the field they are other machines, which take nothing of the controller's. OpenSSH only.
	Background bool
}

// Lab is a throw-away lab of SSH hosts on loopback addresses, from 127.1.0.1 on, all on one
// port: each host has an SSH server, a host key and a home directory of its own, so that
// what a test leaves in "~" vanishes with the lab. The account is the one that the process runs as.
//
// It needs no privileges and nothing but loopback. Safe for concurrent use.
type Lab struct {
	id       string
	dir      string
	ownsDir  bool
	user     string
	hosts    []*labHost
	byName   map[string]*labHost
	client   *hostKey
	spawn    *spawner
	opt      LabOptions
	boots    conc.WaitGroup // watches for hosts that ask for a reboot
	noBoots  context.CancelFunc
	idleMade sync.Once
	idle     string // the control group of the hosts' processes, "" without
	closing  sync.Once
	closed   error
}

// labHost is one host with what serves it.
type labHost struct {
	host   *inventory.Host
	home   string
	listen string // the server's own address, behind the proxy if there is one
	key    *hostKey
	server server
	proxy  *Proxy
}

// server is what answers on a host's address: OpenSSH or the embedded one.
type server interface {
	start(ctx context.Context) error // accept connections; the port is the same each time
	stop() error                     // accept no more; live connections go on
	disconnect() error               // break the live connections
}

// ErrNoOpenSSH means that no sshd was found on this machine.
var ErrNoOpenSSH = errors.New("no sshd found (install it: apt-get install openssh-server)")

// NewLab brings a lab up and returns once every host answers; ctx bounds the
// start only. The caller must Close it. A lab dies with its process.
func NewLab(ctx context.Context, opt LabOptions) (*Lab, error) {
	if len(opt.Names) == 0 {
		opt.Names = labNames(max(opt.Hosts, 1))
	}
	if opt.MaxSessions == 0 {
		opt.MaxSessions = 10
	}
	l := &Lab{id: rand.Text(), opt: opt, byName: map[string]*labHost{}, spawn: newSpawner()}
	err := l.build(ctx)
	if err == nil {
		if l.opt.Bootable {
			watch, stop := context.WithCancel(context.Background())
			l.noBoots = stop
			l.boots.Go(func() { l.watchBoots(watch) })
		}
		return l, nil
	}
	return nil, errors.Join(fmt.Errorf("lab: %w", err), l.Close())
}

func (l *Lab) build(ctx context.Context) error {
	if err := l.makeDir(); err != nil {
		return err
	}
	if err := l.makeKeys(); err != nil {
		return err
	}
	var err error
	for range 5 { // somebody may take the port between our looking and our listening
		if err = l.listen(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return err
	}
	return l.writeFiles()
}

func (l *Lab) makeDir() (err error) {
	l.dir = l.opt.Dir
	if l.dir == "" {
		l.ownsDir = true
		l.dir, err = os.MkdirTemp("", "tfw-lab-")
		return err
	}
	if l.dir, err = filepath.Abs(l.dir); err != nil {
		return err
	}
	return os.MkdirAll(l.dir, 0o700)
}

// address is the loopback address of the i-th host: no .0 and no .255, for the
// eyes of those who read logs.
func address(i int) string { return fmt.Sprintf("127.1.%d.%d", i/250, i%250+1) }

// Dir is the lab's directory.
func (l *Lab) Dir() string { return l.dir }

// User is the account on every host.
func (l *Lab) User() string { return l.user }

// KnownHosts is the path of a known_hosts file with every host's key.
func (l *Lab) KnownHosts() string { return filepath.Join(l.dir, "known_hosts") }

// IdentityFile is the path of the private key that every host accepts.
func (l *Lab) IdentityFile() string { return filepath.Join(l.dir, "id_ed25519") }

// SSHConfig is the path of an ssh_config with every host, for `ssh -F`.
func (l *Lab) SSHConfig() string { return filepath.Join(l.dir, "ssh_config") }

// InventoryFile is the path of the lab's [Lab.Inventory]. It appears, whole, once every host answers.
func (l *Lab) InventoryFile() string { return filepath.Join(l.dir, "inventory.yaml") }

// Embedded tells whether the hosts are played by the Go server.
func (l *Lab) Embedded() bool {
	_, yes := l.hosts[0].server.(*embedded)
	return yes
}

// Hosts gives the hosts as an inventory would.
func (l *Lab) Hosts() []*inventory.Host {
	all := make([]*inventory.Host, len(l.hosts))
	for i, h := range l.hosts {
		all[i] = h.host
	}
	return all
}

// Lookup finds a host by name, in the form that Transport.Connect takes.
func (l *Lab) Lookup(name string) (*inventory.Host, bool) {
	if h, ok := l.byName[name]; ok {
		return h.host, true
	}
	return nil, false
}

// Home is the host's home directory as this machine sees it.
func (l *Lab) Home(name string) string {
	if h, ok := l.byName[name]; ok {
		return h.home
	}
	return ""
}

// Proxy is what stands before the host, nil unless the lab is Proxied.
func (l *Lab) Proxy(name string) *Proxy {
	if h, ok := l.byName[name]; ok {
		return h.proxy
	}
	return nil
}

// each does something to the named hosts' servers, or to all when none is named.
func (l *Lab) each(names []string, do func(*labHost) error) error {
	if len(names) == 0 {
		for _, h := range l.hosts {
			names = append(names, h.host.Name)
		}
	}
	var errs []error
	for _, n := range names {
		h, ok := l.byName[n]
		if !ok {
			errs = append(errs, fmt.Errorf("%q: no such host in the lab", n))
			continue
		}
		if err := do(h); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n, err))
		}
	}
	return errors.Join(errs...)
}

// Stop makes the hosts refuse new connections; live ones go on. No name means every host.
func (l *Lab) Stop(names ...string) error {
	return l.each(names, func(h *labHost) error { return h.server.stop() })
}

// Start undoes [Lab.Stop] and [Lab.Kill], on the same port with the same key.
func (l *Lab) Start(ctx context.Context, names ...string) error {
	return l.each(names, func(h *labHost) error { return h.server.start(ctx) })
}

// Restart is what an upgrade of sshd does: new connections meet a new server, live ones go on.
func (l *Lab) Restart(ctx context.Context, names ...string) error {
	return errors.Join(l.Stop(names...), l.Start(ctx, names...))
}

// Reimage makes the host another one at the same place: killed, with a new SSH key, and started. Nobody is told of the key.
func (l *Lab) Reimage(ctx context.Context, name string) error {
	h := l.byName[name]
	if h == nil {
		return fmt.Errorf("lab: no host %q", name)
	}
	if err := l.Kill(name); err != nil {
		return err
	}
	key, err := newKey(filepath.Join(l.hostDir(name), "host_key"))
	if err != nil {
		return err
	}
	h.key = key
	return l.Start(ctx, name)
}

// Disconnect kills the server's end of every live connection. Commands started
// over them go on, as far as they would on a real host.
func (l *Lab) Disconnect(names ...string) error {
	return l.each(names, func(h *labHost) error { return h.server.disconnect() })
}

// Kill is Stop and Disconnect in one.
func (l *Lab) Kill(names ...string) error {
	return errors.Join(l.Stop(names...), l.Disconnect(names...))
}

// Close ends the servers, then every process that still carries the lab's mark, and
// removes the directory if NewLab made it, else what it put there. Closing twice is no error.
func (l *Lab) Close() error {
	l.closing.Do(func() { l.closed = l.close() })
	return l.closed
}

func (l *Lab) close() error {
	var errs []error
	if l.noBoots != nil {
		l.noBoots()
		l.boots.Wait()
	}
	for _, h := range l.hosts {
		if h.proxy != nil {
			h.proxy.Close()
		}
		if h.server != nil {
			errs = append(errs, h.server.stop(), h.server.disconnect())
		}
	}
	errs = append(errs, l.killProcesses(5*time.Second))
	for _, h := range l.hosts {
		if e, ok := h.server.(*embedded); ok {
			e.wait()
		}
	}
	l.spawn.close()
	return errors.Join(append(errs, l.leaveBackground(), l.removeDir())...)
}

func (l *Lab) removeDir() error {
	if l.ownsDir {
		return os.RemoveAll(l.dir)
	}
	var errs []error
	for _, name := range []string{"inventory.yaml", "known_hosts", "id_ed25519", "id_ed25519.pub", "ssh_config", "authorized_keys", "hosts"} {
		if l.dir != "" {
			errs = append(errs, os.RemoveAll(filepath.Join(l.dir, name)))
		}
	}
	return errors.Join(errs...)
}
