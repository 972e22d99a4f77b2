package executor

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// masks are the texts that must not show: the secrets of one host's part of a
// run, in the forms in which they are likely to be printed.
type masks struct {
	texts   [][]byte
	longest int
}

const (
	shortestSecret = 4 // bytes; less cannot be told from the rest of a log
	longestSecret  = 8 << 10
	shortestLine   = 8 // of a secret with several lines, each long enough is masked by itself
)

// add masks the secret as it is, its longer lines, and what base64 and URLs make of it.
func (m *masks) add(secret string) {
	forms := []string{secret}
	if strings.Contains(secret, "\n") {
		for line := range strings.SplitSeq(secret, "\n") {
			if line = strings.TrimSpace(line); len(line) >= shortestLine {
				forms = append(forms, line)
			}
		}
	}
	forms = append(forms, base64Forms(secret)...)
	forms = append(forms, url.QueryEscape(secret), url.PathEscape(secret), strings.ReplaceAll(secret, "'", `'\''`))
	for _, f := range forms {
		if len(f) < shortestSecret || slices.ContainsFunc(m.texts, func(t []byte) bool { return string(t) == f }) {
			continue
		}
		m.texts = append(m.texts, []byte(f))
		m.longest = max(m.longest, len(f))
	}
}

// base64Forms are the characters that base64 makes of the secret whatever stands before and
// behind it, as in "user:SECRET": one form for each place in a group of three bytes, in both alphabets (RFC 4648).
func base64Forms(secret string) (forms []string) {
	for before := range 3 {
		padded := append(make([]byte, before), secret...)
		from, to := (before*8+5)/6, len(padded)*8/6 // the characters at the ends hold bits of the neighbours
		if to-from < shortestLine {
			continue
		}
		forms = append(forms, base64.RawStdEncoding.EncodeToString(padded)[from:to], base64.RawURLEncoding.EncodeToString(padded)[from:to])
	}
	return forms
}

// cover writes stars over every mask found in raw, into shown, which has the same length.
func (m *masks) cover(raw, shown []byte) {
	for _, text := range m.texts {
		for at := 0; ; at++ {
			i := bytes.Index(raw[at:], text)
			if i < 0 {
				break
			}
			at += i
			for j := at; j < at+len(text); j++ {
				shown[j] = '*'
			}
		}
	}
}

// undecided tells where the end of raw begins that may be the beginning of a mask.
func (m *masks) undecided(raw []byte) int {
	start := len(raw)
	for _, text := range m.texts {
		for at := max(0, len(raw)-len(text)+1); at < start; at++ {
			if raw[at] == text[0] && bytes.HasPrefix(text, raw[at:]) {
				start = at
				break
			}
		}
	}
	return start
}

// text masks a whole text.
func (m *masks) text(s string) string {
	if len(m.texts) == 0 || s == "" {
		return s
	}
	shown := []byte(s)
	m.cover([]byte(s), shown)
	return string(shown)
}

// veil masks one stream as it comes. It holds back at most one byte less than the
// longest mask, and never more than what may still turn out to be one.
//
// Its state need not be stored: a veil that begins again is shown the bytes before
// the place as well, as many as a mask that reaches over it can have there, and does not give those.
type veil struct {
	m      *masks
	from   int64  // nothing before it is given
	offset int64  // of the first byte held back
	raw    []byte // held back, as it came
	shown  []byte // the same, with what is decided already
}

// restart forgets what is held back: what is stored ends at from, and the stream begins again at the offset that it gives.
func (v *veil) restart(from int64) (offset int64) {
	offset = max(0, from-int64(max(0, v.m.longest-1)))
	v.from, v.offset, v.raw, v.shown = from, offset, v.raw[:0], v.shown[:0]
	return offset
}

// pass takes bytes and gives those that may be shown now, which begin at offset.
// They are the caller's until the next call.
func (v *veil) pass(data []byte) (offset int64, shown []byte) {
	v.raw, v.shown = append(v.raw, data...), append(v.shown, data...)
	v.m.cover(v.raw, v.shown)
	return v.give(v.m.undecided(v.raw))
}

// rest gives what is held back: nothing follows that could make a mask of it.
func (v *veil) rest() (offset int64, shown []byte) { return v.give(len(v.raw)) }

func (v *veil) give(n int) (offset int64, shown []byte) {
	known := min(max(0, v.from-v.offset), int64(n))
	offset, shown = v.offset+known, bytes.Clone(v.shown[known:n])
	v.offset += int64(n)
	v.raw = append(v.raw[:0], v.raw[n:]...)
	v.shown = append(v.shown[:0], v.shown[n:]...)
	return offset, shown
}
