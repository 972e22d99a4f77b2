package ssh

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// settings is everything that makes one connection different from another:
// two hosts with equal settings share their connections.
type settings struct {
	Address        string
	Port           int
	User           string
	Identities     []string // named private keys
	Certificates   []string // named certificates, besides KEY-cert.pub
	IdentitiesOnly bool     // offer no other key of the agent
	Password       inventory.Secret
	KnownHosts     []string
	HostKey        string
	HostCA         string
	AcceptNew      bool // the first key that is shown is put on file
	ConnectTimeout time.Duration
	Keepalive      time.Duration
	MaxSessions    int
	Jump           *settings // the last jump host, which may have its own

	name string // inventory name, for messages only
}

// key names the settings' place in the pool.
func (s *settings) key() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings, numbers and a chain made by resolve: cannot fail
	}
	return string(b)
}

func (s *settings) addr() string { return net.JoinHostPort(s.Address, strconv.Itoa(s.Port)) }

// maxJumps bounds a chain of jump hosts; in ssh_config it could go on for ever under new names.
const maxJumps = 16

type lookup func(name string) (*inventory.Host, bool)

// resolver turns hosts into settings; chain is the way so far, to find cycles.
type resolver struct {
	opt   *Options
	via   lookup
	chain []string
}

func (r *resolver) resolve(h *inventory.Host) (*settings, error) {
	for _, name := range r.chain {
		if name == h.Name {
			return nil, because(executor.ErrUnreachable, "correct ssh.jump in the inventory",
				"jump hosts go in a circle: %s", strings.Join(append(r.chain, h.Name), " -> "))
		}
	}
	if len(r.chain) == maxJumps {
		return nil, because(executor.ErrUnreachable, "correct ssh.jump", "more than %d jump hosts: %s", maxJumps, strings.Join(r.chain, " -> "))
	}
	r.chain = append(r.chain, h.Name)
	defer func() { r.chain = r.chain[:len(r.chain)-1] }()

	s := r.plain(h)
	if h.SSH.Config {
		if err := r.applyConfig(s, h); err != nil {
			return nil, err
		}
	}
	s.defaults(r.opt)
	return s, r.jumps(s, h.SSH.Jump)
}

func (r *resolver) plain(h *inventory.Host) *settings {
	s := &settings{
		name: h.Name, Address: h.Address, Port: h.SSH.Port, User: h.SSH.User,
		Password: h.SSH.Password, HostKey: h.SSH.HostKey, HostCA: h.SSH.HostCA,
		ConnectTimeout: h.SSH.ConnectTimeout, Keepalive: h.SSH.Keepalive, MaxSessions: h.SSH.MaxSessions,
	}
	if s.HostKey == inventory.AcceptNew {
		s.HostKey, s.AcceptNew = "", true
	}
	if s.Address == "" {
		s.Address = h.Name
	}
	for _, f := range h.SSH.IdentityFiles {
		s.Identities = append(s.Identities, expandHome(f, r.opt.Home))
	}
	if h.SSH.KnownHosts != "" {
		s.KnownHosts = []string{expandHome(h.SSH.KnownHosts, r.opt.Home)}
	}
	return s
}

func (s *settings) defaults(o *Options) {
	s.Port = orInt(s.Port, 22)
	if s.User == "" {
		s.User = o.User
	}
	if s.KnownHosts == nil {
		s.KnownHosts = o.KnownHosts
	}
	s.ConnectTimeout = orDuration(s.ConnectTimeout, o.ConnectTimeout)
	s.Keepalive = orDuration(s.Keepalive, o.Keepalive)
}

// jumps resolves the chain of names, outermost first: each is reached through the one before.
func (r *resolver) jumps(s *settings, names []string) error {
	for i := len(names) - 1; i >= 0; i-- {
		h, ok := r.lookup(names[i])
		if !ok {
			return because(executor.ErrUnreachable, "see: tfwctl hosts", "jump host %q: no such host", names[i])
		}
		if i == 0 {
			j, err := r.resolve(h)
			if err != nil {
				return err
			}
			s.Jump = j
			return nil
		}
		// A jump in the middle of a chain is reached by the chain, not by jumps of its own.
		one := *h
		one.SSH.Jump = nil
		j, err := r.resolve(&one)
		if err != nil {
			return err
		}
		s.Jump, s = j, j
	}
	return nil
}

func (r *resolver) lookup(name string) (*inventory.Host, bool) {
	if r.via == nil {
		return nil, false
	}
	return r.via(name)
}

func expandHome(path, home string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return home + "/" + rest
	}
	return path
}
