package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"tfw/executor"
)

// rowsPiece bounds one record of rows.
const rowsPiece = 128 << 10 // bytes

// putRows stores a step's rows under the step's key, in pieces.
func putRows(tx executor.Tx, key string, rows []Row) error {
	for n := 0; len(rows) > 0; n++ {
		piece := []byte{'['}
		for i := range rows {
			one, err := json.Marshal(rows[i])
			if err != nil {
				return fmt.Errorf("results of %s: %w", key, err)
			}
			if i > 0 {
				piece = append(piece, ',')
			}
			piece = append(piece, one...)
			if len(piece) > rowsPiece || i == len(rows)-1 {
				rows = rows[i+1:]
				break
			}
		}
		if err := tx.Put(tableRows, fmt.Sprintf("%s/%04d", key, n), append(piece, ']')); err != nil {
			return err
		}
	}
	return nil
}

// getRows reads a step's rows.
func getRows(tx executor.Tx, key string) (rows []Row, err error) {
	prefix := key + "/"
	var failed error
	err = tx.Range(tableRows, prefix, false, func(key string, raw []byte) bool {
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		var piece []Row
		failed = json.Unmarshal(raw, &piece)
		rows = append(rows, piece...)
		return failed == nil
	})
	if failed != nil {
		failed = fmt.Errorf("results %s: %w", key, failed)
	}
	return rows, errors.Join(err, failed)
}

// Results reads the rows of a test plan step by step, in the plan's order, those
// of nested plans in the place of their step. Not safe for concurrent use.
type Results struct {
	Plan *TestPlan // as it stood when the reading began

	e     *Engine
	p     executor.Principal
	todo  []reading
	logs  Logs // nil: no outputs
	tails int  // outputs that were read
}

// reading is a step that is still to be read, and where it stands.
type reading struct {
	plan, within string // id of its plan; steps around it
	index        int
	step         StepState
	depth        int
	veil         *veil
}

// Bounds of the output that results bring along.
const (
	maxTails = 300
	maxTail  = 8 << 10 // bytes of each
)

// Results opens the results of a test plan. Steps that have not ended have none yet. With output, rows
// that did not pass bring the end of their log along. id may be a unique prefix or "last".
func (e *Engine) Results(ctx context.Context, p executor.Principal, id string, output bool) (*Results, error) {
	t, err := e.TestPlan(ctx, p, id)
	if err != nil {
		return nil, err
	}
	r := &Results{Plan: t, e: e, p: p}
	if output {
		r.logs = e.cfg.Executor
	}
	r.push(t, "", 0)
	return r, nil
}

func (r *Results) push(t *TestPlan, within string, depth int) {
	next := make([]reading, 0, len(t.Steps)+len(r.todo))
	for _, s := range t.Steps {
		next = append(next, reading{t.ID, within, s.index, s, depth, t.veil})
	}
	r.todo = append(next, r.todo...)
}

// Next gives the rows of one step, never none, or io.EOF after the last one.
func (r *Results) Next(ctx context.Context) ([]Row, error) {
	for len(r.todo) > 0 {
		at := r.todo[0]
		r.todo = r.todo[1:]
		if err := r.enter(ctx, at); err != nil {
			return nil, err
		}
		var rows []Row
		err := r.e.cfg.Store.View(ctx, func(tx executor.Tx) (err error) {
			rows, err = getRows(tx, stepKey(at.plan, at.index))
			return err
		})
		if err != nil {
			return nil, err
		}
		if rows = at.veil.rows(rows); len(rows) == 0 {
			continue
		}
		for i := range rows {
			if rows[i].Step = at.within + rows[i].Step; at.step.unsaid {
				rows[i].Message = ""
			}
		}
		return rows, BringOutput(ctx, r.logs, r.p, rows, &r.tails)
	}
	return nil, io.EOF
}

// enter puts the steps of a nested plan next.
func (r *Results) enter(ctx context.Context, at reading) error {
	for _, c := range at.step.Cells {
		if c.Plan == "" || at.depth >= maxNesting {
			continue
		}
		t, err := r.e.TestPlan(ctx, r.p, c.Plan)
		if errors.Is(err, executor.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		r.push(t, at.within+at.step.Name+"/", at.depth+1)
	}
	return nil
}

// BringOutput reads the end of the log for the first row that did not pass of each run on each host, at most
// 300 altogether: read counts them. From nil reads none.
func BringOutput(ctx context.Context, from Logs, p executor.Principal, rows []Row, read *int) error {
	if from == nil {
		return nil
	}
	done := map[string]bool{}
	for i := range rows {
		row := &rows[i]
		place := string(row.Run) + "\x00" + row.Host
		if *read >= maxTails || row.Run == "" || done[place] || row.Verdict == executor.Passed || row.Verdict == executor.Skipped {
			continue
		}
		done[place] = true
		*read++
		out, err := TailOf(ctx, from, p, row.Run, row.Host)
		if err != nil {
			return err
		}
		row.Output = out
	}
	return nil
}

// Logs is what [TailOf] reads; an executor is one.
type Logs interface {
	Log(ctx context.Context, p executor.Principal, q executor.LogQuery) (executor.LogPage, error)
}

// TailOf gives the end of what a run said on a host, both streams as they came. A run that is gone said nothing.
func TailOf(ctx context.Context, from Logs, p executor.Principal, run executor.RunID, host string) (string, error) {
	page, err := from.Log(ctx, p, executor.LogQuery{Run: run, Host: host, Tail: 200, Bytes: maxTail})
	if errors.Is(err, executor.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var b []byte
	for _, e := range page.Entries {
		if e.Stream != executor.Events {
			b = append(b, e.Data...)
		}
	}
	if len(b) > maxTail {
		b = append([]byte("...\n"), b[len(b)-maxTail:]...)
	}
	return string(b), nil
}

// Counts are the verdicts of rows.
type Counts map[executor.Verdict]int

// String reads "12 passed, 1 failed", worst last.
func (c Counts) String() string {
	var parts []string
	for _, v := range []executor.Verdict{executor.Passed, executor.Skipped, executor.Failed, executor.Cancelled, executor.TimedOut, executor.Errored} {
		if c[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c[v], spoken(v)))
		}
	}
	return strings.Join(parts, ", ")
}

// RowFilter selects rows. Empty fields do not filter.
type RowFilter struct {
	Step, Cell, Host string
	Verdict          executor.Verdict
	Bad              bool // neither passed nor skipped
}

// Fits reports whether the row is selected. A step selects those within it too.
func (f RowFilter) Fits(r Row) bool {
	return (f.Step == "" || r.Step == f.Step || strings.HasPrefix(r.Step, f.Step+"/")) && (f.Cell == "" || r.Cell == f.Cell) &&
		(f.Host == "" || r.Host == f.Host) && (f.Verdict == "" || r.Verdict == f.Verdict) &&
		(!f.Bad || r.Verdict != executor.Passed && r.Verdict != executor.Skipped)
}

// sortedHosts gives the hosts of rows in order of their first row.
func sortedHosts(rows []Row) []string {
	at := map[string]int{}
	for i, r := range rows {
		if _, ok := at[r.Host]; !ok {
			at[r.Host] = i
		}
	}
	return slices.SortedFunc(maps.Keys(at), func(a, b string) int { return at[a] - at[b] })
}
