package inventory

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Expand gives the names of a host set such as dut[01-24,30],gw!dut03, each
// once, in folded order (the order of [Fold]). Sets join by ',', then '&'
// intersects, then '!' removes. There are no groups here, and no globs: it is
// arithmetic on names. A set of more than a million names is refused before any
// is made. The error is a [*TargetError].
func Expand(set string) ([]string, error) {
	terms, err := scanTarget(set)
	if err != nil {
		return nil, err
	}
	names, err := evaluate(set, terms)
	if err != nil {
		return nil, err
	}
	return inOrder(names), nil
}

func evaluate(set string, terms []term) ([]string, error) {
	patterns := make([]namePattern, len(terms))
	plain, count := false, 0
	for i, t := range terms {
		p, err := termPattern(set, t)
		if err != nil {
			return nil, err
		}
		if count += p.count(); count > maxNames {
			return nil, termError(set, t, 0, fmt.Sprintf("name at most %d hosts", maxNames), "too many hosts are named")
		}
		patterns[i], plain = p, plain || t.op == 0
	}
	if !plain {
		return nil, termError(set, terms[0], 0, "begin with the names to take from", "only & and ! terms")
	}
	var names []string
	for _, op := range []byte{0, '&', '!'} {
		for i, t := range terms {
			switch {
			case t.op != op:
			case op == 0:
				names = append(names, patterns[i].names()...)
			default:
				names = sieve(names, patterns[i].names(), op == '&')
			}
		}
	}
	return names, nil
}

// sieve keeps the names that are (or are not) in other.
func sieve(names, other []string, keep bool) []string {
	in := make(map[string]bool, len(other))
	for _, n := range other {
		in[n] = true
	}
	out := names[:0]
	for _, n := range names {
		if in[n] == keep {
			out = append(out, n)
		}
	}
	return out
}

func termPattern(set string, t term) (namePattern, error) {
	switch {
	case t.text[0] == '@':
		return namePattern{}, termError(set, t, 0, "see: tfwctl hosts "+t.text, "groups are known to an inventory only")
	case t.text[0] == '~' || strings.ContainsAny(t.text, "*?"):
		return namePattern{}, termError(set, t, 0, "see: tfwctl hosts", "patterns are matched in an inventory only")
	}
	p, serr := parsePattern(t.text)
	if serr != nil {
		return p, termError(set, t, serr.off, serr.fix, "%s", serr.message)
	}
	return p, nil
}

// termError is about a term, off bytes into it.
func termError(target string, t term, off int, fix, format string, args ...any) *TargetError {
	at := min(t.off+off, len(target))
	return &TargetError{
		Target: target, Column: utf8.RuneCountInString(target[:at]) + 1,
		Term: t.text, Message: fmt.Sprintf(format, args...), Fix: fix,
	}
}
