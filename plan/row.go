package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"tfw/executor"
	"tfw/plugins"
)

// Row is one line of a test plan's results: a case that a command reported, or
// what a cell of a step did on a host as a whole. The worst row of a cell on a host has that host's verdict.
// Its texts come from hosts: they are data, to be escaped wherever they are shown.
type Row struct {
	Step         string                `json:"step"` // within nested plans "outer/inner"
	Cell         string                `json:"cell,omitempty"`
	Host         string                `json:"host,omitempty"` // "" for a step that never got to its hosts
	Name         string                `json:"name"`           // of the case; the step's where it reported none
	Verdict      executor.Verdict      `json:"verdict"`
	Started      time.Time             `json:"started,omitzero"`
	Duration     executor.Duration     `json:"duration,omitempty"`
	Message      string                `json:"message,omitempty"`
	Code         string                `json:"code,omitempty"` // machine word of the message: unreachable, auth, lost ...
	ExitCode     *int                  `json:"exit_code,omitempty"`
	Measurements []plugins.Measurement `json:"measurements,omitempty"`
	Artifacts    map[string]string     `json:"artifacts,omitempty"` // SHA-256 by name; on the first row of a cell on a host
	Attempts     int                   `json:"attempts,omitempty"`  // when it was tried more than once
	Kept         bool                  `json:"kept,omitempty"`      // taken over from the test plan that was resumed
	Allowed      bool                  `json:"allowed,omitempty"`   // of a step with allow_failure
	Run          executor.RunID        `json:"run,omitempty"`       // its log on this host is the row's
	Output       string                `json:"output,omitempty"`    // the end of that log, only where it was asked for
}

// maxRows bounds the rows kept of one step; cases that passed are left out first.
const maxRows = 50_000

// caseOutputs is what a row takes of a method's outputs; methods that give no cases fit too.
type caseOutputs struct {
	Cases     []plugins.Case    `json:"cases"`
	Artifacts map[string]string `json:"artifacts"`
}

// rowsOf makes the rows of one cell on one host.
func rowsOf(base Row, r executor.HostResult) []Row {
	base.Host, base.Started, base.Code, base.ExitCode = r.Host, r.Started, r.Code, r.ExitCode
	var out caseOutputs
	if err := json.Unmarshal(r.Outputs, &out); err != nil {
		out = caseOutputs{} // a script's own notion of cases
	}
	whole := base
	whole.Verdict, whole.Message = r.Verdict, r.Reason
	if !r.Started.IsZero() && r.Finished.After(r.Started) {
		whole.Duration = executor.Duration(r.Finished.Sub(r.Started))
	}
	rows, worst := caseRows(base, out.Cases)
	if cut := cutShort(rows, r); cut != nil {
		cut.Verdict, cut.Message, worst = r.Verdict, r.Reason, r.Verdict
	}
	switch {
	case len(rows) == 1 && rows[0].Name == base.Name || len(rows) == 0:
		rows = []Row{merged(whole, rows)}
	case worst != r.Verdict: // the command ended worse than what it reported
		rows = append([]Row{whole}, rows...)
	}
	if len(out.Artifacts) > 0 {
		rows[0].Artifacts = out.Artifacts
	}
	return rows
}

// cutShort finds the row of the command that was ended from outside: it could say no more than errored.
func cutShort(rows []Row, r executor.HostResult) *Row {
	if r.Verdict != executor.TimedOut && r.Verdict != executor.Cancelled {
		return nil
	}
	at := slices.IndexFunc(rows, func(row Row) bool {
		return row.Verdict == executor.Errored && row.Message != "" && strings.HasPrefix(r.Reason, row.Message)
	})
	if at < 0 {
		return nil
	}
	return &rows[at]
}

// merged is the whole with what its one case knows besides.
func merged(whole Row, rows []Row) Row {
	if len(rows) == 0 {
		return whole
	}
	whole.Measurements = rows[0].Measurements
	if whole.Message == "" {
		whole.Message = rows[0].Message
	}
	return whole
}

