package plan

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"tfw/executor"
)

// A Report writes rows in a format that other tools read. Give it the rows of one
// step at a time, then Close it.
type Report interface {
	// Rows appends what the rows of one step are in the format.
	Rows(b []byte, rows []Row) []byte
	// Close appends the end.
	Close(b []byte) []byte
}

// NewReport makes a report of the named test plan: "junit" or "tap"; nil for any other format.
func NewReport(format, name string) Report {
	switch format {
	case "junit":
		return &junit{name: name}
	case "tap":
		return &tap{}
	}
	return nil
}

// reportText makes a text of a host fit for XML 1.0 and TAP: escape sequences go,
// tab and newline stay, other control characters and bytes that are no UTF-8 become U+FFFD.
func reportText(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if n := escapeLength(s[i:]); n > 0 {
			i += n
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch {
		case r == '\r' && strings.HasPrefix(s[i:], "\n"):
		case r == '\t' || r == '\n':
			b.WriteRune(r)
		case r == utf8.RuneError || unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF || r&0xFFFE == 0xFFFE || unicode.Is(unicode.Bidi_Control, r):
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// escapeLength is that of a terminal's sequence (ECMA-48: CSI, or a string such as a title) at the beginning of s, or 0.
func escapeLength(s string) int {
	switch {
	case strings.HasPrefix(s, "\x1b["):
		for i := 2; i < len(s) && i < 64 && s[i] >= 0x20; i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
		}
	case strings.HasPrefix(s, "\x1b]"):
		for i := 2; i < len(s) && i < 1024 && s[i] != '\n'; i++ {
			if s[i] == '\a' {
				return i + 1
			}
			if strings.HasPrefix(s[i:], "\x1b\\") {
				return i + 2
			}
		}
	}
	return 0
}

// reportLine is reportText on one line.
func reportLine(s string) string {
	return strings.Join(strings.FieldsFunc(reportText(s), func(r rune) bool { return r == '\n' || r == '\t' }), " ")
}

// said is the row's message, or what stands for it.
func (r Row) said() string {
	if r.Message != "" {
		return r.Message
	}
	return spoken(r.Verdict)
}

// spoken is a verdict as people read it: "timed out".
func spoken(v executor.Verdict) string { return strings.ReplaceAll(string(v), "_", " ") }

// good rows need no explanation.
func (r Row) good() bool { return r.Verdict == executor.Passed }
