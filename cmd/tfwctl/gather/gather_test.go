package gather

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tfw/inventory"
)

type names struct{}

func (names) Fold(all []string) string { return inventory.Fold(all) }
func (names) Sort(all []string) []string {
	sorted, err := inventory.Expand(inventory.Fold(all))
	if err != nil {
		panic(err)
	}
	return sorted
}

// clubak splits "host: line" at the first colon, so that the blank stays with the line.
func feed(t *testing.T, in string) (*Tree, []string) {
	t.Helper()
	tree := New()
	var hosts []string
	seen := map[string]bool{}
	for line := range strings.Lines(in) {
		host, text, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("no host in %q", line)
		}
		if !seen[host] {
			seen[host] = true
			hosts = append(hosts, host)
		}
		if err := tree.Write(host, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return tree, hosts
}

func styleOf(flags []string) (Style, bool) {
	s := Style{Names: names{}}
	for _, f := range flags {
		switch f {
		case "-L":
			s.Lines, s.ByHost = true, true
		case "--diff":
			s.Diff = true
		case "-r": // groups in place of names: not offered
			return s, false
		}
	}
	return s, true
}

// The vectors were written by clubak itself.
func TestGatherAsClubak(t *testing.T) {
	text, err := os.ReadFile("testdata/gather.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Cases []struct {
			Case    string
			Flags   []string
			In, Out string
		}
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, c := range golden.Cases {
		style, ok := styleOf(c.Flags)
		if !ok {
			continue
		}
		tried++
		t.Run(c.Case+strings.Join(c.Flags, ""), func(t *testing.T) {
			tree, hosts := feed(t, c.In)
			var out bytes.Buffer
			if err := tree.Print(&out, hosts, style); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.Out {
				t.Errorf("got\n%s\nwant\n%s", out.String(), c.Out)
			}
		})
	}
	if tried < 20 {
		t.Errorf("tried only %d vectors", tried)
	}
}

// The same against the clubak of this machine, where there is one, on many random outputs.
func TestGatherBesideClubak(t *testing.T) {
	clubak, err := exec.LookPath("clubak")
	if err != nil {
		t.Skip("no clubak here")
	}
	word := rapid.SampledFrom([]string{"a", "b", "", "-- x", "long line with words", "é"})
	gen := rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		for range rapid.IntRange(1, 40).Draw(t, "lines") {
			fmt.Fprintf(&b, "n%d: %s\n", rapid.IntRange(1, 4).Draw(t, "host"), word.Draw(t, "word"))
		}
		return b.String()
	})
	for i, flags := range [][]string{{"-b"}, {"-L"}, {"--diff"}, {"--diff"}, {"-b"}, {"--diff"}} {
		in := gen.Example(100 + i)
		cmd := exec.CommandContext(t.Context(), clubak, flags...)
		cmd.Stdin = strings.NewReader(in)
		want, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		style, _ := styleOf(flags)
		tree, hosts := feed(t, in)
		var out bytes.Buffer
		if err := tree.Print(&out, hosts, style); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%v of\n%sgot\n%s\nwant\n%s", flags, in, out.Bytes(), want)
		}
	}
}

// A diff applied to the first text gives the second one.
func TestUnifiedApplies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 40)
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		got, err := apply(a, Unified(a, b, "a", "b"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(got, "\n") != strings.Join(b, "\n") || len(got) != len(b) {
			t.Fatalf("got %q, want %q", got, b)
		}
	})
}

func apply(a, diff []string) ([]string, error) {
	if len(diff) == 0 {
		return a, nil
	}
	var out []string
	at := 0
	for _, line := range diff[2:] {
		if strings.HasPrefix(line, "@@") {
			var from, n int
			if _, err := fmt.Sscanf(line, "@@ -%d,%d", &from, &n); err != nil {
				if _, err := fmt.Sscanf(line, "@@ -%d ", &from); err != nil {
					return nil, err
				}
				n = 1
			}
			if n > 0 {
				from--
			}
			out = append(out, a[at:from]...)
			at = from
			continue
		}
		if line[0] != '+' {
			if a[at] != line[1:] {
				return nil, fmt.Errorf("line %d is %q, the diff says %q", at, a[at], line[1:])
			}
			at++
		}
		if line[0] != '-' {
			out = append(out, line[1:])
		}
	}
	return append(out, a[at:]...), nil
}

// However output is cut on the way, the picture is the same.
func TestGatherCutAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([ab]{0,3}\r?\n){0,6}[ab]{0,2}`).Draw(t, "text")
		whole, pieces := New(), New()
		whole.Write("h", []byte(text))
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			pieces.Write("h", []byte(rest[:n]))
			rest = rest[n:]
		}
		var a, b bytes.Buffer
		s := Style{Names: names{}}
		if err := errors.Join(whole.Print(&a, []string{"h"}, s), pieces.Print(&b, []string{"h"}, s)); err != nil {
			t.Fatal(err)
		}
		if a.String() != b.String() {
			t.Fatalf("whole %q, in pieces %q", a.String(), b.String())
		}
	})
}

// A thousand hosts that say the same cost as much as one.
func TestSharedOutputIsKeptOnce(t *testing.T) {
	tree := New()
	line := []byte(strings.Repeat("x", 1000) + "\n")
	for h := range 1000 {
		for range 50 {
			if err := tree.Write(fmt.Sprint("n", h), line); err != nil {
				t.Fatal(err)
			}
		}
	}
	if tree.bytes > 100_000 {
		t.Errorf("%d bytes are kept", tree.bytes)
	}
}

// Lower exit statuses come first, and hosts that said nothing differ.
func TestStatusAndSilence(t *testing.T) {
	tree, _ := feed(t, "n1:a\nn2:a\nn3:b\n")
	status := map[string]int{"n1": 1, "n2": 1}
	s := Style{Names: names{}, Status: func(h string) int { return status[h] }}
	var out bytes.Buffer
	if err := tree.Print(&out, []string{"n1", "n2", "n3", "n4"}, s); err != nil {
		t.Fatal(err)
	}
	want := rule + "\nn3\n" + rule + "\nb\n" + rule + "\nn[1-2] (2)\n" + rule + "\na\n"
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
	out.Reset()
	s.Diff, s.Status = true, nil
	if err := tree.Print(&out, []string{"n1", "n2", "n4"}, s); err != nil {
		t.Fatal(err)
	}
	if want := "--- n[1-2] (2)\n+++ n4\n@@ -1 +0,0 @@\n-a\n"; out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}
