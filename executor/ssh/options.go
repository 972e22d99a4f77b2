package ssh

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// Options are the settings of a [Transport]. The zero value is strict and works
// as the user's own ssh does: keys, agent and known_hosts of the home directory.
type Options struct {
	// KnownHosts are the files asked for hosts that name none. Empty:
	// ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts. The first one is written to.
	KnownHosts []string
	// AgentSocket is the agent's unix socket; "" is $SSH_AUTH_SOCK, "none" is no agent.
	AgentSocket string
	// ConfigFile is read for hosts with SSH.Config; "" is ~/.ssh/config.
	ConfigFile string
	// Home is the directory of default identities and files; "" is the user's.
	Home string
	// User logs in where neither inventory nor ssh_config names one; "" is the process's user.
	User string

	ConnectTimeout time.Duration // over dial, handshake and authentication together; 0 is 15 s
	Keepalive      time.Duration // between application-level pings; 0 is 5 s
	IdleTimeout    time.Duration // an unused connection is closed after it; 0 is 5 min
	StandbyIdle    time.Duration // a shell that waits for a next command on its host goes after it; 0 is 15 s, below 0 none waits

	MaxConnections   int // of the whole pool, jump hosts too; the longest unused gives way; 0 is 4,000, or what the limit of descriptors allows (a quarter of it below 341)
	MaxPerHost       int // connections to one host, opened when its sessions run out; 0 is 8
	MaxDials         int // handshakes at a time; 0 is 32 a core: each costs 1 ms of CPU here and many times that on the host, so it is a bound on files and memory
	MaxDialsToServer int // unauthenticated connections to one address at a time; 0 is 8 (sshd's MaxStartups begins to drop at 10)
	MaxStarts        int // commands that are just being started at a time, of all hosts; 0 is 16 a core

	// Secret resolves references at the moment they are needed; nil resolves env: and file:.
	Secret func(inventory.Secret) (string, error)
	// Accepted is told of a key that is about to be put on file unseen, for a host whose settings say accept-new.
	// On an error it is not, and the host is not spoken to. Nil only logs.
	Accepted func(executor.HostKey) error
	// Logger is for the operator; nil is slog's default.
	Logger *slog.Logger
}

const maxConnections = 4000

func (o Options) withDefaults() Options {
	if o.Home == "" {
		o.Home, _ = os.UserHomeDir()
	}
	if o.KnownHosts == nil {
		o.KnownHosts = []string{filepath.Join(o.Home, ".ssh", "known_hosts"), "/etc/ssh/ssh_known_hosts"}
	}
	if o.ConfigFile == "" {
		o.ConfigFile = filepath.Join(o.Home, ".ssh", "config")
	}
	switch o.AgentSocket {
	case "":
		o.AgentSocket = os.Getenv("SSH_AUTH_SOCK")
	case "none":
		o.AgentSocket = ""
	}
	if o.User == "" {
		o.User = processUser()
	}
	o.ConnectTimeout = orDuration(o.ConnectTimeout, 15*time.Second)
	o.Keepalive = orDuration(o.Keepalive, 5*time.Second)
	o.IdleTimeout = orDuration(o.IdleTimeout, 5*time.Minute)
	if o.StandbyIdle == 0 {
		o.StandbyIdle = 15 * time.Second
	}
	o.MaxConnections = orInt(o.MaxConnections, affordable())
	o.MaxPerHost = orInt(o.MaxPerHost, 8)
	o.MaxDials = orInt(o.MaxDials, 32*runtime.GOMAXPROCS(0))
	o.MaxDialsToServer = orInt(o.MaxDialsToServer, 8)
	o.MaxStarts = orInt(o.MaxStarts, 16*runtime.GOMAXPROCS(0))
	if o.Secret == nil {
		o.Secret = inventory.Secret.Resolve
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func orDuration(v, d time.Duration) time.Duration {
	if v > 0 {
		return v
	}
	return d
}

func orInt(v, d int) int {
	if v > 0 {
		return v
	}
	return d
}
