package executor

import (
	"errors"
	"slices"
	"strings"
)

// walk steps through the places in the order of runs at which all of its sources
// have one: each step asks a source for its place nearest to where the others are, so that a
// page costs about what it holds, however many runs there are.
type walk struct {
	tx      Tx
	oldest  bool
	sources []source
	mine    []source // of a principal of some groups: its hosts' runs
}

// source gives its place at or after from in the direction of the walk, "" when there is none.
type source func(from string) (string, error)

// newWalk picks the sources by the filter and the rights. For a principal of some groups they are its own hosts' runs,
// whatever else is asked for: a list of all that somebody asked for, or of a plugin, would tell by the time
// that it takes how many hidden runs it holds. (A test plan's id nobody guesses.)
func (e *Executor) newWalk(tx Tx, p Principal, f RunFilter) (*walk, error) {
	w := &walk{tx: tx, oldest: f.Oldest}
	if f.State == Queued || f.State == Running {
		open, err := openRuns(tx)
		if err != nil {
			return nil, err
		}
		w.sources = append(w.sources, w.list(open))
	}
	for _, by := range []struct {
		kind, word string
		tells      bool
	}{
		{byHost, f.Host, false}, {byPlan, f.Plan, false}, {byWhom, f.By, f.By != p.Name}, {byVerdict, string(f.Verdict), true}, {byPlugin, f.Plugin, true},
	} {
		if by.word != "" && !(by.tells && p.Groups != nil) {
			w.sources = append(w.sources, w.table(tableIndex, indexPrefix(by.kind, by.word)))
		}
	}
	switch {
	case p.Groups != nil && f.Host == "":
		for _, name := range e.mine(p) {
			w.mine = append(w.mine, w.table(tableIndex, indexPrefix(byHost, name)))
		}
		w.sources = append(w.sources, w.any(w.mine))
	case len(w.sources) == 0 && f.State == Done:
		w.sources = []source{w.table(tableDone, "")}
	case len(w.sources) == 0:
		w.sources = []source{w.table(tableOrder, "")}
	}
	return w, nil
}

// Places calls fn for the places (%016x) that keys of a table end with behind one of the prefixes: each place once, in
// order, from one on ("": from the first), while fn gives true. It costs what these prefixes hold, whatever else the table does.
func Places(tx Tx, table string, prefixes []string, oldest bool, from string, fn func(place string) bool) error {
	w := &walk{tx: tx, oldest: oldest}
	sources := make([]source, len(prefixes))
	for i, prefix := range prefixes {
		sources[i] = w.table(table, prefix)
	}
	if w.sources = []source{w.any(sources)}; from == "" {
		from = w.first("")
	}
	for at, err := w.next(from); ; at, err = w.next(w.past(at)) {
		if err != nil || at == "" || !fn(at) {
			return err
		}
	}
}

// mine gives the names of the hosts that exist for the principal.
func (e *Executor) mine(p Principal) (names []string) {
	for _, h := range e.cfg.Inventory().Hosts() {
		if p.Sees(h) {
			names = append(names, h.Name)
		}
	}
	return names
}

// openRuns gives the places of the runs that are not done, in order.
func openRuns(tx Tx) (seqs []string, err error) {
	var failed error
	err = tx.Range(tableOpen, "", false, func(id string, place []byte) bool {
		if isMarker(string(place)) {
			seqs = append(seqs, string(place))
			return true
		}
		var rec struct{ Seq uint64 } // an earlier version kept no place
		var ok bool
		if ok, failed = get(tx, tableRuns, id, &rec); ok {
			seqs = append(seqs, orderKey(rec.Seq))
		}
		return failed == nil
	})
	slices.Sort(seqs)
	return seqs, errors.Join(err, failed)
}

// first is where a page after the marker begins.
func (w *walk) first(marker string) string {
	switch {
	case marker != "":
		return w.past(marker)
	case w.oldest:
		return strings.Repeat("0", 16)
	}
	return strings.Repeat("f", 16)
}

// past gives the place next to one, "" beyond the ends.
func (w *walk) past(seq string) string {
	b := []byte(seq)
	full, empty, step := byte('0'), byte('f'), func(c byte) byte { return hexDigits[strings.IndexByte(hexDigits, c)-1] }
	if w.oldest {
		full, empty, step = 'f', '0', func(c byte) byte { return hexDigits[strings.IndexByte(hexDigits, c)+1] }
	}
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != full {
			b[i] = step(b[i])
			return string(b)
		}
		b[i] = empty
	}
	return ""
}

const hexDigits = "0123456789abcdef"

// next gives the first place at or after from that every source has, "" when there is none.
func (w *walk) next(from string) (string, error) {
	if from == "" {
		return "", nil
	}
	return w.all(w.sources)(from)
}

// mineAt counts the principal's hosts in the run at the place that the walk has come to.
func (w *walk) mineAt(seq string) (n int, err error) {
	for _, src := range w.mine {
		at, err := src(seq)
		if err != nil {
			return 0, err
		}
		if at == seq {
			n++
		}
	}
	return n, nil
}

// all is where every one of the sources has a place.
func (w *walk) all(sources []source) source {
	if len(sources) == 1 {
		return sources[0]
	}
	return func(from string) (string, error) {
		for agree := 0; agree < len(sources); {
			for _, src := range sources {
				at, err := src(from)
				if err != nil || at == "" {
					return "", err
				}
				if at != from {
					from, agree = at, 0
				}
				if agree++; agree >= len(sources) {
					break
				}
			}
		}
		return from, nil
	}
}

// any is where at least one of the sources has a place.
func (w *walk) any(sources []source) source {
	return func(from string) (string, error) {
		best := ""
		for _, src := range sources {
			at, err := src(from)
			if err != nil {
				return "", err
			}
			if at != "" && (best == "" || (at < best) == w.oldest) {
				best = at
			}
		}
		return best, nil
	}
}

// table is the places that end a table's keys behind a prefix. It remembers its
// last answer: of many sources few are asked anew for each step.
func (w *walk) table(name, prefix string) source {
	asked, known := "", ""
	return func(from string) (at string, err error) {
		if asked != "" && (known == "" || w.reaches(from, known)) {
			return known, nil
		}
		err = w.tx.Range(name, prefix+from, !w.oldest, func(key string, _ []byte) bool {
			if rest, ok := strings.CutPrefix(key, prefix); ok {
				at = rest
			}
			return false
		})
		asked, known = from, at
		return at, err
	}
}

// reaches tells whether a walk that stands at from has yet to come to the place. It never goes back.
func (w *walk) reaches(from, place string) bool {
	if w.oldest {
		return from <= place
	}
	return from >= place
}

// list is places at hand.
func (w *walk) list(seqs []string) source {
	return func(from string) (string, error) {
		i, found := slices.BinarySearch(seqs, from)
		if !found && !w.oldest {
			i--
		}
		if i < 0 || i >= len(seqs) {
			return "", nil
		}
		return seqs[i], nil
	}
}
