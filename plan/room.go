package plan

import (
	"encoding/json"
	"fmt"

	"tfw/executor"
)

// Each test plan that is not done lies in memory, and may ask for its hosts again and again: what one user has of them is bounded.
const (
	maxUndone      = 1000
	maxUndoneBytes = 256 << 20
)

// room refuses a test plan of who has as many as it may, as [executor.ErrTooMany]. Those within others are bounded by [maxWithin].
func (e *Engine) room(p executor.Principal, s Submission) error {
	if s.parent != "" {
		return nil
	}
	n, bytes := 0, sizeOf(s.Plan, s.Files, s.Parameters)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.walks {
		if w.by == p.Name && !w.within {
			n++
			bytes += w.bytes
		}
	}
	if n < e.most && bytes <= maxUndoneBytes {
		return nil
	}
	return fmt.Errorf("%w: %s has %d test plans that are not done: at most %d, and %d MiB of text (wait for some, or cancel them; see: tfwctl plan list)",
		executor.ErrTooMany, p.Name, n, e.most, maxUndoneBytes>>20)
}

func sizeOf(text string, files map[string]string, params map[string]any) int {
	raw, _ := json.Marshal(params) // they came as JSON
	n := len(text) + len(raw)
	for _, f := range files {
		n += len(f)
	}
	return n
}
