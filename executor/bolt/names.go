package bolt

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// Names are 2026-11-22T12 or, when the hour has several, 2026-11-22T12-2 and so on.

const hourFormat = "2006-01-02T15"

// nameFor gives the name of the next shard: of this hour, or one more of the
// newest hour there ever was, so that names follow the order whatever the clock does.
func (s *shards) nameFor(now time.Time) string {
	name := now.UTC().Format(hourFormat)
	if hour, n := splitName(s.last); hour >= name {
		return hour + "-" + strconv.Itoa(n+1)
	}
	return name
}

func (s *shards) noteName(file string) {
	if s.last == "" || compareNames(file, s.last) > 0 {
		s.last = strings.TrimSuffix(file, ".db")
	}
}

func compareNames(a, b string) int {
	hourA, a1 := splitName(strings.TrimSuffix(a, ".db"))
	hourB, b1 := splitName(strings.TrimSuffix(b, ".db"))
	return cmp.Or(cmp.Compare(hourA, hourB), cmp.Compare(a1, b1))
}

// splitName parts a name into its hour and its number in that hour, from 1.
func splitName(name string) (hour string, n int) {
	if len(name) <= len(hourFormat) {
		return name, 1
	}
	n, err := strconv.Atoi(strings.TrimPrefix(name[len(hourFormat):], "-"))
	if err != nil {
		return name, 1
	}
	return name[:len(hourFormat)], n
}
