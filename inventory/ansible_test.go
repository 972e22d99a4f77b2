package inventory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

type ansibleVectors struct {
	Inventory string `json:"inventory_yaml"`
	Patterns  []struct {
		Pattern, Limit, Error string
		Hosts                 []string
	}
	Limits []struct {
		Pattern, Limit string
		Hosts          []string
	}
	Ranges []struct {
		In, Error string
		Out       []string
	}
	Hostvars map[string]map[string]any
	Groups   map[string]struct {
		Hosts []string
		Depth int
	}
}

func loadAnsible(t testing.TB) (ansibleVectors, *Inventory) {
	t.Helper()
	var v ansibleVectors
	readJSON(t, "testdata/ansible_patterns.json", &v)
	inv, err := Parse("hosts.yml", []byte(v.Inventory), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v, inv
}

// onPurpose are the patterns that we answer otherwise: nil is an error.
var onPurpose = map[string][]string{
	"dut[1:0]":     nil, // a slice that runs backwards
	"dut[:3]":      {"dut01", "dut02", "dut03", "dut04"},
	"dut1[0-2]":    {"dut10", "dut11", "dut12"}, // a set of names
	"dut01,nosuch": nil, "dut01:!nosuch": nil, "all:!nosuch": nil, "gw:fe80::1": nil,
	"dut03,,dut11": nil, ",": nil, ":": nil,
}

func TestAnsiblePatternsGolden(t *testing.T) {
	v, inv := loadAnsible(t)
	if len(v.Patterns) != 94 {
		t.Fatalf("%d patterns", len(v.Patterns))
	}
	for _, c := range v.Patterns {
		want := c.Hosts
		if ours, ok := onPurpose[c.Pattern]; ok {
			want = ours
		}
		sel, err := inv.Select(Query{Target: c.Pattern})
		if len(want) == 0 {
			if err == nil {
				t.Errorf("%q selects %v, want an error", c.Pattern, hostNames(sel.Hosts))
			}
			continue
		}
		got := hostNames(sel.Hosts)
		slices.Sort(got)
		want = slices.Sorted(slices.Values(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q selects %v, %v; want %v", c.Pattern, got, err, want)
		}
	}
}

// A limit is one more intersection.
func TestAnsibleLimitsGolden(t *testing.T) {
	v, inv := loadAnsible(t)
	for _, c := range v.Limits {
		first, err1 := inv.Select(Query{Target: c.Pattern})
		second, err2 := inv.Select(Query{Target: c.Limit})
		var got []string
		for _, h := range first.Hosts {
			if slices.Contains(second.Hosts, h) {
				got = append(got, h.Name)
			}
		}
		slices.Sort(got)
		want := slices.Sorted(slices.Values(c.Hosts))
		if strings.Contains(c.Limit, ",,") {
			want = nil
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q limited to %q: %v, %v %v; want %v", c.Pattern, c.Limit, got, err1, err2, want)
		}
	}
}

func TestAnsibleRangesGolden(t *testing.T) {
	v, _ := loadAnsible(t)
	for _, c := range v.Ranges {
		got, err := ansibleNames(c.In, maxHosts)
		if (err != nil) != (c.Error != "") || !slices.Equal(got, c.Out) {
			t.Errorf("%q is %v, %v; want %v, %s", c.In, got, err, c.Out, c.Error)
		}
	}
	if _, err := ansibleNames("n[0:999999999]m[0:999999999]", maxHosts); err == nil {
		t.Error("a huge range is accepted")
	}
}

func TestAnsibleVarsGolden(t *testing.T) {
	v, inv := loadAnsible(t)
	if len(v.Hostvars) != len(inv.Hosts()) {
		t.Fatalf("%d hosts, want %d", len(inv.Hosts()), len(v.Hostvars))
	}
	for name, want := range v.Hostvars {
		h, ok := inv.Host(name)
		if !ok {
			t.Errorf("no host %s", name)
			continue
		}
		groups := slices.Sorted(slices.Values(h.Groups))
		if len(groups) == 0 {
			groups = []string{"ungrouped"}
		}
		if fmt.Sprint(want["group_names"]) != fmt.Sprint(groups) {
			t.Errorf("%s is in %v, want %v", name, groups, want["group_names"])
		}
		delete(want, "group_names")
		if fmt.Sprint(h.Vars) != fmt.Sprint(want) {
			t.Errorf("%s has %v, want %v", name, h.Vars, want)
		}
	}
	for name, g := range v.Groups {
		at, ok := inv.groupMembers(name)
		var got []string
		for _, i := range at {
			got = append(got, inv.hosts[i].Name)
		}
		if !ok || !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(g.Hosts))) {
			t.Errorf("group %s is %v, want %v", name, got, g.Hosts)
		}
		if name == "flaky" && !slices.Equal(got, g.Hosts) {
			t.Errorf("group %s counts %v, want %v", name, got, g.Hosts)
		}
	}
	if gw, _ := inv.Host("gw"); gw.Address != "10.0.0.1" || !gw.Has("linux_system") {
		t.Errorf("gw is %+v", gw)
	}
}

