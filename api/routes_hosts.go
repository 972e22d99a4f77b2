package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
	"tfw/inventory"
)

type hostsOut struct{ Body HostPage }
type hostOut struct{ Body Host }

type hostsIn struct {
	Target       string `query:"target" doc:"only these: names, groups, globs, sets, slices" example:"duts,!dut07"`
	Where        string `query:"where" doc:"only those for which the expression is true" example:"'arm64' in tags"`
	AllowMissing bool   `query:"allow_missing" doc:"leave names out of the target that are unknown"`
	Sort
	Page
}

// Resolve refuses a target or an expression that is there and empty: nothing empty means
// all hosts, which is what the query without it means.
func (in *hostsIn) Resolve(ctx huma.Context) []error {
	var errs []error
	at := ctx.URL()
	for name, values := range at.Query() {
		if (name == "target" || name == "where") && strings.TrimSpace(strings.Join(values, "")) == "" {
			errs = append(errs, &huma.ErrorDetail{Location: "query." + name, Message: "it is empty (leave it out for all hosts)"})
		}
	}
	return errs
}

var hostOrder = order[executor.HostStatus]{
	"name": by(func(h executor.HostStatus) string { return h.Name }), "id": by(func(h executor.HostStatus) int { return h.ID }),
	"address": by(func(h executor.HostStatus) string { return h.Address }), "state": by(func(h executor.HostStatus) string { return string(h.State) }),
	"latency":   by(func(h executor.HostStatus) time.Duration { return h.Latency }),
	"last_seen": func(a, b executor.HostStatus) int { return a.LastSeen.Compare(b.LastSeen) },
}

func (s *Server) hostRoutes() {
	tags := []string{"hosts"}
	route(s, sortable(huma.Operation{OperationID: "listHosts", Method: http.MethodGet, Path: "/v2.1/hosts", Summary: "Hosts, and how they fare", Tags: tags,
		Description: "In the order of the inventory, unless sorted."}, hostOrder), s.listHosts)
	route(s, huma.Operation{OperationID: "getHost", Method: http.MethodGet, Path: "/v2.1/hosts/{name}", Summary: "One host", Tags: tags, Errors: []int{404}},
		func(ctx context.Context, r *request, in *struct {
			Name string `path:"name" maxLength:"255" doc:"name, address, id or uuid of a host"`
		}) (*hostOut, error) {
			h, err := s.cfg.Executor.Host(ctx, r.principal, in.Name)
			if err != nil {
				return nil, err
			}
			return &hostOut{hostOf(h)}, nil
		})
	type explainOut struct{ Body Explanation }
	route(s, huma.Operation{OperationID: "explainHost", Method: http.MethodGet, Path: "/v2.1/hosts/{name}/explain", Summary: "Each setting of a host: where it came from and what it overrode", Tags: tags, Errors: []int{404}},
		func(ctx context.Context, r *request, in *struct {
			Name string `path:"name" maxLength:"255" doc:"name, address, id or uuid of a host"`
		}) (*explainOut, error) {
			settings, err := s.cfg.Executor.Explain(ctx, r.principal, in.Name)
			return &explainOut{Explanation{Settings: settings}}, err
		})
	route(s, huma.Operation{OperationID: "setHostState", Method: http.MethodPatch, Path: "/v2.1/hosts/{name}", Summary: "Set the state of a host", Tags: tags, Errors: []int{404, 409}}, s.patchHost)
	route(s, huma.Operation{OperationID: "setHostStates", Method: http.MethodPatch, Path: "/v2.1/hosts", Summary: "Set the state of a target's hosts", Tags: tags, Errors: []int{409}},
		func(ctx context.Context, r *request, in *struct {
			Target string `query:"target" required:"true" minLength:"1" doc:"the hosts"`
			Body   hostPatch
		}) (*hostsOut, error) {
			hosts, err := s.cfg.Executor.SetState(ctx, r.principal, in.Target, in.Body.State, in.Body.Reason)
			return &hostsOut{HostPage{Hosts: hostsOf(hosts)}}, err
		})
	route(s, huma.Operation{OperationID: "probeHosts", Method: http.MethodPost, Path: "/v2.1/hosts/probe", Summary: "Ask hosts now whether they answer, and for their facts", Tags: tags},
		func(ctx context.Context, r *request, in *struct{ Body probeRequest }) (*hostsOut, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer s.watch(r, cancel)()
			hosts, err := s.cfg.Executor.ProbeHosts(ctx, r.principal, inventory.Query{Target: in.Body.Target, Where: in.Body.Where, AllowMissing: in.Body.AllowMissing})
			return &hostsOut{HostPage{Hosts: hostsOf(hosts)}}, err
		})
	s.groupRoutes(tags)
}

