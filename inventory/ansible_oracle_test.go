package inventory

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

type oracleCase struct {
	Path     string   `json:"path"`
	Patterns []string `json:"patterns"`
}

type oracleAnswer struct {
	Patterns []struct {
		Hosts []string
		Error string
	}
	Vars   map[string]map[string]any
	Groups map[string][]string
}

// askAnsible runs ansible-core on many inventories in one go.
func askAnsible(t *testing.T, cases []oracleCase) []oracleAnswer {
	t.Helper()
	var answers []oracleAnswer
	askOracle(t, "ansible", cases, &answers)
	if len(answers) != len(cases) {
		t.Fatalf("%d answers to %d inventories", len(answers), len(cases))
	}
	return answers
}

// askOracle puts questions to testdata/PROGRAM_oracle.py, by the Python that the program itself uses.
func askOracle(t *testing.T, name string, questions, answers any) {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Skip(name + " is not installed")
	}
	head, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(head), "\n")
	python := strings.Fields(strings.TrimPrefix(line, "#!"))
	if !strings.HasPrefix(line, "#!") || len(python) == 0 {
		t.Skip(name + " is no script: its Python is not known")
	}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	in, _ := json.Marshal(questions)
	cmd := exec.CommandContext(ctx, python[0], append(python[1:], "testdata/"+name+"_oracle.py")...)
	cmd.Env = append(os.Environ(), "ANSIBLE_LOCALHOST_WARNING=False", "ANSIBLE_HOME="+t.TempDir())
	cmd.Stdin = bytes.NewReader(in)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s's Python cannot be asked: %v\n%s", name, err, complaints.String())
	}
	if err := json.Unmarshal(out, answers); err != nil {
		t.Fatal(err)
	}
}

// oracleCount is how many questions a test asks, and the seed: more of them by INVENTORY_ORACLE=N.
func oracleCount(n int) (int, uint64) {
	if more, err := strconv.Atoi(os.Getenv("INVENTORY_ORACLE")); err == nil {
		n = more
	}
	seed := uint64(4)
	if given, err := strconv.ParseUint(os.Getenv("INVENTORY_SEED"), 10, 64); err == nil {
		seed = given
	}
	return n, seed
}

// dice makes random inventories as INI or YAML, and patterns for them.
type dice struct {
	*rand.Rand
	levels int // of groups below all: Ansible's own order of hosts is by chance below a group's children
	groups []string
	hosts  []string // keys, with ranges
}

// children are those that the i-th group may have.
func (d *dice) children(i int) []string {
	half := len(d.groups) / 2
	switch {
	case d.levels == 1 || d.levels == 2 && i >= half:
		return nil
	case d.levels == 2:
		return d.groups[half:]
	}
	return d.groups[i+1:]
}

// ordered reports whether Ansible's order of the group's hosts means something.
func (d *dice) ordered(group string) bool { return d.levels == 1 || d.levels == 2 && group != "all" }

func (d *dice) of(words ...string) string { return words[d.IntN(len(words))] }
func (d *dice) chance(percent int) bool   { return d.IntN(100) < percent }

func (d *dice) setUp() {
	d.levels = 1 + d.IntN(3)
	d.groups = []string{"web", "db", "dut", "arm", "site_a", "site_b", "lab", "w1"}[:3+d.IntN(6)]
	d.hosts = nil
	for _, base := range []string{"dut", "web-", "n", "r[1:2]s", "gw.lab", "h"} {
		if d.chance(30) {
			continue
		}
		switch d.IntN(6) {
		case 0:
			d.hosts = append(d.hosts, base+strconv.Itoa(d.IntN(20)))
		case 1:
			d.hosts = append(d.hosts, fmt.Sprintf("%s[%d:%d]", base, d.IntN(5), 5+d.IntN(9)))
		case 2:
			d.hosts = append(d.hosts, fmt.Sprintf("%s[0%d:1%d]", base, d.IntN(9), d.IntN(9)))
		case 3:
			d.hosts = append(d.hosts, fmt.Sprintf("%s[0%d:1%d:%d].lab", base, d.IntN(9), d.IntN(9), 1+d.IntN(4)))
		case 4:
			d.hosts = append(d.hosts, fmt.Sprintf("%s[%c:%c]", base, 'a'+rune(d.IntN(4)), 'd'+rune(d.IntN(4))))
		case 5:
			d.hosts = append(d.hosts, fmt.Sprintf("%s[00%d:01%d]-x", base, d.IntN(9), d.IntN(9)))
		}
	}
	d.hosts = append(d.hosts, "alone", "dut03")
}

