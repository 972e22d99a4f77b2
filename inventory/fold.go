package inventory

import (
	"slices"
	"sort"
	"strings"
)

// Fold writes names short, for people: dut[01-24],gw. It folds as ClusterShell's
// nodeset does: sorted, each name once, several ranges in a name, padding kept.
// [Expand] gives the names back.
func Fold(names []string) string {
	var b strings.Builder
	for _, f := range foldAll(names) {
		for _, v := range f.vectors {
			if b.Len() > 0 {
				b.WriteByte(',')
			}
			f.write(&b, v)
		}
	}
	return b.String()
}

// family is all names that differ only in their numbers.
type family struct {
	literals []string // around the numbers
	sort     string   // the literals with "%s" between, as ClusterShell sorts them
	vectors  []vector
}

// vector is a block of names: every combination of its axes.
type vector []axis

// axis is the set of numbers that stand in one place, as written, so that 1 and
// 01 are two. It is sorted by length, then by text, once settled.
type axis struct {
	numbers []string
	text    string // the set as ranges; the key for comparing
	loose   bool   // numbers were added, not sorted yet
}

func (a *axis) settle() {
	if a.loose {
		sortNumbers(a.numbers)
	}
	if a.loose || a.text == "" {
		a.numbers = slices.Compact(a.numbers)
		a.text = ranges(a.numbers)
	}
	a.loose = false
}

func sortNumbers(n []string) {
	sort.Slice(n, func(i, j int) bool { return numberLess(n[i], n[j]) })
}

func numberLess(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

// ranges writes sorted numbers as 1-3,7. A range may go on from 9 to 10, but
// not from 09 to 100: its ends must tell the padding of all between.
func ranges(numbers []string) string {
	if len(numbers) == 1 {
		return numbers[0]
	}
	var b strings.Builder
	padded := false // as ClusterShell has it, a lone 09 makes the 92 behind it padded too: [09,92-99,100]
	for i := 0; i < len(numbers); {
		j := i
		padded = padded && len(numbers[i]) == len(numbers[i-1]) || len(numbers[i]) > 1 && numbers[i][0] == '0'
		for j+1 < len(numbers) && follows(numbers[j], numbers[j+1]) && !(padded && len(numbers[j]) < len(numbers[j+1])) {
			j++
		}
		padded = padded && j == i
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(numbers[i])
		if j > i {
			b.WriteByte('-')
			b.WriteString(numbers[j])
		}
		i = j + 1
	}
	return b.String()
}

// follows is true when b is a plus one and written with the same padding.
func follows(a, b string) bool {
	i := len(a) - 1
	for i >= 0 && a[i] == '9' {
		i--
	}
	nines := len(a) - 1 - i
	if i < 0 { // 9 to 10, 99 to 100; a leading zero cannot stand here
		return len(b) == len(a)+1 && b[0] == '1' && strings.Trim(b[1:], "0") == ""
	}
	return len(a) == len(b) && a[:i] == b[:i] && b[i] == a[i]+1 && b[i+1:] == strings.Repeat("0", nines)
}

func (f *family) write(b *strings.Builder, v vector) {
	for i, a := range v {
		b.WriteString(f.literals[i])
		if len(a.numbers) > 1 {
			b.WriteString("[" + a.text + "]")
		} else {
			b.WriteString(a.text)
		}
	}
	b.WriteString(f.literals[len(v)])
}

// each calls fn for all names of the family in folded order.
func (f *family) each(fn func(string)) {
	var build func(v vector, prefix string, i int)
	build = func(v vector, prefix string, i int) {
		prefix += f.literals[i]
		if i == len(v) {
			fn(prefix)
			return
		}
		for _, n := range v[i].numbers {
			build(v, prefix+n, i+1)
		}
	}
	for _, v := range f.vectors {
		build(v, "", 0)
	}
}

// maxDigits is the longest number that folds; a longer one stays text.
const maxDigits = 18

// template splits a name into the text around its numbers and the numbers.
func template(name string) (literals, numbers []string) {
	start := 0
	for i := 0; i < len(name); {
		if name[i] < '0' || name[i] > '9' {
			i++
			continue
		}
		j := i
		for j < len(name) && name[j] >= '0' && name[j] <= '9' {
			j++
		}
		if j-i <= maxDigits {
			literals, numbers = append(literals, name[start:i]), append(numbers, name[i:j])
			start = j
		}
		i = j
	}
	return append(literals, name[start:]), numbers
}

// foldAll sorts names into families and folds each.
func foldAll(names []string) []*family {
	byKey := map[string]*family{}
	var all []*family
	for _, name := range names {
		literals, numbers := template(name)
		key := strings.Join(literals, "\x00")
		f := byKey[key]
		if f == nil {
			f = &family{literals: literals, sort: strings.Join(literals, "%s")}
			byKey[key] = f
			all = append(all, f)
		}
		f.add(numbers)
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].sort < all[j].sort })
	for _, f := range all {
		f.fold()
	}
	return all
}

func (f *family) add(numbers []string) {
	if len(numbers) <= 1 && len(f.vectors) == 1 { // plain names and one axis stay one block
		for i, n := range numbers {
			a := &f.vectors[0][i]
			a.numbers, a.loose = append(a.numbers, n), true
		}
		return
	}
	v := make(vector, len(numbers))
	for i, n := range numbers {
		v[i] = axis{numbers: []string{n}, text: n}
	}
	f.vectors = append(f.vectors, v)
}

func (f *family) fold() {
	if len(f.vectors) > 1 {
		f.vectors = foldVectors(f.vectors)
	}
	for _, v := range f.vectors {
		for d := range v {
			v[d].settle()
		}
	}
}
