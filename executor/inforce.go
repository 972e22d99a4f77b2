package executor

import (
	"context"
	"fmt"
)

// tableInForce: what a file is called on record, NUL, [Config.Place] -> its revision, as it was in force last.
const tableInForce = "in.force"

// The files that a controller goes by, as the record calls what is read of them.
const (
	InventoryFile = "inventory.reload"
	PolicyFile    = "policy.reload"
)

// Began compares what is in force at the start of a controller with what was in force last, and puts on record what
// differs: that was edited, or removed, while no controller ran. The first start with these files only remembers
// them, and one that finds nothing new writes nothing. policy is the revision of the policy, of the inventory it is known.
func (e *Executor) Began(ctx context.Context, policy string) {
	news := false
	err := e.view(ctx, func(tx Tx) error {
		news = false
		return e.eachNew(tx, policy, func(string, string, bool) error {
			news = true
			return nil
		})
	})
	if err == nil && news {
		err = e.store.Update(ctx, func(tx Tx) error {
			return e.eachNew(tx, policy, func(file, revision string, known bool) error {
				if !known {
					return tx.Put(tableInForce, e.inForce(file), []byte(revision))
				}
				return e.took(tx, "start", file, revision)
			})
		})
	}
	if err != nil { // the next start finds it again
		e.log.Error("cannot compare the inventory and the policy with those in force last", "error", err)
	}
}

// eachNew calls fn for each file whose revision is not the one in force last, and tells whether there is one. The
// inventory's is asked for inside the transaction: an edit that is taken meanwhile comes after it, or is seen.
func (e *Executor) eachNew(tx Tx, policy string, fn func(file, revision string, known bool) error) error {
	for _, f := range []struct{ file, revision string }{{InventoryFile, e.cfg.Inventory().Revision()}, {PolicyFile, policy}} {
		last, known := tx.Get(tableInForce, e.inForce(f.file))
		if known && string(last) == f.revision {
			continue
		}
		if err := fn(f.file, f.revision, known); err != nil {
			return err
		}
	}
	return nil
}

// Took puts on record that a file's revision is in force now, and by which occasion the controller read it.
func (e *Executor) Took(ctx context.Context, occasion, file, revision string) {
	err := e.store.Update(context.WithoutCancel(ctx), func(tx Tx) error { return e.took(tx, occasion, file, revision) })
	if err != nil {
		e.log.Error("cannot write the audit record", "action", file, "error", err)
	}
}

func (e *Executor) took(tx Tx, occasion, file, revision string) error {
	entry := AuditEntry{Action: file, Object: revision, Outcome: "taken"}
	if last, known := tx.Get(tableInForce, e.inForce(file)); known && string(last) != revision {
		entry.Detail = fmt.Sprintf("was %s, is %s", last, revision)
	}
	if err := tx.Put(tableInForce, e.inForce(file), []byte(revision)); err != nil {
		return err
	}
	return e.audit(tx, Principal{Name: "tfwd", Source: occasion}, entry)
}

func (e *Executor) inForce(file string) string { return file + "\x00" + e.cfg.Place }
