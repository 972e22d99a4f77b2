package inventory

import (
	"errors"
	"strings"
	"testing"
)

const golden = `version: 1
groups:
  dut: {hosts: {"dut[01-24]": }}
  arm: {hosts: [dut[01-08]]}
  x86: {hosts: [dut[09-24]]}
  flaky: {hosts: [dut03, dut11, dut19]}
  rack1: {hosts: {r1s[1-8]: }}
  rack2: {hosts: {r2s[1-8]: }}
  rack3: {hosts: {r3s[1-8]: }}
  rack4: {hosts: {r4s[1-8]: }}
  racks: {groups: [rack1, rack2, rack3, rack4]}
  power: {hosts: {pdu[1-3]: }}
  ctl: {hosts: {ctl1: }}
hosts:
  gw:
`

func parse(t testing.TB, text string) *Inventory {
	t.Helper()
	inv, err := Parse("inventory.yaml", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func hostNames(hosts []*Host) []string {
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = h.Name
	}
	return out
}

func TestSelectWildcardGolden(t *testing.T) {
	inv := parse(t, golden)
	for _, c := range loadNodeset(t).Wildcard {
		sel, err := inv.Select(Query{Target: c.In})
		if got := Fold(hostNames(sel.Hosts)); got != c.Out || (err == nil) != (c.Out != "") {
			t.Errorf("%q selects %s, %v; want %s", c.In, got, err, c.Out)
		}
	}
}

func TestSelectGroupsGolden(t *testing.T) {
	inv := parse(t, golden)
	n := 0
	for _, c := range loadNodeset(t).FoldExpand {
		if !strings.HasPrefix(c.In, "@") || strings.ContainsAny(c.In, "^:") || strings.Contains(c.In, "@@") || c.In == "@stable" || c.In == "@empty" || c.In == "@*" || c.In == "@dut&dut[20-30]" { // the last names hosts that are not there
			continue
		}
		n++
		sel, err := inv.Select(Query{Target: c.In})
		if got := Fold(hostNames(sel.Hosts)); err != nil || got != c.Fold {
			t.Errorf("%q selects %s, %v; want %s", c.In, got, err, c.Fold)
		}
	}
	if n < 8 {
		t.Errorf("only %d vectors", n)
	}
}

func TestTargetErrors(t *testing.T) {
	inv := parse(t, golden)
	for _, c := range []struct {
		target string
		column int
		want   string
	}{
		{"", 0, "empty"}, {"  ", 0, "empty"}, {",", 1, "empty term"}, {":", 1, "empty term"},
		{"dut01,,dut02", 7, "empty term"}, {"dut01,", 7, "empty term"}, {"!", 1, "operator without"}, {"dut,!!gw", 5, "operator"},
		{"web-9", 1, "no such host or group"}, {"dut01,nosuch", 7, "no such"}, {"all:!nosuch", 6, "no such"}, {"@all!@nosuch", 6, "no such group"},
		{"dut[01-26]", 1, "no such"}, {"dut[99]", 5, "selects nothing"}, {"dut[1:0]", 5, "selects nothing"}, {"dut[:]", 5, "without numbers"},
		{"n[5-1]", 3, "backwards"}, {"n[01-3]", 3, "padded"}, {"n[1,,2]", 5, "empty range"}, {"n[", 2, "not closed"}, {"n]", 2, "closing"}, {"n[1-2/0]", 7, "step"},
		{"gw:fe80::1", 4, "IPv6"}, {"fe80::1:gw", 6, "empty term"}, {"n[1-999999999]", 1, "too many"}, {"~", 1, "empty regular"}, {"~(", 2, "not a regular"}, {"^gw", 1, "not offered"},
		{"all:!all", 0, "selects no host"}, {"zz*", 1, "matches no"}, {"all,!zz*", 6, "matches no"}, {"a b", 2, "space"}, {"@", 1, "missing"}, {"dut01\n", 6, "control"},
		{"ungrouped[3]", 11, "selects nothing"}, {"web[1:3]", 1, "no such"}, {"é,nosuch", 1, "no such"}, {"gw,é*,x", 4, "matches no"},
		{"gw,dut[0:3,5]", 4, "one number or one range"}, {"[fe80::9]", 1, "no such"}, {"10.0.0.1", 1, "no such"},
	} {
		sel, err := inv.Select(Query{Target: c.target})
		var te *TargetError
		if !errors.As(err, &te) || len(sel.Hosts) > 0 {
			t.Errorf("%q selects %v, %v", c.target, hostNames(sel.Hosts), err)
			continue
		}
		if te.Column != c.column || !strings.Contains(te.Message, c.want) || te.Fix == "" {
			t.Errorf("%q: column %d, %q, fix %q; want column %d, %q", c.target, te.Column, te.Message, te.Fix, c.column, c.want)
		}
	}
}

// A host's address is no name of it, and the message says whose it is.
func TestAddressAsTarget(t *testing.T) {
	_, err := parse(t, contract).Select(Query{Target: "10.0.3.1"})
	var te *TargetError
	if !errors.As(err, &te) || !strings.Contains(te.Fix, "address of dut01") {
		t.Errorf("error %v", err)
	}
}
