package inventory

import (
	"slices"
	"sort"
	"strings"
)

// foldVectors folds names with several numbers into as few blocks as merging
// pairs gives: two blocks that differ in one axis only become one. The order of
// merging is ClusterShell's, so that the same set looks the same in both.
func foldVectors(vs []vector) []vector {
	vs = distinct(vs)
	if only, ok := oneAxis(vs); ok {
		return only
	}
	for thorough := false; ; {
		sortVectors(vs)
		before := len(vs)
		if thorough {
			vs = mergeAny(vs)
		} else {
			vs = mergeNeighbours(vs)
		}
		for _, v := range vs {
			for d := range v {
				v[d].settle()
			}
		}
		if len(vs) == before {
			if thorough {
				return vs
			}
			thorough = true
		}
	}
}

func (v vector) key() string {
	var b strings.Builder
	for i := range v {
		b.WriteString(v[i].text)
		b.WriteByte(' ')
	}
	return b.String()
}

// keyWithout tells apart blocks by all axes but one.
func (v vector) keyWithout(skip int) string {
	var b strings.Builder
	for i := range v {
		if i != skip {
			b.WriteString(v[i].text)
		}
		b.WriteByte(' ')
	}
	return b.String()
}

func distinct(vs []vector) []vector {
	seen := make(map[string]bool, len(vs))
	out := vs[:0]
	for _, v := range vs {
		if k := v.key(); !seen[k] {
			seen[k] = true
			out = append(out, v)
		}
	}
	return out
}

// oneAxis is the short way when all blocks differ in the same single axis.
func oneAxis(vs []vector) ([]vector, bool) {
	varies := -1
	for d := range vs[0] {
		for _, v := range vs[1:] {
			if v[d].text != vs[0][d].text {
				if varies >= 0 {
					return nil, false
				}
				varies = d
				break
			}
		}
	}
	if varies >= 0 {
		a := &vs[0][varies]
		for _, v := range vs[1:] {
			a.numbers = append(a.numbers, v[varies].numbers...)
		}
		a.loose = true
		a.settle()
	}
	return vs[:1], true
}

// sortVectors puts larger blocks first, then larger axes, then lower ends. Ends
// compare as text, as ClusterShell compares them.
func sortVectors(vs []vector) {
	sort.SliceStable(vs, func(i, j int) bool {
		a, b := vs[i], vs[j]
		if x, y := a.size(), b.size(); x != y {
			return x > y
		}
		for d := range a {
			m, n := a[d].numbers, b[d].numbers
			if len(m) != len(n) {
				return len(m) > len(n)
			}
			if m[0] != n[0] {
				return m[0] < n[0]
			}
			if x, y := m[len(m)-1], n[len(n)-1]; x != y {
				return x < y
			}
		}
		return false
	})
}

func (v vector) size() int {
	n := 1
	for i := range v {
		n *= len(v[i].numbers)
	}
	return n
}

// mergeNeighbours merges each block with those right behind it.
func mergeNeighbours(vs []vector) []vector {
	out := vs[:0]
	for i := 0; i < len(vs); {
		cur := vs[i]
		for i++; i < len(vs); i++ {
			d, ok := onlyDifference(cur, vs[i])
			if !ok {
				break
			}
			cur[d].numbers = append(cur[d].numbers, vs[i][d].numbers...)
			cur[d].loose = true
		}
		out = append(out, cur)
	}
	return out
}

func onlyDifference(a, b vector) (int, bool) {
	at := -1
	for d := range a {
		if sameAxis(&a[d], &b[d]) {
			continue
		}
		if at >= 0 {
			return 0, false
		}
		at = d
	}
	return at, at >= 0
}

func sameAxis(a, b *axis) bool {
	if len(a.numbers) != len(b.numbers) {
		return false
	}
	a.settle()
	b.settle()
	return a.text == b.text
}

// mergeAny merges each block with any behind it, found by the axes they share:
// as thorough as trying all pairs, without trying them.
func mergeAny(vs []vector) []vector {
	if len(vs) == 0 {
		return vs
	}
	shared := make([]map[string][]int, len(vs[0]))
	for d := range shared {
		shared[d] = make(map[string][]int, len(vs))
		for i, v := range vs {
			k := v.keyWithout(d)
			shared[d][k] = append(shared[d][k], i)
		}
	}
	gone := make([]bool, len(vs))
	out := make([]vector, 0, len(vs))
	for i, cur := range vs {
		if gone[i] {
			continue
		}
		for after := i; ; {
			j, d := nextPartner(cur, after, shared, gone)
			if j < 0 {
				break
			}
			gone[j] = true
			cur[d].numbers = append(slices.Clip(cur[d].numbers), vs[j][d].numbers...)
			cur[d].loose = true
			cur[d].settle()
			after = j
		}
		out = append(out, cur)
	}
	return out
}

// nextPartner is the first block behind after that differs from cur in one axis.
func nextPartner(cur vector, after int, shared []map[string][]int, gone []bool) (at, axis int) {
	at = -1
	for d := range shared {
		list := shared[d][cur.keyWithout(d)]
		for k := sort.SearchInts(list, after+1); k < len(list); k++ {
			if at >= 0 && list[k] >= at {
				break
			}
			if !gone[list[k]] {
				at, axis = list[k], d
				break
			}
		}
	}
	return at, axis
}