func caseRows(base Row, cases []plugins.Case) (rows []Row, worst executor.Verdict) {
	for _, c := range cases {
		row := base
		row.ExitCode, row.Code = nil, ""
		row.Name, row.Verdict, row.Duration, row.Message, row.Measurements = c.Name, executor.Verdict(c.Verdict), executor.Duration(c.Duration), c.Message, c.Measurements
		switch c.Verdict {
		case plugins.CasePassed, plugins.CaseFailed, plugins.CaseErrored, plugins.CaseSkipped:
		default:
			return nil, "" // not what this project means by cases
		}
		rows, worst = append(rows, row), executor.Worst(worst, row.Verdict)
	}
	return rows, worst
}

// bounded leaves out what is too much, cases that passed first, and says so in a row of its own.
func bounded(rows []Row) []Row {
	if len(rows) <= maxRows {
		return rows
	}
	passed := maxRows - 1
	for _, r := range rows {
		if r.Verdict != executor.Passed {
			passed--
		}
	}
	out := make([]Row, 0, maxRows)
	for _, r := range rows {
		if r.Verdict == executor.Passed {
			if passed--; passed < 0 {
				continue
			}
		}
		if len(out) < maxRows-1 {
			out = append(out, r)
		}
	}
	left := fmt.Sprintf("%d more cases are only in the outputs of the step's runs", len(rows)-len(out))
	return append(out, Row{Step: rows[0].Step, Name: "(more cases)", Verdict: executor.Skipped, Message: left})
}

// RunRows are the rows of a run that belongs to no test plan. Its PLUGIN.METHOD stands in a step's place.
func RunRows(run *executor.Run) (rows []Row) {
	name := run.Plugin + "." + run.Method
	for _, h := range run.Hosts {
		if h.Verdict == "" {
			continue
		}
		rows = append(rows, rowsOf(Row{Step: name, Name: name, Run: run.ID}, h)...)
	}
	return bounded(rows)
}

// title is how a case is called where its step is known: "suite=net: boot", or "boot".
func (r Row) title() string {
	switch own := r.Name != r.stepName(); {
	case r.Cell == "":
		return r.Name
	case own:
		return r.Cell + ": " + r.Name
	default:
		return r.stepName() + "[" + r.Cell + "]"
	}
}

// stepName is the step's own name, without the plans around it.
func (r Row) stepName() string { return r.Step[strings.LastIndexByte(r.Step, '/')+1:] }

// rows are the step's results. Call it with x.mu held, once the step has ended.
func (x *stepWalk) rows() []Row {
	if x.s.Nested != "" && len(x.state.Cells) > 0 {
		return nil // the nested plan has them
	}
	base := Row{Step: x.s.Name, Name: x.s.Name, Allowed: x.s.AllowFailure}
	var rows []Row
	seen := map[string]bool{}
	for _, cell := range x.order {
		base.Cell = cell
		for _, host := range keysOf(x.results[cell]) {
			seen[host] = true
			one := base
			did := x.did[cell+"\x00"+host]
			if one.Run, one.Kept = did.run, did.kept; did.tries > 1 {
				one.Attempts = did.tries
			}
			rows = append(rows, rowsOf(one, x.results[cell][host])...)
		}
	}
	base.Cell = ""
	for _, host := range keysOf(x.hosts) { // of a step that runs host by host: those that it never reached
		if h := x.hosts[host]; h.why != "" && !seen[host] {
			one := base
			one.Host, one.Verdict, one.Message = host, executor.Skipped, h.why
			rows = append(rows, one)
		}
	}
	if len(rows) == 0 {
		base.Verdict, base.Message = x.state.Verdict, x.state.Reason
		rows = []Row{base}
	}
	return bounded(rows)
}

// did says how a cell came to its result on a host.
type did struct {
	run   executor.RunID
	tries int
	kept  bool
}
