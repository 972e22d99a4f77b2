package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"tfw/executor"
)

// OwnKeys begins the idempotency keys that the engine gives its runs and nested test plans.
// What a user sends must not begin so: it would be taken for one of them.
const OwnKeys = "testplan/"

// keyRecord is what an idempotency key made, and of which request.
type keyRecord struct {
	ID    string `json:"id"`
	Print string `json:"print,omitempty"`
}

// print tells requests apart that come under one key.
func (s Submission) print() string {
	raw, err := json.Marshal(struct {
		Submission
		Resume string
	}{s, s.resume})
	if err != nil {
		return "" // it could not be stored either
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// checkKey refuses keys that are not for users.
func (s Submission) checkKey() error {
	if s.parent == "" && strings.HasPrefix(s.IdempotencyKey, OwnKeys) {
		return fmt.Errorf("idempotency key: %w: one that begins with %q is tfw's own (take any other)", executor.ErrBadRequest, OwnKeys)
	}
	return nil
}

// replayed gives the test plan that the same request made before, or "": a request sent again
// gets its answer even where the plan would be refused by now.
func (e *Engine) replayed(ctx context.Context, p executor.Principal, s Submission) (id string, err error) {
	if s.IdempotencyKey == "" {
		return "", nil
	}
	err = e.cfg.Store.View(ctx, func(tx executor.Tx) error {
		id, err = keyed(tx, p, s)
		return err
	})
	return id, err
}

func keyed(tx executor.Tx, p executor.Principal, s Submission) (id string, err error) {
	raw, ok := tx.Get(tableKeys, p.Name+"\x00"+s.IdempotencyKey)
	if !ok {
		return "", nil
	}
	var k keyRecord
	if err := json.Unmarshal(raw, &k); err != nil {
		k.ID = string(raw) // of an earlier version: the id alone
	}
	if s.parent == "" {
		r, err := load(tx, k.ID)
		if err != nil {
			return "", err
		}
		if !p.Same(r.Principal) {
			return "", executor.ErrNamesakeKey
		}
	}
	// A nested plan is met again by its place, whatever its parameters are by now.
	if s.parent == "" && k.Print != "" && k.Print != s.print() {
		return "", fmt.Errorf("idempotency key of test plan %s: %w", k.ID, executor.ErrReplayedKey)
	}
	return k.ID, nil
}
