package lines

import (
	"fmt"
	"regexp"
	"unicode"
	"unicode/utf8"
)

// colours are the escape sequences that only colour text (ECMA-48 8.3.117 SGR).
var colours = regexp.MustCompile(`\x1b\[[0-9;:]*m`)

// Safe neutralises a line for a terminal: sequences that only colour are left
// out, every other control character is shown (ESC as ^[), and so are bytes that
// are no UTF-8 and the characters that turn the direction of text. Tabs stay.
// The line is given back as it is when there is nothing to do.
func Safe(line []byte) []byte {
	if plain(line) {
		return line
	}
	line = colours.ReplaceAll(line, nil)
	out := make([]byte, 0, len(line)+16)
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		switch {
		case r == utf8.RuneError && n == 1:
			out = fmt.Appendf(out, `\x%02x`, line[0])
		case r == '\t':
			out = append(out, '\t')
		case r < 0x20 || r == 0x7f:
			out = append(out, '^', byte(r)^0x40)
		case unicode.IsControl(r) || turns(r):
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = append(out, line[:n]...)
		}
		line = line[n:]
	}
	return out
}

// plain is the quick test: printable ASCII and tabs only.
func plain(line []byte) bool {
	for _, c := range line {
		if (c < 0x20 && c != '\t') || c >= 0x7f {
			return false
		}
	}
	return true
}

// turns reports the bidirectional controls of UAX 9, which can make a line read as another.
func turns(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x061c || r == 0x200e || r == 0x200f || r == 0x2028 || r == 0x2029
}
