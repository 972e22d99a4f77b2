package inventory

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Folding and expanding give the same names back, in the same order again.
func TestFoldExpandRoundTrip(t *testing.T) {
	name := rapid.StringMatching(`[a-z]{1,2}(0{0,2}[0-9]{1,2}(-[a-z]?|s)?){0,3}`)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(name, 1, 40).Draw(t, "names")
		folded := Fold(names)
		back, err := Expand(folded)
		if err != nil {
			t.Fatalf("%s: %v", folded, err)
		}
		if again := Fold(back); again != folded {
			t.Fatalf("%s folds again to %s", folded, again)
		}
		slices.Sort(back)
		slices.Sort(names)
		if names = slices.Compact(names); !slices.Equal(names, back) {
			t.Fatalf("%v became %v by %s", names, back, folded)
		}
	})
}

// Whatever is written, selecting is union, then intersection, then removal, in
// inventory order.
func TestSelectIsSetAlgebra(t *testing.T) {
	inv := parse(t, golden)
	atoms := []string{"dut", "arm", "flaky", "gw", "dut0?", "~r1", "dut[03-05]", "dut[0:2]", "racks", "all"}
	rapid.Check(t, func(t *rapid.T) {
		terms := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"", "", "&", "!"}).Draw(t, "op") + rapid.SampledFrom(atoms).Draw(t, "atom")
		}), 1, 6).Draw(t, "terms")
		of := func(atom string) map[string]bool {
			sel, err := inv.Select(Query{Target: atom})
			if err != nil {
				t.Fatal(err)
			}
			m := map[string]bool{}
			for _, h := range sel.Hosts {
				m[h.Name] = true
			}
			return m
		}
		var want []string
		plain := slices.ContainsFunc(terms, func(s string) bool { return s[0] != '&' && s[0] != '!' })
		for _, h := range inv.Hosts() {
			in := !plain
			for _, s := range terms {
				if s[0] != '&' && s[0] != '!' && of(s)[h.Name] {
					in = true
				}
			}
			for _, s := range terms {
				if s[0] == '&' && !of(s[1:])[h.Name] || s[0] == '!' && of(s[1:])[h.Name] {
					in = false
				}
			}
			if in {
				want = append(want, h.Name)
			}
		}
		sep := rapid.SampledFrom([]string{",", ":", " , "}).Draw(t, "separator")
		sel, err := inv.Select(Query{Target: strings.Join(terms, sep)})
		if got := hostNames(sel.Hosts); !slices.Equal(got, want) || (err == nil) != (len(want) > 0) {
			t.Fatalf("%v selects %v, %v; want %v", terms, got, err, want)
		}
	})
}
