package plugins

import (
	"math"
	"strings"
	"time"
)

// Case is one row of a test's results: what a command reported of itself, or
// the command as a whole. Its texts are clean: no control characters, bounded.
type Case struct {
	Name         string        `json:"name"`
	Verdict      string        `json:"verdict" jsonschema:"enum=passed,enum=failed,enum=errored,enum=skipped"`
	Duration     Duration      `json:"duration,omitempty"`
	Message      string        `json:"message,omitempty"`
	Measurements []Measurement `json:"measurements,omitempty"`
}

// Measurement is a number that a case reported.
type Measurement struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

// The verdicts of a [Case], in the words of runs.
const (
	CasePassed  = "passed"
	CaseFailed  = "failed"
	CaseErrored = "errored" // it could not be told
	CaseSkipped = "skipped"
)

// Bounds on what one command may report.
const (
	MaxCases        = 10000
	maxCaseName     = 300
	maxCaseMessage  = 4096
	maxMeasurements = 100
	maxProblems     = 20
	maxReport       = 8 << 20
)

// report collects rows and what was wrong with their source.
type report struct {
	cases    []Case
	problems []string // for the tester; at most maxProblems
	dropped  int      // cases beyond MaxCases
}

func (r *report) add(c Case) {
	if len(r.cases) >= MaxCases {
		r.dropped++
		return
	}
	if c.Name = cleanLine(c.Name, maxCaseName); c.Name == "" {
		c.Name = "(no name)"
	}
	c.Message = strings.TrimSpace(cleanText(c.Message, maxCaseMessage))
	c.Duration = max(c.Duration, 0)
	r.cases = append(r.cases, c)
}

func (r *report) problem(text string) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, cleanLine(text, 300))
	}
}

// caseSeconds reads a duration from seconds; anything odd is 0.
func caseSeconds(s float64) Duration {
	if !(s > 0 && s < 1e9) || math.IsNaN(s) {
		return 0
	}
	return Duration(s * float64(time.Second))
}

// worseCase gives the verdict that two reports of one case make.
func worseCase(a, b string) string {
	rank := map[string]int{CaseSkipped: 1, CasePassed: 2, CaseFailed: 3, CaseErrored: 4}
	if rank[b] > rank[a] {
		return b
	}
	return a
}
