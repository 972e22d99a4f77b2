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
	out := make([]string, 0, len(names))
	for _, f := range foldAll(names) {
		f.each(func(n string) { out = append(out, n) })
	}
	return out, nil
}

func evaluate(set string, terms []term) ([]string, error) {
	var names []string
	count := 0
	plain := false
	for _, t := range terms {
		n, err := termNames(set, t, maxNames-count)
		if err != nil {
			return nil, err
		}
		if t.op == 0 {
			plain = true
			count += len(n)
			names = append(names, n...)
		}
	}
	if !plain {
		return nil, termError(set, terms[0], 0, "begin with the names to take from", "only & and ! terms")
	}
	for _, op := range []byte{'&', '!'} {
		for _, t := range terms {
			if t.op != op {
				continue
			}
			n, _ := termNames(set, t, maxNames)
			names = sieve(names, n, op == '&')
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

func termNames(set string, t term, limit int) ([]string, error) {
	switch {
	case t.text[0] == '@':
		return nil, termError(set, t, 0, "see: tfwctl hosts "+t.text, "groups are known to an inventory only")
	case t.text[0] == '~' || strings.ContainsAny(t.text, "*?"):
		return nil, termError(set, t, 0, "see: tfwctl hosts", "patterns are matched in an inventory only")
	}
	names, serr := expandPattern(t.text, limit)
	if serr != nil {
		return nil, termError(set, t, serr.off, serr.fix, "%s", serr.message)
	}
	return names, nil
}

// termError is about a term, off bytes into it.
func termError(target string, t term, off int, fix, format string, args ...any) *TargetError {
	at := min(t.off+off, len(target))
	return &TargetError{
		Target: target, Column: utf8.RuneCountInString(target[:at]) + 1,
		Term: t.text, Message: fmt.Sprintf(format, args...), Fix: fix,
	}
}
