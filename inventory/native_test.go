package inventory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// contract is the example of the contract, brackets unquoted as people write them.
const contract = `version: 1
defaults:
  ssh: {user: lab, port: 22, identity_file: /k/id, keepalive: 30s}
groups:
  builders:
    plugins: [linux_system, build_server]
    hosts:
      build[01-02]: {address: 10.0.1.[11-12]}
  duts:
    plugins: [linux_system, deploy, testcase]
    isolation: exclusive
    tags: [arm64]
    vars: {board: imx8, net: {mtu: 1500, up: true}}
    hosts:
      dut[01-24]: {address: 10.0.3.[1-24]}
      dut25: {address: 10.0.3.99, ssh: {jump: [gw], user: root}, vars: {board: rpi4, net: {mtu: 9000}}, state: maintenance, reason: "eth1 dead"}
  lab:
    groups: [builders, duts]
hosts:
  gw: {address: gw.lab, plugins: [linux_system]}
`

func TestContractExample(t *testing.T) {
	inv, err := Load(context.Background(), "../inventory.yaml", Options{Plugins: []string{"linux_system", "build_server", "deploy", "testcase"}})
	if err != nil {
		t.Fatal(err)
	}
	if w := inv.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %v", w)
	}
	inv = parse(t, contract)
	if got := Fold(hostNames(inv.Hosts())); got != "build[01-02],dut[01-25],gw" {
		t.Errorf("hosts %s", got)
	}
	if last := inv.Hosts()[27].Name; last != "gw" {
		t.Errorf("the last host is %s", last)
	}
	want := &Host{
		Name: "dut25", Address: "10.0.3.99", UUID: uuidOf("dut25"), Groups: []string{"duts", "lab"},
		Plugins: []string{"deploy", "linux_system", "testcase"}, Tags: []string{"arm64"},
		Vars:  map[string]any{"board": "rpi4", "net": map[string]any{"mtu": 9000, "up": true}},
		State: Maintenance, Reason: "eth1 dead", Isolation: IsolationExclusive,
		SSH: SSH{User: "root", Port: 22, IdentityFiles: []string{"/k/id"}, Keepalive: 30 * time.Second, Jump: []string{"gw"}},
	}
	if h, _ := inv.Host("dut25"); !reflect.DeepEqual(h, want) {
		t.Errorf("dut25 is\n%+v, want\n%+v", h, want)
	}
	if h, _ := inv.Host("dut24"); h.Address != "10.0.3.24" || h.Vars["net"].(map[string]any)["mtu"] != 1500 || h.State != Active {
		t.Errorf("dut24 is %+v", h)
	}
	if h, ok := inv.Lookup("10.0.1.12"); !ok || h.Name != "build02" {
		t.Errorf("10.0.1.12 is %v", h)
	}
	g, _ := inv.Group("lab")
	if Fold(g.Hosts) != "build[01-02],dut[01-25]" || !reflect.DeepEqual(g.Children, []string{"builders", "duts"}) {
		t.Errorf("lab is %+v", g)
	}
}

// uuidgen --sha1 --namespace @dns --name www.example.org
func TestUUID(t *testing.T) {
	if got := uuidOf("www.example.org"); got != "74738ff5-5367-5958-9aee-98fffdcd1876" {
		t.Errorf("got %s", got)
	}
}

