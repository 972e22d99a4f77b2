package inventory

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const iniLab = `# the lab
jumper ansible_host=10.0.0.1

[web]
web[01:03] ansible_user=lab tags="a b" ports=80,443
web9:2222                       # a port of its own
alias ansible_host=10.0.0.9 ansible_port=2022 quoted='x=y # no comment' cut=a#b

[db]
db-[a:c]
web01 role='[1, "two"]'

[db:vars]
ansible_port = 2200
text = yes
word = "in quotes"
number=0x10
flag = True

[prod:children]
web
db

[all:vars]
ansible_ssh_common_args='-J jumper'
`

func TestINI(t *testing.T) {
	inv, err := Parse("hosts", []byte(iniLab), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Warnings()) > 0 {
		t.Errorf("warnings %v", inv.Warnings())
	}
	web1, _ := inv.Host("web01")
	if web1.SSH.User != "lab" || web1.SSH.Port != 2200 || !reflect.DeepEqual(web1.SSH.Jump, []string{"jumper"}) {
		t.Errorf("web01 is reached by %+v", web1.SSH)
	}
	want := map[string]any{"tags": "a b", "ports": []any{80, 443}, "role": []any{1, "two"}, "text": "yes", "word": "in quotes", "number": 16, "flag": true}
	for k, v := range want {
		if !reflect.DeepEqual(web1.Vars[k], v) {
			t.Errorf("%s is %#v, want %#v", k, web1.Vars[k], v)
		}
	}
	web9, _ := inv.Host("web9")
	alias, _ := inv.Host("alias")
	if web9.SSH.Port != 2222 || alias.Address != "10.0.0.9" || alias.SSH.Port != 2022 || alias.Vars["quoted"] != "x=y # no comment" || alias.Vars["cut"] != "a" {
		t.Errorf("web9 %+v, alias %+v", web9.SSH, alias)
	}
	sel, err := inv.Select(Query{Target: "prod:!db"})
	if got := Fold(hostNames(sel.Hosts)); err != nil || got != "alias,web[9,02-03]" {
		t.Errorf("prod:!db is %s, %v", got, err)
	}
	text, err := Convert(inv)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("inventory.yaml", text, Options{})
	if err != nil || len(again.Hosts()) != len(inv.Hosts()) {
		t.Errorf("converted it is %v\n%s", err, text)
	}
}

// Every mistake is told at once, with its column and what to do.
func TestINIMistakes(t *testing.T) {
	const text = `[web]
web1 user
web2 x="not closed
web3:
[db vars]
[web:var]
[nosuch:vars]
a=1
[lab:children]
web
wbe
web 1
[web:vars]
no assignment
`
	_, err := Parse("hosts", []byte(text), Options{})
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatal(err)
	}
	want := []string{"hosts:2:6: \"user\"", "hosts:3:8: a quote", "hosts:4:1: a host ends in a colon", "hosts:5:1: \"[db vars]\" is no section", "hosts:6:1: a section cannot be of the kind \"var\" (did you mean",
		"hosts:7:1: group \"nosuch\" has no section", "hosts:11:1: group \"wbe\" has no section of its own (did you mean", "hosts:12:1: \"web 1\" is not the name of a group", "hosts:14:1: \"no assignment\" is not a variable"}
	if len(ps) != len(want) {
		t.Errorf("%d problems, want %d", len(ps), len(want))
	}
	for i, p := range ps {
		if i < len(want) && !strings.HasPrefix(p.Error(), want[i]) || p.Fix == "" || p.Text == "" {
			t.Errorf("%s\nwant %s", p.Error(), want[i])
		}
	}
}

