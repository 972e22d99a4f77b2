package plugins

import (
	"bytes"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Facts is what system_information tells of a host. What the host does not tell
// is left at its zero value. Sizes are bytes.
type Facts struct {
	OS           string       `json:"os" jsonschema:"description=kernel name in lower case such as linux"`
	Distribution Distribution `json:"distribution"`
	Kernel       string       `json:"kernel"`
	Arch         string       `json:"arch" jsonschema:"description=as uname -m tells such as x86_64 or aarch64"`
	Machine      string       `json:"machine,omitempty" jsonschema:"description=product or board name"`
	Hostname     string       `json:"hostname"`
	BootID       string       `json:"boot_id" jsonschema:"description=changes with every boot"`
	Init         string       `json:"init,omitempty"`
	User         string       `json:"user" jsonschema:"description=the login user"`
	UID          int64        `json:"uid"`
	CPUs         CPUs         `json:"cpus"`
	Memory       Memory       `json:"memory"`
	Disks        []Disk       `json:"disks"`
	Mounts       []Mount      `json:"mounts"`
	Addresses    []Address    `json:"addresses" jsonschema:"description=without loopback"`
	Links        []Link       `json:"links"`
	Uptime       Duration     `json:"uptime"`
	Load         []float64    `json:"load,omitempty" jsonschema:"description=load averages over 1 and 5 and 15 minutes"`
	Clock        Clock        `json:"clock"`
	Tools        []string     `json:"tools" jsonschema:"description=which of the programs that plugins use are installed"`
}

// Distribution is what os-release(5) says.
type Distribution struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Name    string `json:"name"`
	Like    string `json:"like,omitempty"`
}

// CPUs counts processors.
type CPUs struct {
	Count  int    `json:"count"`
	Usable int    `json:"usable,omitempty" jsonschema:"description=that this login may use"`
	Model  string `json:"model,omitempty"`
}

// Memory is main memory and swap, in bytes.
type Memory struct {
	Total     int64 `json:"total"`
	Available int64 `json:"available"`
	SwapTotal int64 `json:"swap_total"`
	SwapFree  int64 `json:"swap_free"`
}

// Disk is a block device that is no loop, ram or mapped device.
type Disk struct {
	Name       string `json:"name"`
	Bytes      int64  `json:"bytes"`
	Rotational bool   `json:"rotational"`
	Model      string `json:"model,omitempty"`
}

// Mount is a mounted file system as df tells.
type Mount struct {
	Source    string `json:"source"`
	Target    string `json:"target"`
	Bytes     int64  `json:"bytes"`
	Used      int64  `json:"used"`
	Available int64  `json:"available"`
}

// Address is an IP address of an interface.
type Address struct {
	Interface string `json:"interface"`
	Address   string `json:"address"`
	Prefix    int    `json:"prefix"`
}

// Link is a network interface.
type Link struct {
	Interface string `json:"interface"`
	MAC       string `json:"mac"`
	State     string `json:"state"`
}

// Clock compares the host's clock with the controller's.
type Clock struct {
	Time time.Time `json:"time"`
	Zone string    `json:"zone"`
	Skew float64   `json:"skew_seconds" jsonschema:"description=host minus controller; good to about a second"`
}

// Bounds on what a host may make us keep.
const (
	maxFactLines = 20000
	maxFactItems = 512
	maxFactText  = 256
)

// parseFacts reads the output of facts.sh. Anything that is not as expected is
// left out: a host may be of any kind, broken or hostile. ok is false when the
// script's last line is missing.
func parseFacts(out []byte) (f Facts, ok bool) {
	f = Facts{Disks: []Disk{}, Mounts: []Mount{}, Addresses: []Address{}, Links: []Link{}, Tools: []string{}}
	lines, iface := 0, ""
	for line := range bytes.Lines(out) {
		if lines++; lines > maxFactLines {
			break
		}
		key, value, _ := strings.Cut(strings.TrimRight(string(line), "\n"), " ")
		switch key {
		case "end":
			ok = true
		case "ifconfig":
			iface = f.ifconfig(value, iface)
		default:
			if set := factSetters[key]; set != nil {
				set(&f, value, strings.Fields(value))
			}
		}
	}
	return f, ok
}

var factSetters = map[string]func(f *Facts, value string, words []string){
	"os":       func(f *Facts, v string, _ []string) { f.OS = strings.ToLower(factText(v)) },
	"hostname": func(f *Facts, v string, _ []string) { f.Hostname = factText(v) },
	"kernel":   func(f *Facts, v string, _ []string) { f.Kernel = factText(v) },
	"arch":     func(f *Facts, v string, _ []string) { f.Arch = factText(v) },
	"boot_id":  func(f *Facts, v string, _ []string) { f.BootID = factText(v) },
	"machine":  func(f *Facts, v string, _ []string) { f.Machine = factText(v) },
	"init":     func(f *Facts, v string, _ []string) { f.Init = factText(v) },
	"uptime":   (*Facts).setUptime,
	"loadavg":  (*Facts).setLoad,
	"clock":    (*Facts).setClock,
	"user":     (*Facts).setUser,
	"release":  (*Facts).setRelease,
	"memory":   (*Facts).setMemory,
	"cpus":     (*Facts).setCPUs,
	"usable_cpus": func(f *Facts, v string, _ []string) {
		f.CPUs.Usable = int(factNumber(v, 1, math.MaxInt32))
	},
	"disk":    (*Facts).addDisk,
	"mount":   (*Facts).addMount,
	"address": func(f *Facts, _ string, w []string) { f.addAddress(at(w, 0), at(w, 2)) },
	"link":    (*Facts).addLink,
	"tool": func(f *Facts, v string, _ []string) {
		if len(f.Tools) < maxFactItems {
			f.Tools = append(f.Tools, factText(v))
		}
	},
}

