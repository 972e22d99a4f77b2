package screen

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tfw/cmd/tfwctl/screen/screentest"
)

// shown is a grid as text, as an emulator gives it.
func shown(g *Grid) string {
	var b strings.Builder
	for i := range g.rows {
		b.WriteString(g.Text(i) + "\n")
	}
	return b.String()
}

// What is sent turns any frame into any other, whatever text is put where.
func TestDifferenceTurnsOneFrameIntoTheOther(t *testing.T) {
	words := []string{"a", "plain words", "wide 漢字 text", "mark e\u0301 and \u200bzero", "\x1b[2J\x1b[31mevil\r\n\x07", "\ttabs\t", "bad \xff\xfe bytes", "🙂", ""}
	styles := []Style{{}, {Colour: "31"}, {Bold: true}, {Reverse: true, Colour: "34"}}
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 40).Draw(t, "width"), rapid.IntRange(1, 12).Draw(t, "height")
		e := screentest.NewEmulator(w, h)
		_, _ = e.Write([]byte(enter))
		var from *Grid
		for range rapid.IntRange(1, 6).Draw(t, "frames") {
			to := NewGrid(w, h)
			if from != nil && rapid.Bool().Draw(t, "scrolled") {
				by := rapid.IntRange(0, h-1).Draw(t, "by")
				for i := range h - by {
					to.rows[i] = slices.Clone(from.rows[i+by])
				}
			}
			for range rapid.IntRange(0, 8).Draw(t, "texts") {
				to.Put(rapid.IntRange(-1, h).Draw(t, "row"), rapid.IntRange(-2, w).Draw(t, "col"),
					rapid.SampledFrom(words).Draw(t, "text"), rapid.SampledFrom(styles).Draw(t, "style"))
			}
			rows := Rows{rapid.IntRange(0, h-1).Draw(t, "first"), rapid.IntRange(0, h).Draw(t, "end")}
			_, _ = e.Write(diff(from, to, rows, true))
			if got, want := e.Text(), shown(to); got != want {
				t.Fatalf("the screen is\n%swant\n%s", got, want)
			}
			from = to
		}
		_, _ = e.Write([]byte(leave))
		if len(e.Unknown) > 0 || e.Alternate || e.CursorHidden {
			t.Fatalf("left with %v, alternate %v, no cursor %v", e.Unknown, e.Alternate, e.CursorHidden)
		}
	})
}

// A log that moves up costs its new lines, not the whole pane.
func TestFewBytesForALogThatMoves(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	line := func() string {
		b := make([]byte, 70)
		for i := range b {
			b[i] = byte('a' + random.IntN(26))
		}
		return string(b)
	}
	var log []string
	for range 100 {
		log = append(log, line())
	}
	frame := func(at int) *Grid {
		g := NewGrid(80, 24)
		for i := range 20 {
			g.Put(2+i, 0, log[at+i], Style{})
		}
		return g
	}
	whole := len(diff(nil, frame(0), Rows{2, 22}, true))
	moved := len(diff(frame(0), frame(2), Rows{2, 22}, true))
	if moved > 2*70+60 {
		t.Errorf("two new lines cost %d bytes (the whole screen %d)", moved, whole)
	}
	if n := len(diff(frame(0), frame(0), Rows{2, 22}, true)); n != 0 {
		t.Errorf("nothing new costs %d bytes", n)
	}
}

func TestNoColoursWhenNotAsked(t *testing.T) {
	g := NewGrid(20, 2)
	g.Put(0, 0, "red", Style{Colour: "31", Bold: true})
	if out := string(diff(nil, g, Rows{}, false)); strings.Contains(out, "31") || !strings.Contains(out, "\x1b[0;1m") {
		t.Errorf("got %q", out)
	}
}

func TestKeys(t *testing.T) {
	for in, want := range map[string][]Key{
		"q": {"q"}, "\x1b[A\x1bOBj": {Up, Down, "j"}, "\x1b": {Escape}, "\x1b[5~\x1b[6~": {PageUp, PageDown}, "\x03": {CtrlC}, "\x1b[Z\t\r": {BackTab, Tab, Enter},
		"\x1b[1;5A": nil, "\x1b[?1;2": nil, "é": {"é"}, "\x00\xff": nil, "\x7f": {Backspace}, "\x1b[200~x": {"x"},
	} {
		if got := keys([]byte(in)); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", in, got, want)
		}
	}
}

func FuzzKeys(f *testing.F) {
	for _, s := range []string{"\x1b[A", "\x1b", "\x1b[", "\x1bO", "é\x1b[1;2H", "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, k := range keys(b) {
			if k == "" {
				t.Fatal("a key without a name")
			}
		}
	})
}
