package plugins

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// cleanText makes text of a host fit for a message, a report or a terminal: no
// escape sequences, no control characters but newline and tab, valid UTF-8 that XML 1.0
// can hold, at most limit bytes (the cut is shown).
func cleanText(s string, limit int) string {
	const scan = 16 // look at no more than this many times the limit
	if len(s) > limit*scan {
		s = s[:limit*scan]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), r == 0xFFFE, r == 0xFFFF, unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, ansi.Strip(s))
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	s = s[:max(limit-len(cut), 0)]
	for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) && !utf8.RuneStart(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return strings.ToValidUTF8(s, "") + cut
}

const cut = " [...]"

// cleanLine is [cleanText] on one line, without space around it.
func cleanLine(s string, limit int) string {
	return strings.Join(strings.Fields(cleanText(s, limit)), " ")
}

// firstLine gives the first line with something on it, cleaned, for a message.
func firstLine(b []byte, otherwise string) string {
	for line := range bytes.Lines(b) {
		if s := cleanLine(string(line), 300); s != "" {
			return s
		}
	}
	return otherwise
}

// lastLine gives the last line with something on it: where programs say why they gave up.
func lastLine(b []byte, otherwise string) string {
	lines := bytes.Split(b, []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		if s := cleanLine(string(lines[i]), 300); s != "" {
			return s
		}
	}
	return otherwise
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
