package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tfw/executor"
)

// TestPlan is a plan that was started, as it stands.
type TestPlan struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	State      executor.State      `json:"state"`
	Verdict    executor.Verdict    `json:"verdict"` // "" until done
	Reason     string              `json:"reason,omitempty"`
	Waiting    string              `json:"waiting,omitempty"` // for which hosts it waits, before it begins
	Parameters map[string]any      `json:"parameters,omitempty"`
	Hosts      map[string][]string `json:"hosts,omitempty"` // role -> hosts, once they are bound
	Created    time.Time           `json:"created"`
	Started    time.Time           `json:"started,omitzero"`
	Finished   time.Time           `json:"finished,omitzero"`
	Steps      []StepState         `json:"steps"`
	Outputs    map[string]any      `json:"outputs,omitempty"`
	By         string              `json:"by"`
	Lease      string              `json:"lease,omitempty"`
	Cancel     string              `json:"cancel,omitempty"`
	ResumeOf   string              `json:"resume_of,omitempty"`
	Parent     string              `json:"parent,omitempty"` // the test plan whose step this one is

	veil *veil // what of it the reader does not see; nil: all of it is there
}

// StepState is how far a step of a test plan is.
type StepState struct {
	Name     string           `json:"name"`
	Uses     string           `json:"uses"`
	On       string           `json:"on,omitempty"`
	Part     string           `json:"part,omitempty"`  // on_failure or finally; "" for steps
	After    []string         `json:"after,omitempty"` // steps that must be over before it
	State    executor.State   `json:"state"`
	Verdict  executor.Verdict `json:"verdict"`
	Reason   string           `json:"reason,omitempty"`
	Started  time.Time        `json:"started,omitzero"`
	Finished time.Time        `json:"finished,omitzero"`
	Cells    []CellState      `json:"cells,omitempty"`

	index  int  // its place among the steps on record
	mixed  bool // the reader does not see all of its hosts
	unsaid bool // the reader is not told why it ended so
}

// CellState is one cell of a step: its runs, one for each attempt, and how its hosts ended.
type CellState struct {
	Cell    string                      `json:"cell,omitempty"`
	Runs    []executor.RunID            `json:"runs,omitempty"`
	Verdict executor.Verdict            `json:"verdict"`
	Hosts   map[string]executor.Verdict `json:"hosts,omitempty"`
	Plan    string                      `json:"plan,omitempty"` // the nested test plan
	Kept    bool                        `json:"kept,omitempty"` // it did not run: it is of the test plan that is resumed

	index int // its place among the cells on record
}

// record is what must survive of a test plan: everything that walking it again
// needs. The runs themselves are found by their idempotency keys.
type record struct {
	TestPlan
	Seq       uint64             `json:"seq"`
	File      string             `json:"file"`
	Text      string             `json:"text"`
	Files     map[string]string  `json:"files,omitempty"`
	Principal executor.Principal `json:"principal"`
	Kept      map[string]kept    `json:"kept,omitempty"` // of the plan it resumes
	Depth     int                `json:"depth,omitempty"`
}

// kept are the results of a cell that passed in the plan that is resumed.
type kept struct {
	Results map[string]executor.HostResult `json:"results"`
	Runs    []executor.RunID               `json:"runs"`
	Plan    string                         `json:"plan,omitempty"` // a nested test plan, and what it gave
	Outputs map[string]any                 `json:"outputs,omitempty"`
	Of      map[string]executor.RunID      `json:"of,omitempty"` // host -> the run of its result
}

const (
	tablePlans = "plans"       // id -> record, without steps
	tableOrder = "plans.order" // %016x of Seq -> id
	tableOpen  = "plans.open"  // ids that are not done
	tableSteps = "plans.steps" // id/%06d -> StepState
	tableKeys  = "plans.keys"  // principal NUL key -> id
	tableRows  = "plans.rows"  // id/%06d/%04d -> []Row, a piece of the step's
	tableNames = "plans.names" // name NUL %016x of Seq -> id
	tableSeen  = "plans.seen"  // whose NUL name NUL %016x of Seq -> id, and with "" for the name
	tableFound = "plans.found" // whose NUL id -> nothing
)

// Topic is the [executor.Store] topic that rings when the test plan changes.
func Topic(id string) string { return "plan/" + id }

func put(tx executor.Tx, table, key string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("record %s/%s: %w", table, key, err)
	}
	return tx.Put(table, key, raw)
}

// hostNames are the hosts of all roles.
func (r record) hostNames() []string {
	var all []string
	for _, hosts := range r.Hosts {
		all = append(all, hosts...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// save writes the record without its steps: they are records of their own.
func (r record) save(tx executor.Tx) error {
	r.Steps = nil
	tx.Ring(Topic(r.ID))
	return put(tx, tablePlans, r.ID, r)
}

// nameKey sorts the test plans of one name by age. A name holds no NUL: see [Parse].
func nameKey(name string, seq uint64) string { return name + "\x00" + placeOf(seq) }

// placeOf is a test plan's place among all of them.
func placeOf(seq uint64) string { return fmt.Sprintf("%016x", seq) }

func stepKey(id string, index int) string { return fmt.Sprintf("%s/%06d", id, index) }

// load reads a record with its steps, or gives executor.ErrNotFound.
func load(tx executor.Tx, id string) (record, error) {
	var r record
	raw, ok := tx.Get(tablePlans, id)
	if !ok {
		return r, fmt.Errorf("test plan %q: %w (see: tfwctl plan list)", id, executor.ErrNotFound)
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("test plan %s: %w", id, err)
	}
	r.Steps = []StepState{}
	prefix := id + "/"
	var failed error
	err := tx.Range(tableSteps, prefix, false, func(key string, raw []byte) bool {
		if len(key) < len(prefix) || key[:len(prefix)] != prefix {
			return false
		}
		var s StepState
		if failed = json.Unmarshal(raw, &s); failed != nil {
			return false
		}
		s.index = len(r.Steps)
		for i := range s.Cells {
			s.Cells[i].index = i
		}
		r.Steps = append(r.Steps, s)
		return true
	})
	if failed != nil {
		return r, fmt.Errorf("steps of test plan %s: %w", id, failed)
	}
	return r, err
}
