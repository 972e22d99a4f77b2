package inventory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestWithStates(t *testing.T) {
	inv := parse(t, contract)
	got := inv.WithStates(map[string]StateOverride{
		"dut01": {State: Quarantined, Reason: "flaky", By: "ann"}, "dut25": {State: Active, By: "ann"}, "gone": {State: Retired},
	})
	if h, _ := got.Host("dut01"); h.State != Quarantined || h.Reason != "flaky" || h.StateBy != "ann" {
		t.Errorf("dut01 is %+v", h)
	}
	if h, _ := got.Host("dut25"); h.State != Maintenance || !got.StateInFile("dut25") || got.StateInFile("dut01") {
		t.Errorf("the file does not win: %+v", h)
	}
	if h, _ := inv.Host("dut01"); h.State != Active {
		t.Error("the original changed")
	}
	sel, err := got.Select(Query{Target: "all", Where: "state == 'quarantined'"})
	if err != nil || sel.Hosts[0].Name != "dut01" {
		t.Errorf("%v, %v", sel, err)
	}
}

func TestRestrict(t *testing.T) {
	inv := parse(t, contract).Restrict(func(h *Host) bool { return slices.Contains(h.Groups, "builders") })
	if got := Fold(hostNames(inv.Hosts())); got != "build[01-02]" {
		t.Errorf("hosts %s", got)
	}
	for _, target := range []string{"dut01", "duts", "@duts", "gw", "dut*", "~dut", "dut[01-02]", "all[2]"} {
		if sel, err := inv.Select(Query{Target: target}); err == nil {
			t.Errorf("%s selects %v", target, hostNames(sel.Hosts))
		}
	}
	if _, err := inv.Select(Query{Target: "dut0"}); err == nil || strings.Contains(err.Error(), "dut01") || strings.Contains(err.Error(), "duts") {
		t.Errorf("the advice names hidden things: %v", err)
	}
	if _, ok := inv.Group("duts"); ok || len(inv.Groups()) != 2 {
		t.Errorf("groups %v", inv.Groups())
	}
	lab, _ := inv.Group("lab")
	if len(lab.Hosts) != 2 || !slices.Equal(lab.Children, []string{"builders"}) {
		t.Errorf("lab is %+v", lab)
	}
	if _, ok := inv.Lookup("10.0.3.1"); ok {
		t.Error("a hidden address is found")
	}
	if _, err := inv.Explain("dut01"); err == nil {
		t.Error("a hidden host is explained")
	}
	sel, err := inv.Select(Query{Target: "all"})
	if err != nil || len(sel.Hosts) != 2 {
		t.Errorf("all is %v, %v", sel, err)
	}
}

func TestExplain(t *testing.T) {
	inv := parse(t, contract)
	settings, err := inv.Explain("dut25")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range settings {
		line := fmt.Sprintf("%v from %s", s.Value, s.Origin)
		for _, o := range s.Overrode {
			line += fmt.Sprintf(", over %v from %s", o.Value, o.Origin)
		}
		got[s.Name] = line
	}
	for name, want := range map[string]string{
		"ssh.user":      "root from inventory.yaml:16 (host dut25), over lab from inventory.yaml:3 (defaults)",
		"ssh.port":      "22 from inventory.yaml:3 (defaults)",
		"vars.board":    "rpi4 from inventory.yaml:16 (host dut25), over imx8 from inventory.yaml:13 (group duts)",
		"vars.net.mtu":  "9000 from inventory.yaml:16 (host dut25), over 1500 from inventory.yaml:13 (group duts)",
		"vars.net.up":   "true from inventory.yaml:13 (group duts)",
		"plugins":       "[linux_system deploy testcase] from inventory.yaml:10 (group duts)",
		"state":         "maintenance from inventory.yaml:16 (host dut25), over active from built in",
		"address":       "10.0.3.99 from inventory.yaml:16 (host dut25), over dut25 from built in: the name",
		"ssh.keepalive": "30s from inventory.yaml:3 (defaults)",
	} {
		if got[name] != want {
			t.Errorf("%s: %s\nwant %s", name, got[name], want)
		}
	}
	var te *TargetError
	if _, err := inv.Explain("dut255"); !errors.As(err, &te) || !strings.Contains(te.Fix, "dut25") {
		t.Errorf("an unknown host: %v", err)
	}
}

