package executor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// AuditEntry is one line of the record of who did what. Each holds the hash of
// the one before: an altered, missing or inserted line is found by [Executor.VerifyAudit].
type AuditEntry struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Who     string    `json:"who"`
	Token   string    `json:"token,omitempty"`   // id of the token it came with: several may have one name
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
	entry.Seq, entry.Time, entry.Who, entry.Token, entry.Source, entry.Request, entry.Prev = seq, e.now(), p.Name, p.Token, p.Source, p.Request, string(prev)
	if entry.Hash, err = entry.sum(); err != nil {
		return err
	}
	if err := put(tx, tableAudit, auditKey(seq), entry); err != nil {
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

// Record appends to the audit record in the transaction of what it tells of, for who builds on the executor: test plans.
func (e *Executor) Record(tx Tx, p Principal, entry AuditEntry) error { return e.audit(tx, p, entry) }

// auditEnd tells how a run went, under the request that began it.
func (e *Executor) auditEnd(tx Tx, rec runRecord, hosts []string) error {
	by := rec.owner()
	by.Source, by.Request = "run "+string(rec.ID), rec.RequestID
	return e.audit(tx, by, AuditEntry{Action: "run.end", Object: string(rec.ID), Hosts: hosts, Outcome: string(rec.Verdict), Detail: rec.Reason})
}

// recordAudit writes an audit entry of its own, for what changes nothing in the store: refusals.
func (e *Executor) recordAudit(ctx context.Context, p Principal, entry AuditEntry) {
	err := e.store.Update(context.WithoutCancel(ctx), func(tx Tx) error { return e.audit(tx, p, entry) })
	if err != nil {
		e.log.Error("cannot write the audit record", "action", entry.Action, "who", p.Name, "error", err)
	}
}

// AuditFilter selects audit entries. Empty fields do not filter.
type AuditFilter struct {
	Who, Action, Host, Object string
	Outcome, Request          string
	Since, Until              time.Time // from, and before
	After                     uint64    // entries with a greater Seq
	Before                    uint64    // entries with a smaller Seq; 0 is no bound
	Newest                    bool      // the newest first; else the oldest
	Limit                     int       // 0 is 100, at most 10,000
}

func (f AuditFilter) fits(a AuditEntry) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return is(f.Who, a.Who) && is(f.Action, a.Action) && is(f.Object, a.Object) && is(f.Outcome, a.Outcome) && is(f.Request, a.Request) &&
		(f.Host == "" || slices.Contains(a.Hosts, f.Host)) && !a.Time.Before(f.Since) && (f.Until.IsZero() || a.Time.Before(f.Until))
}

// Audit lists entries, oldest first unless f says otherwise, and reports whether there are more after the
// last. An admin of some groups reads what was done with its own token and what was done on
// hosts that it all sees.
func (e *Executor) Audit(ctx context.Context, p Principal, f AuditFilter) (entries []AuditEntry, more bool, err error) {
	if !p.May(Admin) {
		return nil, false, fmt.Errorf("%s may not read the audit record: %w (needs the role admin)", p.Name, ErrForbidden)
	}
	limit := min(f.Limit, 10000)
	if limit <= 0 {
		limit = 100
	}
	sees := e.seesAll(p)
	entries = []AuditEntry{}
	take := func(a AuditEntry, _ []byte) error {
		if f.over(a.Seq) {
			return errEnough
		}
		if !f.fits(a) || p.Groups != nil && (a.Who != p.Name || a.Token != p.Token) && (len(a.Hosts) == 0 || !sees(a.Hosts)) {
			return nil
		}
		if more = len(entries) == limit; more {
			return errEnough
		}
		entries = append(entries, a)
		return nil
	}
	if f.Newest {
		err = e.walkAuditBack(ctx, f.Before, take)
	} else {
		err = e.walkAudit(ctx, f.After+1, take, nil)
	}
	return entries, more, err
}

// over reports whether a walk in the filter's direction has gone past what it selects.
func (f AuditFilter) over(seq uint64) bool {
	if f.Newest {
		return seq <= f.After
	}
	return f.Before > 0 && seq >= f.Before
}

