package inventory

import (
	"strings"
	"unicode/utf8"
)

// iniWord is one word of a host's line and where it begins, in characters.
type iniWord struct {
	text string
	off  int
}

// iniWords splits a host's line as Python's shlex does with comments: quotes may
// stand anywhere in a word, a backslash takes the next character as it is (within
// double quotes only a quote and a backslash), and # begins a comment even in
// the middle of a word. Where a quote is not closed ok is false and off is its place.
func iniWords(line string) (words []iniWord, off int, ok bool) {
	var b strings.Builder
	start, at, quoteAt := -1, -1, 0
	quote := rune(0)
	end := func() {
		if start >= 0 {
			words = append(words, iniWord{b.String(), start})
		}
		b.Reset()
		start = -1
	}
	for i := 0; i < len(line); {
		c, n := utf8.DecodeRuneInString(line[i:])
		next, m := utf8.DecodeRuneInString(line[i+n:])
		i += n
		at++
		if start < 0 && !strings.ContainsRune(" \t\r\n#", c) {
			start = at
		}
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && m > 0 && (quote == 0 || quote == '"' && (next == '"' || next == '\\')):
			b.WriteRune(next)
			i += m
			at++
		case quote != 0:
			b.WriteRune(c)
		case c == '\\':
			return nil, at, false // nothing follows it
		case c == '"' || c == '\'':
			quote, quoteAt = c, at
		case strings.ContainsRune(" \t\r\n", c):
			end()
		case c == '#':
			end()
			return words, 0, true
		default:
			b.WriteRune(c)
		}
	}
	end()
	return words, quoteAt, quote == 0
}