func TestWhere(t *testing.T) {
	inv := parse(t, contract)
	facts := func(host string) map[string]any {
		if host == "dut03" {
			return map[string]any{"arch": "arm64", "cpus": 4}
		}
		return nil
	}
	for where, want := range map[string]string{
		"'arm64' in tags and vars.board == 'imx8'": "dut[01-24]",
		"vars.net.mtu > 1500":                      "dut25",
		"name startsWith 'build'":                  "build[01-02]",
		"'lab' in groups && state != 'active'":     "dut25",
		"facts.arch == 'arm64' && facts.cpus >= 4": "dut03",
		"address == 'gw.lab'":                      "gw",
		"'build_server' in plugins":                "build[01-02]",
	} {
		target := "all"
		if strings.Contains(where, "mtu") {
			target = "duts"
		}
		sel, err := inv.Select(Query{Target: target, Where: where, Facts: facts})
		if got := Fold(hostNames(sel.Hosts)); got != want || err != nil {
			t.Errorf("%s selects %s, %v; want %s", where, got, err, want)
		}
	}
	for where, column := range map[string]int{
		"nosuch == 1": 1, "tags and nosuch": 10, "'a' in tag": 8, "vars.board": 0, "name ==": 0, "1": 0, "  ": 0, "name == 'nobody'": 0,
		"len(map(1..100000, {1..10000})) > 0": 0, strings.Repeat("(", 3000): 0, strings.Repeat("true and ", 600) + "true": 0,
	} {
		sel, err := inv.Select(Query{Target: "all", Where: where})
		var te *TargetError
		if !errors.As(err, &te) || te.Fix == "" || len(sel.Hosts) > 0 || column > 0 && te.Column != column {
			t.Errorf("%.40s: %v (%+v), want column %d", where, err, te, column)
		}
	}
}

func TestCounts(t *testing.T) {
	inv := parse(t, "version: 1\ngroups:\n  g: {max_hosts: 2, hosts: {h[1-5]: }}\nhosts: {x: }\n")
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{Target: "g", AdHoc: true}, "allows 2 at once"},
		{Query{Target: "h[1-2],x", AdHoc: true}, ""},
		{Query{Target: "g", AdHoc: true, Expect: 5}, ""},
		{Query{Target: "g", AdHoc: true, Expect: 4}, "5 hosts: h[1-5], not the 4 expected"},
		{Query{Target: "g"}, ""},
		{Query{Target: "x", Expect: 2}, "1 host: x, not the 2"},
		{Query{Target: "x", Expect: -1}, "negative"},
		{Query{Target: "x,nosuch", AllowMissing: true}, ""},
		{Query{Target: "nosuch,zz*", AllowMissing: true}, "selects no host: not in the inventory: nosuch, zz*"},
		{Query{Target: "x,", AllowMissing: true}, "empty term"},
		{Query{Target: "g:!g"}, "selects no host"},
	} {
		sel, err := inv.Select(c.q)
		if c.want == "" && (err != nil || len(sel.Hosts) == 0) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, %v; want %q", c.q, hostNames(sel.Hosts), err, c.want)
		}
	}
	sel, _ := inv.Select(Query{Target: "all:!nosuch,h[4-7]", AllowMissing: true})
	if len(sel.Hosts) != 6 || !slices.Equal(sel.Missing, []string{"nosuch", "h[6-7]"}) {
		t.Errorf("selection %v, missing %v", hostNames(sel.Hosts), sel.Missing)
	}
}
