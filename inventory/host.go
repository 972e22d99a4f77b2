package inventory

import "time"

// State says whether work may be given to a host.
type State string

// The states of a host. Only an active host takes runs without being asked for.
const (
	Active      State = "active"
	Maintenance State = "maintenance"
	Quarantined State = "quarantined"
	Retired     State = "retired"
)

// Isolation says how many runs may share a host of a group.
type Isolation string

// The ways a group isolates its hosts. The zero value means [Shared] without a
// capacity, that is, no limit.
const (
	IsolationNone      Isolation = "none"
	IsolationShared    Isolation = "shared"    // up to Host.Capacity runs at a time
	IsolationExclusive Isolation = "exclusive" // one run at a time
)

// Host is one machine of the lab with every setting merged: defaults, then its
// groups, then its own. It is read-only: it belongs to an immutable [Inventory].
type Host struct {
	Name    string         // unique in the inventory
	Address string         // what is dialled; the name when the file gives none
	ID      int            // the file's stable small integer; 0 when the controller is to assign one
	UUID    string         // RFC 9562 version 5, derived from the name: stable across reloads and restarts
	Groups  []string       // every group it is in, direct or inherited, in the file's order, without "all"
	Plugins []string       // declared roles: the plugins that may run there, sorted
	Tags    []string       // sorted
	Vars    map[string]any // merged; values are YAML scalars, []any and map[string]any
	State   State
	Reason  string // why State is not active
	StateBy string // who set State by hand; "" when the file or nobody did
	SSH     SSH

	Isolation Isolation // the strictest of its groups'
	Capacity  int       // runs at a time under IsolationShared; 0 is no limit
	Owner     string    // owner of the isolated group it is in, or ""
}

// Has reports whether the host declares the plugin.
func (h *Host) Has(plugin string) bool {
	for _, p := range h.Plugins {
		if p == plugin {
			return true
		}
	}
	return false
}

// AcceptNew in the place of a pinned key takes the first key that the host ever shows, and no other after it: what
// StrictHostKeyChecking accept-new is to ssh.
const AcceptNew = "accept-new"

// SSH is how a host is reached. Zero values mean: the transport's default.
type SSH struct {
	User           string
	Port           int      // 0 is 22
	IdentityFiles  []string // private keys, "~" expanded by the reader of the file
	Password       Secret
	Jump           []string // names of inventory hosts, outermost first (ProxyJump)
	KnownHosts     string   // file; "" is the user's ~/.ssh/known_hosts
	HostKey        string   // one pinned public key, authorized_keys format, or [AcceptNew]
	HostCA         string   // public key of the authority that signs host certificates
	ConnectTimeout time.Duration
	Keepalive      time.Duration
	MaxSessions    int    // channels at a time on one connection; 0: found out
	MaxSpool       int64  // bytes of output that may wait on the host, 0: the default
	Become         Become // how commands change user when asked to
	Config         bool   // read ~/.ssh/config for Address too
	ConfigLoose    bool   // as an Ansible file takes for granted: what cannot be followed there is passed over where no other machine is meant
}

// Become is how a command changes user on a host.
type Become struct {
	User     string // "" is root
	Method   string // "sudo" (the default) or "su" or "doas"
	Password Secret
}

// Secret is a reference to a secret, never the secret itself: "env:NAME",
// "file:/path" or "secret:NAME" (the controller's encrypted file). Printing it
// shows the reference.
type Secret string

// Group is a named set of hosts that share settings.
type Group struct {
	Name      string
	Hosts     []string       // every member, direct or through children, in inventory order
	Direct    []string       // hosts named in the group itself
	Children  []string       // groups named in the group itself
	Parents   []string       // groups that name it, sorted
	Plugins   []string       // as declared on the group itself
	Tags      []string       // as declared on the group itself
	Vars      map[string]any // as declared on the group itself
	Isolation Isolation
	Capacity  int
	MaxHosts  int    // ad hoc runs on more of its hosts than this need Expect; 0 is no limit
	Owner     string // the team that an isolated group belongs to
	Priority  int
}
