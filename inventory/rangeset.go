package inventory

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxNames bounds what one host set may name. It is checked by arithmetic,
// before a single name is made.
const maxNames = 1000000

// setError is what is wrong in a host set, off bytes after its beginning.
type setError struct {
	off          int
	message, fix string
}

func (e *setError) Error() string { return e.message }

func setErrorf(off int, fix, format string, args ...any) *setError {
	return &setError{off: off, message: fmt.Sprintf(format, args...), fix: fix}
}

// span is one range of numbers, both ends included: 01-24/2.
type span struct {
	lo, hi, step int
	width        int  // digits with padding; 0 without
	stepped      bool // a step is written
}

func (s span) count() int { return (s.hi-s.lo)/s.step + 1 }

func (s span) text(n int) string {
	t := strconv.Itoa(n)
	if len(t) < s.width {
		t = strings.Repeat("0", s.width-len(t)) + t
	}
	return t
}

// parseSpans reads what stands between brackets: 1,3,7-9,0-8/2.
func parseSpans(body string, off int) ([]span, *setError) {
	var spans []span
	for at := 0; ; {
		end := strings.IndexByte(body[at:], ',')
		part := body[at:]
		if end >= 0 {
			part = body[at : at+end]
		}
		s, err := parseSpan(part, off+at)
		if err != nil {
			return nil, err
		}
		spans = append(spans, s)
		if end < 0 {
			return spans, nil
		}
		at += end + 1
	}
}

func parseSpan(part string, off int) (span, *setError) {
	if part == "" {
		return span{}, setErrorf(off, "write a number or a range such as 1-5", "an empty range")
	}
	bounds, step, stepped := strings.Cut(part, "/")
	lo, hi, ranged := strings.Cut(bounds, "-")
	if !ranged {
		hi = lo
	}
	for _, between := range []string{"..", ":"} { // as in shells, and in Ansible
		if a, b, ok := strings.Cut(part, between); ok && a != "" && b != "" && strings.Trim(a+b, digits) == "" {
			return span{}, setErrorf(off+len(a), "write "+a+"-"+b, "a range is written with a dash, not with %s", quoted(between))
		}
	}
	s := span{step: 1, stepped: stepped}
	var err *setError
	if s.lo, err = parseNumber(lo, off); err != nil {
		return span{}, err
	}
	if s.hi, err = parseNumber(hi, off+len(bounds)-len(hi)); err != nil {
		return span{}, err
	}
	if stepped {
		if s.step, err = parseNumber(step, off+len(bounds)+1); err != nil {
			return span{}, err
		}
		if s.step == 0 {
			return span{}, setErrorf(off+len(bounds)+1, "write a step of 1 or more", "a step of 0 in %s", quoted(part))
		}
	}
	if s.hi < s.lo {
		return span{}, setErrorf(off, "write "+quoted(hi+"-"+lo), "the range %s runs backwards", quoted(part))
	}
	return padded(s, lo, hi, off)
}

// padded sets the width: a leading zero on either end means that both are
// written with the same number of digits.
func padded(s span, lo, hi string, off int) (span, *setError) {
	zero := func(t string) bool { return len(t) > 1 && t[0] == '0' }
	if !zero(lo) && !zero(hi) {
		return s, nil
	}
	if len(lo) != len(hi) {
		return span{}, setErrorf(off, "write both ends with the same number of digits, as in 01-24", "the ends of %s are padded differently", quoted(lo+"-"+hi))
	}
	s.width = len(lo)
	return s, nil
}

func parseNumber(t string, off int) (int, *setError) {
	if t == "" {
		return 0, setErrorf(off, "write ranges as 1-5, 01-24 or 0-8/2", "a number is missing in the range")
	}
	for i := 0; i < len(t); i++ {
		if t[i] < '0' || t[i] > '9' {
			return 0, setErrorf(off+i, "write ranges as 1-5, 01-24 or 0-8/2", "%s is not a number", quoted(t))
		}
	}
	n, err := strconv.Atoi(t)
	if err != nil || n > math.MaxInt/4 || len(t) > 18 {
		return 0, setErrorf(off, "use a smaller number", "the number %s is too large", quoted(t))
	}
	return n, nil
}

