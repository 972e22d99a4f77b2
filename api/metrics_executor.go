package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"tfw/executor"
)

// meters is what an [Executor] may have to tell besides: what it did, and what its connections are.
type meters interface {
	Counts() executor.Counts
	Pool() executor.PoolStats
}

// meter registers the executor's numbers, asked for when they are gathered.
func (m *metrics) meter(e Executor) error {
	from, ok := e.(meters)
	if !ok {
		return nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	counter := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
	}
	for _, c := range []prometheus.Collector{
		gauge("tfw_runs_active", "Runs under way or queued.", func() float64 { return float64(from.Counts().Active) }),
		counter("tfw_connections_lost_total", "Commands whose connection was lost while they ran.", func() float64 { return float64(from.Counts().Lost) }),
		counter("tfw_reattached_total", "Commands re-attached after a lost connection or a restart.", func() float64 { return float64(from.Counts().Reconnects) }),
		counter("tfw_away_seconds_total", "Time between the loss of a command and its being followed again.", func() float64 { return from.Counts().AwaySeconds }),
		counter("tfw_stalled_total", "Commands stopped because their host's disk or spool was full.", func() float64 { return float64(from.Counts().Stalls) }),
		counter("tfw_clock_jumps_total", "Jumps of the controller's wall clock.", func() float64 { return float64(from.Counts().ClockJumps) }),
		gauge("tfw_clock_doubted", "1 while the wall clock is not trusted and nothing is dropped for its age.", func() float64 { return float64(from.Counts().ClockDoubted) }),
		gauge("tfw_stray_processes", "Processes that ended runs left running on hosts, when it was looked last.", func() float64 { return float64(from.Counts().Strays) }),
		gauge("tfw_ssh_connections", "SSH connections in the pool.", func() float64 { return float64(from.Pool().Connections) }),
		gauge("tfw_ssh_sessions", "Sessions in use on them.", func() float64 { return float64(from.Pool().Sessions) }),
		counter("tfw_ssh_dials_total", "SSH connections tried.", func() float64 { return float64(from.Pool().Dials) }),
		counter("tfw_ssh_dial_failures_total", "SSH connections that could not be made.", func() float64 { return float64(from.Pool().Failures) }),
	} {
		if err := m.registry.Register(c); err != nil && !errorsAsRegistered(err) {
			return err
		}
	}
	return nil
}
