package gather

import "fmt"

// Unified gives the unified diff of two texts with three lines of context, cut
// the way Python's difflib cuts it, which is what clush shows. Lines have no end
// marks. Equal texts give nothing.
func Unified(a, b []string, from, to string) []string {
	var out []string
	for _, hunk := range hunks(opcodes(a, b)) {
		if out == nil {
			out = append(out, "--- "+from, "+++ "+to)
		}
		first, last := hunk[0], hunk[len(hunk)-1]
		out = append(out, fmt.Sprintf("@@ -%s +%s @@", span(first.a0, last.a1), span(first.b0, last.b1)))
		for _, op := range hunk {
			if op.equal {
				out = prefixed(out, " ", a[op.a0:op.a1])
				continue
			}
			out = prefixed(out, "-", a[op.a0:op.a1])
			out = prefixed(out, "+", b[op.b0:op.b1])
		}
	}
	return out
}

func prefixed(out []string, mark string, lines []string) []string {
	for _, l := range lines {
		out = append(out, mark+l)
	}
	return out
}

// span writes a range of lines as POSIX diff -u does: the count 1 is left out,
// an empty range names the line before it.
func span(from, to int) string {
	switch n := to - from; n {
	case 1:
		return fmt.Sprint(from + 1)
	case 0:
		return fmt.Sprintf("%d,0", from)
	default:
		return fmt.Sprintf("%d,%d", from+1, n)
	}
}

// op says that a[a0:a1] equals or becomes b[b0:b1].
type op struct {
	equal          bool
	a0, a1, b0, b1 int
}

const context = 3

// hunks cuts the edit into groups with at most [context] equal lines around.
func hunks(ops []op) [][]op {
	if len(ops) == 0 || len(ops) == 1 && ops[0].equal {
		return nil
	}
	if f := &ops[0]; f.equal {
		f.a0, f.b0 = max(f.a0, f.a1-context), max(f.b0, f.b1-context)
	}
	if l := &ops[len(ops)-1]; l.equal {
		l.a1, l.b1 = min(l.a1, l.a0+context), min(l.b1, l.b0+context)
	}
	var all [][]op
	var hunk []op
	for _, o := range ops {
		if o.equal && o.a1-o.a0 > 2*context {
			hunk = append(hunk, op{true, o.a0, o.a0 + context, o.b0, o.b0 + context})
			all = append(all, hunk)
			hunk = nil
			o.a0, o.b0 = o.a1-context, o.b1-context
		}
		hunk = append(hunk, o)
	}
	return append(all, hunk)
}

// opcodes turns matching blocks into the whole edit from a to b.
func opcodes(a, b []string) []op {
	var ops []op
	i, j := 0, 0
	for _, m := range append(newMatcher(a, b).blocks(), block{len(a), len(b), 0}) {
		if i < m.a || j < m.b {
			ops = append(ops, op{false, i, m.a, j, m.b})
		}
		if m.n > 0 {
			ops = append(ops, op{true, m.a, m.a + m.n, m.b, m.b + m.n})
		}
		i, j = m.a+m.n, m.b+m.n
	}
	return ops
}
