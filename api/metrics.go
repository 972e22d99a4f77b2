package api

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"tfw/executor"
)

// metrics are the server's own. Labels are route patterns, never ids: their number is bounded.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	inFlight  prometheus.Gauge
	followers prometheus.Gauge
	refused   prometheus.Counter
	logBytes  prometheus.Counter
}

func newMetrics(r *prometheus.Registry, version string) (*metrics, error) {
	m := &metrics{
		registry: r,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tfw_http_requests_total", Help: "Requests answered, by method, route pattern and status."},
			[]string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tfw_http_request_seconds", Help: "Time to an answer, or to the beginning of a stream.",
			Buckets: []float64{.001, .005, .02, .05, .1, .5, 2, 10, 60}}, []string{"method", "route"}),
		inFlight:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "tfw_http_requests_in_flight", Help: "Requests being answered."}),
		followers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tfw_log_followers", Help: "Logs being streamed."}),
		refused:   prometheus.NewCounter(prometheus.CounterOpts{Name: "tfw_http_unauthenticated_total", Help: "Requests without a valid token."}),
		logBytes:  prometheus.NewCounter(prometheus.CounterOpts{Name: "tfw_log_sent_bytes_total", Help: "Bytes of logs sent to clients."}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "tfw_build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()}})
	info.Set(1)
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.inFlight, m.followers, m.refused, m.logBytes, info} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	// Another part of the process may have brought these already.
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := r.Register(c); err != nil && !errorsAsRegistered(err) {
			return nil, err
		}
	}
	return m, nil
}

func errorsAsRegistered(err error) bool {
	_, ok := err.(prometheus.AlreadyRegisteredError)
	return ok
}

// count counts an answered request.
func (m *metrics) count(c *fiber.Ctx, took time.Duration) {
	route := c.Route().Path
	if route == "/" { // the middleware's own: no route matched
		route = "none"
	}
	m.requests.WithLabelValues(c.Method(), route, strconv.Itoa(c.Response().StatusCode())).Inc()
	m.seconds.WithLabelValues(c.Method(), route).Observe(took.Seconds())
}

// getMetrics answers /metrics. Its totals count what everybody has: where that must stay hidden, only who sees all is told.
func (s *Server) getMetrics(c *fiber.Ctx) error {
	if !s.cfg.MetricsToken {
		return s.metrics.show(c)
	}
	r := requestOf(c)
	if err := s.identify(c, r); err != nil {
		return err
	}
	r.principal.Request = r.id
	if r.principal.Groups != nil {
		return fmt.Errorf("%s may not read the metrics: %w (they count all groups: take a token that sees them all)", r.principal.Name, executor.ErrForbidden)
	}
	return s.metrics.show(c)
}

// show answers /metrics.
func (m *metrics) show(c *fiber.Ctx) error {
	families, err := m.registry.Gather()
	if err != nil {
		return err
	}
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	c.Set(fiber.HeaderContentType, string(format))
	return c.Send(b.Bytes())
}