// assignments are variables in the two writings.
func (d *dice) assignments(at string) map[string]string {
	vars := map[string]string{}
	for range d.IntN(3) {
		vars[d.of("a", "b", "c", "d")] = d.of(strconv.Itoa(d.IntN(99)), "'"+at+"'", "True", "[1, 2]", "1.5", "'x y'", "{'k': 'v'}", "text")
	}
	return vars
}

func (d *dice) ini() string {
	var b strings.Builder
	host := func() {
		h := d.hosts[d.IntN(len(d.hosts))]
		b.WriteString(h)
		for k, v := range d.assignments(h) {
			if strings.HasPrefix(v, "'") || !strings.ContainsAny(v, "' ") {
				fmt.Fprintf(&b, " %s=%s", k, v)
			} else {
				fmt.Fprintf(&b, " %s=\"%s\"", k, v)
			}
		}
		b.WriteString(d.of("\n", "\n", "  # note\n", "\n\n; more\n"))
	}
	for range d.IntN(3) {
		host()
	}
	for i, g := range d.groups {
		b.WriteString("[" + g + "]\n")
		for range d.IntN(4) {
			host()
		}
		if d.chance(40) {
			b.WriteString("[" + g + ":vars]" + d.of("\n", " # of all\n"))
			for k, v := range d.assignments(g) {
				fmt.Fprintf(&b, "%s%s=%s%s\n", d.of("", "  "), k, d.of("", " "), v)
			}
			if d.chance(40) {
				fmt.Fprintf(&b, "ansible_group_priority=%d\n", 1+d.IntN(9))
			}
		}
		if d.chance(60) {
			b.WriteString("[" + g + ":children]\n")
			for _, c := range d.children(i) {
				if d.chance(40) {
					b.WriteString(c + "\n")
				}
			}
		}
	}
	if d.chance(50) {
		b.WriteString("[all:vars]\na = all\n")
	}
	return b.String()
}

