package plugins

import (
	"errors"
	"strings"
)

// ErrNUL is returned where a text for a host holds a NUL byte, which no argument,
// environment variable or path of a POSIX system can carry.
var ErrNUL = errors.New("holds a NUL byte, which no command line can carry")

// Quote writes words as one line that a POSIX shell reads back as exactly those
// words, byte for byte (XCU 2.2.2: nothing is special within single quotes). The
// result may hold newlines. The error is [ErrNUL].
func Quote(words ...string) (string, error) {
	var b strings.Builder
	for i, w := range words {
		if strings.IndexByte(w, 0) >= 0 {
			return "", ErrNUL
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		if bare(w) {
			b.WriteString(w)
			continue
		}
		b.WriteByte('\'')
		b.WriteString(strings.ReplaceAll(w, "'", `'\''`))
		b.WriteByte('\'')
	}
	return b.String(), nil
}

// bare reports whether a shell takes the word as it is wherever it stands. "="
// is left out: as first word it would be an assignment; so is a lone reserved
// word, which has only lower-case letters.
func bare(w string) bool {
	special := false
	for i := range len(w) {
		c := w[i]
		switch {
		case c >= 'a' && c <= 'z':
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '/', c == ':', c == '@', c == '%', c == '+', c == ',':
			special = true
		default:
			return false
		}
	}
	return special || (w != "" && !reserved[w])
}

// reserved words of the shells that /bin/sh may be (POSIX XCU 2.4, bash, ksh).
var reserved = map[string]bool{
	"case": true, "coproc": true, "do": true, "done": true, "elif": true, "else": true, "esac": true,
	"fi": true, "for": true, "function": true, "if": true, "in": true, "select": true, "then": true,
	"time": true, "until": true, "while": true, "namespace": true, "repeat": true, "foreach": true, "end": true, "nocorrect": true,
}
