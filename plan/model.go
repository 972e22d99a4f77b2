package plan

import (
	"time"

	"go.yaml.in/yaml/v3"

	"tfw/executor"
)

// Plan is a test plan as it was written, read and checked. It is read-only.
type Plan struct {
	Name       string
	Parameters []Parameter
	Roles      []Role
	Steps      []*Step // in the file's order
	OnFailure  []*Step // run when a step did not pass
	Finally    []*Step // always run, after everything
	Timeout    time.Duration
	LeaseWait  time.Duration // how long to wait for hosts; 0 is 10 minutes
	LeaseFor   time.Duration // 0 is the timeout, or 4 hours
	Parallel   int           // steps at a time; 0: no bound
	Env        map[string]string
	outputs    []output

	byName map[string]*Step
	file   string
	text   []byte
}

// Parameter is one input of a plan.
type Parameter struct {
	Name      string
	Type      string // string, integer, number, boolean, list, map
	Summary   string
	Default   any // nil: it must be given
	Pattern   string
	Choices   []any
	Min, Max  *float64
	Sensitive bool // its value is a reference such as env:NAME, never stored in clear

	at *yaml.Node
}

// Role is a name for hosts that are chosen before the first step.
type Role struct {
	Name   string
	Target string
	Where  string
	Count  value // how many of them; nil: all

	at *yaml.Node
}

// Step is one node of the graph.
type Step struct {
	Name         string
	Plugin       string // of "uses: PLUGIN.METHOD"
	Method       string
	Nested       string // of "uses: plan:FILE"
	On           string // role
	With         value  // parameters
	Needs        []string
	When         *expression
	Retry        Retry
	Serial       []string
	MaxFail      string
	Matrix       *Matrix
	Timeout      time.Duration
	Silence      time.Duration
	PerHost      bool
	AllowFailure bool
	Sync         string // the meeting of steps whose hosts wait for one another; "" is none

	onAt, usesAt, whenAt *yaml.Node
	whenOffset           int // of the expression in when
	needsAt              []*yaml.Node
	broken               bool // something of it could not be read: what it lacks is not complained about

	deps []string // needs and references, in the file's order
	refs map[string]bool
	at   *yaml.Node
}

// Retry says when a host's part of a cell is tried again.
type Retry struct {
	Limit   int // further attempts
	On      []executor.Verdict
	Backoff time.Duration
	Factor  float64
	Max     time.Duration
}

// Matrix multiplies a step over values.
type Matrix struct {
	Axes        []Axis
	Include     []map[string]any
	Exclude     []map[string]any
	FailFast    bool
	MaxParallel int
}

// Axis is one dimension of a matrix.
type Axis struct {
	Name   string
	Values []any
}

type output struct {
	name  string
	value value
}

// maxCells bounds what one step's matrix may multiply to.
const maxCells = 10000
