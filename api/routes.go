package api

import (
	"context"
	"net/http"
	"runtime"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"tfw/executor"
	"tfw/inventory"
)

// routes registers everything there is. Rooms that come later (reports
// of results) add their own file of routes and one line here.
func (s *Server) routes() {
	s.slaveRoutes()
	s.runRoutes()
	s.logRoute()
	s.testplanRoutes()
	s.resultRoutes()
	s.hostRoutes()
	s.hostKeyRoutes()
	s.catalogueRoutes()
	s.tokenRoutes()
	s.loginRoutes()
	s.secretRoutes()
	s.artifactRoutes()
	s.leaseRoutes()
	s.auditRoutes()
	s.controllerRoutes()
	s.docRoutes()
}

// attention says what somebody should look at although runs are taken.
func (s *Server) attention() string {
	var all []string
	if s.cfg.Inventory != nil && s.cfg.Inventory().Problem != "" {
		all = append(all, "the last edit of the inventory was not taken, the last good one is in use (see: tfwctl inventory status)")
	}
	if e, ok := s.cfg.Executor.(interface{ ClockDoubt() string }); ok && e.ClockDoubt() != "" {
		all = append(all, "the controller's clock is not trusted, nothing is dropped for its age: "+e.ClockDoubt()+" (see: docs/durable.md)")
	}
	return strings.Join(all, "; ")
}

// controllerRoutes are about the controller itself. Those outside of /v2.1 need no token, but for [Config.MetricsToken].
func (s *Server) controllerRoutes() {
	type versionOut struct{ Body Version }
	route(s, huma.Operation{OperationID: "getVersion", Method: http.MethodGet, Path: "/v2.1/version", Summary: "Which version this is", Tags: []string{"controller"}},
		func(context.Context, *request, *struct{}) (*versionOut, error) {
			return &versionOut{Version{Version: s.cfg.Version, Go: runtime.Version(), API: "v2.1"}}, nil
		})
	if s.cfg.Inventory != nil {
		type inventoryOut struct{ Body InventoryStatus }
		route(s, huma.Operation{OperationID: "getInventory", Method: http.MethodGet, Path: "/v2.1/inventory", Summary: "Which inventory is in use", Tags: []string{"hosts"},
			Description: "Tells too why the last edit of the inventory file was not taken, if so."},
			func(ctx context.Context, r *request, _ *struct{}) (*inventoryOut, error) {
				status, err := s.inventoryFor(ctx, r.principal)
				return &inventoryOut{status}, err
			})
	}
	type healthOut struct {
		Body struct {
			Status string `json:"status" enum:"ok"`
			Detail string `json:"detail,omitempty" doc:"what needs somebody's attention although it takes runs"`
		}
	}
	health := func(ready bool) func(context.Context, *request, *struct{}) (*healthOut, error) {
		return func(context.Context, *request, *struct{}) (*healthOut, error) {
			out := &healthOut{}
			out.Body.Status = "ok"
			if ready {
				out.Body.Detail = s.attention()
				return out, s.ready()
			}
			return out, nil
		}
	}
	open := []map[string][]string{{}}
	route(s, huma.Operation{OperationID: "getHealth", Method: http.MethodGet, Path: "/healthz", Summary: "Whether the process answers", Tags: []string{"controller"}, Security: open}, health(false))
	route(s, huma.Operation{OperationID: "getReady", Method: http.MethodGet, Path: "/readyz", Summary: "Whether it takes runs", Tags: []string{"controller"}, Security: open}, health(true))
	s.app.Get("/metrics", s.getMetrics)
	s.describeMetrics(open)
}

// inventoryFor is the inventory's status with the counts of what the principal
// sees; the text of a mistake may quote lines about hosts of others.
func (s *Server) inventoryFor(ctx context.Context, p executor.Principal) (InventoryStatus, error) {
	status := s.cfg.Inventory()
	if p.Groups == nil {
		return status, nil
	}
	hosts, err := s.cfg.Executor.Hosts(ctx, p, inventory.Query{})
	if err != nil {
		return InventoryStatus{}, err
	}
	groups, err := s.cfg.Executor.Groups(ctx, p)
	status.Hosts, status.Groups, status.Source = len(hosts), len(groups), ""
	status.Problems, status.Warnings, status.Changed = nil, nil, inventory.Diff{} // they name hosts of others
	if status.Problem != "" {
		status.Problem = "the last edit was not taken: ask who edits the inventory"
	}
	return status, err
}

// ready tells why the controller takes no runs.
func (s *Server) ready() error {
	select {
	case <-s.stopping:
		return newProblem(http.StatusServiceUnavailable, "draining", "the controller is shutting down")
	default:
	}
	if s.cfg.Ready == nil {
		return nil
	}
	if err := s.cfg.Ready(); err != nil {
		return newProblem(http.StatusServiceUnavailable, "not_ready", err.Error())
	}
	return nil
}

// describeMetrics puts the one route that is not huma's into the description.
func (s *Server) describeMetrics(security []map[string][]string) {
	if s.cfg.MetricsToken {
		security = nil // as everywhere
	}
	s.api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "getMetrics", Method: http.MethodGet, Path: "/metrics", Summary: "Metrics for Prometheus", Tags: []string{"controller"}, Security: security,
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			fiber.MIMETextPlain: {Schema: &huma.Schema{Type: "string"}}}}},
	})
}
