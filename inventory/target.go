package inventory

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// TargetError says why a target, a host set or a --where expression was
// refused. Nothing was selected.
type TargetError struct {
	Target  string `json:"target"`         // the whole text
	Column  int    `json:"column"`         // from 1, in characters; 0 when it concerns the whole
	Term    string `json:"term,omitempty"` // the part in question
	Message string `json:"message"`        // what is wrong
	Fix     string `json:"fix,omitempty"`  // what to do next
}

// Error is one line: the term, what is wrong, where and what to do next.
func (e *TargetError) Error() string {
	s := e.Message
	if e.Term != "" {
		s = quoted(e.Term) + ": " + e.Message
	}
	var more []string
	if e.Column > 0 && e.Target != e.Term {
		more = append(more, fmt.Sprintf("column %d of %s", e.Column, quoted(e.Target)))
	}
	if e.Fix != "" {
		more = append(more, e.Fix)
	}
	if len(more) > 0 {
		s += " (" + strings.Join(more, "; ") + ")"
	}
	return s
}

// maxTarget bounds a target's text, in bytes.
const maxTarget = 1 << 20

// term is one part of a target.
type term struct {
	op   byte   // 0 adds, '&' keeps only, '!' removes
	text string // without op
	off  int    // byte where text begins
}

// scanner cuts a target into terms.
type scanner struct {
	all   string
	at    int
	terms []term
}

func (s *scanner) fail(off int, term, fix, format string, args ...any) error {
	off = max(0, min(off, len(s.all)))
	return &TargetError{Target: s.all, Column: utf8.RuneCountInString(s.all[:off]) + 1, Term: term, Message: fmt.Sprintf(format, args...), Fix: fix}
}

// scanTarget cuts a target at ',' and ':', and before '!' and '&'. Brackets,
// IPv6 literals and the parentheses of a regular expression hold together.
func scanTarget(target string) ([]term, error) {
	s := &scanner{all: target}
	if len(target) > maxTarget {
		return nil, &TargetError{Target: target[:40] + "...", Message: "the target is longer than 1 MiB", Fix: "fold host names into sets such as dut[01-24]"}
	}
	if strings.TrimSpace(target) == "" {
		return nil, &TargetError{Target: target, Message: "the target is empty", Fix: "name hosts or groups, or `all` for every host"}
	}
	if i := strings.IndexFunc(target, isControl); i >= 0 {
		return nil, s.fail(i, "", "write the target on one line of plain text", "a control character in the target")
	}
	if !utf8.ValidString(target) {
		return nil, s.fail(0, "", "write the target as UTF-8", "the target is not text")
	}
	for {
		if err := s.next(); err != nil {
			return nil, err
		}
		if s.at >= len(s.all) {
			return s.terms, nil
		}
		if c := s.all[s.at]; c == ',' || c == ':' {
			s.at++
		}
	}
}

// next reads one term, up to the separator behind it.
func (s *scanner) next() error {
	s.skipSpace()
	t := term{}
	if s.at < len(s.all) && (s.all[s.at] == '!' || s.all[s.at] == '&') {
		t.op = s.all[s.at]
		s.at++
		s.skipSpace()
	}
	t.off = s.at
	end, err := s.end()
	if err != nil {
		return err
	}
	t.text = strings.TrimRight(s.all[s.at:end], " ")
	if t.text == "" {
		return s.empty(t)
	}
	if i := strings.IndexByte(t.text, ' '); i >= 0 && t.text[0] != '~' {
		return s.fail(t.off+i, t.text, "join terms with a comma", "a space inside a term")
	}
	s.terms, s.at = append(s.terms, t), end
	return nil
}

func (s *scanner) empty(t term) error {
	if t.op != 0 {
		return s.fail(t.off-1, string(t.op), "put a host or group behind it, without a second operator", "an operator without a term")
	}
	fix := "remove the extra separator; nothing empty means all"
	if strings.Contains(s.all, "::") {
		fix += "; join an IPv6 address with commas"
	}
	return s.fail(t.off, "", fix, "an empty term")
}

func (s *scanner) skipSpace() {
	for s.at < len(s.all) && s.all[s.at] == ' ' {
		s.at++
	}
}

// end finds where the term at s.at ends.
func (s *scanner) end() (int, error) {
	if s.at < len(s.all) && s.all[s.at] == '~' {
		return s.regexEnd(), nil
	}
	if end := s.address(); end > 0 {
		if s.at > 0 && strings.HasSuffix(strings.TrimRight(s.all[:s.at], " !&"), ":") {
			return 0, s.fail(s.at, s.all[s.at:end], "join it with a comma", "an IPv6 address behind a colon")
		}
		return end, nil
	}
	open := -1
	for i := s.at; i < len(s.all); i++ {
		switch c := s.all[i]; {
		case c == '[' && open >= 0:
			return 0, s.fail(i, s.all[s.at:i+1], "close the first bracket", "a bracket inside a bracket")
		case c == '[':
			open = i
		case c == ']' && open < 0:
			return 0, s.fail(i, s.all[s.at:i+1], "remove it, or open the range with [", "a closing bracket without an opening one")
		case c == ']':
			open = -1
		case open >= 0:
		case c == '^':
			return 0, s.fail(i, s.all[s.at:i+1], "use , & and !", "^ is not offered")
		case c == ',' || c == ':' || c == '!' && i > s.at || c == '&' && i > s.at:
			return i, nil
		case c == '!' || c == '&':
			return i, nil // a second operator: an empty term
		}
	}
	if open >= 0 {
		return 0, s.fail(open, s.all[s.at:], "close it with ]", "the bracket is not closed")
	}
	return len(s.all), nil
}

// address holds an IPv6 literal, which may have a range in it, together. It
// returns 0 when there is none.
func (s *scanner) address() int {
	end := len(s.all)
	depth := 0
	for i := s.at; i < len(s.all); i++ {
		switch s.all[i] {
		case '[':
			depth++
		case ']':
			depth--
		case ',', '!', '&', ' ':
			if depth == 0 || s.all[i] != ',' {
				end = i
			}
		}
		if end < len(s.all) {
			break
		}
	}
	if isIPv6(s.all[s.at:end]) {
		return end
	}
	return 0
}

// isIPv6 is true for an IPv6 literal, in brackets or not, with ranges or not.
func isIPv6(s string) bool {
	if strings.Count(s, ":") < 2 {
		return false
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	var plain strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '[' {
			plain.WriteByte(s[i])
			continue
		}
		shut := strings.IndexByte(s[i:], ']')
		if shut < 0 || strings.Trim(s[i+1:i+shut], "0123456789,-/") != "" {
			return false
		}
		plain.WriteByte('1')
		i += shut
	}
	a, err := netip.ParseAddr(plain.String())
	return err == nil && a.Is6()
}

// regexEnd finds the end of a ~regex: a separator outside any bracket.
func (s *scanner) regexEnd() int {
	depth, class := 0, false
	for i := s.at; i < len(s.all); i++ {
		switch c := s.all[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(' || c == '{':
			depth++
		case c == ')' || c == '}':
			depth--
		case depth <= 0 && (c == ',' || c == ':'):
			return i
		}
	}
	return len(s.all)
}