func (f *Facts) setUptime(_ string, w []string) {
	if s, err := strconv.ParseFloat(at(w, 0), 64); err == nil && s >= 0 && s < 1e9 {
		f.Uptime = Duration(s * float64(time.Second))
	}
}

func (f *Facts) setLoad(_ string, w []string) {
	f.Load = nil
	for _, text := range w[:min(3, len(w))] {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n >= 0 && n < 1e9) {
			f.Load = nil
			return
		}
		f.Load = append(f.Load, n)
	}
}

func (f *Facts) setClock(_ string, w []string) {
	if s := factNumber(at(w, 0), 1, 253402300799); s > 0 { // until the year 9999, as JSON's times
		f.Clock.Time, f.Clock.Zone = time.Unix(s, 0).UTC(), factText(at(w, 1))
	}
}

func (f *Facts) setUser(_ string, w []string) {
	if len(w) >= 2 {
		f.User, f.UID = factText(w[0]), factNumber(w[len(w)-1], 0, math.MaxUint32)
	}
}

func (f *Facts) setRelease(v string, _ []string) {
	key, value, _ := strings.Cut(v, "=")
	value = factText(strings.Trim(value, `"'`))
	switch key {
	case "ID":
		f.Distribution.ID = value
	case "VERSION_ID":
		f.Distribution.Version = value
	case "PRETTY_NAME":
		f.Distribution.Name = value
	case "ID_LIKE":
		f.Distribution.Like = value
	}
}

func (f *Facts) setMemory(_ string, w []string) {
	n := factNumber(at(w, 1), 0, math.MaxInt64/1024) * 1024
	switch at(w, 0) {
	case "MemTotal:":
		f.Memory.Total = n
	case "MemAvailable:":
		f.Memory.Available = n
	case "SwapTotal:":
		f.Memory.SwapTotal = n
	case "SwapFree:":
		f.Memory.SwapFree = n
	}
}

func (f *Facts) setCPUs(_ string, w []string) {
	f.CPUs.Count = int(factNumber(at(w, 0), 0, math.MaxInt32))
	f.CPUs.Model = factText(strings.Join(w[min(1, len(w)):], " "))
}

func (f *Facts) addDisk(_ string, w []string) {
	if len(w) < 3 || len(f.Disks) >= maxFactItems {
		return
	}
	f.Disks = append(f.Disks, Disk{
		Name:       factText(w[0]),
		Bytes:      factNumber(w[1], 0, math.MaxInt64/512) * 512, // sysfs counts sectors of 512 bytes whatever the disk's own
		Rotational: w[2] == "1",
		Model:      factText(strings.Join(w[3:], " ")),
	})
}

func (f *Facts) addMount(_ string, w []string) {
	if len(w) < 5 || !strings.HasPrefix(w[4], "/") || len(f.Mounts) >= maxFactItems {
		return // the heading, or not a file system
	}
	target := factText(strings.Join(w[4:], " "))
	if slices.ContainsFunc(f.Mounts, func(m Mount) bool { return m.Target == target }) {
		return // mounted over
	}
	kib := func(s string) int64 { return factNumber(s, 0, math.MaxInt64/1024) * 1024 }
	f.Mounts = append(f.Mounts, Mount{
		Source: factText(w[0]), Target: target,
		Bytes: kib(w[1]), Used: kib(w[2]), Available: kib(w[3]),
	})
}

func (f *Facts) addAddress(iface, cidr string) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		addr, err := netip.ParseAddr(cidr)
		if err != nil {
			return
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	a := Address{Interface: factText(iface), Address: p.Addr().WithZone("").String(), Prefix: p.Bits()}
	if p.Addr().IsLoopback() || len(f.Addresses) >= maxFactItems || slices.Contains(f.Addresses, a) {
		return
	}
	f.Addresses = append(f.Addresses, a)
}

func (f *Facts) addLink(_ string, w []string) {
	if len(w) == 3 && w[0] != "lo" && len(f.Links) < maxFactItems {
		f.Links = append(f.Links, Link{Interface: factText(w[0]), MAC: factText(w[1]), State: factText(w[2])})
	}
}

// ifconfig reads a line of ifconfig's, whose two dialects (net-tools, busybox)
// begin an interface's block at the margin. It returns the interface it is in.
func (f *Facts) ifconfig(line, iface string) string {
	words := strings.Fields(line)
	if line != "" && line[0] != ' ' && line[0] != '\t' && len(words) > 0 {
		iface = strings.TrimSuffix(words[0], ":")
	}
	for i, w := range words {
		switch {
		case strings.HasPrefix(w, "addr:") && i > 0 && strings.HasPrefix(words[i-1], "inet"):
			addr := strings.TrimPrefix(w, "addr:")
			if addr == "" {
				addr = at(words, i+1)
			}
			f.addAddress(iface, addr)
		case (w == "inet" || w == "inet6") && !strings.HasPrefix(at(words, i+1), "addr:"):
			f.addAddress(iface, at(words, i+1))
		}
	}
	return iface
}

func at(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return ""
}

// factText is a short text of the host's, without control characters.
func factText(s string) string { return cleanLine(s, maxFactText) }

// factNumber reads a decimal number; what is none or out of range is 0.
func factNumber(s string, low, high int64) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < low || n > high {
		return 0
	}
	return n
}
