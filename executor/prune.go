package executor

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// Pruned counts what [Executor.Prune] took away.
type Pruned struct {
	Runs      int
	Settings  int   // hosts as runs had found them
	Artifacts int   // files
	Bytes     int64 // of the artifacts
}

// pruneAtOnce bounds one transaction: others wait for the writer.
const pruneAtOnce = 2000 // records

// Prune forgets runs that ended longer than age ago, and the oldest ended ones beyond keep: their records,
// results, operations, idempotency keys (the same key makes a new run then) and the host settings that only they
// had. Artifacts that were neither made nor used for age go too. 0 is no bound. Runs that are not done, the audit record and the log are left
// alone; the log has [Store.Retain]. Left alone are also those of the test plans of spare: who is under way meets its runs again
// after a restart. What is gone is counted even when it ends with an error.
func (e *Executor) Prune(ctx context.Context, age time.Duration, keep int, spare map[string]bool) (Pruned, error) {
	var gone Pruned
	age = e.byAge(age)
	old, err := e.prunable(ctx, age, keep, spare)
	suspects := map[string]bool{} // settings that perhaps nobody needs any more
	for len(old) > 0 && err == nil {
		n := batchOf(old)
		if err = e.dropRuns(ctx, old[:n], suspects); err == nil {
			gone.Runs += n
			old = old[n:]
		}
	}
	n, settingsErr := e.dropSettings(ctx, suspects)
	gone.Settings = n
	if age > 0 {
		gone.Artifacts, gone.Bytes, settingsErr = e.sweptArtifacts(time.Now().Add(-age), settingsErr)
	}
	return gone, errors.Join(err, settingsErr)
}

// batchOf says how many of the runs fit in one transaction, at least one.
func batchOf(runs []runRecord) (n int) {
	for records := 0; n < len(runs) && (n == 0 || records < pruneAtOnce); n++ {
		records += 4 * max(1, runs[n].HostCount) // a result, an intent, an acknowledgement ...
	}
	return n
}

// prunable lists the done runs that are too old or too many, oldest first.
func (e *Executor) prunable(ctx context.Context, age time.Duration, keep int, spare map[string]bool) (old []runRecord, err error) {
	var all []runRecord
	limit := e.now().Add(-age)
	err = e.view(ctx, func(tx Tx) error {
		all = nil
		var failed error
		err := tx.Range(tableOrder, "", false, func(_ string, id []byte) bool {
			var rec runRecord
			ok, err := get(tx, tableRuns, string(id), &rec)
			if err == nil && ok && rec.State == Done {
				rec.Parameters, rec.Options = nil, nil // may be large
				all = append(all, rec)
			}
			failed = ctx.Err()
			return failed == nil
		})
		return errors.Join(err, failed)
	})
	end := e.now()
	for i := range slices.Backward(all) { // a clock that was ahead for a while: nothing ended later than what came after it
		if all[i].Finished.After(e.now()) {
			all[i].Finished = end
		}
		end = all[i].Finished
	}
	for i, rec := range all {
		if !spare[rec.Plan] && (age > 0 && rec.Finished.Before(limit) || keep > 0 && len(all)-i > keep) {
			old = append(old, rec)
		}
	}
	return old, err
}

// dropRuns takes whole runs away and collects the settings that they used.
func (e *Executor) dropRuns(ctx context.Context, runs []runRecord, suspects map[string]bool) error {
	dropped := map[RunID]bool{}
	for _, rec := range runs {
		dropped[rec.ID] = true
	}
	return e.store.Update(ctx, func(tx Tx) error {
		for _, rec := range runs {
			if err := dropRun(tx, rec, suspects); err != nil {
				return err
			}
		}
		tx.Ring(TopicRuns)
		return dropWhere(tx, tableKeys, "", func(raw []byte) bool {
			var k keyRecord
			return json.Unmarshal(raw, &k) == nil && dropped[k.Run]
		})
	})
}

func dropRun(tx Tx, rec runRecord, suspects map[string]bool) error {
	for _, key := range rec.Jumps {
		suspects[key] = true
	}
	prefix := string(rec.ID) + "/"
	var hosts []string
	err := dropWhere(tx, tableResults, prefix, func(raw []byte) bool {
		var r struct{ Host, Settings string }
		if json.Unmarshal(raw, &r) == nil {
			suspects[r.Settings] = true
			hosts = append(hosts, r.Host)
		}
		return true
	})
	return errors.Join(err,
		unfile(tx, rec, hosts),
		dropWhere(tx, tableOps, prefix, func([]byte) bool { return true }),
		tx.Delete(tableRuns, string(rec.ID)),
		tx.Delete(tableOrder, orderKey(rec.Seq)),
	)
}

// dropWhere deletes the records of a prefix for which fn is true.
func dropWhere(tx Tx, table, prefix string, fn func(raw []byte) bool) error {
	var keys []string
	err := tx.Range(table, prefix, false, func(key string, raw []byte) bool {
		if len(key) < len(prefix) || key[:len(prefix)] != prefix {
			return false
		}
		if fn(raw) {
			keys = append(keys, key)
		}
		return true
	})
	for _, key := range keys {
		err = errors.Join(err, tx.Delete(table, key))
	}
	return err
}

// dropSettings deletes those of the suspects that no run and no acknowledgement
// needs. The newest runs are asked first: mostly they clear every suspect at once.
func (e *Executor) dropSettings(ctx context.Context, suspects map[string]bool) (gone int, err error) {
	if len(suspects) == 0 {
		return 0, nil
	}
	newest := ""
	if err := e.view(ctx, func(tx Tx) error { return clearSuspects(ctx, tx, suspects, "", &newest) }); err != nil {
		return 0, err
	}
	if len(suspects) == 0 {
		return 0, nil
	}
	err = e.store.Update(ctx, func(tx Tx) error {
		gone = 0
		left := map[string]bool{}
		for key := range suspects {
			left[key] = true
		}
		last := newest
		if err := clearSuspects(ctx, tx, left, newest, &last); err != nil { // runs that came meanwhile
			return err
		}
		for key := range left {
			gone++
			if err := tx.Delete(tableSettings, key); err != nil {
				return err
			}
		}
		return nil
	})
	return gone, err
}

// clearSuspects takes out of suspects what the runs after the place in the order use, and what acknowledgements use.
// newest is set to the last place there is.
func clearSuspects(ctx context.Context, tx Tx, suspects map[string]bool, after string, newest *string) error {
	if err := rangePrefix(tx, tableUnacked, "", func(_ string, u unacked) error {
		delete(suspects, u.Settings)
		for _, key := range u.Jumps {
			delete(suspects, key)
		}
		return nil
	}); err != nil {
		return err
	}
	var failed error
	first := true
	err := tx.Range(tableOrder, "", true, func(key string, id []byte) bool {
		if first {
			*newest, first = key, false
		}
		if key <= after || len(suspects) == 0 {
			return false
		}
		failed = errors.Join(usedBy(tx, string(id), suspects), ctx.Err())
		return failed == nil
	})
	return errors.Join(err, failed)
}

func usedBy(tx Tx, id string, suspects map[string]bool) error {
	var rec runRecord
	if _, err := get(tx, tableRuns, id, &rec); err != nil {
		return err
	}
	for _, key := range rec.Jumps {
		delete(suspects, key)
	}
	return rangePrefix(tx, tableResults, id+"/", func(_ string, r struct{ Settings string }) error {
		delete(suspects, r.Settings)
		return nil
	})
}
