package inventory

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// A file is an inventory or Problems with a fix each, never a panic.
func FuzzParse(f *testing.F) {
	for _, s := range []string{contract, golden, fleet, "hosts: {a[1-3]: {address: 10.0.0.[1-3]}}", `{"_meta": {}, "web": ["a"]}`, "a: &a {<<: *a}", "version: 1\nhosts: {a: *x}", "all: {hosts: {a[1:3]: {ansible_port: '{{ x }}'}}}", "- [\t", iniLab, "[a]\nb[1:3] x='[1,{2:(3,)}]' y=\"\n[a:vars]\nz=1,2", "[a:children]\na\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		inv, err := Parse("f", []byte(text), Options{})
		if err != nil {
			var ps Problems
			if !errors.As(err, &ps) || len(ps) == 0 {
				t.Fatalf("error %v", err)
			}
			for _, p := range ps {
				if p.Fix == "" || p.Message == "" {
					t.Fatalf("%+v teaches nothing", p)
				}
				_ = p.excerpt()
			}
			return
		}
		for _, h := range inv.Hosts()[:min(3, len(inv.Hosts()))] {
			if _, err := inv.Explain(h.Name); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A target selects hosts of the inventory in its order, or is a TargetError.
func FuzzSelect(f *testing.F) {
	for _, s := range []string{"dut:!flaky", "dut[0:2],gw", "~r[12]s(1|2)", "@rack[1-2]&*1", "dut0?,!dut0[!1-3]", "fe80::1,gw", "all[-1]", "!&,", "dut[", "é*", "dut*[0]", "[::1]", "~[:x", "a[1-2]:b[1:2]"} {
		f.Add(s)
	}
	inv := parse(f, golden)
	f.Fuzz(func(t *testing.T, target string) {
		sel, err := inv.Select(Query{Target: target})
		if err != nil {
			var te *TargetError
			if !errors.As(err, &te) || te.Message == "" || te.Fix == "" || len(sel.Hosts) > 0 || te.Column > len(target)+1 {
				t.Fatalf("%q: %v, %+v", target, err, te)
			}
			return
		}
		last := -1
		for _, h := range sel.Hosts {
			if i := inv.index[h.Name]; i <= last {
				t.Fatalf("%q is out of order", target)
			} else {
				last = i
			}
		}
		if last < 0 {
			t.Fatalf("%q selects nothing without an error", target)
		}
	})
}

// What expands folds and expands again to the same.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"n[1-5]", "n[01-10/3],m", "r[1-2]s[1-3]x!r1s1x", "n[1-999999999]", "n[1-2", "a[9-11]b[09-11]", "%s1", "n[0-1,00-01]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, set string) {
		if strings.Count(set, "-") > 3 { // keep the sets small: the bound is tested elsewhere
			return
		}
		names, err := Expand(set)
		if err != nil || len(names) > 5000 {
			return
		}
		back, err := Expand(Fold(names))
		if len(names) > 0 && (err != nil || !slices.Equal(back, names)) {
			t.Fatalf("%q is %v, folded %s, then %v, %v", set, names, Fold(names), back, err)
		}
	})
}

func FuzzAnsibleRange(f *testing.F) {
	for _, s := range []string{"a[1:3]", "a[01:10:3]x[a:c]", "n[:3]", "n[1:]", "fe80::1", "h:22", "n[3:1]", "n[1:99999999]", "[a:Z:0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, key string) {
		name, _ := cutPort(key)
		names, err := ansibleNames(name, 1000)
		if err != nil && (err.fix == "" || err.off > len(key)) || len(names) > 1000 {
			t.Fatalf("%q: %d names, %+v", key, len(names), err)
		}
	})
}
