package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"tfw/inventory"
)

// Recover takes up every run that an earlier process left unfinished. It returns
// once all are on their way again in the background. A run whose plugin is gone ends errored.
func (e *Executor) Recover(ctx context.Context) error {
	if err := e.identify(ctx, e.cfg.Inventory()); err != nil {
		return err
	}
	if err := e.indexRuns(ctx); err != nil {
		return fmt.Errorf("index of runs: %w", err)
	}
	if err := e.recoverClock(ctx); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	if err := e.recoverLeases(ctx); err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	var open []RunID
	err := e.view(ctx, func(tx Tx) error {
		open = nil
		return tx.Range(tableOpen, "", false, func(key string, _ []byte) bool {
			open = append(open, RunID(key))
			return true
		})
	})
	if err != nil {
		return fmt.Errorf("unfinished runs: %w", err)
	}
	var again []*active
	for _, id := range open {
		a, err := e.revive(ctx, id)
		if err != nil {
			e.log.Error("cannot take up a run", "run", id, "error", err)
			err := e.giveUp(ctx, id, err)
			switch {
			case errors.As(err, new(*json.SyntaxError)): // one damaged record must not keep every run from going on
				e.log.Error("the record of a run is damaged, it is left as it is", "run", id, "error", err)
			case err != nil:
				return fmt.Errorf("run %s: %w", id, err)
			}
			continue
		}
		e.resume(a)
		again = append(again, a)
	}
	e.closeHosts()
	slices.SortFunc(again, func(a, b *active) int { return newTurn(a).compare(newTurn(b)) })
	for _, a := range again {
		if err := e.begin(a); err != nil {
			return err
		}
	}
	if err := e.recoverStrays(ctx); err != nil {
		e.log.Error("cannot read what hosts had left running", "error", err)
	}
	e.work.Go(e.sweep)
	e.work.Go(e.keepLeases)
	e.work.Go(e.keepClock)
	if e.cfg.ProbeEvery > 0 {
		e.work.Go(e.keepProbing)
	}
	if len(open) > 0 {
		e.log.Info("took up unfinished runs", "count", len(open))
	}
	return nil
}

// revive makes the machinery for a stored run again.
func (e *Executor) revive(ctx context.Context, id RunID) (*active, error) {
	a := &active{hosts: map[string]*inventory.Host{}}
	err := e.view(ctx, func(tx Tx) error {
		var rec runRecord
		if ok, err := get(tx, tableRuns, string(id), &rec); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("run %s: %w", id, ErrNotFound))
		}
		a.run, a.owner, a.seq, a.jumps = rec.Run, rec.owner(), rec.Seq, rec.Jumps
		a.run.Verdict, a.run.Tally = "", nil
		for name, key := range rec.Jumps {
			h, _, err := storedHost(tx, key)
			if err != nil {
				return err
			}
			a.hosts[name] = h
		}
		a.parts = nil
		return rangePrefix(tx, tableResults, string(id)+"/", func(_ string, r resultRecord) error {
			part, err := revivePart(tx, id, len(a.parts), r)
			if err != nil {
				return err
			}
			a.parts = append(a.parts, part)
			a.hosts[part.host.Name] = part.host
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if a.method, err = e.cfg.Plugins.Method(a.run.Plugin, a.run.Method); err != nil {
		return nil, err
	}
	options := a.options()
	if a.limits, err = options.check(); err != nil {
		return nil, err
	}
	a.arm(e.background)
	if a.run.Cancel != "" {
		a.cancel(cancelled(a.run.Cancel))
	}
	return a, nil
}

func revivePart(tx Tx, id RunID, index int, r resultRecord) (*part, error) {
	h, raw, err := storedHost(tx, r.Settings)
	if err != nil {
		return nil, err
	}
	p, err := newPart(index, h, r.Settings, raw)
	if err != nil {
		return nil, err
	}
	p.result, p.waiting, p.revived = r.HostResult, r.Waiting, true
	return p, rangePrefix(tx, tableOps, fmt.Sprintf("%s/%06d/", id, index), func(_ string, op opRecord) error {
		p.ops = append(p.ops, op)
		return nil
	})
}

func storedHost(tx Tx, key string) (*inventory.Host, []byte, error) {
	raw, ok := tx.Get(tableSettings, key)
	if !ok {
		return nil, nil, fmt.Errorf("host settings %s: %w", key, ErrNotFound)
	}
	var h inventory.Host
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, nil, fmt.Errorf("host settings %s: %w", key, err)
	}
	return &h, raw, nil
}

// giveUp ends a run that cannot be taken up: every host gets its row.
func (e *Executor) giveUp(ctx context.Context, id RunID, why error) error {
	return e.store.Update(ctx, func(tx Tx) error {
		tx.Ring(string(id))
		if err := tx.Delete(tableOpen, string(id)); err != nil {
			return err
		}
		var rec runRecord
		if ok, err := get(tx, tableRuns, string(id), &rec); err != nil || !ok {
			return err
		}
		rec.State, rec.Finished, rec.Verdict = Done, e.now(), Errored
		rec.Reason = "could not be taken up after a restart: " + why.Error()
		var open []resultRecord
		var keys, hosts []string
		rec.Tally = map[Verdict]int{}
		err := rangePrefix(tx, tableResults, string(id)+"/", func(key string, r resultRecord) error {
			defer func() { hosts = append(hosts, r.Host); rec.Tally[r.Verdict]++ }()
			if r.Verdict == "" {
				r.Verdict, r.Reason, r.Finished, r.Code = Errored, rec.Reason, rec.Finished, "not_recovered"
				open, keys = append(open, r), append(keys, key)
			}
			return nil
		})
		for i := range open {
			err = errors.Join(err, put(tx, tableResults, keys[i], open[i]))
		}
		return errors.Join(err, put(tx, tableRuns, string(id), rec), fileAway(tx, rec, hosts), e.auditEnd(tx, rec, hosts))
	})
}
