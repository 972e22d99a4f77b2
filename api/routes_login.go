package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
)

// LoginMethod checks what users show of who they are.
type LoginMethod interface {
	// Offer tells clients how their users prove who they are.
	Offer() LoginOffer
	// Verify gives the identity that an ID token proves. The error wraps executor.ErrForbidden for a token
	// that proves nothing; any other says that it could not be told.
	Verify(ctx context.Context, idToken string) (executor.Identity, error)
}

// LoginOffer tells how to get an ID token: the device flow of RFC 8628 with an OpenID provider.
type LoginOffer struct {
	Issuer   string   `json:"issuer" doc:"URL of the OpenID provider; empty: there is none, tokens are made by admins"`
	ClientID string   `json:"client_id,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
}

// Whoami is who asks, as the controller sees it.
type Whoami struct {
	Name   string        `json:"name"`
	Role   executor.Role `json:"role"`
	Groups []string      `json:"groups,omitempty" doc:"absent: all"`
	Token  string        `json:"token,omitempty" doc:"id of the token it came with"`
	Login  string        `json:"login,omitempty" doc:"how it proved who it is, for a login: oidc, cert or unix"`
	Source string        `json:"source"`
}

// loginRoutes: those of /login need no token.
func (s *Server) loginRoutes() {
	open, tags := []map[string][]string{{}}, []string{"tokens"}
	type offerOut struct{ Body LoginOffer }
	route(s, huma.Operation{OperationID: "getLogin", Method: http.MethodGet, Path: "/login", Summary: "How users log in", Tags: tags, Security: open},
		func(context.Context, *request, *struct{}) (*offerOut, error) {
			if s.cfg.Login == nil {
				return &offerOut{}, nil
			}
			return &offerOut{s.cfg.Login.Offer()}, nil
		})
	type madeOut struct{ Body NewToken }
	route(s, huma.Operation{OperationID: "login", Method: http.MethodPost, Path: "/login", Summary: "Get a token for an ID token of the OpenID provider", Tags: tags, Security: open,
		DefaultStatus: http.StatusCreated, Description: "Its rights are those that the policy gives the user at each use.", Errors: []int{409, 429}},
		func(ctx context.Context, r *request, in *struct {
			Body struct {
				IDToken string `json:"id_token" minLength:"1" maxLength:"16384"`
			}
		}) (*madeOut, error) {
			made, err := s.login(ctx, r, in.Body.IDToken)
			return &madeOut{made}, err
		})
	type whoamiOut struct{ Body Whoami }
	route(s, huma.Operation{OperationID: "whoami", Method: http.MethodGet, Path: "/v2.1/whoami", Summary: "Who asks, as the controller sees it", Tags: tags},
		func(_ context.Context, r *request, _ *struct{}) (*whoamiOut, error) {
			p := r.principal
			return &whoamiOut{Whoami{Name: p.Name, Role: p.Role, Groups: p.Groups, Token: p.Token, Login: string(p.Proof()), Source: p.Source}}, nil
		})
}

// login makes a token; one that is refused is slowed as a wrong token is.
func (s *Server) login(ctx context.Context, r *request, idToken string) (NewToken, error) {
	if s.cfg.Login == nil {
		return NewToken{}, newProblem(http.StatusConflict, "conflict", "this controller knows no OpenID provider: ask an admin for a token (tfwctl token create)")
	}
	id, err := s.cfg.Login.Verify(ctx, idToken)
	var text string
	var made executor.Token
	if err == nil {
		text, made, err = s.cfg.Executor.Login(ctx, id, s.cfg.LoginFor, r.source, r.id)
	}
	if errors.Is(err, executor.ErrForbidden) {
		return NewToken{}, s.failedLogin(r, err)
	}
	return NewToken{Token: made, Text: text}, err
}
