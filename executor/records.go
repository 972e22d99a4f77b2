package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"tfw/inventory"
	"tfw/plugins"
)

// The tables of the store. Their keys and values are this package's alone.
const (
	tableRuns     = "runs"               // run id -> runRecord
	tableOrder    = "runs.order"         // %016x of Seq -> run id
	tableOpen     = "runs.open"          // ids of the runs that are not done -> %016x of Seq
	tableDone     = "runs.done"          // %016x of Seq -> a done run as lists show it
	tableIndex    = "runs.index"         // kind, NUL, word, NUL, %016x of Seq -> nothing
	tableFound    = "runs.found"         // host, NUL, run id -> nothing
	tableResults  = "results"            // run id/%06d -> resultRecord, in inventory order
	tableOps      = "operations"         // run id/%06d/%06d (host's index, ordinal) -> opRecord
	tableKeys     = "idempotency"        // principal, NUL, key -> keyRecord
	tableSettings = "host.settings"      // hash -> inventory.Host
	tableHostIDs  = "host.ids"           // name -> decimal id
	tableStates   = "host.states"        // name -> inventory.StateOverride
	tableHealth   = "host.health"        // name -> healthRecord
	tableUnacked  = "operations.unacked" // CommandID -> unacked
	tableTokens   = "tokens"             // id -> tokenRecord
)

// runRecord is a run without its hosts: those are resultRecords of their own, so
// that one host's end is one small write.
type runRecord struct {
	Run
	Seq   uint64            `json:"seq"`
	Jumps map[string]string `json:"jumps,omitempty"` // jump host -> key in tableSettings

	ByToken  string   `json:"by_token,omitempty"`  // id of the token that By came with
	ByGroups []string `json:"by_groups,omitempty"` // that By saw; nil is all
}

// owner is who asked for the run, as far as that is on record.
func (rec *runRecord) owner() Principal {
	return Principal{Name: rec.By, Token: rec.ByToken, Groups: rec.ByGroups}
}

// resultRecord is one host's part of a run.
type resultRecord struct {
	HostResult
	Settings string    `json:"settings"` // key in tableSettings: the host as the run found it
	Waiting  time.Time `json:"waiting,omitzero"`
}

// opRecord is one operation of a method on a host: the intent before it is
// begun, completed by how it ended. Replay answers from it.
type opRecord struct {
	Kind     string            `json:"kind"`              // "run", "upload", "download", "reboot", "host key"
	Print    string            `json:"print"`             // of everything that was asked for
	BootID   string            `json:"boot_id,omitempty"` // of the host when the intent was stored
	Begun    time.Time         `json:"begun"`
	Started  bool              `json:"started,omitempty"` // the host has confirmed the start
	As       *changedUser      `json:"as,omitempty"`      // whom a command is run as, where that is not the login user
	Ended    bool              `json:"ended,omitempty"`
	End      *End              `json:"end,omitempty"`
	Kept     Offsets           `json:"kept,omitzero"`    // what the log holds, where there is no End
	Dropped  Offsets           `json:"dropped,omitzero"` // nothing before it is asked for again, though the log does not hold it: it is beyond the limit
	Transfer *plugins.Transfer `json:"transfer,omitempty"`
	// Keys holds what was on file when a change of the host's key was begun, then what came of it.
	Keys *plugins.KeyChange `json:"keys,omitempty"`

	Truncated bool   `json:"truncated,omitempty"` // the log does not hold all of it; then what the method was shown:
	Stdout    []byte `json:"stdout,omitempty"`
	Stderr    []byte `json:"stderr,omitempty"`

	Failure *opFailure  `json:"failure,omitempty"`
	Kill    *KillReport `json:"kill,omitempty"`
}

// changedUser is a [BecomeAs] without its password: that is read when it is needed.
type changedUser struct {
	User   string `json:"user"`
	Method string `json:"method"`
}

func changed(b *BecomeAs) *changedUser {
	if b == nil {
		return nil
	}
	return &changedUser{b.User, b.Method}
}

// become is how the host is asked to act as the user of a record.
func (e *Executor) become(u *changedUser, host *inventory.Host) (*BecomeAs, error) {
	if u == nil {
		return nil, nil
	}
	as := &BecomeAs{User: u.User, Method: u.Method}
	if set := host.SSH.Become; set.Password != "" {
		password, err := e.cfg.Resolve(set.Password)
		if err != nil {
			return nil, fmt.Errorf("become password of %s: %w", host.Name, err)
		}
		as.Password = password
	}
	return as, nil
}

func resultKey(id RunID, index int) string { return fmt.Sprintf("%s/%06d", id, index) }

func opKey(id RunID, index, ordinal int) string {
	return fmt.Sprintf("%s/%06d/%06d", id, index, ordinal)
}

func put(tx Tx, table, key string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("record %s/%s: %w", table, key, err)
	}
	return tx.Put(table, key, raw)
}

// get decodes a record into value and reports whether there is one.
func get(tx Tx, table, key string, value any) (bool, error) {
	raw, ok := tx.Get(table, key)
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(raw, value); err != nil {
		return false, fmt.Errorf("record %s/%s: %w", table, key, err)
	}
	return true, nil
}

// rangePrefix calls fn for every record whose key begins with prefix, in key order.
func rangePrefix[T any](tx Tx, table, prefix string, fn func(key string, value T) error) error {
	var failed error
	err := tx.Range(table, prefix, false, func(key string, raw []byte) bool {
		if len(key) < len(prefix) || key[:len(prefix)] != prefix {
			return false
		}
		var v T
		if failed = json.Unmarshal(raw, &v); failed != nil {
			failed = fmt.Errorf("record %s/%s: %w", table, key, failed)
			return false
		}
		failed = fn(key, v)
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// load reads a run with its hosts, or gives ErrNotFound.
func load(tx Tx, id RunID) (*Run, []resultRecord, error) {
	var rec runRecord
	ok, err := get(tx, tableRuns, string(id), &rec)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, nil, fmt.Errorf("run %q: %w", id, ErrNotFound)
	}
	results := make([]resultRecord, 0, rec.HostCount)
	err = rangePrefix(tx, tableResults, string(id)+"/", func(_ string, r resultRecord) error {
		results = append(results, r)
		return nil
	})
	run := rec.Run
	run.Hosts = make([]HostResult, len(results))
	for i := range results {
		run.Hosts[i] = results[i].HostResult
	}
	run.count()
	return &run, results, err
}

// settings gives a host's record and its key: the hash of its content.
func settings(h *inventory.Host) (key string, raw []byte, err error) {
	raw, err = json.Marshal(h)
	if err != nil {
		return "", nil, fmt.Errorf("host %q: vars: %w", h.Name, err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16]), raw, nil
}

// view reads with a bound of its own, for callers whose context may be over.
func (e *Executor) view(ctx context.Context, fn func(tx Tx) error) error {
	return e.cfg.Store.View(ctx, fn)
}
