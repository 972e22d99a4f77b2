package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// The kinds of words in tableIndex. A run has its verdict's when it is done, the others when it is made.
const (
	byHost    = "host"
	byVerdict = "verdict"
	byPlugin  = "plugin"
	byPlan    = "plan"
	byWhom    = "by"
)

func indexPrefix(kind, word string) string { return kind + "\x00" + word + "\x00" }

// foundPrefix is what ids of runs on the host are behind in tableFound. A host's name holds no NUL.
func foundPrefix(host string) string { return host + "\x00" }

func orderKey(seq uint64) string { return fmt.Sprintf("%016x", seq) }

// indexKeys are the places in tableIndex of a run that was made, or is done.
func indexKeys(rec *runRecord, hosts []string) (keys []string) {
	words := []struct{ kind, word string }{{byPlugin, rec.Plugin}, {byPlan, rec.Plan}, {byWhom, rec.By}}
	if rec.State == Done {
		words = append(words, struct{ kind, word string }{byVerdict, string(rec.Verdict)})
	}
	for _, h := range hosts {
		words = append(words, struct{ kind, word string }{byHost, h})
	}
	for _, w := range words {
		if w.word != "" {
			keys = append(keys, indexPrefix(w.kind, w.word)+orderKey(rec.Seq))
		}
	}
	return keys
}

// index makes a run findable, in lists and by its id.
func index(tx Tx, rec *runRecord, hosts []string) (err error) {
	for _, key := range indexKeys(rec, hosts) {
		err = errors.Join(err, tx.Put(tableIndex, key, []byte{}))
	}
	for _, h := range hosts {
		err = errors.Join(err, tx.Put(tableFound, foundPrefix(h)+string(rec.ID), []byte{}))
	}
	return err
}

// fileAway keeps of a run that is done what lists show of it.
func fileAway(tx Tx, rec runRecord, hosts []string) error {
	run := rec.Run
	run.Hosts, run.HostCount = nil, len(hosts)
	brief(&run)
	seq := orderKey(rec.Seq)
	return errors.Join(put(tx, tableDone, seq, run), tx.Put(tableIndex, indexPrefix(byVerdict, string(rec.Verdict))+seq, []byte{}))
}

// unfile takes back what index and fileAway did.
func unfile(tx Tx, rec runRecord, hosts []string) error {
	err := tx.Delete(tableDone, orderKey(rec.Seq))
	for _, key := range indexKeys(&rec, hosts) {
		err = errors.Join(err, tx.Delete(tableIndex, key))
	}
	for _, h := range hosts {
		err = errors.Join(err, tx.Delete(tableFound, foundPrefix(h)+string(rec.ID)))
	}
	return err
}

// Begin gives the keys of a table that begin with begin, behind one of the prefixes: each once, and of several at
// least two; the one that is begin itself is given alone. It costs what the prefixes are, and nothing for keys behind
// others: who may not see those learns nothing of them by the time that an answer takes.
func Begin(tx Tx, table string, prefixes []string, begin string) (found []string, err error) {
	if begin == "" {
		return nil, nil
	}
	for _, prefix := range prefixes {
		var here []string
		err := tx.Range(table, prefix+begin, false, func(key string, _ []byte) bool {
			key, within := strings.CutPrefix(key, prefix)
			if within = within && strings.HasPrefix(key, begin); within {
				here = append(here, key)
			}
			return within && key != begin && len(here) < 2
		})
		if err != nil {
			return nil, err
		}
		for _, key := range here {
			if key == begin {
				return here, nil
			}
			if !slices.Contains(found, key) {
				found = append(found, key)
			}
		}
		if len(found) > 1 {
			break
		}
	}
	return found, nil
}

// indexed is the key in tableIndex that tells that the runs of before this index came are in it.
const indexed = "indexed: made, found"

// indexRuns brings the runs of a store that was written before there was this index into it.
func (e *Executor) indexRuns(ctx context.Context) error {
	return BringUp(ctx, e.store, e.log, tableIndex, indexed, indexSome)
}

// BringUp makes an index of what a store held before there was one, unless the table has the mark that it was made: part
// brings in some from a place in the order on and gives the place to go on from, "" at the end. Each part is a transaction
// of its own, and where one was not kept it is done again; a store that has the mark is only read.
func BringUp(ctx context.Context, store Store, log *slog.Logger, table, mark string, part func(tx Tx, from string) (next string, err error)) error {
	done := false
	err := store.View(ctx, func(tx Tx) error { _, done = tx.Get(table, mark); return nil })
	for from, next := "0", ""; err == nil && !done && from != ""; from = next {
		err = store.Update(ctx, func(tx Tx) (err error) {
			if next, err = part(tx, from); next == "" && err == nil {
				err = tx.Put(table, mark, []byte{})
			}
			return err
		})
		if from == "0" && next != "" {
			log.Info("what an earlier tfw kept is brought into an index: this is done once and may take seconds", "index", table)
		}
	}
	return err
}

// indexSome brings in some runs from a place in the order on and gives the place to go on from, "" at the end.
func indexSome(tx Tx, from string) (next string, err error) {
	var ids []string
	err = tx.Range(tableOrder, from, false, func(key string, id []byte) bool {
		next = key
		ids = append(ids, string(id))
		return len(ids) <= 200
	})
	if len(ids) <= 200 {
		next = ""
	} else {
		ids = ids[:200]
	}
	for _, id := range ids {
		err = errors.Join(err, indexOne(tx, RunID(id)))
	}
	return next, err
}

func indexOne(tx Tx, id RunID) error {
	var rec runRecord
	if ok, err := get(tx, tableRuns, string(id), &rec); err != nil || !ok {
		if errors.As(err, new(*json.SyntaxError)) {
			return nil // a damaged record is left as it is
		}
		return err
	}
	run, _, err := load(tx, id)
	if err != nil {
		return err
	}
	rec.HostCount, rec.Tally = run.HostCount, run.Tally
	hosts := run.hostNames()
	if rec.State == Done {
		err = fileAway(tx, rec, hosts)
	}
	return errors.Join(err, index(tx, &rec, hosts))
}
