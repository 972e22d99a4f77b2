package gather

// block says that a[a:a+n] equals b[b:b+n].
type block struct{ a, b, n int }

// matcher finds the longest common runs of lines, then those on both sides of
// them (Ratcliff and Obershelp, 1988), in the way of Python's difflib: in texts of 200
// lines or more, lines that make up over 1 % of the second are no place to start from.
type matcher struct {
	a, b  []string
	where map[string][]int // of a line in b, but for popular ones
}

func newMatcher(a, b []string) *matcher {
	m := &matcher{a: a, b: b, where: map[string][]int{}}
	for j, line := range b {
		m.where[line] = append(m.where[line], j)
	}
	if n := len(b); n >= 200 {
		for line, at := range m.where {
			if len(at) > n/100+1 {
				delete(m.where, line)
			}
		}
	}
	return m
}

// blocks lists the matches in order, neighbours joined.
func (m *matcher) blocks() []block {
	var found []block
	m.within(0, len(m.a), 0, len(m.b), &found)
	var joined []block
	for _, f := range found {
		if k := len(joined) - 1; k >= 0 && joined[k].a+joined[k].n == f.a && joined[k].b+joined[k].n == f.b {
			joined[k].n += f.n
			continue
		}
		joined = append(joined, f)
	}
	return joined
}

func (m *matcher) within(a0, a1, b0, b1 int, found *[]block) {
	// The right side loops, so that the depth stays small on texts that match piece by piece.
	for a0 < a1 && b0 < b1 {
		l := m.longest(a0, a1, b0, b1)
		if l.n == 0 {
			return
		}
		m.within(a0, l.a, b0, l.b, found)
		*found = append(*found, l)
		a0, b0 = l.a+l.n, l.b+l.n
	}
}

// longest finds the longest match in the window, the earliest in a, then in b.
func (m *matcher) longest(a0, a1, b0, b1 int) block {
	best := block{a0, b0, 0}
	lengths := map[int]int{} // of the match that ends at (i-1, j)
	for i := a0; i < a1; i++ {
		next := map[int]int{}
		for _, j := range m.where[m.a[i]] {
			if j < b0 {
				continue
			}
			if j >= b1 {
				break
			}
			n := lengths[j-1] + 1
			next[j] = n
			if n > best.n {
				best = block{i - n + 1, j - n + 1, n}
			}
		}
		lengths = next
	}
	for best.a > a0 && best.b > b0 && m.a[best.a-1] == m.b[best.b-1] {
		best.a, best.b, best.n = best.a-1, best.b-1, best.n+1
	}
	for best.a+best.n < a1 && best.b+best.n < b1 && m.a[best.a+best.n] == m.b[best.b+best.n] {
		best.n++
	}
	return best
}
