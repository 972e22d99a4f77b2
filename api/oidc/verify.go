// Package oidc lets users of an OpenID provider in: it checks their ID tokens for the controller
// (OpenID Connect Core 1.0, 3.1.3.7) and gets one for the command line by the device flow (RFC 8628).
package oidc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"tfw/api"
	"tfw/executor"
)

// Config names the provider. Issuer and ClientID are required.
type Config struct {
	Issuer   string // URL, https unless it is on this machine
	ClientID string // of tfw, at the provider; ID tokens must be made for it
	Claim    string // that names users; "": email
	Groups   string // claim with the groups of the user; "": groups
}

// timeout bounds each request to the provider.
const timeout = 10 * time.Second

// Check reports the first mistake of the settings.
func (c Config) Check() error {
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("oidc_issuer %q: want the URL of an OpenID provider, such as https://id.example.com", c.Issuer)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("oidc_issuer %s: want https: keys that came in the clear prove nothing", c.Issuer)
	case c.ClientID == "":
		return errors.New("oidc_client_id: name the client that the provider knows tfw as")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Verifier checks ID tokens. Its provider is asked for its keys when the first token comes, and
// again for keys that are new: the controller starts without it. Safe for concurrent use.
type Verifier struct {
	cfg    Config
	client *http.Client

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier // nil: the provider was not reached yet
}

var _ api.LoginMethod = (*Verifier)(nil)

// New makes a verifier. Nothing is asked of the provider yet.
func New(cfg Config) (*Verifier, error) {
	if cfg.Claim == "" {
		cfg.Claim = "email"
	}
	if cfg.Groups == "" {
		cfg.Groups = "groups"
	}
	return &Verifier{cfg: cfg, client: &http.Client{Timeout: timeout}}, cfg.Check()
}

// Offer implements [api.LoginMethod].
func (v *Verifier) Offer() api.LoginOffer {
	return api.LoginOffer{Issuer: v.cfg.Issuer, ClientID: v.cfg.ClientID, Scopes: []string{"openid", "email", "profile", "groups"}}
}

// algorithms are those that prove who signed: none does not, and HMAC would with what the client knows.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

func (v *Verifier) provider(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.verifier != nil {
		return v.verifier, nil
	}
	// The key set keeps the client of this context, not its end.
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), v.client), v.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the OpenID provider %s: %w", v.cfg.Issuer, err)
	}
	v.verifier = p.Verifier(&oidc.Config{ClientID: v.cfg.ClientID, SupportedSigningAlgs: algorithms})
	return v.verifier, nil
}

// Verify implements [api.LoginMethod]. The errors say what is wrong with a token and repeat nothing of it.
func (v *Verifier) Verify(ctx context.Context, idToken string) (executor.Identity, error) {
	verifier, err := v.provider(ctx)
	if err != nil {
		return executor.Identity{}, fmt.Errorf("%w: %w", api.ErrElsewhere, err)
	}
	token, err := verifier.Verify(oidc.ClientContext(ctx, v.client), idToken)
	if err != nil {
		var expired *oidc.TokenExpiredError
		if errors.As(err, &expired) {
			return executor.Identity{}, fmt.Errorf("id token: %w: it has expired", executor.ErrForbidden)
		}
		return executor.Identity{}, fmt.Errorf("id token: %w: it is not one of %s for %s", executor.ErrForbidden, v.cfg.Issuer, v.cfg.ClientID)
	}
	return v.identity(token)
}

func (v *Verifier) identity(token *oidc.IDToken) (executor.Identity, error) {
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return executor.Identity{}, fmt.Errorf("id token: %w: its claims cannot be read", executor.ErrForbidden)
	}
	name, _ := claims[v.cfg.Claim].(string)
	if verified, told := claims["email_verified"].(bool); v.cfg.Claim == "email" && told && !verified {
		name = ""
	}
	id := executor.Identity{Kind: executor.ByOIDC, Name: name, Names: []string{"sub:" + token.Subject}, Expires: token.Expiry}
	if name != "" {
		id.Names = append(id.Names, name)
	} else {
		id.Name = token.Subject
	}
	groups, _ := claims[v.cfg.Groups].([]any)
	for _, g := range groups {
		if text, ok := g.(string); ok {
			id.Groups = append(id.Groups, text)
		}
	}
	return id, nil
}
