package inventory

import (
	"errors"
	"fmt"
	"strings"
)

// Slice gives the names at the given places of a set, counted from 0 in folded order: "0", "0-3,20" or "0-18/2",
// as nodeset -I has it. Places past the end are left out; an error when that leaves none.
func Slice(names []string, places string) ([]string, error) {
	all := inOrder(names)
	spans, bad := parseSpans(places, 0)
	if bad != nil {
		return nil, fmt.Errorf("%q: %s at column %d (%s)", places, bad.message, bad.off+1, bad.fix)
	}
	taken := make([]bool, len(all))
	for _, s := range spans {
		for at := s.lo; at <= s.hi && at < len(all); at += s.step {
			taken[at] = true
		}
	}
	var out []string
	for i, name := range all {
		if taken[i] {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%q selects none of %d names (the first is 0)", places, len(all))
	}
	return out, nil
}

// Split deals a set in folded order into n parts of nearly the same size, the larger ones first, as nodeset --split does.
// There are fewer parts than n where there are fewer names.
func Split(names []string, n int) ([][]string, error) {
	if n < 1 {
		return nil, errors.New("want at least one part")
	}
	all := inOrder(names)
	var parts [][]string
	for left := min(n, len(all)); left > 0; left-- {
		size := (len(all) + left - 1) / left
		parts, all = append(parts, all[:size]), all[size:]
	}
	return parts, nil
}

// Contiguous gives the folded sets of names without a gap, as nodeset --contiguous does: n[1-3,5] is n[1-3] and n5.
func Contiguous(names []string) []string {
	var sets []string
	for _, f := range foldAll(names) {
		for _, v := range f.vectors {
			for _, block := range v.runs() {
				var b strings.Builder
				f.write(&b, block)
				sets = append(sets, b.String())
			}
		}
	}
	return sets
}

// runs are the blocks of the block whose axes have no gaps.
func (v vector) runs() []vector {
	blocks := []vector{v}
	for d := range v {
		var finer []vector
		for _, block := range blocks {
			for _, run := range block[d].runs() {
				next := append(vector(nil), block...)
				next[d] = run
				finer = append(finer, next)
			}
		}
		blocks = finer
	}
	return blocks
}

// runs cuts a settled axis where its text does.
func (a axis) runs() []axis {
	var out []axis
	numbers := a.numbers
	for text := range strings.SplitSeq(a.text, ",") {
		last := text[strings.LastIndexByte(text, '-')+1:]
		n := 1
		for numbers[n-1] != last {
			n++
		}
		out, numbers = append(out, axis{numbers: numbers[:n], text: text}), numbers[n:]
	}
	return out
}

// inOrder gives each name once, in folded order.
func inOrder(names []string) []string {
	out := make([]string, 0, len(names))
	for _, f := range foldAll(names) {
		f.each(func(name string) { out = append(out, name) })
	}
	return out
}
