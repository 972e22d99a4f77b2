package api

import (
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// Host is a host as the API shows it: the inventory's words and how it fares.
// It holds references to secrets at most, never a secret.
type Host struct {
	Name      string          `json:"name"`
	Address   string          `json:"address"`
	ID        int             `json:"id"`
	UUID      string          `json:"uuid"`
	Groups    []string        `json:"groups"`
	Plugins   []string        `json:"plugins"`
	Tags      []string        `json:"tags"`
	Vars      map[string]any  `json:"vars"`
	State     inventory.State `json:"state"`
	Reason    string          `json:"reason" doc:"why the state is not active"`
	StateBy   string          `json:"state_by,omitempty" doc:"who set the state; absent when the inventory file says so"`
	Reachable *bool           `json:"reachable" doc:"null: never probed"`
	Facts     map[string]any  `json:"facts" doc:"of the last system_information"`

	SSH       HostSSH           `json:"ssh"`
	Isolation string            `json:"isolation,omitempty"`
	Capacity  int               `json:"capacity,omitempty"`
	Owner     string            `json:"owner,omitempty"`
	LastSeen  time.Time         `json:"last_seen,omitzero" doc:"when it last answered"`
	Latency   executor.Duration `json:"latency,omitempty" doc:"of the last probe"`
	Clock     ClockSkew         `json:"clock_skew,omitempty" doc:"its clock minus the controller's"`
	Problem   string            `json:"problem,omitempty" doc:"why it is not reachable, with the next step"`
	Probed    time.Time         `json:"probed,omitzero" doc:"when it was last asked how it fares, by a user or in the background"`

	Strays     []executor.StrayProcess `json:"strays,omitempty" doc:"processes that outlived their runs, when it was looked last"`
	NotDurable string                  `json:"not_durable,omitempty" doc:"why a command there ends with its connection"`
	Runs       []executor.RunID        `json:"runs,omitempty" doc:"under way on it now"`
	Draining   bool                    `json:"draining,omitempty" doc:"not active any more, and runs that had begun are still under way"`
}

// ClockSkew is a host's clock minus the controller's, written as "-1.5s".
type ClockSkew string

// HostSSH is how a host is reached, without anything secret.
type HostSSH struct {
	User string   `json:"user,omitempty"`
	Port int      `json:"port"`
	Jump []string `json:"jump,omitempty" doc:"names of hosts, outermost first"`
}

// hostOf shows a host.
func hostOf(s executor.HostStatus) Host {
	h := Host{
		Name: s.Name, Address: s.Address, ID: s.ID, UUID: s.UUID,
		Groups: list(s.Groups), Plugins: list(s.Plugins), Tags: list(s.Tags), Vars: s.Vars,
		State: s.State, Reason: s.Reason, StateBy: s.StateBy, Reachable: s.Reachable, Facts: s.Facts,
		SSH:       HostSSH{User: s.SSH.User, Port: s.SSH.Port, Jump: s.SSH.Jump},
		Isolation: string(s.Isolation), Capacity: s.Capacity, Owner: s.Owner,
		LastSeen: s.LastSeen, Latency: executor.Duration(s.Latency), Problem: s.Problem, Probed: s.Probed,
		Strays: s.Strays, NotDurable: s.NotDurable,
		Runs: s.Runs, Draining: len(s.Runs) > 0 && s.State != inventory.Active,
	}
	if h.SSH.Port == 0 {
		h.SSH.Port = 22
	}
	if h.Vars == nil {
		h.Vars = map[string]any{}
	}
	if h.Facts == nil {
		h.Facts = map[string]any{}
	}
	if s.Clock != 0 {
		h.Clock = ClockSkew(s.Clock.String())
	}
	return h
}

func hostsOf(all []executor.HostStatus) []Host {
	hosts := make([]Host, len(all))
	for i, s := range all {
		hosts[i] = hostOf(s)
	}
	return hosts
}

// list is never null in JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// Group is a group of the inventory as the API shows it.
type Group struct {
	Name      string         `json:"name"`
	Hosts     []string       `json:"hosts" doc:"every member, direct or through children"`
	Direct    []string       `json:"direct" doc:"hosts named in the group itself"`
	Children  []string       `json:"children"`
	Parents   []string       `json:"parents"`
	Plugins   []string       `json:"plugins"`
	Tags      []string       `json:"tags"`
	Vars      map[string]any `json:"vars"`
	Isolation string         `json:"isolation,omitempty"`
	Capacity  int            `json:"capacity,omitempty"`
	MaxHosts  int            `json:"max_hosts,omitempty"`
	Owner     string         `json:"owner,omitempty"`
	Priority  int            `json:"priority,omitempty"`
	Users     []GroupUser    `json:"users,omitempty" doc:"who may use its hosts, by tokens and policy; shown to admins only"`
}

// GroupUser is somebody who may use the hosts of a group.
type GroupUser = executor.GroupUser

func groupOf(g *inventory.Group, users map[string][]executor.GroupUser) Group {
	shown := Group{
		Name: g.Name, Hosts: list(g.Hosts), Direct: list(g.Direct), Children: list(g.Children), Parents: list(g.Parents),
		Plugins: list(g.Plugins), Tags: list(g.Tags), Vars: g.Vars,
		Isolation: string(g.Isolation), Capacity: g.Capacity, MaxHosts: g.MaxHosts, Owner: g.Owner, Priority: g.Priority,
		Users: users[g.Name],
	}
	if shown.Vars == nil {
		shown.Vars = map[string]any{}
	}
	return shown
}

// Explanation is how a host came by its settings.
type Explanation struct {
	Settings []inventory.Setting `json:"settings"`
}

// InventoryStatus tells how the inventory in use came to be and whether the
// last edit of its file was taken.
type InventoryStatus struct {
	Source   string         `json:"source" doc:"file or program it is read from"`
	Revision string         `json:"revision" doc:"hash that runs record"`
	Loaded   time.Time      `json:"loaded,omitzero"`
	Hosts    int            `json:"hosts"`
	Groups   int            `json:"groups"`
	Checked  time.Time      `json:"checked,omitzero" doc:"when the edit that was not taken was seen"`
	Problem  string         `json:"problem,omitempty" doc:"why the last edit was not taken; the last good inventory is in use"`
	Problems []Mistake      `json:"problems,omitempty" doc:"the same, one by one, with places and lines"`
	Warnings []Mistake      `json:"warnings,omitempty" doc:"suspicious things in the inventory in use"`
	Reloads  int            `json:"reloads" doc:"changes taken since the start"`
	Changed  inventory.Diff `json:"changed" doc:"the hosts that the last change added, removed and altered"`
}

// Mistake is something wrong or suspicious in an inventory file, with its place and what to do.
type Mistake inventory.Problem

// Mistakes are the API's words for problems of an inventory.
func Mistakes(problems []inventory.Problem) []Mistake {
	out := make([]Mistake, len(problems))
	for i, p := range problems {
		out[i] = Mistake(p)
	}
	return out
}
