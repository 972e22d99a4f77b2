package inventory

import (
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// nodeset runs the real one on many sets in one go, one a line.
func nodeset(t *testing.T, lines []string, args ...string) []string {
	t.Helper()
	if _, err := exec.LookPath("nodeset"); err != nil {
		t.Skip("nodeset (clustershell) is not installed")
	}
	script := "while IFS= read -r l; do nodeset " + strings.Join(args, " ") + " \"$l\" || echo ERROR; done"
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// randomSet is a set in the syntax that both have.
func randomSet(r *rand.Rand) string {
	var terms []string
	for range 1 + r.IntN(5) {
		var b strings.Builder
		b.WriteString([]string{"n", "dut", "r"}[r.IntN(3)])
		for d := range 1 + r.IntN(3) {
			if d > 0 {
				b.WriteString([]string{"s", "-ib", "."}[r.IntN(3)])
			}
			if r.IntN(4) == 0 {
				b.WriteString(strconv.Itoa(r.IntN(12)))
				continue
			}
			lo, width := r.IntN(12), r.IntN(3)
			pad := func(n int) string {
				s := strconv.Itoa(n)
				return strings.Repeat("0", max(0, width-len(s))) + s
			}
			if hi := lo + r.IntN(5); width != 1 && len(pad(lo)) == len(pad(hi)) || width < 2 {
				b.WriteString("[" + pad(lo) + "-" + pad(hi) + "," + strconv.Itoa(r.IntN(30)) + "]")
			} else {
				b.WriteString(pad(lo))
			}
		}
		if r.IntN(4) == 0 {
			b.WriteString([]string{".lab", "-x"}[r.IntN(2)])
		}
		terms = append(terms, b.String())
	}
	return strings.Join(terms, ",")
}

// Random sets fold, letter for letter, as ClusterShell folds them.
func TestFoldAsClusterShell(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	sets := make([]string, 40)
	for i := range sets {
		sets[i] = randomSet(r)
	}
	folded := nodeset(t, sets, "-f")
	if len(folded) != len(sets) {
		t.Fatalf("%d answers to %d sets", len(folded), len(sets))
	}
	for i, set := range sets {
		names, err := Expand(set)
		if err != nil {
			t.Errorf("%s: %v", set, err)
			continue
		}
		if got := Fold(names); got != folded[i] {
			t.Errorf("%s folds to\n%s, nodeset says\n%s", set, got, folded[i])
		}
	}
}

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
