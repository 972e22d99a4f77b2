package controller

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tfw/api"
	"tfw/api/oidc"
	"tfw/executor"
)

// provider is an OpenID provider on this machine: it gives ID tokens to whoever is said.
func provider(t *testing.T) (url string, token func(email string) string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/keys" {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256"}}})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": server.URL, "jwks_uri": server.URL + "/keys", "authorization_endpoint": server.URL, "token_endpoint": server.URL})
	})
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, func(email string) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := json.Marshal(map[string]any{"iss": server.URL, "aud": "tfw", "sub": "s", "email": email, "exp": time.Now().Add(time.Minute).Unix()})
		signed, err := s.Sign(raw)
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

// TestLogin: a user of the provider gets a token whose rights are the policy's at each use.
func TestLogin(t *testing.T) {
	cfg := config(t)
	issuer, token := provider(t)
	cfg.OIDC, cfg.LoginFor = oidc.Config{Issuer: issuer, ClientID: "tfw"}, time.Hour
	policy := filepath.Join(filepath.Dir(cfg.Inventory), policyFile)
	write(t, policy, "users:\n  - {role: admin, oidc: [ann@example.com]}\nrules: []\n")
	c := start(t, cfg)
	open := client(t, c.URL())
	if offer, err := open.LoginOffer(t.Context()); err != nil || offer.Issuer != issuer || offer.ClientID != "tfw" {
		t.Errorf("%+v %v", offer, err)
	}
	for _, text := range []string{token("eve@example.com"), "garbage"} {
		if _, err := open.Login(t.Context(), text); !errors.Is(err, api.ErrUnauthenticated) {
			t.Errorf("%v", err)
		}
	}
	made, err := open.Login(t.Context(), token("ann@example.com"))
	if err != nil || made.Login != executor.ByOIDC || time.Until(made.Expires) > time.Hour {
		t.Fatalf("%+v %v", made, err)
	}
	ann := client(t, c.URL(), api.WithToken(made.Text))
	me, err := ann.Whoami(t.Context())
	if err != nil || me.Name != "ann@example.com" || me.Role != executor.Admin || me.Login != "oidc" || me.Token != made.ID {
		t.Fatalf("%+v %v", me, err)
	}
	entries, _, err := ann.Audit(t.Context(), executor.AuditFilter{Action: "login"})
	if err != nil || len(entries) != 1 || entries[0].Who != "ann@example.com" || entries[0].Request == "" || entries[0].Source == "" {
		t.Errorf("%+v %v", entries, err)
	}
	// Rights follow the policy, not the login.
	edit := func(text string) {
		t.Helper()
		write(t, policy, text)
		if err := c.readPolicy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	edit("users:\n  - {role: viewer, oidc: [ann@example.com]}\nrules: []\n")
	if me, err = ann.Whoami(t.Context()); err != nil || me.Role != executor.Viewer {
		t.Errorf("made a viewer: %+v %v", me, err)
	}
	edit("rules: []\n")
	if _, err = ann.Whoami(t.Context()); !errors.Is(err, api.ErrUnauthenticated) {
		t.Errorf("no user any more: %v", err)
	}
	edit("users:\n  - {role: viewer, oidc: [ann@example.com]}\nrules: []\n")
	// A logout ends the token; a viewer may end its own, and no other.
	if err := ann.RevokeToken(t.Context(), "another"); !errors.Is(err, executor.ErrForbidden) {
		t.Errorf("another's token: %v", err)
	}
	if err := ann.RevokeToken(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err = ann.Whoami(t.Context()); !errors.Is(err, api.ErrUnauthenticated) {
		t.Errorf("after the logout: %v", err)
	}
	// Logins of one user do not pile up.
	for range 30 {
		if made, err = open.Login(t.Context(), token("ann@example.com")); err != nil {
			t.Fatal(err)
		}
	}
	all, err := c.exec.Tokens(t.Context(), executor.Local("test"))
	if err != nil || len(all) > 22 {
		t.Errorf("%d tokens, %v", len(all), err)
	}
	if _, err := client(t, c.URL(), api.WithToken(made.Text)).Whoami(t.Context()); err != nil {
		t.Errorf("the newest: %v", err)
	}
}