func TestNativeErrors(t *testing.T) {
	for _, c := range []struct{ name, file, where, message, fix string }{
		{"unknown key", "version: 1\nhosts:\n  a: {ssh: {identity_fil: x}}\n", "f.yaml:3:13", "identity_fil", "did you mean `identity_file`?"},
		{"unknown top key", "version: 1\nhost:\n  a:\n", "f.yaml:2:1", "unknown key", "did you mean `hosts`?"},
		{"duplicate key", "version: 1\nhosts:\n  a: {}\n  a: {}\n", "f.yaml:4:3", "given twice, first in line 3", "remove"},
		{"duplicate name by range", "version: 1\nhosts:\n  a[1-3]: {}\n  a2: {}\n", "f.yaml:4:3", "named twice", "keep one"},
		{"defined twice", "version: 1\ngroups:\n  g: {hosts: {a: {tags: [x]}}}\nhosts:\n  a: {tags: [y]}\n", "f.yaml:5:3", "defined twice, first at f.yaml:3", "one place"},
		{"host and group", "version: 1\ngroups:\n  a: {hosts: {b: }}\nhosts:\n  a:\n", "f.yaml:3:3", "a group and a host", "rename"},
		{"bad range", "version: 1\nhosts:\n  a[5-1]:\n", "f.yaml:3:5", "runs backwards", "1-5"},
		{"huge range", "version: 1\nhosts:\n  a[1-999999999]:\n", "f.yaml:3:3", "more than 100000", "smaller"},
		{"range sizes", "version: 1\nhosts:\n  a[1-3]: {address: 10.0.0.[1-2]}\n", "f.yaml:3:21", "2 addresses for 3 hosts", "same size"},
		{"cycle", "version: 1\ngroups:\n  a: {groups: [b]}\n  b: {groups: [a]}\n", "f.yaml:3:16", "a > b > a", "remove"},
		{"self", "version: 1\ngroups:\n  a: {groups: [a]}\n", "f.yaml:3:16", "a > a", "remove"},
		{"no such child", "version: 1\ngroups:\n  duts: {hosts: {a: }}\n  lab: {groups: [dust]}\n", "f.yaml:4:18", "no such group", "did you mean `duts`?"},
		{"unknown plugin", "version: 1\nhosts:\n  a: {plugins: [linux_sytem]}\n", "f.yaml:3:16", "linux_sytem", "did you mean `linux_system`?"},
		{"missing jump", "version: 1\nhosts:\n  a: {ssh: {jump: gw1}}\n  gw:\n", "f.yaml:3:19", "not in the inventory", "did you mean `gw`?"},
		{"own jump", "version: 1\nhosts:\n  a: {ssh: {jump: a}}\n", "f.yaml:3:19", "through itself", "remove"},
		{"jump circle", "version: 1\nhosts:\n  a: {ssh: {jump: b}}\n  b: {ssh: {jump: a}}\n", "f.yaml:3:3", "through itself", "direct"},
		{"port 22.5", "version: 1\ndefaults: {ssh: {port: 22.5}}\n", "f.yaml:2:24", "whole number, not the number 22.5", "port: 22"},
		{"port range", "version: 1\ndefaults: {ssh: {port: 99999}}\n", "f.yaml:2:24", "from 1 to 65535", "port: 22"},
		{"duration", "version: 1\ndefaults: {ssh: {keepalive: 30}}\n", "f.yaml:2:29", "a time with a unit", "30s"},
		{"state", "version: 1\nhosts:\n  a: {state: maintainance}\n", "f.yaml:3:14", "cannot be", "did you mean `maintenance`?"},
		{"twice the id", "version: 1\nhosts:\n  a: {id: 4}\n  b: {id: 4}\n", "f.yaml:4:3", "has id 4", "own id"},
		{"owners", "version: 1\ngroups:\n  a: {owner: x, isolation: exclusive, hosts: {h: }}\n  b: {owner: y, isolation: shared, hosts: {h: }}\n", "f.yaml:3:47", "two owners", "take it out"},
		{"reserved", "version: 1\ngroups:\n  all: {}\n", "f.yaml:3:3", "taken", "another name"},
		{"name", "version: 1\nhosts:\n  'a b':\n", "f.yaml:3:3", "cannot stand", "letters"},
		{"option", "version: 1\nhosts:\n  -oProxyCommand=x:\n", "f.yaml:3:3", "dash", "begin"},
		{"address option", "version: 1\nhosts:\n  a: {address: -oProxyCommand=x}\n", "f.yaml:3:16", "not an address", "IP address"},
		{"scalar host", "version: 1\nhosts:\n  a: 10.0.0.1\n", "f.yaml:3:6", "must be a map", "{address: 10.0.0.1}"},
		{"list", "version: 1\nhosts: 3\ngroups: [a]\n", "f.yaml:3:9", "groups must be a map", "key: value"},
		{"version", "version: 2\n", "f.yaml:1:10", "version", "version: 1"},
		{"tab", "version: 1\nhosts:\n\ta:\n", "f.yaml:3:1", "tab", "spaces"},
		{"syntax", "version: 1\nhosts:\n  a: {address: x\n  b: 1\n", "f.yaml:", "not valid YAML", ""},
		{"two documents", "version: 1\n---\nversion: 1\n", "f.yaml:", "second YAML document", "one document"},
		{"NUL", "version: 1\nho\x00sts:\n", "f.yaml:2:3", "NUL", "UTF-8"},
		{"latin1", "version: 1\n# \xe9\n", "f.yaml:2:3", "not UTF-8", "UTF-8"},
		{"empty", "", "f.yaml", "empty", "version: 1"},
		{"comment only", "# x\n", "f.yaml", "empty", "version: 1"},
		{"user beside ssh", "version: 1\nhosts:\n  a: {user: root}\n", "f.yaml:3:7", "unknown key", "write `ssh: {user: ...}`"},
		{"address in ssh", "version: 1\nhosts:\n  a: {ssh: {address: x}}\n", "f.yaml:3:13", "unknown key", "beside ssh"},
		{"Ansible's word", "version: 1\nhosts:\n  a: {ansible_host: x}\n", "f.yaml:3:7", "unknown key", "write `address`"},
		{"children", "version: 1\ngroups:\n  a: {children: [b]}\n", "f.yaml:3:7", "unknown key", "write `groups`"},
		{"host in a group", "version: 1\ngroups:\n  g:\n    dut1: {address: x}\n", "f.yaml:4:5", "unknown key", "under `hosts:`"},
		{"group at the top", "version: 1\nduts: {hosts: [a]}\n", "f.yaml:2:1", "unknown key", "under `groups:`"},
		{"no colon", "version: 1\nhosts:\n  a: {address 1.2.3.4}\n", "f.yaml:3:7", "unknown key", "put a colon behind \"address\""},
		{"no space", "version: 1\nhosts:\n  a:\n    address:1.2.3.4\n", "f.yaml:4:5", "must be a map", "`address: 1.2.3.4`"},
		{"other blanks", "version: 1\nhosts:\n\u00a0\u00a0a: {}\n", "f.yaml:3:1", "unknown key", "plain spaces"},
		{"list of maps", "version: 1\nhosts:\n  - name: a\n", "f.yaml:3:5", "list of names", "without dashes"},
		{"port in the address", "version: 1\nhosts:\n  a: {address: '10.0.0.1:22'}\n", "f.yaml:3:16", "with a port", "`ssh: {port: 22}`"},
		{"no IPv4", "version: 1\nhosts:\n  a[1-2]: {address: '10.0.0.[255-256]'}\n", "f.yaml:3:21", "not an IPv4", "0 to 255"},
		{"Ansible's range", "version: 1\nhosts:\n  a[01:12]: {}\n", "f.yaml:3:7", "with a dash", "write 01-12"},
		{"the shell's range", "version: 1\nhosts:\n  a[1..3]: {}\n", "f.yaml:3:6", "with a dash", "write 1-3"},
		{"digits beside a range", "version: 1\nhosts:\n  n1[8-12]: {}\n", "f.yaml:3:5", "two ways", "inside the range"},
		{"marks of a merge", "version: 1\n<<<<<<< HEAD\nhosts: {a: }\n=======\n>>>>>>> x\n", "f.yaml:", "YAML", "git"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(c.file), Options{Plugins: []string{"linux_system"}})
			ps, ok := err.(Problems)
			if !ok {
				t.Fatalf("error %v", err)
			}
			p := ps[0]
			if len(ps) != 1 || !strings.HasPrefix(p.Where(), c.where) || !strings.Contains(p.Message, c.message) || !strings.Contains(p.Fix, c.fix) || p.Fix == "" {
				t.Errorf("got %d problems:\n%v\nwant %s %q, fix %q", len(ps), ps, c.where, c.message, c.fix)
			}
			if p.Line > 0 && p.Text == "" && c.name != "two documents" && c.name != "comment only" {
				t.Errorf("no text in %+v", p)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := Parse("f.yaml", []byte("version: 1\ndefaults: {ssh: {port: x}}\nhosts:\n  a: {tag: [b]}\n  b: {id: 1.5}\n  c[1-: {}\n"), Options{})
	ps, _ := err.(Problems)
	if len(ps) != 4 {
		t.Fatalf("problems:\n%v", err)
	}
	var b strings.Builder
	if ps.Print(&b) != nil || !strings.Contains(b.String(), "    4 |   a: {tag: [b]}\n      |       ^\n      fix: did you mean `tags`?\n") {
		t.Errorf("printed:\n%s", b.String())
	}
}

func TestLiteralSecretIsRefusedAndNotRepeated(t *testing.T) {
	_, err := Parse("f.yaml", []byte("version: 1\nhosts:\n  a: {ssh: {password: hunter2}}\n"), Options{})
	ps, ok := err.(Problems)
	if !ok || len(ps) != 1 || !strings.Contains(ps[0].Fix, "env:NAME") {
		t.Fatalf("error %v", err)
	}
	var b strings.Builder
	_ = ps.Print(&b)
	if strings.Contains(b.String()+err.Error(), "hunter2") {
		t.Errorf("the password is shown: %s", b.String())
	}
}

// Keys that will not do are warned of where they are named, each once.
func TestKeyWarnings(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	keygen := func(name, passphrase string) {
		t.Helper()
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			t.Skipf("ssh-keygen: %v %s", err, out)
		}
	}
	keygen("good", "")
	keygen("open", "")
	keygen("locked", "secret")
	if err := errors.Join(os.Chmod(filepath.Join(dir, "open"), 0o644), os.WriteFile(filepath.Join(dir, "text"), []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"good": "", "~/.ssh/id_ed25519": "", "open": "can be read by others", "locked": "needs a passphrase",
		"good.pub": "is a public key", "gone": "does not exist", ".": "is a directory", "text": "is not a private key", "/dev/null": "is not a regular file",
	} {
		path := filepath.Join(dir, "inventory.yaml")
		text := "version: 1\ndefaults: {plugins: [p]}\nhosts:\n  a: {ssh: {identity_file: '" + file + "'}}\n  b: {ssh: {identity_file: ['" + file + "']}}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		inv, err := Load(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range inv.Warnings() {
			got = append(got, fmt.Sprintf("%d:%d %s (%s)", w.Line, w.Column, w.Message, w.Fix))
		}
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want) || !strings.HasPrefix(got[0], "4:28 ")) {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestSecretResolve(t *testing.T) {
	file := t.TempDir() + "/pw"
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TFW_TEST_PW", "fromenv")
	for ref, want := range map[Secret]string{"env:TFW_TEST_PW": "fromenv", Secret("file:" + file): "s3cret"} {
		if got, err := ref.Resolve(); got != want || err != nil {
			t.Errorf("%s is %q, %v", ref, got, err)
		}
	}
	for _, ref := range []Secret{"env:TFW_TEST_NOT_SET", "file:/nonexistent", "secret:x", "hunter2", "env:", "file:/"} {
		if got, err := ref.Resolve(); err == nil || got != "" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q is %q, %v", string(ref), got, err)
		}
	}
	if s := Secret("hunter2").String(); strings.Contains(s, "hunter2") {
		t.Errorf("shown as %s", s)
	}
}

// Defaults, then groups from the root down, then by priority, then by name,
// then the host.
func TestMergeOrder(t *testing.T) {
	inv := parse(t, `version: 1
defaults: {vars: {d: default, r: default, p: default, h: default}, tags: [t0]}
groups:
  root: {groups: [mid], vars: {r: root, p: root, h: root}, tags: [t1], hosts: {x: }}
  mid: {groups: [zz, aa], vars: {p: mid, h: mid}}
  zz: {vars: {p: zz, h: zz, q: zz}, hosts: {h: {vars: {h: host}, tags: [t9, t1]}}}
  aa: {vars: {p: aa, h: aa, q: aa}, priority: 5, hosts: {h: }}
`)
	h, _ := inv.Host("h")
	want := map[string]any{"d": "default", "r": "root", "p": "aa", "q": "aa", "h": "host"}
	if !reflect.DeepEqual(h.Vars, want) || !reflect.DeepEqual(h.Tags, []string{"t0", "t1", "t9"}) {
		t.Errorf("vars %v tags %v", h.Vars, h.Tags)
	}
	if x, _ := inv.Host("x"); x.Vars["p"] != "root" {
		t.Errorf("x has %v", x.Vars)
	}
	if !reflect.DeepEqual(h.Groups, []string{"root", "mid", "zz", "aa"}) {
		t.Errorf("groups %v", h.Groups)
	}
}

// A jump host in the defaults is not its own way.
func TestInheritedJump(t *testing.T) {
	inv := parse(t, "version: 1\ndefaults: {ssh: {jump: [outer, gw]}}\nhosts: {outer: , gw: , a: , b: {ssh: {jump: []}}}\n")
	for name, want := range map[string]int{"outer": 0, "gw": 1, "a": 2, "b": 0} {
		if h, _ := inv.Host(name); len(h.SSH.Jump) != want {
			t.Errorf("%s goes through %v", name, h.SSH.Jump)
		}
	}
}

func TestMergeKeysAndAliases(t *testing.T) {
	inv := parse(t, `version: 1
defaults: {vars: {common: &c {a: 1, b: 2}}}
hosts:
  x: &x {tags: [one], vars: {<<: *c, b: 3}}
  y: {<<: *x, address: 10.0.0.2}
`)
	y, _ := inv.Host("y")
	if y.Vars["a"] != 1 || y.Vars["b"] != 3 || y.Tags[0] != "one" || y.Address != "10.0.0.2" {
		t.Errorf("y is %+v", y)
	}
}
