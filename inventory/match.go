package inventory

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// cutSlice cuts NAME[...] when the brackets may hold a slice: [0], [-1], [0:3],
// [2:], [:3], or Ansible's old [0-3].
func cutSlice(body string) (base, inside string, ok bool) {
	open := strings.LastIndexByte(body, '[')
	if open <= 0 || !strings.HasSuffix(body, "]") || strings.ContainsAny(body[:open], "[]") && !isGlob(body[:open]) {
		return "", "", false
	}
	inside = body[open+1 : len(body)-1]
	return body[:open], inside, sliceForm.MatchString(inside)
}

var sliceForm = regexp.MustCompile(`^(-?\d+|-?\d*:-?\d*|\d+-\d+)$`)

// nameForm is true when NAME[...] is rather a set of names than a slice of the
// group NAME. [0:3] and [-1] are always slices; [5] is one; [01] and [01-24]
// are names, and so is [1-3] when a host is named so.
func (r *resolver) nameForm(body, inside, base string, k nameKind) bool {
	if strings.ContainsAny(inside, ":") || inside[0] == '-' {
		return false
	}
	ranged := strings.Contains(inside, "-")
	padded := len(inside) > 1 && inside[0] == '0'
	if !ranged && !padded {
		return false
	}
	if isGlob(base) {
		return true
	}
	names, err := expandPattern(body, maxHosts)
	if err != nil {
		return padded
	}
	for _, n := range names {
		if _, ok := r.find(n, k); ok {
			return true
		}
	}
	return false
}

// slice takes a part of a group, or of what a glob matches. Both ends are included.
func (r *resolver) slice(t term, base, inside string, k nameKind) ([]int, error) {
	hosts, ok := r.find(base, k)
	if isGlob(base) {
		var err error
		if hosts, err = r.glob(t, base, k); err != nil || hosts == nil {
			return nil, err
		}
	} else if !ok {
		return r.unknown(t, r.noSuch(t, base, k, ""))
	}
	from, to, err := r.bounds(t, inside, len(hosts))
	if err != nil {
		return nil, err
	}
	return hosts[from : to+1], nil
}

// bounds reads [n], [a:b], [a:], [:b]. A negative number counts from the end; an
// end behind the last host is the last host.
func (r *resolver) bounds(t term, inside string, n int) (from, to int, err error) {
	bad := func(fix, format string, args ...any) error {
		return termError(r.q.Target, t, strings.LastIndexByte(t.text, '[')+1, fix, format, args...)
	}
	lo, hi, ranged := strings.Cut(inside, ":")
	if !ranged && inside[0] != '-' {
		lo, hi, ranged = strings.Cut(inside, "-")
	}
	if ranged && lo == "" && hi == "" {
		return 0, 0, bad("leave the brackets out to take all of it", "a slice without numbers")
	}
	number := func(s string, otherwise int) int {
		i, aerr := strconv.Atoi(s)
		if s == "" {
			return otherwise
		}
		if aerr != nil && s[0] != '-' {
			return n // past any host
		}
		if i < 0 || aerr != nil {
			i += n
		}
		return i
	}
	from, to = number(lo, 0), number(hi, n-1)
	if !ranged {
		to = from
	}
	if n == 0 || from < 0 && !ranged || from >= n || to < 0 || to < from {
		return 0, 0, bad("its hosts are numbered from 0", "selects nothing: %s", sliceSize(n))
	}
	return max(from, 0), min(to, n-1), nil
}

func sliceSize(n int) string {
	switch n {
	case 0:
		return "there is no host to count"
	case 1:
		return "there is one host, number 0"
	}
	return fmt.Sprintf("there are %d hosts, 0 to %d", n, n-1)
}

// isGlob is true for a pattern over names: *, ? or a class such as [!0-2] or [ab].
func isGlob(s string) bool {
	if strings.ContainsAny(s, "*?") {
		return true
	}
	for {
		open := strings.IndexByte(s, '[')
		shut := strings.IndexByte(s, ']')
		if open < 0 || shut < open {
			return false
		}
		if isClass(s[open+1 : shut]) {
			return true
		}
		s = s[shut+1:]
	}
}