// What is YAML, or no inventory at all, is not taken for INI.
func TestLooksLikeINI(t *testing.T) {
	for text, want := range map[string]bool{
		"[web]\na\n": true, "; note\n[web:vars]\nx=1": true, "a ansible_host=1.2.3.4": true, "a\nb[1:3]\n": true, "a:22\nb x=1": true,
		"version: 1\nhosts: {a: }": false, "hosts:\n  a:\n": false, "all:\n": false, "{\"all\": {}}": false, "---\nall:": false, "- a\n- b": false,
		"127.0.0.1 localhost\n": false, "root:x:0:0:root:/root:/bin/sh\n": false, "": false, "# nothing\n": false, "[web, db]\n": false, "hello world\n": false,
	} {
		if got := looksLikeINI(&source{name: "hosts", data: []byte(text)}); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if looksLikeINI(&source{name: "hosts.yml", data: []byte("dut01\ndut02\n")}) || !looksLikeINI(&source{name: "hosts.yml", data: []byte("[web]\ndut02\n")}) {
		t.Error("the name of the file does not count as it should")
	}
}

// Values are what Python's ast.literal_eval makes of them, or text.
func TestINIValues(t *testing.T) {
	r := &reader{src: &source{}, rep: &report{}, ansible: true}
	for text, want := range map[string]any{
		"1": 1, "-1": -1, "010": "010", "0": 0, "00": 0, "0x1F": 31, "1_000": 1000, "1.50": 1.5, "1e3": 1000.0, "1.2.3.4": "1.2.3.4", "1abc": "1abc",
		"True": true, "true": "true", "yes": "yes", "None": nil, "none": "none", "'a' 'b'": "ab", `"it's"`: "it's", `'a\tb'`: "a\tb", `'\q'`: `\q`, "'open": "'open",
		"[1, 'a', [True]]": []any{1, "a", []any{true}}, "[]": []any{}, "()": []any{}, "(1)": 1, "(1,)": []any{1}, "1,2": []any{1, 2}, "{'a': 1, 'a': 2}": map[string]any{"a": 2}, "{1, 2}": []any{1, 2}, "{}": map[string]any{},
		"[1": "[1", "[a]": "[a]", "a=b": "a=b", "": "", "1 # note": 1, "x # note": "x # note", ",": ",", "1,,2": "1,,2", "-": "-", "9999999999999999999999": 1e22, "{{ x }}": "{{ x }}", "1-2": "1-2", "[1 2]": "[1 2]", "0x": "0x", "1_": "1_",
	} {
		if got := r.value(iniValue(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, want %#v", text, got, want)
		}
	}
}

// A directory of inventories: INI files count, but those named .ini are passed over, as in Ansible.
func TestINIInDirectory(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a-hosts": "[web]\nw1\n", "b.yml": "web: {hosts: {w2: }}", "c.ini": "[web]\nw3\n", "group_vars/web": "ansible_user: lab\n"} {
		path := filepath.Join(dir, name)
		_ = os.MkdirAll(filepath.Dir(path), 0o700)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inv, err := Load(t.Context(), dir, Options{})
	if err != nil || Fold(hostNames(inv.Hosts())) != "w[1-2]" || inv.Hosts()[0].SSH.User != "lab" {
		t.Fatal(err, inv)
	}
	if len(inv.Warnings()) != 1 || !strings.Contains(inv.Warnings()[0].Message, "c.ini") {
		t.Errorf("warnings %v", inv.Warnings())
	}
}

// ~/.ssh/config counts for hosts of Ansible files as it does for Ansible; a word about it is the stronger one.
func TestAnsibleTakesSSHConfigForGranted(t *testing.T) {
	inv, err := Parse("hosts", []byte("[web]\nw1\nw2 tfw_ssh_config=false\n[strict]\ns1\n[strict:vars]\ntfw_ssh_config=true\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]bool{"w1": {true, true}, "w2": {false, false}, "s1": {true, false}} {
		if h, _ := inv.Host(name); [2]bool{h.SSH.Config, h.SSH.ConfigLoose} != want {
			t.Errorf("%s: %+v", name, h.SSH)
		}
	}
	own := parse(t, "version: 1\nhosts: {a: }")
	if h, _ := own.Host("a"); h.SSH.Config || h.SSH.ConfigLoose {
		t.Error("a file of our own reads ~/.ssh/config unasked")
	}
	text, err := Convert(inv)
	if err != nil || !strings.Contains(string(text), "config: true") {
		t.Errorf("%s, %v", text, err)
	}
}
