package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
)

// HostKeys is what the server asks of an executor about the keys by which hosts are known.
type HostKeys interface {
	ScanHostKeys(ctx context.Context, p executor.Principal, target string) ([]executor.HostKey, []executor.KeyProblem, error)
	TrustHostKeys(ctx context.Context, p executor.Principal, choices []executor.KeyChoice) ([]executor.PinnedHost, error)
	ForgetHostKeys(ctx context.Context, p executor.Principal, target string) ([]executor.PinnedHost, error)
}

func (s *Server) hostKeyRoutes() {
	tags := []string{"hostkeys"}
	type scanOut struct{ Body HostKeyScan }
	route(s, huma.Operation{OperationID: "scanHostKeys", Method: http.MethodPost, Path: "/v2.1/hostkeys/scan", Summary: "The keys that hosts show now", Tags: tags,
		Description: "Without logging in to them. Nothing proves that these are the right keys: compare the fingerprints with ones that came another way."},
		func(ctx context.Context, r *request, in *struct {
			Body struct {
				Target string `json:"target" minLength:"1" maxLength:"65536"`
			}
		}) (*scanOut, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer s.watch(r, cancel)()
			keys, problems, err := s.cfg.Executor.ScanHostKeys(ctx, r.principal, in.Body.Target)
			return &scanOut{HostKeyScan{Keys: keys, Problems: problems}}, err
		})
	type pinnedOut struct{ Body PinnedHosts }
	route(s, huma.Operation{OperationID: "trustHostKeys", Method: http.MethodPost, Path: "/v2.1/hostkeys", Summary: "Put keys on file that were found right", Tags: tags,
		Description: "Each host is asked again, and only what it shows with a fingerprint named here for it is taken.", Errors: []int{404, 409}},
		func(ctx context.Context, r *request, in *struct {
			Body struct {
				Keys []executor.KeyChoice `json:"keys" minItems:"1" maxItems:"10000"`
			}
		}) (*pinnedOut, error) {
			done, err := s.cfg.Executor.TrustHostKeys(ctx, r.principal, in.Body.Keys)
			return &pinnedOut{PinnedHosts{list(done)}}, err
		})
	route(s, huma.Operation{OperationID: "forgetHostKeys", Method: http.MethodDelete, Path: "/v2.1/hostkeys", Summary: "Take the keys of hosts off the file", Tags: tags, Errors: []int{409}},
		func(ctx context.Context, r *request, in *struct {
			Target string `query:"target" required:"true" minLength:"1" maxLength:"65536"`
		}) (*pinnedOut, error) {
			done, err := s.cfg.Executor.ForgetHostKeys(ctx, r.principal, in.Target)
			return &pinnedOut{PinnedHosts{list(done)}}, err
		})
}