// isClass tells [ab] and [!0-2] from the ranges [1-3] and [0:2].
func isClass(inside string) bool {
	return inside != "" && (inside[0] == '!' || strings.Trim(inside, "0123456789,-/:") != "")
}

// maxAlternatives bounds the numbers of a range inside a glob.
const maxAlternatives = 10000

// glob finds the names that a pattern matches: of hosts, and of groups.
func (r *resolver) glob(t term, pattern string, k nameKind) ([]int, error) {
	re, serr := globRegexp(pattern)
	if serr != nil {
		return nil, termError(r.q.Target, t, len(t.text)-len(strings.TrimPrefix(t.text, "@"))+serr.off, serr.fix, "%s", serr.message)
	}
	return r.matching(t, re, k)
}

func globRegexp(pattern string) (*regexp.Regexp, *setError) {
	var b strings.Builder
	b.WriteString(`^(?s:`)
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteByte('.')
		case '[':
			shut := i + strings.IndexByte(pattern[i:], ']')
			part, err := bracketRegexp(pattern[i+1:shut], i+1)
			if err != nil {
				return nil, err
			}
			b.WriteString(part)
			i = shut
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	b.WriteString(`)$`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, setErrorf(0, "simplify it", "this pattern cannot be used: %v", err)
	}
	return re, nil
}

// bracketRegexp turns a class into a class and a range of numbers into their alternatives.
func bracketRegexp(inside string, off int) (string, *setError) {
	if isClass(inside) {
		class, negate := strings.CutPrefix(inside, "!")
		quotedClass := strings.NewReplacer(`\`, `\\`, `^`, `\^`, `[`, `\[`, `:`, `\:`).Replace(class)
		if class == "" {
			return "", setErrorf(off, "put letters between the brackets", "an empty class")
		}
		if negate {
			quotedClass = "^" + quotedClass
		}
		return "[" + quotedClass + "]", nil
	}
	spans, err := parseSpans(inside, off)
	if err != nil {
		return "", err
	}
	p := namePattern{literals: []string{"", ""}, dims: [][]span{spans}}
	if p.count() > maxAlternatives {
		return "", setErrorf(off, "use a smaller range, or *", "a range of more than %d numbers inside a pattern", maxAlternatives)
	}
	return "(?:" + strings.Join(p.names(), "|") + ")", nil
}

// regex finds the names that begin with a match of ~regex.
func (r *resolver) regex(t term) ([]int, error) {
	body := t.text[1:]
	if strings.TrimSpace(body) == "" {
		return nil, termError(r.q.Target, t, 0, "write ~ and an expression, or `all`", "an empty regular expression")
	}
	re, err := regexp.Compile(`^(?:` + body + `)`)
	if err != nil {
		return nil, termError(r.q.Target, t, 1, "see the syntax at https://golang.org/s/re2syntax", "not a regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return r.matching(t, re, nameKind{hosts: true})
}

func (r *resolver) matching(t term, re *regexp.Regexp, k nameKind) ([]int, error) {
	seen := make([]bool, len(r.inv.hosts))
	out := []int{}
	matched := false
	add := func(at []int) {
		matched = true
		for _, i := range at {
			if !seen[i] {
				seen[i] = true
				out = append(out, i)
			}
		}
	}
	for _, g := range r.inv.groups {
		if re.MatchString(g.Name) {
			at, _ := r.inv.groupMembers(g.Name)
			add(at)
		}
	}
	if k.hosts {
		for i, h := range r.inv.hosts {
			if re.MatchString(h.Name) {
				add([]int{i})
			}
		}
	}
	if !matched {
		e := termError(r.q.Target, t, 0, "see: tfwctl hosts", "matches no host or group")
		return r.unknown(t, e)
	}
	return out, nil
}