// walkAuditBack calls fn for the entries before a number, the newest first; 0 is from the end.
func (e *Executor) walkAuditBack(ctx context.Context, before uint64, fn func(a AuditEntry, raw []byte) error) error {
	from := ""
	if before > 0 {
		from = auditKey(before - 1)
	}
	for done := before == 1; !done; {
		var page [][]byte
		err := e.view(ctx, func(tx Tx) error {
			page, done = nil, true
			return tx.Range(tableAudit, from, true, func(key string, raw []byte) bool {
				if len(page) == auditPage {
					from, done = key, false
					return false
				}
				page = append(page, bytes.Clone(raw))
				return true
			})
		})
		if err == nil {
			err = auditLines(page, fn)
		}
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errEnough = errors.New("enough")

// auditPage is how many entries are read in one transaction: it must be short.
const auditPage = 1000

// walkAudit calls fn for the entries from a number on, and last in the
// transaction that read the last of them.
func (e *Executor) walkAudit(ctx context.Context, from uint64, fn func(a AuditEntry, raw []byte) error, last func(Tx) error) error {
	at, next := auditKey(from), ""
	for done := false; !done; at = next {
		var page [][]byte
		err := e.view(ctx, func(tx Tx) error {
			page = nil
			err := tx.Range(tableAudit, at, false, func(key string, raw []byte) bool {
				page, next = append(page, bytes.Clone(raw)), key+"\x00"
				return len(page) < auditPage
			})
			if done = len(page) < auditPage; !done || err != nil || last == nil {
				return err
			}
			if err := auditLines(page, fn); err != nil { // before last: it is asked of the end of the chain
				return err
			}
			page = nil
			return last(tx)
		})
		if err == nil {
			err = auditLines(page, fn)
		}
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// auditLines calls fn for each entry of a page until it gives an error.
func auditLines(page [][]byte, fn func(a AuditEntry, raw []byte) error) error {
	for _, raw := range page {
		var a AuditEntry
		if err := json.Unmarshal(raw, &a); err != nil {
			return fmt.Errorf("an audit entry is no JSON any more: %w: %w", err, ErrCorrupt)
		}
		if err := fn(a, raw); err != nil {
			return err
		}
	}
	return nil
}

func auditKey(seq uint64) string { return fmt.Sprintf("%016x", seq) }

// VerifyAudit walks the whole chain. It gives the number of entries, and an error
// that wraps [ErrCorrupt] and names the first one that does not fit. Every byte counts: an
// entry must be stored exactly as it was written. The chain holds no key: who may write
// to the data directory could make another one, so compare the last hash with an export kept elsewhere.
func (e *Executor) VerifyAudit(ctx context.Context, p Principal) (entries uint64, head string, err error) {
	if !p.May(Admin) || p.Groups != nil {
		return 0, "", fmt.Errorf("%s may not verify the audit record: %w (needs the role admin over all groups)", p.Name, ErrForbidden)
	}
	base, err := e.auditBegin(ctx)
	if err != nil {
		return 0, "", err
	}
	seq := base.Seq
	head = base.Hash
	err = e.walkAudit(ctx, base.Seq+1, func(a AuditEntry, raw []byte) error {
		sum, err := a.sum()
		if err != nil {
			return err
		}
		same, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if a.Seq != seq+1 || a.Prev != head || a.Hash != sum || !bytes.Equal(raw, same) {
			return fmt.Errorf("audit entry %d was altered, or one before it is missing: %w", seq+1, ErrCorrupt)
		}
		entries, seq, head = entries+1, a.Seq, a.Hash
		return nil
	}, func(tx Tx) error {
		if stored, _ := tx.Get(tableAuditHead, "hash"); string(stored) != head {
			return fmt.Errorf("audit entries after %d are missing: %w", seq, ErrCorrupt)
		}
		return nil
	})
	return entries, head, err
}

// auditBegin tells where the record begins. Entries before that place are not of it: none may be left.
func (e *Executor) auditBegin(ctx context.Context) (base auditBase, err error) {
	err = e.view(ctx, func(tx Tx) error {
		if _, err := get(tx, tableAuditHead, auditBaseKey, &base); err != nil {
			return err
		}
		return tx.Range(tableAudit, "", false, func(key string, _ []byte) bool {
			if key < auditKey(base.Seq+1) {
				base = auditBase{} // the place was altered: the walk from the beginning tells where
			}
			return false
		})
	})
	return base, err
}

const (
	refusalsKept = 60 // of one principal a minute; more are only counted
	refusalEvery = time.Second
)

// refusals bounds what of a principal's refusals is written: whoever asks for
// what does not exist in a loop must not fill the disk.
type refusals struct {
	mu  sync.Mutex
	who map[string]*refused
}

type refused struct {
	budget  float64
	at      time.Time
	dropped int
}

func (r *refusals) take(who string, at time.Time) (ok bool, dropped int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.who[who]
	if one == nil {
		if r.who == nil || len(r.who) >= 10000 {
			r.who = map[string]*refused{}
		}
		one = &refused{budget: refusalsKept, at: at}
		r.who[who] = one
	}
	one.budget = min(refusalsKept, one.budget+float64(at.Sub(one.at))/float64(refusalEvery))
	one.at = at
	if one.budget < 1 {
		one.dropped++
		return false, 0
	}
	one.budget--
	dropped, one.dropped = one.dropped, 0
	return true, dropped
}

// Refused puts on record that the principal was refused what it asked for: by
// rights, or because it does not exist for it. Of a flood only some are written, with how many were not.
func (e *Executor) Refused(ctx context.Context, p Principal, what, why string) {
	ok, dropped := e.refusals.take(p.Name, time.Now())
	if !ok {
		return
	}
	if dropped > 0 {
		why += fmt.Sprintf(" (and %d more not on record)", dropped)
	}
	e.recordAudit(ctx, p, AuditEntry{Action: "request", Object: clip(what, 200), Outcome: "refused", Detail: clip(why, 500)})
}

// Reloaded puts on record that the controller read settings of its own again, by which occasion, and whether they were
// taken; a file that was is for [Executor.Took]. Who edited a file or sent the signal it cannot know. Of a flood of refusals only some are written.
func (e *Executor) Reloaded(ctx context.Context, occasion string, entry AuditEntry, refused error) {
	entry.Outcome = "taken"
	if refused != nil {
		entry.Outcome, entry.Detail = "refused", clip(refused.Error(), 500)
		if ok, _ := e.refusals.take("\x00reload", time.Now()); !ok {
			return
		}
	}
	e.recordAudit(ctx, Principal{Name: "tfwd", Source: occasion}, entry)
}

func clip(text string, n int) string {
	if len(text) > n {
		return strings.ToValidUTF8(text[:n], "") + "..."
	}
	return text
}
