package inventory

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

type nodesetAnswer struct {
	Fold       string
	Names      []string
	Contiguous []string
	Error      string
}

// setDice makes random host sets in the syntax that we share with ClusterShell.
type setDice struct{ *rand.Rand }

func (d setDice) of(words ...string) string { return words[d.IntN(len(words))] }

func (d setDice) number(n, width int) string { return fmt.Sprintf("%0*d", width, n) }

// span is a number, or a range with or without padding and step.
func (d setDice) span() string {
	width := d.IntN(4)
	lo := d.IntN([]int{3, 12, 120}[d.IntN(3)])
	if d.IntN(3) == 0 {
		return d.number(lo, width)
	}
	hi := lo + d.IntN([]int{2, 6, 30}[d.IntN(3)])
	s := d.number(lo, width) + "-" + d.number(hi, width)
	if d.IntN(5) == 0 {
		s += "/" + strconv.Itoa(1+d.IntN(4))
	}
	return s
}

func (d setDice) bracket() string {
	spans := make([]string, 1+d.IntN(3))
	for i := range spans {
		spans[i] = d.span()
	}
	return "[" + strings.Join(spans, ",") + "]"
}

func (d setDice) name() string {
	var b strings.Builder
	b.WriteString(d.of("n", "n", "n", "dut", "dut-", "x86_", "rack1-n", "10.0.0.", "h%s", "é", "N", "", "a0b", "n-00"))
	for dim := range d.IntN(4) {
		if dim > 0 {
			b.WriteString(d.of("s", "s", "-ib", ".", "-", "x0", "0"))
		}
		b.WriteString(d.of("", "", "", "0", "1", "10"))
		if d.IntN(4) == 0 {
			b.WriteString(d.number(d.IntN(15), d.IntN(3)))
		} else {
			b.WriteString(d.bracket())
		}
		b.WriteString(d.of("", "", "", "", "0", "5"))
	}
	b.WriteString(d.of("", "", "", ".lab", "-ipmi", "x", "7"))
	if b.Len() == 0 {
		return "gw"
	}
	// ClusterShell is slow with larger sets, and makes very large ones of n1[8-1200],
	// which we refuse.
	if p, err := parsePattern(b.String()); err != nil && strings.Contains(err.message, "can be read in two ways") || p.count() > 24 {
		return d.name()
	}
	return b.String()
}

// set is a union, then intersections, then removals: that order is the same in both.
func (d setDice) set() string {
	var b strings.Builder
	b.WriteString(d.name())
	last := b.String()
	for range d.IntN(6) {
		if d.IntN(3) > 0 {
			last = d.name()
		}
		b.WriteString(d.of(",", ",", " , ") + last)
	}
	if d.IntN(6) == 0 {
		b.WriteString("&" + d.of(last, d.name()))
	}
	if d.IntN(4) == 0 {
		b.WriteString("!" + d.of(last, d.name()))
	}
	return b.String()
}

// joinsThroughDigits tells of brackets such as n1[2-9,10-12], from which ClusterShell
// makes n[12-112]: it joins the ranges before it puts the digit in front.
var joinsThroughDigits = regexp.MustCompile(`[0-9]\[[^],]*,`)

// takesMore tells of what ClusterShell refuses and we take: r[1-2]0[1-8], with nothing
// but digits between two ranges.
func takesMore(theirs string) bool { return strings.Contains(theirs, "illegal reopening bracket") }

// Random sets expand and fold, letter for letter, as ClusterShell has it.
// INVENTORY_ORACLE=N tries N of them.
func TestAsClusterShell(t *testing.T) {
	n, seed := oracleCount(400)
	d := setDice{rand.New(rand.NewPCG(seed, 11))}
	sets := make([]string, n)
	for i := range sets {
		sets[i] = d.set()
	}
	var answers []nodesetAnswer
	askOracle(t, "nodeset", sets, &answers)
	refused := 0
	for i, set := range sets {
		theirs := answers[i]
		names, err := Expand(set)
		switch {
		case err != nil && theirs.Error != "":
			refused++
		case err == nil && theirs.Error != "" && (takesMore(theirs.Error) || joinsThroughDigits.MatchString(set)):
		case err != nil || theirs.Error != "":
			t.Errorf("%s: %v; nodeset says %s %s", set, err, theirs.Fold, theirs.Error)
		case Fold(names) != theirs.Fold && joinsThroughDigits.MatchString(set):
			refused++
		case Fold(names) != theirs.Fold:
			t.Errorf("%s folds to\n%s, nodeset says\n%s", set, Fold(names), theirs.Fold)
		case !slices.Equal(names, theirs.Names):
			t.Errorf("%s is\n%v, nodeset says\n%v", set, names, theirs.Names)
		case !slices.Equal(Contiguous(names), theirs.Contiguous):
			t.Errorf("%s is without gaps\n%v, nodeset says\n%v", set, Contiguous(names), theirs.Contiguous)
		}
	}
	t.Logf("%d of %d sets are refused by both", refused, n)
	if refused > n/2 {
		t.Error("too few sets were compared")
	}
}
