package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
)

// Secrets is what the server asks of an executor about named secrets. Values only go in.
type Secrets interface {
	Secrets(ctx context.Context, p executor.Principal) ([]executor.Secret, error)
	SetSecret(ctx context.Context, p executor.Principal, s executor.Secret, value string) (executor.Secret, error)
	RemoveSecret(ctx context.Context, p executor.Principal, name string) error
}

// SecretRef names a secret in a path.
type SecretRef struct {
	Name string `path:"name" maxLength:"64" doc:"name of the secret"`
}

type setSecretIn struct {
	SecretRef
	Body SecretRequest
}

func (s *Server) secretRoutes() {
	tags := []string{"secrets"}
	type pageOut struct{ Body SecretPage }
	secretOrder := order[executor.Secret]{
		"name":    by(func(s executor.Secret) string { return s.Name }),
		"changed": func(a, b executor.Secret) int { return a.Changed.Compare(b.Changed) },
		"by":      by(func(s executor.Secret) string { return s.By }),
	}
	route(s, sortable(huma.Operation{OperationID: "listSecrets", Method: http.MethodGet, Path: "/v2.1/secrets", Summary: "Named secrets, never their values", Tags: tags,
		Description: "Those that the asker may name in its runs, as `{\"secret\": \"secret:NAME\"}`.", Errors: []int{409}}, secretOrder),
		func(ctx context.Context, r *request, in *struct {
			Sort
			Page
		}) (*pageOut, error) {
			all, err := s.cfg.Executor.Secrets(ctx, r.principal)
			if err != nil {
				return nil, err
			}
			some, next, err := sortedPage(all, secretOrder, in.Sort, in.Page, func(s executor.Secret) string { return s.Name })
			return &pageOut{SecretPage{Secrets: some, Next: next}}, err
		})
	type secretOut struct{ Body executor.Secret }
	route(s, huma.Operation{OperationID: "setSecret", Method: http.MethodPut, Path: "/v2.1/secrets/{name}", Summary: "Make or replace a secret", Tags: tags,
		Description: "For admins of all groups. The value is never given back.", Errors: []int{409}},
		func(ctx context.Context, r *request, in *setSecretIn) (*secretOut, error) {
			value := in.Body.Value
			if in.Body.Base64 != nil {
				if value != "" {
					return nil, badField("body.base64", "give it or value, not both")
				}
				value = string(in.Body.Base64)
			}
			made, err := s.cfg.Executor.SetSecret(ctx, r.principal, executor.Secret{Name: in.Name, Groups: in.Body.Groups}, value)
			return &secretOut{made}, err
		})
	route(s, huma.Operation{OperationID: "removeSecret", Method: http.MethodDelete, Path: "/v2.1/secrets/{name}", Summary: "Forget a secret", Tags: tags, Errors: []int{404, 409}},
		func(ctx context.Context, r *request, in *struct{ SecretRef }) (*struct{}, error) {
			return nil, s.cfg.Executor.RemoveSecret(ctx, r.principal, in.Name)
		})
}
