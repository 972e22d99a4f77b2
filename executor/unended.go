package executor

import (
	"encoding/json"
	"fmt"
)

// mostUnended bounds what one user has of runs that have not ended: each lies in memory with its parameters.
var mostUnended = pile{runs: 10_000, bytes: 256 << 20}

// unended is what each user has of runs that have not ended. It is guarded as the active ones are.
type unended map[string]pile

// pile is a number of runs, and of bytes of their parameters.
type pile struct{ runs, bytes int }

// add counts a run in, or out with -1.
func (u unended) add(a *active, sign int) {
	p := u[a.run.By]
	p.runs += sign
	p.bytes += sign * len(a.run.Parameters)
	if u[a.run.By] = p; p.runs == 0 {
		delete(u, a.run.By)
	}
}

// room refuses a run of who has as many as it may, as [ErrTooMany].
func (e *Executor) room(p Principal, params json.RawMessage) error {
	e.mu.Lock()
	have := e.unended[p.Name]
	e.mu.Unlock()
	if have.runs < e.most.runs && have.bytes+len(params) <= e.most.bytes {
		return nil
	}
	return fmt.Errorf("%w: %s has %d runs that have not ended, with %d MiB of parameters: at most %d and %d MiB (wait for some, or cancel them; see: tfwctl queue)",
		ErrTooMany, p.Name, have.runs, have.bytes>>20, e.most.runs, e.most.bytes>>20)
}