const fleet = `all:
  vars:
    ansible_user: admin
    ansible_ssh_common_args: '-o ProxyJump=hop@bastion.example:2222 -o StrictHostKeyChecking=no'
    domain: lab.example
  children:
    web:
      hosts:
        web[1:3]:
          ansible_host: "{{ inventory_hostname }}.{{ domain }}"
        web4: {ansible_port: "2200", ansible_password: hunter2, ansible_become_pass: "{{ lookup('env', 'SUDO_PW') }}"}
      vars: {tier: web, ansible_become_user: app}
    db:
      hosts: {db-[a:b]: {ansible_ssh_common_args: '-o ProxyCommand="ssh -W %h:%p -q web1"'}}
`

func TestAnsibleConnection(t *testing.T) {
	inv, err := Parse("hosts.yml", []byte(fleet), Options{Plugins: []string{"linux_system"}})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := inv.Select(Query{Target: "web:!db"})
	if err != nil || Fold(hostNames(sel.Hosts)) != "web[1-4]" || !sel.Hosts[0].Has("linux_system") {
		t.Fatalf("web:!db selects %v, %v", hostNames(sel.Hosts), err)
	}
	web1 := sel.Hosts[0]
	if web1.Address != "web1.lab.example" || web1.SSH.User != "admin" || web1.SSH.Become.User != "app" || !slices.Equal(web1.SSH.Jump, []string{"hop@bastion.example:2222"}) {
		t.Errorf("web1 is %+v", web1)
	}
	hop, ok := inv.Host("hop@bastion.example:2222")
	if !ok || hop.Address != "bastion.example" || hop.SSH.Port != 2222 || hop.SSH.User != "hop" {
		t.Errorf("the hop is %+v", hop)
	}
	for _, target := range []string{"bastion*", "~hop", "~bastion"} {
		if sel, err := inv.Select(Query{Target: target}); err == nil {
			t.Errorf("%s selects %v", target, hostNames(sel.Hosts))
		}
	}
	web4, _ := inv.Host("web4")
	if web4.SSH.Port != 2200 || web4.SSH.Password != "" || web4.SSH.Become.Password != "env:SUDO_PW" || web4.Address != "web4" {
		t.Errorf("web4 is %+v", web4)
	}
	if db, _ := inv.Host("db-a"); !slices.Equal(db.SSH.Jump, []string{"web1"}) {
		t.Errorf("db-a goes through %v", db.SSH.Jump)
	}
	said := Problems(inv.Warnings()).Error()
	for _, want := range []string{"StrictHostKeyChecking", "ansible_password is not a reference"} {
		if !strings.Contains(said, want) {
			t.Errorf("no warning of %s in\n%s", want, said)
		}
	}
	if strings.Contains(fmt.Sprintf("%s %+v", said, web4), "hunter2") {
		t.Error("the password is kept")
	}
}