func (s *Server) listHosts(ctx context.Context, r *request, in *hostsIn) (*hostsOut, error) {
	all, err := s.cfg.Executor.Hosts(ctx, r.principal, inventory.Query{Target: in.Target, Where: in.Where, AllowMissing: in.AllowMissing})
	if err != nil {
		return nil, err
	}
	some, next, err := sortedPage(all, hostOrder, in.Sort, in.Page, func(h executor.HostStatus) string { return h.Name })
	return &hostsOut{HostPage{Hosts: hostsOf(some), Next: next}}, err
}

type patchHostIn struct {
	Name string `path:"name" maxLength:"255" doc:"name, address, id or uuid of a host"`
	Body hostPatch
}

func (s *Server) patchHost(ctx context.Context, r *request, in *patchHostIn) (*hostOut, error) {
	h, err := s.cfg.Executor.Host(ctx, r.principal, in.Name)
	if err != nil {
		return nil, err
	}
	set, err := s.cfg.Executor.SetState(ctx, r.principal, h.Name, in.Body.State, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	if len(set) != 1 {
		return nil, fmt.Errorf("host %q: %d hosts were set, not one", h.Name, len(set))
	}
	return &hostOut{hostOf(set[0])}, nil
}

func (s *Server) groupRoutes(tags []string) {
	type groupsOut struct{ Body GroupPage }
	type groupOut struct{ Body Group }
	groupOrder := order[*inventory.Group]{"name": by(func(g *inventory.Group) string { return g.Name }), "hosts": by(func(g *inventory.Group) int { return len(g.Hosts) })}
	route(s, sortable(huma.Operation{OperationID: "listGroups", Method: http.MethodGet, Path: "/v2.1/groups", Summary: "Groups and their members", Tags: tags}, groupOrder),
		func(ctx context.Context, r *request, in *struct {
			Sort
			Page
		}) (*groupsOut, error) {
			all, err := s.cfg.Executor.Groups(ctx, r.principal)
			if err != nil {
				return nil, err
			}
			some, next, err := sortedPage(all, groupOrder, in.Sort, in.Page, func(g *inventory.Group) string { return g.Name })
			if err != nil {
				return nil, err
			}
			users, err := s.cfg.Executor.GroupUsers(ctx, r.principal)
			shown := []Group{}
			for _, g := range some {
				shown = append(shown, groupOf(g, users))
			}
			return &groupsOut{GroupPage{Groups: shown, Next: next}}, err
		})
	route(s, huma.Operation{OperationID: "getGroup", Method: http.MethodGet, Path: "/v2.1/groups/{name}", Summary: "One group", Tags: tags, Errors: []int{404}},
		func(ctx context.Context, r *request, in *struct {
			Name string `path:"name" maxLength:"255"`
		}) (*groupOut, error) {
			all, err := s.cfg.Executor.Groups(ctx, r.principal)
			if err != nil {
				return nil, err
			}
			for _, g := range all {
				if g.Name == in.Name {
					users, err := s.cfg.Executor.GroupUsers(ctx, r.principal)
					return &groupOut{groupOf(g, users)}, err
				}
			}
			return nil, fmt.Errorf("group %q: %w (see: tfwctl groups)", in.Name, executor.ErrNotFound)
		})
}
