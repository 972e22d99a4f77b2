package inventory

import (
	"strconv"
	"strings"
)

// letters is the order in which Ansible counts letters.
const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// ansibleNames expands a host's key in an Ansible inventory: web[01:50:2],
// db-[a:f], several ranges in a name.
func ansibleNames(key string, limit int) ([]string, *setError) {
	parts, serr := ansibleParts(key)
	if serr != nil {
		return nil, serr
	}
	total := 1
	for _, p := range parts {
		if total *= p.count(); total > limit {
			return nil, setErrorf(0, "write a smaller range", "%s makes more than %d hosts in the file", quoted(key), maxHosts)
		}
	}
	out := []string{""}
	for _, p := range parts {
		next := make([]string, 0, len(out)*p.count())
		for _, prefix := range out {
			p.each(func(s string) { next = append(next, prefix+s) })
		}
		out = next
	}
	return out, nil
}

// ansiblePart is a literal, or a range of numbers or letters.
type ansiblePart struct {
	literal string
	ranged  bool
	lo, hi  int
	step    int
	width   int
	letters bool
}

func (p ansiblePart) count() int {
	switch {
	case !p.ranged:
		return 1
	case p.hi < p.lo:
		return 0
	}
	return min((p.hi-p.lo)/p.step+1, maxHosts+1)
}

func (p ansiblePart) each(fn func(string)) {
	if !p.ranged {
		fn(p.literal)
		return
	}
	for n := p.lo; n <= p.hi; n += p.step {
		if p.letters {
			fn(letters[n : n+1])
			continue
		}
		s := strconv.Itoa(n)
		fn(strings.Repeat("0", max(0, p.width-len(s))) + s)
	}
}

func ansibleParts(key string) ([]ansiblePart, *setError) {
	var parts []ansiblePart
	for at := 0; ; {
		rest := key[at:]
		open, colon, shut := strings.IndexByte(rest, '['), strings.IndexByte(rest, ':'), strings.IndexByte(rest, ']')
		if open < 0 || colon < open || shut < colon || isIPv6(key) {
			return append(parts, ansiblePart{literal: rest}), nil
		}
		p, serr := ansibleRange(rest[open+1:shut], at+open+1)
		if serr != nil {
			return nil, serr
		}
		parts = append(parts, ansiblePart{literal: rest[:open]}, p)
		at += shut + 1
	}
}

func ansibleRange(body string, off int) (ansiblePart, *setError) {
	p := ansiblePart{ranged: true, step: 1}
	bounds := strings.Split(body, ":")
	if len(bounds) > 3 {
		return p, setErrorf(off, "write [first:last] or [first:last:step]", "a range of %d parts", len(bounds))
	}
	lo, hi := bounds[0], bounds[1]
	if lo == "" {
		lo = "0"
	}
	if hi == "" {
		return p, setErrorf(off, "write [first:last]", "a range without its end")
	}
	var serr *setError
	if len(bounds) == 3 {
		if p.step, serr = parseNumber(bounds[2], off); serr != nil {
			return p, serr
		}
		if p.step == 0 {
			return p, setErrorf(off, "write a step of 1 or more", "a step of 0")
		}
	}
	if i, j := strings.Index(letters, lo), strings.Index(letters, hi); len(lo) == 1 && len(hi) == 1 && i >= 0 && j >= 0 {
		p.lo, p.hi, p.letters = i, j, true
		return p, nil
	}
	if len(lo) > 1 && lo[0] == '0' {
		if p.width = len(lo); len(hi) != p.width {
			return p, setErrorf(off, "write both ends with the same number of digits", "the ends of [%s] are padded differently", body)
		}
	}
	if p.lo, serr = parseNumber(lo, off); serr != nil {
		return p, serr
	}
	p.hi, serr = parseNumber(hi, off)
	return p, serr
}
