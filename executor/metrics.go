package executor

import (
	"sync/atomic"
	"time"
)

// Counts are what an executor has done since it was made, for metrics.
type Counts struct {
	Active       int    // runs under way or queued in this process
	Lost         uint64 // commands whose connection was lost while they ran
	Stalls       uint64 // commands that a host stopped because its disk or their spool was full
	Reconnects   uint64 // commands re-attached after a lost connection or a restart
	AwaySeconds  float64
	ClockDoubted int    // 1 while the clock is not trusted
	ClockJumps   uint64 // of the wall clock, seen by this process
	Strays       int    // processes that ended runs left on hosts, as far as they were looked for
}

type counters struct {
	reconnects atomic.Uint64
	lost       atomic.Uint64
	stalls     atomic.Uint64
	awayMillis atomic.Int64
}

// Counts gives the numbers of this moment.
func (e *Executor) Counts() Counts {
	e.mu.Lock()
	defer e.mu.Unlock()
	strays := 0
	for _, n := range e.strays {
		strays += n
	}
	jumps, doubted := e.clock.seen()
	return Counts{ClockJumps: jumps, ClockDoubted: doubted, Strays: strays, Lost: e.counters.lost.Load(), Stalls: e.counters.stalls.Load(), Active: len(e.active), Reconnects: e.counters.reconnects.Load(), AwaySeconds: float64(e.counters.awayMillis.Load()) / 1000}
}

// Pool gives the transport's numbers.
func (e *Executor) Pool() PoolStats { return e.cfg.Transport.Stats() }

func (e *Executor) reattached(away time.Duration) {
	e.counters.reconnects.Add(1)
	e.counters.awayMillis.Add(away.Milliseconds())
}
