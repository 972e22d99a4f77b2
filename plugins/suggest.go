package plugins

import (
	"strings"
	"unicode"
)

// suggest gives " (did you mean X?)" where a known name is near, else " (known: ...)". It is not inventory.Nearest: a
// room that imports nothing of ours has its own, and here abbreviations count as near.
func suggest(name string, known []string) string {
	best, score := "", 1<<30
	for _, k := range known {
		d := distance(name, k)
		if len(name) >= 3 && within(strings.ToLower(name), k) {
			d = 0 // an abbreviation, as "cmd" is of "command", is no slip of the finger
		}
		if d < score && (d <= 1+len(k)/4 || (len(k) >= 3 && strings.Contains(name, k))) {
			best, score = k, d
		}
	}
	switch {
	case best != "":
		return " (did you mean " + best + "?)"
	case len(known) > 0 && len(known) <= 24:
		return " (known: " + strings.Join(known, ", ") + ")"
	}
	return ""
}

// within reports whether the bytes of short appear in long in that order, first letter first.
func within(short, long string) bool {
	if short == "" || long == "" || short[0] != long[0] {
		return false
	}
	i := 0
	for j := 0; j < len(long) && i < len(short); j++ {
		if short[i] == long[j] {
			i++
		}
	}
	return i == len(short)
}

// distance is Levenshtein's, over bytes. Names are cut at 64: it stays cheap whatever is sent.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// printable makes a name that came from outside fit for a message.
func printable(name string) string {
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
	if len(clean) > 64 {
		clean = strings.ToValidUTF8(clean[:64], "") + "..."
	}
	return clean
}
