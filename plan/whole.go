package plan

import "time"

// Bounds of a plan with those within it, each counted as often as it is run: a few files that use one another make
// millions, of which each is checked, and is a test plan of its own.
const (
	maxWithin     = 1000   // plans
	maxWholeSteps = 20_000 // steps of all of them
)

// whole is what the checks of a plan and of those within it share.
type whole struct {
	patience     time.Duration // left for expressions
	plans, steps int
	over         bool
	read         map[string]readPlan // by file
}

type readPlan struct {
	plan     *Plan // nil: it cannot be read at all
	problems Problems
}

func newWhole(p *Plan) *whole {
	return &whole{patience: checkPatience, steps: len(p.all()), read: map[string]readPlan{}}
}

// file reads a plan, once however many steps use it.
func (a *whole) file(name string, text []byte) readPlan {
	r, known := a.read[name]
	if !known {
		r.plan, r.problems = parse(name, text)
		a.read[name] = r
	}
	return r
}

// within counts a plan in, and reports false from the one on that is too many.
func (a *whole) within(p *Plan) bool {
	a.plans++
	a.steps += len(p.all())
	a.over = a.over || a.plans > maxWithin || a.steps > maxWholeSteps
	return !a.over
}