func (d *dice) yaml() string {
	var b strings.Builder
	flow := func(vars map[string]string) string {
		var parts []string
		for k, v := range vars {
			parts = append(parts, k+": "+v)
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	}
	hosts := func(indent string) {
		fmt.Fprintf(&b, "%shosts:\n", indent)
		keys := slices.Clone(d.hosts)
		d.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, h := range keys[:d.IntN(min(4, len(keys)))] {
			fmt.Fprintf(&b, "%s  %q: %s\n", indent, h, flow(d.assignments(h)))
		}
	}
	b.WriteString("all:\n")
	if d.chance(50) {
		hosts("  ")
	}
	if d.chance(50) {
		fmt.Fprintf(&b, "  vars: %s\n", flow(d.assignments("all")))
	}
	b.WriteString("  children:\n")
	for i, g := range d.groups {
		fmt.Fprintf(&b, "    %s:\n", g)
		if d.chance(80) {
			hosts("      ")
		}
		if vars := d.assignments(g); d.chance(50) {
			if d.chance(40) {
				vars["ansible_group_priority"] = strconv.Itoa(1 + d.IntN(9))
			}
			fmt.Fprintf(&b, "      vars: %s\n", flow(vars))
		}
		if d.chance(60) {
			b.WriteString("      children:\n")
			for _, c := range d.children(i) {
				if d.chance(40) {
					fmt.Fprintf(&b, "        %s:\n", c)
				}
			}
		}
	}
	return b.String()
}

func (d *dice) slice(group string) string {
	if !d.ordered(group) {
		return d.of("", "[0:999]")
	}
	return d.of("", "", fmt.Sprintf("[%d]", d.IntN(6)), fmt.Sprintf("[%d:%d]", d.IntN(4), 1+d.IntN(8)), fmt.Sprintf("[%d:]", d.IntN(4)), fmt.Sprintf("[-%d]", 1+d.IntN(3)))
}

func (d *dice) atom(names []string) string {
	group := d.groups[d.IntN(len(d.groups))]
	name := names[d.IntN(len(names))]
	switch d.IntN(10) {
	case 0, 1:
		return name
	case 2, 3:
		return group + d.slice(group)
	case 4:
		return "all" + d.slice("all")
	case 5: // a glob that matches the word all means every host to Ansible, and not to us
		if part := name[:1+d.IntN(len(name))]; !strings.HasPrefix("all", part) {
			return part + "*"
		}
		return name
	case 6:
		return strings.Replace(name, name[len(name)-1:], "?", 1)
	case 7:
		return "~" + d.of(name[:1]+".*[02468]$", "("+group+"|"+name+")", "n[0-9]+", ".*lab", "d?ut0")
	case 8:
		return d.of("*.lab", "d*", "w*", "*1", "[dn]*", "[dnw]*[!0-3]")
	}
	return "ungrouped"
}

func (d *dice) pattern(names []string) string {
	terms := []string{d.atom(names)}
	for range d.IntN(4) {
		terms = append(terms, d.of("", "", "!", "&")+d.atom(names))
	}
	if d.chance(20) {
		d.Shuffle(len(terms), func(i, j int) { terms[i], terms[j] = terms[j], terms[i] })
	}
	sep := ","
	if !strings.Contains(strings.Join(terms, ""), "~") && d.chance(50) {
		sep = ":"
	}
	return strings.Join(terms, sep)
}

// Random inventories, INI and YAML, give the groups, variables and selections that
// ansible-core gives, but for what the golden README departs in. INVENTORY_ORACLE=N
// makes N inventories of each kind.
func TestAsAnsible(t *testing.T) {
	n, seed := oracleCount(12)
	dir := t.TempDir()
	var cases []oracleCase
	var ours []*Inventory
	var rolled []*dice
	for i := range 2 * n {
		d := &dice{Rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		d.setUp()
		text, name := d.yaml(), "hosts.yml"
		if i%2 == 0 {
			text, name = d.ini(), "hosts"
		}
		path := filepath.Join(dir, strconv.Itoa(i), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		inv, err := Load(t.Context(), path, Options{})
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		c := oracleCase{Path: path}
		names := append(hostNames(inv.Hosts()), "alone")
		for range 30 {
			c.Patterns = append(c.Patterns, d.pattern(names))
		}
		cases, ours, rolled = append(cases, c), append(ours, inv), append(rolled, d)
	}
	compared := 0
	for i, theirs := range askAnsible(t, cases) {
		text, _ := os.ReadFile(cases[i].Path)
		if !sameAsAnsible(t, ours[i], theirs, rolled[i]) {
			t.Fatalf("inventory %d:\n%s", i, text)
		}
		for j, p := range cases[i].Patterns {
			sel, err := ours[i].Select(Query{Target: p})
			got, want := hostNames(sel.Hosts), theirs.Patterns[j].Hosts
			slices.Sort(got)
			slices.Sort(want)
			switch {
			case err == nil && slices.Equal(got, want):
				compared++
			case err != nil && (len(want) == 0 || refusedOnPurpose(err)):
			default:
				t.Errorf("inventory %d: %q selects %v, %v\nansible: %v %s\n%s", i, p, got, err, want, theirs.Patterns[j].Error, text)
			}
		}
	}
	t.Logf("%d selections are the same", compared)
	if compared < 8*len(cases) {
		t.Errorf("only %d selections were compared", compared)
	}
}

// refusedOnPurpose: what Ansible takes in silence, a name or slice of nothing, is an error here.
func refusedOnPurpose(err error) bool {
	s := err.Error()
	return strings.Contains(s, "no such") || strings.Contains(s, "matches no") || strings.Contains(s, "selects nothing")
}

func sameAsAnsible(t *testing.T, inv *Inventory, theirs oracleAnswer, d *dice) bool {
	t.Helper()
	ok := true
	for _, h := range inv.Hosts() {
		want := theirs.Vars[h.Name]
		delete(want, "ansible_group_priority")
		raw, _ := json.Marshal(h.Vars)
		var got map[string]any
		_ = json.Unmarshal(raw, &got)
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s has %v, ansible says %v", h.Name, got, want)
			ok = false
		}
	}
	for name, want := range theirs.Groups {
		at, _ := inv.groupMembers(name)
		got := make([]string, len(at))
		for k, i := range at {
			got[k] = inv.hosts[i].Name
		}
		if !d.ordered(name) {
			slices.Sort(got)
			slices.Sort(want)
		}
		if !slices.Equal(got, want) && len(got)+len(want) > 0 {
			t.Errorf("group %s is %v, ansible says %v", name, got, want)
			ok = false
		}
	}
	return ok && cmp.Or(len(theirs.Vars), 0) == len(inv.Hosts())
}
