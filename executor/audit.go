package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// AuditEntry is one line of the record of who did what. Each holds the hash of
// the one before: an altered, missing or inserted line is found by [Executor.VerifyAudit].
type AuditEntry struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Who     string    `json:"who"`
	Source  string    `json:"source,omitempty"`  // where the request came from
	Request string    `json:"request,omitempty"` // its X-Request-Id
	Action  string    `json:"action"`            // "run", "cancel", "lease", "token.create" ...
	Object  string    `json:"object,omitempty"`  // id of the run, lease, token ...
	Hosts   []string  `json:"hosts,omitempty"`
	Outcome string    `json:"outcome"`
	Detail  string    `json:"detail,omitempty"`
	Prev    string    `json:"prev"` // Hash of the entry before, "" of the first
	Hash    string    `json:"hash"` // hex SHA-256 of this entry's JSON with Hash empty
}

const (
	tableAudit     = "audit"
	tableAuditHead = "audit.head" // "hash" -> the last entry's
)

// audit appends to the chain in the transaction of what it records.
func (e *Executor) audit(tx Tx, p Principal, entry AuditEntry) error {
	seq, err := tx.Next(tableAudit)
	if err != nil {
		return err
	}
	prev, _ := tx.Get(tableAuditHead, "hash")
	entry.Seq, entry.Time, entry.Who, entry.Source, entry.Request, entry.Prev = seq, now(), p.Name, p.Source, p.Request, string(prev)
	if entry.Hash, err = entry.sum(); err != nil {
		return err
	}
	if err := put(tx, tableAudit, fmt.Sprintf("%016x", seq), entry); err != nil {
		return err
	}
	return tx.Put(tableAuditHead, "hash", []byte(entry.Hash))
}

func (a AuditEntry) sum() (string, error) {
	a.Hash = ""
	raw, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("audit entry: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// record writes an audit entry of its own, for what changes nothing in the store: refusals.
func (e *Executor) recordAudit(ctx context.Context, p Principal, entry AuditEntry) {
	err := e.store.Update(context.WithoutCancel(ctx), func(tx Tx) error { return e.audit(tx, p, entry) })
	if err != nil {
		e.log.Error("cannot write the audit record", "action", entry.Action, "who", p.Name, "error", err)
	}
}

// AuditFilter selects audit entries. Empty fields do not filter.
type AuditFilter struct {
	Who, Action, Host, Object string
	Since                     time.Time
	After                     uint64 // entries with a greater Seq
	Limit                     int    // 0 is 100, at most 10,000
}

func (f AuditFilter) fits(a AuditEntry) bool {
	onHost := f.Host == ""
	for _, h := range a.Hosts {
		onHost = onHost || h == f.Host
	}
	return onHost && (f.Who == "" || a.Who == f.Who) && (f.Action == "" || a.Action == f.Action) &&
		(f.Object == "" || a.Object == f.Object) && !a.Time.Before(f.Since)
}

// Audit lists entries, oldest first.
func (e *Executor) Audit(ctx context.Context, p Principal, f AuditFilter) ([]AuditEntry, error) {
	if !p.May(Admin) {
		return nil, fmt.Errorf("%s may not read the audit record: %w (needs the role admin)", p.Name, ErrForbidden)
	}
	limit := min(f.Limit, 10000)
	if limit <= 0 {
		limit = 100
	}
	all := []AuditEntry{}
	err := e.walkAudit(ctx, f.After+1, func(a AuditEntry) error {
		if f.fits(a) {
			all = append(all, a)
		}
		if len(all) == limit {
			return errEnough
		}
		return nil
	})
	return all, err
}

var errEnough = fmt.Errorf("enough")

func (e *Executor) walkAudit(ctx context.Context, from uint64, fn func(AuditEntry) error) error {
	return e.view(ctx, func(tx Tx) error {
		var failed error
		err := tx.Range(tableAudit, fmt.Sprintf("%016x", from), false, func(key string, raw []byte) bool {
			var a AuditEntry
			if failed = json.Unmarshal(raw, &a); failed != nil {
				failed = fmt.Errorf("audit entry %s: %w", key, failed)
				return false
			}
			failed = fn(a)
			return failed == nil
		})
		if failed == errEnough {
			failed = nil
		}
		if failed != nil {
			return failed
		}
		return err
	})
}

// VerifyAudit walks the whole chain. It gives the number of entries, and an error
// that wraps [ErrCorrupt] and names the first one that does not fit.
func (e *Executor) VerifyAudit(ctx context.Context, p Principal) (entries uint64, err error) {
	if !p.May(Admin) {
		return 0, fmt.Errorf("%s may not read the audit record: %w (needs the role admin)", p.Name, ErrForbidden)
	}
	prev := ""
	err = e.walkAudit(ctx, 0, func(a AuditEntry) error {
		entries++
		sum, err := a.sum()
		if err != nil {
			return err
		}
		if a.Seq != entries || a.Prev != prev || a.Hash != sum {
			return fmt.Errorf("audit entry %d was altered, or one before it is missing: %w", a.Seq, ErrCorrupt)
		}
		prev = a.Hash
		return nil
	})
	if err != nil {
		return entries, err
	}
	return entries, e.view(ctx, func(tx Tx) error {
		if head, _ := tx.Get(tableAuditHead, "hash"); string(head) != prev {
			return fmt.Errorf("audit entries after %d are missing: %w", entries, ErrCorrupt)
		}
		return nil
	})
}
