package executor

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestVeilIsTheWholeTextMasked feeds a text in pieces, begins again where it was cut as after a lost
// connection, and compares with masking the text as a whole.
func TestVeilIsTheWholeTextMasked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SliceOfN(rapid.SampledFrom([]byte("ab\n*")), 4, 9)
		var m masks
		for range rapid.IntRange(1, 3).Draw(t, "secrets") {
			m.add(string(letters.Draw(t, "secret")))
		}
		raw := rapid.SliceOfN(rapid.SampledFrom([]byte("ab\n*")), 0, 60).Draw(t, "text")
		for range rapid.IntRange(0, 3).Draw(t, "planted") {
			at := rapid.IntRange(0, len(raw)).Draw(t, "at")
			raw = append(raw[:at:at], append(bytes.Clone(rapid.SampledFrom(m.texts).Draw(t, "which")), raw[at:]...)...)
		}
		want := bytes.Clone(raw)
		m.cover(raw, want)

		v := veil{m: &m}
		var got []byte
		take := func(offset int64, shown []byte) {
			if len(shown) > 0 && offset != int64(len(got)) {
				t.Fatalf("bytes at %d were given at %d", len(got), offset)
			}
			got = append(got, shown...)
		}
		cuts := 5
		for fed := 0; fed < len(raw); {
			n := rapid.IntRange(1, len(raw)-fed).Draw(t, "piece")
			take(v.pass(raw[fed : fed+n]))
			if fed += n; fed-int(v.from) > 0 && fed-len(got) >= m.longest {
				t.Fatalf("%d bytes are held back, the longest mask has %d", fed-len(got), m.longest)
			}
			if cuts > 0 && rapid.IntRange(0, 4).Draw(t, "cut") == 0 { // a new process: it knows what is stored
				v = veil{m: &m}
				fed = int(v.restart(int64(len(got))))
			}
		}
		take(v.rest())
		if !bytes.Equal(got, want) {
			t.Fatalf("secrets %q\nin   %q\ngot  %q\nwant %q", m.texts, raw, got, want)
		}
	})
}

func TestMasksCoverTheFormsOfASecret(t *testing.T) {
	var m masks
	m.add("pass'word is hunter2\nsecond line of it")
	for _, shown := range []string{"hunter2", "second line of it", "cGFzcyd3b3JkIGlzIGh1bnRlcjIKc2Vjb25kIGxpbmUgb2Yg", "pass%27word+is+hunter2%0Asecond+line+of+it"} {
		got := m.text("<pass'word is hunter2\n> <second line of it> <cGFzcyd3b3JkIGlzIGh1bnRlcjIKc2Vjb25kIGxpbmUgb2YgaXQK> <pass%27word+is+hunter2%0Asecond+line+of+it>")
		if strings.Contains(got, shown) {
			t.Errorf("%q is shown: %q", shown, got)
		}
	}
}
