package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
	"tfw/inventory"
)

// The four calls that came first keep their words on the wire: a slave is a
// host, a testcase is a run.

// SlaveBrief is a host in the brief list.
type SlaveBrief struct {
	ID   int    `json:"id"`
	UUID string `json:"uuid"`
	Host string `json:"host" doc:"its address"`
	Name string `json:"name"`
}

// SlaveDetail is a host in the detailed object.
type SlaveDetail struct {
	Methods map[string]map[string]string `json:"compute_node_method" doc:"description of each method, by plugin and method"`
	Type    string                       `json:"compute_node_type" doc:"its plugins, joined by commas" example:"linux_system,build_server"`
	Host    string                       `json:"host" doc:"its address"`
	ID      int                          `json:"id"`
}

// Slave is a host asked for by its id.
type Slave struct {
	SlaveDetail
	UUID string `json:"uuid"`
}

func (s *Server) slaveRoutes() {
	tags := []string{"slaves"}
	type listOut struct{ Body []SlaveBrief }
	route(s, huma.Operation{OperationID: "listSlaves", Method: http.MethodGet, Path: "/v2.1/slaves", Summary: "All hosts, in brief", Tags: tags},
		func(ctx context.Context, r *request, _ *struct{}) (*listOut, error) {
			hosts, err := s.cfg.Executor.Hosts(ctx, r.principal, inventory.Query{})
			out := &listOut{Body: []SlaveBrief{}}
			for _, h := range hosts {
				out.Body = append(out.Body, SlaveBrief{ID: h.ID, UUID: h.UUID, Host: h.Address, Name: h.Name})
			}
			return out, err
		})
	type detailOut struct{ Body map[string]SlaveDetail }
	route(s, huma.Operation{OperationID: "listSlavesDetail", Method: http.MethodGet, Path: "/v2.1/slaves/detail", Summary: "All hosts by uuid, with what can be run there", Tags: tags},
		func(ctx context.Context, r *request, _ *struct{}) (*detailOut, error) {
			hosts, err := s.cfg.Executor.Hosts(ctx, r.principal, inventory.Query{})
			out := &detailOut{Body: map[string]SlaveDetail{}}
			for _, h := range hosts {
				out.Body[h.UUID] = s.slave(h)
			}
			return out, err
		})
	type oneIn struct {
		ID string `path:"id" maxLength:"255" doc:"id, uuid, name or address"`
	}
	type oneOut struct{ Body Slave }
	route(s, huma.Operation{OperationID: "getSlave", Method: http.MethodGet, Path: "/v2.1/slaves/{id}", Summary: "One host, with what can be run there", Tags: tags, Errors: []int{404}},
		func(ctx context.Context, r *request, in *oneIn) (*oneOut, error) {
			h, err := s.cfg.Executor.Host(ctx, r.principal, in.ID)
			if err != nil {
				return nil, err
			}
			return &oneOut{Slave{SlaveDetail: s.slave(h), UUID: h.UUID}}, nil
		})
	route(s, huma.Operation{OperationID: "createTestcase", Method: http.MethodPost, Path: "/v2.1/testcases", Summary: "Run a method on a host", Tags: tags, DefaultStatus: http.StatusAccepted,
		Description: "As POST /v2.1/runs, for one host by its name or address, or for a target.",
		Responses: map[string]*huma.Response{
			"200": jsonResponse[executor.Run](s, "The ended run, with the first 64 KiB of each host's output"),
			"202": jsonResponse[executor.Run](s, "The run as it stands"),
		}, Errors: []int{409, 507}}, s.createTestcase)
}

// slave shows a host with the methods of the plugins that it declares.
func (s *Server) slave(h executor.HostStatus) SlaveDetail {
	d := SlaveDetail{Methods: map[string]map[string]string{}, Type: strings.Join(h.Plugins, ","), Host: h.Address, ID: h.ID}
	for _, name := range h.Plugins {
		p, err := s.cfg.Plugins.Plugin(name)
		if err != nil {
			continue // declared, but not of this controller
		}
		d.Methods[name] = map[string]string{}
		for _, m := range p.Methods() {
			d.Methods[name][m.Name] = m.Summary
		}
	}
	return d
}

type testcaseIn struct {
	Wait wait   `query:"wait"`
	Key  string `header:"Idempotency-Key" maxLength:"200" doc:"the same key of the same user never runs twice"`
	Body struct {
		Plugin     string          `json:"plugin" example:"linux_system"`
		Host       string          `json:"host,omitempty" doc:"name or address of a host; or give target" example:"10.0.1.11"`
		Target     string          `json:"target,omitempty" doc:"hosts, in the place of host" example:"duts,!dut07"`
		Where      string          `json:"where,omitempty" doc:"expression that filters the target"`
		Method     string          `json:"method" example:"run_shell"`
		Parameters json.RawMessage `json:"parameters,omitempty" doc:"of the method; see /v2.1/plugins"`
		executor.Options
	}
}

func (s *Server) createTestcase(ctx context.Context, r *request, in *testcaseIn) (*runOut, error) {
	b := in.Body
	if (b.Host == "") == (b.Target == "") {
		return nil, badField("body.host", "give either host (a name or address) or target")
	}
	req := executor.Request{Plugin: b.Plugin, Method: b.Method, Parameters: b.Parameters, Target: b.Target, Where: b.Where, Options: b.Options}
	if b.Host != "" {
		h, err := s.cfg.Executor.Host(ctx, r.principal, b.Host)
		if errors.Is(err, executor.ErrNotFound) {
			return nil, badField("body.host", "%v", err)
		} else if err != nil {
			return nil, err
		}
		req.Target = h.Name
	}
	return s.submit(ctx, r, req, in.Key, in.Wait)
}

// badField refuses a field of the request.
func badField(location, format string, args ...any) error {
	p, _ := problemOf(fmt.Errorf("%w: %s", executor.ErrBadRequest, fmt.Sprintf(format, args...)))
	p.Errors = []ProblemError{{Location: location, Message: fmt.Sprintf(format, args...)}}
	return p
}
