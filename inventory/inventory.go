package inventory

import (
	"net"
	"slices"
	"strconv"
	"time"
)

// Options say how an inventory is read.
type Options struct {
	// Plugins are the names of the known plugins; a host that declares another
	// is an error. nil: plugin names are not checked.
	Plugins []string
	// Timeout bounds one run of an executable inventory; 0 is 30 s.
	Timeout time.Duration
	// CacheFor is how long the output of an executable inventory is used again; 0 is not at all.
	CacheFor time.Duration
	// CacheDir holds that output (mode 0700); "" keeps none.
	CacheDir string
}

// Inventory is the hosts and groups of a lab, every setting merged. It never
// changes and may be used by many goroutines: a reload makes a new one, a run
// keeps the one that it began with.
type Inventory struct {
	hosts      []*Host
	index      map[string]int
	groups     []*Group
	groupIndex map[string]int
	members    [][]int // per group, in inventory order
	slices     [][]int // per group, in the order that slices count; nil: members
	allSlice   []int   // the same for "all"; nil: inventory order
	hops       map[string]*Host
	stated     []int // hosts whose state the file itself says
	warnings   []Problem
	revision   string
	draft      *draft
	ranks      []int // depth of each group
}

// Revision is a hash of everything that the inventory was read from: equal
// revisions are equal content.
func (inv *Inventory) Revision() string { return inv.revision }

// Hosts are all hosts in inventory order, the order of first mention in the
// file. The slice is the caller's, the hosts are not to be changed.
func (inv *Inventory) Hosts() []*Host { return slices.Clone(inv.hosts) }

// Host finds a host by its name. A jump host that an Ansible file names only by
// address (user@host:port) is found too, though no target selects it.
func (inv *Inventory) Host(name string) (*Host, bool) {
	if i, ok := inv.index[name]; ok {
		return inv.hosts[i], true
	}
	h, ok := inv.hops[name]
	return h, ok
}

// Lookup finds a host by name or by address, with or without its port. An
// address that several hosts share finds none.
func (inv *Inventory) Lookup(nameOrAddress string) (*Host, bool) {
	if i, ok := inv.index[nameOrAddress]; ok {
		return inv.hosts[i], true
	}
	var found *Host
	for _, h := range inv.hosts {
		if !h.reachedAt(nameOrAddress) {
			continue
		}
		if found != nil {
			return nil, false
		}
		found = h
	}
	return found, found != nil
}

func (h *Host) reachedAt(address string) bool {
	if h.Address == address {
		return true
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host != h.Address {
		return false
	}
	own := h.SSH.Port
	if own == 0 {
		own = 22
	}
	return port == strconv.Itoa(own)
}

// Groups are all groups in the file's order, without the implied all and ungrouped.
func (inv *Inventory) Groups() []*Group { return slices.Clone(inv.groups) }

// Group finds a group by its name.
func (inv *Inventory) Group(name string) (*Group, bool) {
	i, ok := inv.groupIndex[name]
	if !ok {
		return nil, false
	}
	return inv.groups[i], true
}

// Warnings are suspicious things in the files that do not keep them from being used.
func (inv *Inventory) Warnings() []Problem { return slices.Clone(inv.warnings) }
