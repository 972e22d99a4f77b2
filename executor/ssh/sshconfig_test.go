package ssh

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

func resolveWith(t *testing.T, config string, h *inventory.Host) (*settings, error) {
	t.Helper()
	opt := Options{Home: t.TempDir(), User: "me"}
	opt.ConfigFile = filepath.Join(opt.Home, "config")
	mustWrite(t, opt.ConfigFile, config)
	opt = opt.withDefaults()
	r := resolver{opt: &opt}
	h.SSH.Config = true
	s, err := r.resolve(h)
	if s != nil {
		for i := range s.Identities {
			s.Identities[i] = strings.TrimPrefix(s.Identities[i], opt.Home)
		}
	}
	return s, err
}

func TestSSHConfigFillsWhatTheInventoryLeavesOpen(t *testing.T) {
	s, err := resolveWith(t, `
Host dut*
	HostName %h.lab.example
	User "root"
	Port 2222
	IdentityFile ~/.ssh/lab_%r
	IdentityFile ~/.ssh/second
	IdentitiesOnly yes
	UserKnownHostsFile ~/a ~/b
	ConnectTimeout 7
	ProxyJump inner@gw:2200,[fd00::1]:22
	StrictHostKeyChecking yes
Host gw
	HostName 10.0.0.1
	IdentityFile /keys/gw
`, &inventory.Host{Name: "x", Address: "dut7"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Address != "dut7.lab.example" || s.User != "root" || s.Port != 2222 || !s.IdentitiesOnly || s.ConnectTimeout != 7*time.Second {
		t.Errorf("%+v", s)
	}
	if want := []string{"/.ssh/lab_root", "/.ssh/second"}; !reflect.DeepEqual(s.Identities, want) {
		t.Errorf("identities %q, want %q", s.Identities, want)
	}
	if len(s.KnownHosts) != 2 {
		t.Errorf("known hosts %q", s.KnownHosts)
	}
	last := s.Jump
	if last == nil || last.Address != "fd00::1" || last.Port != 22 || last.Jump == nil {
		t.Fatalf("jump %+v", last)
	}
	if gw := last.Jump; gw.Address != "10.0.0.1" || gw.Port != 2200 || gw.User != "inner" || gw.Identities[0] != "/keys/gw" {
		t.Errorf("first jump %+v", gw)
	}
}

func TestInventoryWinsOverSSHConfig(t *testing.T) {
	h := &inventory.Host{Name: "x", Address: "a", SSH: inventory.SSH{User: "lab", Port: 22, IdentityFiles: []string{"/k"}}}
	s, err := resolveWith(t, "Host a\n User root\n Port 99\n IdentityFile /other\n", h)
	if err != nil || s.User != "lab" || s.Port != 22 || s.Identities[0] != "/k" {
		t.Errorf("%+v %v", s, err)
	}
}

func TestSSHConfigRefusesAloud(t *testing.T) {
	for _, line := range []string{
		"ProxyCommand nc %h 22", "StrictHostKeyChecking no", "HostKeyAlias y", "Ciphers 3des-cbc",
		"KnownHostsCommand /bin/x", "PKCS11Provider /x.so", "BindAddress 10.0.0.1", "Port 99999", "IdentityFile relative", "ProxyJump a", "ProxyJump x:y",
	} {
		_, err := resolveWith(t, "Host a\n "+line+"\n", &inventory.Host{Name: "a"})
		if err == nil {
			t.Errorf("%s: followed or ignored", line)
		}
	}
	_, err := resolveWith(t, "Match host a\n User root\n", &inventory.Host{Name: "a"})
	if !errors.Is(err, executor.ErrRefused) {
		t.Errorf("Match: %v", err)
	}
	if _, err := resolveWith(t, "Host b\n ProxyCommand nc\nHost *\n ProxyCommand none\n", &inventory.Host{Name: "a"}); err != nil {
		t.Errorf("for another host: %v", err)
	}
}

func TestDifferentSettingsAreDifferentPlaces(t *testing.T) {
	opt := Options{Home: t.TempDir(), User: "me"}.withDefaults()
	key := func(change func(h *inventory.Host)) string {
		h := &inventory.Host{Name: "a", Address: "10.0.0.1"}
		change(h)
		r := resolver{opt: &opt, via: func(n string) (*inventory.Host, bool) { return &inventory.Host{Name: n}, true }}
		s, err := r.resolve(h)
		if err != nil {
			t.Fatal(err)
		}
		return s.key()
	}
	same := key(func(h *inventory.Host) {})
	if other := key(func(h *inventory.Host) { h.Name = "alias"; h.SSH.Port = 22; h.SSH.User = "me" }); other != same {
		t.Error("the same way under another name is another place")
	}
	for name, change := range map[string]func(h *inventory.Host){
		"address": func(h *inventory.Host) { h.Address = "10.0.0.2" }, "port": func(h *inventory.Host) { h.SSH.Port = 23 },
		"user": func(h *inventory.Host) { h.SSH.User = "you" }, "jump": func(h *inventory.Host) { h.SSH.Jump = []string{"g"} },
		"chain":    func(h *inventory.Host) { h.SSH.Jump = []string{"f", "g"} },
		"identity": func(h *inventory.Host) { h.SSH.IdentityFiles = []string{"/k"} }, "password": func(h *inventory.Host) { h.SSH.Password = "env:P" },
		"known_hosts": func(h *inventory.Host) { h.SSH.KnownHosts = "/k" }, "host_key": func(h *inventory.Host) { h.SSH.HostKey = "k" },
		"host_ca": func(h *inventory.Host) { h.SSH.HostCA = "k" },
	} {
		if key(change) == same {
			t.Errorf("another %s shares the connection", name)
		}
	}
}

// Where an Ansible inventory takes ~/.ssh/config for granted, only what means another machine is refused.
func TestLooseSSHConfig(t *testing.T) {
	const config = `
Match host secret exec "true"
	User nobody
	HostName 203.0.113.9
Host dut*
	HostName %h.lab.example
	User lab
	ProxyJump gw
Host old
	ProxyCommand nc %h %p
Host *
	StrictHostKeyChecking no
	Ciphers aes128-cbc
	HostKeyAlgorithms +ssh-rsa
`
	loose := inventory.SSH{ConfigLoose: true}
	s, err := resolveWith(t, config, &inventory.Host{Name: "x", Address: "dut7", SSH: loose})
	if err != nil || s.Address != "dut7.lab.example" || s.User != "lab" || s.Jump == nil || s.Jump.Address != "gw" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := resolveWith(t, config, &inventory.Host{Name: "x", Address: "old", SSH: loose}); err == nil || !strings.Contains(err.Error(), "ProxyCommand") {
		t.Errorf("another way to the machine is passed over: %v", err)
	}
	if _, err := resolveWith(t, "nonsense\n\x00", &inventory.Host{Name: "x", Address: "dut7", SSH: loose}); err != nil {
		t.Errorf("a file of nonsense: %v", err)
	}
	if _, err := resolveWith(t, config, &inventory.Host{Name: "x", Address: "dut7"}); err == nil {
		t.Error("whoever asks for the file is not told what is not followed")
	}
}