func TestAnsibleList(t *testing.T) {
	inv, err := Parse("list.json", []byte(`{"_meta": {"hostvars": {"a": {"ansible_host": "10.0.0.1", "tfw_plugins": ["deploy"], "s": "\u00e9\ud83d\ude00\/"}, "b": {}}},
 "all": {"children": ["ungrouped", "web", "lab"]}, "lab": {"children": ["web"]}, "web": {"hosts": ["a", "b"]}, "old": ["b"]}`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := inv.Host("a")
	if a.Address != "10.0.0.1" || !slices.Equal(a.Plugins, []string{"deploy"}) || !slices.Equal(a.Groups, []string{"web", "lab"}) || a.Vars["s"] != "é😀/" {
		t.Errorf("a is %+v", a)
	}
	if b, _ := inv.Host("b"); len(b.Plugins) != 0 || !slices.Contains(b.Groups, "old") {
		t.Errorf("b is %+v", b)
	}
}

func write(t testing.TB, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// Precedence as Ansible's: groups of the inventory, group_vars/all, group_vars of
// groups, host of the inventory, host_vars. Maps replace.
func TestVarsBeside(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir+"/hosts.yml", "all:\n  vars: {v0: all, m: {a: 1}}\n  children:\n    web:\n      vars: {v1: web, v2: web, v3: web, v4: web}\n      hosts: {h: {v4: inv, v5: inv}}\n", 0o644)
	write(t, dir+"/group_vars/all.yml", "v1: gall\nv2: gall\nm: {b: 2}\n", 0o644)
	write(t, dir+"/group_vars/web/a.yml", "v2: gweb\nv3: gweb\nv4: gweb\n", 0o644)
	write(t, dir+"/group_vars/web/b.yaml", "# nothing\n", 0o644)
	write(t, dir+"/host_vars/h", "v5: hv\ntfw_plugins: deploy, linux_system\n", 0o644)
	write(t, dir+"/group_vars/secret.yml", "$ANSIBLE_VAULT;1.1;AES256\n00\n", 0o644)
	for _, path := range []string{file, dir} {
		inv, err := Load(context.Background(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		h, _ := inv.Host("h")
		want := "map[m:map[b:2] tfw_plugins:deploy, linux_system v0:all v1:gall v2:gweb v3:gweb v4:inv v5:hv]"
		if fmt.Sprint(h.Vars) != want || !slices.Equal(h.Plugins, []string{"deploy", "linux_system"}) {
			t.Errorf("%s: %v %v, want %s", path, h.Vars, h.Plugins, want)
		}
	}
}

func TestExecutable(t *testing.T) {
	dir := t.TempDir()
	count := dir + "/count"
	script := write(t, dir+"/dyn.sh", "#!/bin/sh\necho x >> "+count+"\ncase $1 in --list) echo '{\"web\": {\"hosts\": [\"a\",\"b\"]}}';; --host) echo \"{\\\"ansible_host\\\": \\\"$2.lab\\\"}\";; esac\n", 0o755)
	opt := Options{CacheFor: time.Hour, CacheDir: dir + "/cache"}
	for range 2 {
		inv, err := Load(context.Background(), script, opt)
		if err != nil {
			t.Fatal(err)
		}
		if a, ok := inv.Host("a"); !ok || a.Address != "a.lab" {
			t.Errorf("a is %+v", a)
		}
	}
	if runs, _ := os.ReadFile(count); strings.Count(string(runs), "x") != 3 {
		t.Errorf("run %d times, want 3 (list and two hosts) and then the cache", strings.Count(string(runs), "x"))
	}
	for name, c := range map[string]struct{ script, want string }{
		"hangs":  {"#!/bin/sh\nsleep 60 & wait\n", "no answer within 300ms"},
		"fails":  {"#!/bin/sh\necho cannot reach the cloud >&2; exit 3\n", "exit status 3: \"cannot reach the cloud\""},
		"floods": {"#!/bin/sh\nexec head -c 20000000 /dev/zero\n", "more than 16 MiB"},
		"babble": {"#!/bin/sh\necho hello\n", "does not print a JSON object"},
	} {
		opt := Options{Timeout: 10 * time.Second}
		if name == "hangs" {
			opt.Timeout = 300 * time.Millisecond
		}
		_, err := Load(context.Background(), write(t, dir+"/"+name, c.script, 0o755), opt)
		var ps Problems
		if !errors.As(err, &ps) || len(ps) != 1 || !strings.Contains(ps[0].Message, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestInclude(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/ansible/hosts.yml", "all: {children: {web: {hosts: {w1: {ansible_host: 10.0.0.1}, w2: }}}}\n", 0o644)
	write(t, dir+"/more.yaml", "version: 1\nhosts: {gw: {address: 10.9.9.9}}\n", 0o644)
	top := write(t, dir+"/inventory.yaml", "version: 1\ninclude: [ansible/hosts.yml, more.yaml]\ngroups:\n  web: {plugins: [deploy]}\n  lab: {groups: [web]}\nhosts:\n  w2: {ssh: {jump: gw}}\n", 0o644)
	inv, err := Load(context.Background(), top, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w2, _ := inv.Host("w2")
	if !slices.Equal(w2.Plugins, []string{"deploy", "linux_system"}) || !slices.Equal(w2.SSH.Jump, []string{"gw"}) || !slices.Equal(w2.Groups, []string{"web", "lab"}) {
		t.Errorf("w2 is %+v", w2)
	}
	write(t, dir+"/more.yaml", "version: 1\ninclude: inventory.yaml\n", 0o644)
	if _, err = Load(context.Background(), top, Options{}); err == nil || !strings.Contains(err.Error(), "included again") {
		t.Errorf("a circle of includes: %v", err)
	}
	if _, err := Parse("x.yaml", []byte("version: 1\ninclude: /etc/passwd\n"), Options{}); err == nil || strings.Contains(err.Error(), "root:") {
		t.Errorf("Parse reads other files: %v", err)
	}
}
