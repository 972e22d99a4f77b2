package ssh

import (
	"crypto/rand"
	"fmt"
	"strings"
)

// shCommand is an exec request that runs the script with /bin/sh and the args as
// "$1" and so on, whatever the login shell is. The login shell reads the request, and
// fish, tcsh and the Bourne kind agree on single quotes only where nothing in
// them is a quote, a backslash, an exclamation mark or a newline: anything else travels in octal.
func shCommand(script string, args ...string) string {
	var b strings.Builder
	if len(args) > 0 {
		b.WriteString("set --")
		for _, a := range args {
			b.WriteString(" " + quote(a))
		}
		b.WriteString("; ")
	}
	b.WriteString(script)
	return "exec /bin/sh -c 'eval \"$(printf %b \"" + octal(b.String()) + "\")\"' sh"
}

// quote makes one word of Bourne shell of any text without NUL.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// octal writes what is not plain as the \0ddd of printf's %b (POSIX, printf).
func octal(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(" _./:=,@+-", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\0%03o`, c)
		}
	}
	return b.String()
}

// nonce is a name that the host could not have guessed: it marks our own lines
// among the output of noisy profiles.
func nonce() string { return rand.Text()[:16] }
