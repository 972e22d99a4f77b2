package executor

import (
	"sync/atomic"
	"time"
)

// Counts are what an executor has done since it was made, for metrics.
type Counts struct {
	Active      int    // runs under way or queued in this process
	Reconnects  uint64 // commands re-attached after a lost connection or a restart
	AwaySeconds float64
}

type counters struct {
	reconnects atomic.Uint64
	awayMillis atomic.Int64
}

// Counts gives the numbers of this moment.
func (e *Executor) Counts() Counts {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Counts{Active: len(e.active), Reconnects: e.counters.reconnects.Load(), AwaySeconds: float64(e.counters.awayMillis.Load()) / 1000}
}

// Pool gives the transport's numbers.
func (e *Executor) Pool() PoolStats { return e.cfg.Transport.Stats() }

func (e *Executor) reattached(away time.Duration) {
	e.counters.reconnects.Add(1)
	e.counters.awayMillis.Add(away.Milliseconds())
}
