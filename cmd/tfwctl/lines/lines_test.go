package lines

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestLinesArePrefixedWhole(t *testing.T) {
	var out, errs bytes.Buffer
	p := New(Options{Stdout: &out, Stderr: &errs, Prefix: true})
	p.Bytes("a", 0, false, []byte("one\ntw"))
	p.Bytes("b", 0, false, []byte("uno\n"))
	p.Bytes("a", 0, true, []byte("oops"))
	p.Bytes("a", 0, false, []byte("o\n\nlast"))
	p.Note("b", "tfw: slow")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "a: one\nb: uno\na: two\na: \na: last\n"; out.String() != want {
		t.Errorf("stdout %q", out.String())
	}
	if want := "b: tfw: slow\na: oops\n"; errs.String() != want {
		t.Errorf("stderr %q", errs.String())
	}
}

// Without prefix and terminal every byte passes as it is.
func TestBytesPassUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		p := New(Options{Stdout: &out, Stderr: &out})
		var want []byte
		for _, piece := range rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "pieces") {
			p.Bytes("h", 0, false, piece)
			want = append(want, piece...)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Fatalf("got %q, want %q", out.Bytes(), want)
		}
	})
}

func TestOneFileKeepsTheOrder(t *testing.T) {
	var out bytes.Buffer
	p := New(Options{Stdout: &out, Stderr: &out, Same: true, Prefix: true})
	for _, s := range []string{"1", "2", "3", "4"} {
		p.Bytes("h", 0, s == "2" || s == "4", []byte(s+"\n"))
	}
	p.Close()
	if want := "h: 1\nh: 2\nh: 3\nh: 4\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestEndlessLineIsBounded(t *testing.T) {
	var out bytes.Buffer
	p := New(Options{Stdout: &out, Stderr: &out, Prefix: true})
	for range 40 {
		p.Bytes("h", 0, false, bytes.Repeat([]byte("x"), 64<<10))
	}
	if kept := len(p.partial[key{"h", 0, false}]); kept >= MaxLine {
		t.Errorf("%d bytes are kept", kept)
	}
	p.Close()
	if got := strings.Count(out.String(), "x"); got != 40*64<<10 {
		t.Errorf("%d bytes came out", got)
	}
}

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext":        "plain\ttext",
		"\x1b[31mred\x1b[0m": "red",
		"\x1b]0;title\x07":   "^[]0;title^G",
		"\x1b[2J\x1b[H":      "^[[2J^[[H",
		"a\x00b\x7f":         "a^@b^?",
		"\xff\xfe":           `\xff\xfe`,
		"é ✓":                "é ✓",
		"\u009b31m":          `\u009b31m`,
		"user\u202egnp.exe":  `user\u202egnp.exe`,
		"a\u061cb\u2066c":    `a\u061cb\u2066c`,
		"\xc0\x9b31m":        `\xc0\x9b31m`, // ESC in two bytes too many
		"\x9b31m":            `\x9b31m`,     // CSI as a byte of its own
		"\xed\xa0\x80":       `\xed\xa0\x80`,
		"\x1b[31\x1b[32mm":   "^[[31m",
	} {
		if got := string(Safe([]byte(in))); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestCarriageReturnHidesNothing(t *testing.T) {
	var out bytes.Buffer
	p := New(Options{Stdout: &out, Stderr: &out, Prefix: true, SafeOut: true})
	p.Bytes("h", 0, false, []byte("rm -rf /\rls      \r\n"))
	p.Close()
	if want := "h: rm -rf /\nh: ls      \n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func FuzzSafe(f *testing.F) {
	f.Add([]byte("\x1b[31mred\x1b[0m \u202e \xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out := Safe(bytes.Clone(in))
		if !utf8.Valid(out) {
			t.Fatalf("%q is no UTF-8", out)
		}
		for _, r := range string(out) {
			if r != '\t' && (r < 0x20 || r >= 0x7f && r < 0xa0 || turns(r)) {
				t.Fatalf("%q holds %U", out, r)
			}
		}
	})
}
