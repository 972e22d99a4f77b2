package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// auditBase is where the record begins once its oldest entries were dropped: the number and
// hash of the last one that is gone. The first entry that is left holds that hash too.
type auditBase struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

const auditBaseKey = "base" // in tableAuditHead

// PruneAudit drops entries of the audit record that are older than age, 0 none. That is itself
// on record, with the hash of the last entry that is gone: with an export that ends in that hash the whole chain can still be proven.
func (e *Executor) PruneAudit(ctx context.Context, age time.Duration) (dropped int, err error) {
	if age = e.byAge(age); age <= 0 {
		return 0, nil
	}
	limit := e.now().Add(-age)
	base := auditBase{}
	for more := true; more && err == nil; {
		n := 0
		err = e.store.Update(ctx, func(tx Tx) error {
			n, more = 0, false
			keys, last, err := e.oldEntries(tx, limit)
			if err != nil || len(keys) == 0 {
				return err
			}
			for _, key := range keys {
				if err := tx.Delete(tableAudit, key); err != nil {
					return err
				}
			}
			base, n, more = last, len(keys), len(keys) == pruneAtOnce
			return put(tx, tableAuditHead, auditBaseKey, last)
		})
		dropped += n
	}
	if dropped > 0 {
		e.recordAudit(ctx, Principal{Name: "tfwd", Source: "clock"}, AuditEntry{Action: "audit.prune", Outcome: "dropped",
			Detail: fmt.Sprintf("%d entries up to number %d, hash %s", dropped, base.Seq, base.Hash)})
	}
	return dropped, err
}

// oldEntries finds the first entries as far as they are too old. The newest is never one of them.
func (e *Executor) oldEntries(tx Tx, limit time.Time) (keys []string, last auditBase, err error) {
	head, _ := tx.Get(tableAuditHead, "hash")
	var failed error
	var ahead []string // of a clock that was ahead for a while: as old as what comes after
	now := e.now()
	err = tx.Range(tableAudit, "", false, func(key string, raw []byte) bool {
		var a AuditEntry
		if failed = json.Unmarshal(raw, &a); failed != nil || a.Hash == string(head) {
			return false
		}
		if a.Time.After(now) {
			ahead = append(ahead, key)
			return len(ahead) < 50*pruneAtOnce
		}
		if !a.Time.Before(limit) {
			return false
		}
		keys, last = append(append(keys, ahead...), key), auditBase{a.Seq, a.Hash}
		ahead = ahead[:0]
		return len(keys) < pruneAtOnce
	})
	return keys, last, errors.Join(err, failed)
}

// PruneLeases forgets leases that ended longer than age ago, 0 none. Who had what and when stays in the audit record.
func (e *Executor) PruneLeases(ctx context.Context, age time.Duration) (dropped int, err error) {
	if age = e.byAge(age); age <= 0 {
		return 0, nil
	}
	limit := e.now().Add(-age)
	old := func(raw []byte) bool {
		var l struct {
			State LeaseState `json:"state"`
			Over  time.Time  `json:"over"`
		}
		return json.Unmarshal(raw, &l) == nil && l.State == LeaseEnded && l.Over.Before(limit)
	}
	for from, more := "", true; more && err == nil; {
		n, next := 0, ""
		err = e.store.Update(ctx, func(tx Tx) error {
			n, more = 0, false
			var keys []string
			err := tx.Range(tableLeases, from, false, func(key string, raw []byte) bool {
				if next = key; old(bytes.Clone(raw)) {
					keys = append(keys, key)
				}
				more = len(keys) == pruneAtOnce
				return !more
			})
			for _, key := range keys {
				err = errors.Join(err, tx.Delete(tableLeases, key))
			}
			n = len(keys)
			return err
		})
		dropped, from = dropped+n, next
	}
	return dropped, err
}