// namePattern is a name with ranges in it: literals[0] dims[0] literals[1] ...
type namePattern struct {
	literals []string
	dims     [][]span
}

// parsePattern reads one name such as dut[01-24] or r[1-2]s[1-8].ib0.
func parsePattern(s string) (namePattern, *setError) {
	var p namePattern
	for at := 0; ; {
		open := strings.IndexAny(s[at:], "[]")
		if open < 0 {
			p.literals = append(p.literals, s[at:])
			return p, p.adjacent(s)
		}
		open += at
		if s[open] == ']' {
			return p, setErrorf(open, "remove it, or open the range with [", "a closing bracket without an opening one")
		}
		if open == at && at > 0 {
			return p, setErrorf(open, "put something between the brackets", "two ranges touch each other")
		}
		shut := strings.IndexAny(s[open+1:], "[]")
		if shut < 0 || s[open+1+shut] == '[' {
			return p, setErrorf(open, "close the range with ]", "the bracket is not closed")
		}
		shut += open + 1
		spans, err := parseSpans(s[open+1:shut], open+1)
		if err != nil {
			return p, err
		}
		p.literals, p.dims = append(p.literals, s[at:open]), append(p.dims, spans)
		at = shut + 1
	}
}

// adjacent refuses ranges that digits touch where one can misread them: n[1-6/2]0
// would step by 20, n0[1-10] is padded to no one width, and n1[8-12] is n18, n19,
// n110 to one and n18 to n112 to the other (ClusterShell).
func (p namePattern) adjacent(s string) *setError {
	off := 0
	for i, spans := range p.dims {
		off += len(p.literals[i])
		lead, trail := lastDigits(p.literals[i]), firstDigits(p.literals[i+1])
		if lead+trail == "" {
			continue
		}
		for _, sp := range spans {
			lo, hi := sp.text(sp.lo), sp.text(sp.hi)
			switch uneven := len(lo) != len(hi); {
			case sp.stepped && trail != "":
				return setErrorf(off, "write the range without a step, or put a separator before the digits", "digits follow a range with a step in %s", quoted(s))
			case uneven && (lead != "" || lo == "0"):
				return setErrorf(off, "write the digits inside the range, as in [101-124], or give both its ends the same number of digits", "digits touch a range from %s to %s in %s, which can be read in two ways", lo, hi, quoted(s))
			}
		}
	}
	return nil
}

func firstDigits(s string) string { return s[:len(s)-len(strings.TrimLeft(s, digits))] }
func lastDigits(s string) string  { return s[len(strings.TrimRight(s, digits)):] }

const digits = "0123456789"

// count is how many names the pattern makes, duplicates counted, at most maxNames+1.
func (p namePattern) count() int {
	total := 1
	for _, spans := range p.dims {
		n := 0
		for _, s := range spans {
			n = min(n+s.count(), maxNames+1)
		}
		total = min(total*n, maxNames+1)
	}
	return total
}

// names makes all names, the last range running fastest.
func (p namePattern) names() []string {
	out := make([]string, 0, p.count())
	var build func(prefix string, dim int)
	build = func(prefix string, dim int) {
		prefix += p.literals[dim]
		if dim == len(p.dims) {
			out = append(out, prefix)
			return
		}
		for _, s := range p.dims[dim] {
			for n := s.lo; n <= s.hi; n += s.step {
				build(prefix+s.text(n), dim+1)
			}
		}
	}
	build("", 0)
	return out
}

// expandPattern is parsePattern and names within a limit.
func expandPattern(s string, limit int) ([]string, *setError) {
	p, err := parsePattern(s)
	if err != nil {
		return nil, err
	}
	if n := p.count(); n > limit {
		return nil, setErrorf(0, fmt.Sprintf("name at most %d hosts", limit), "%s names too many hosts", quoted(s))
	}
	return p.names(), nil
}
