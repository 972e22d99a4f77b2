package inventory

import (
	"fmt"
	"strings"
)

// maxHosts is the most hosts one inventory may hold.
const maxHosts = 100000

// layer is the settings given in one place, with the words that name the place:
// "defaults", "group duts", "host dut25".
type layer struct {
	label    string
	flat     bool // maps in vars replace, as Ansible's do
	settings []setting
}

// draft is what the sources say, before it is checked as a whole and merged.
type draft struct {
	rep     *report
	sources []*source

	defaults  []*layer
	late      []*layer // group_vars/all, which win over all groups' own
	topHosts  []int    // hosts that an Ansible source names directly under all
	topGroups []int    // groups that it names so, in its order
	roles     bool     // an Ansible source says tfw_plugins
	lenient   bool     // an Ansible source: a group may share a host's name
	hosts     []*hostDraft
	groups    []*groupDraft
	hostAt    map[string]int
	groupAt   map[string]int
	hops      map[string]*Host     // jump hosts an Ansible file names by address only
	parents   [][]int              // groups that contain each group, once linked
	full      bool                 // the limit of hosts was reached, and that was said
	stamps    map[string]fileStamp // every file and directory that was read, as it was before
	dynamic   bool                 // an executable gave a part
}

type hostDraft struct {
	name    string
	at      position
	defined bool     // given with settings in a native file
	ansible bool     // named in an Ansible file
	own     []*layer // a range of hosts shares one
	address string   // its own part of a range of addresses
	addrAt  position
	groups  []int // that name it directly
}

type groupDraft struct {
	name     string
	at       position
	hosts    []int
	children []ref
	layers   []*layer // from the inventory itself
	late     []*layer // from group_vars/, which win over all groups' own
	defined  bool     // by a native file; an Ansible one may add to any group

	priority, capacity, maxHosts int
	isolation                    Isolation
	owner                        string
}

// ref is a mention of a group by name.
type ref struct {
	name string
	at   position
}

func newDraft(rep *report) *draft {
	return &draft{rep: rep, hostAt: map[string]int{}, groupAt: map[string]int{}, stamps: map[string]fileStamp{}, hops: map[string]*Host{}}
}

// host finds or adds a host. ok is false when there are too many.
func (d *draft) host(name string, at position) (int, bool) {
	if i, ok := d.hostAt[name]; ok {
		return i, true
	}
	if len(d.hosts) >= maxHosts {
		if !d.full {
			d.full = true
			d.rep.errorf(at, "split the lab over several inventories", "more than %d hosts", maxHosts)
		}
		return 0, false
	}
	d.hostAt[name] = len(d.hosts)
	d.hosts = append(d.hosts, &hostDraft{name: name, at: at})
	return len(d.hosts) - 1, true
}

// group finds or adds a group.
func (d *draft) group(name string, at position) *groupDraft {
	if i, ok := d.groupAt[name]; ok {
		return d.groups[i]
	}
	d.groupAt[name] = len(d.groups)
	g := &groupDraft{name: name, at: at}
	d.groups = append(d.groups, g)
	return g
}

// join puts a host into a group; -1 is none.
func (d *draft) join(host, group int) {
	if group < 0 {
		return
	}
	d.groups[group].hosts = append(d.groups[group].hosts, host)
	d.hosts[host].groups = append(d.hosts[host].groups, group)
}

// reserved are names with a meaning of their own in targets.
var reserved = map[string]string{
	"all":       "`all` always means every host: choose another name",
	"ungrouped": "`ungrouped` always means the hosts outside any group: choose another name",
}

// badName says why a name cannot be used in targets, file names and tables; ""
// when it can. fix is what to do.
func badName(name string) (why, fix string) {
	if fix, ok := reserved[name]; ok {
		return fmt.Sprintf("the name %s is taken", quoted(name)), fix
	}
	switch {
	case name == "":
		return "the name is empty", "give it a name"
	case len(name) > 253:
		return fmt.Sprintf("the name %s is longer than 253 letters", quoted(name)), "choose a shorter name"
	case strings.ContainsAny(name, "-.") && strings.Trim(name, "-.") == "":
		return fmt.Sprintf("the name %s has no letter in it", quoted(name)), "choose another name"
	case name[0] == '-':
		return fmt.Sprintf("the name %s begins with a dash, like an option", quoted(name)), "begin it with a letter or digit"
	}
	for i, c := range name {
		if c == ':' && strings.HasPrefix(name[i:], ":{") {
			return fmt.Sprintf("no space behind the colon in %s", quoted(name)), "write `" + name[:i] + ": {...}`"
		}
		if c == ':' && !isIPv6(name) {
			return fmt.Sprintf("a colon in the name %s would split a target", quoted(name)), "use a dash or an underscore"
		}
		if c <= ' ' || c == 0x7f || strings.ContainsRune(`,&!@~^*?[](){}<>|;$"'\/`+"`", c) {
			return fmt.Sprintf("%q cannot stand in the name %s (character %d)", c, quoted(name), i+1), "use letters, digits, dots, dashes and underscores"
		}
	}
	return "", ""
}
