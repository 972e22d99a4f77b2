package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tfw/api"
	"tfw/executor"
)

// issuer is an OpenID provider on this machine with keys of its own.
type issuer struct {
	*httptest.Server
	t       *testing.T
	rsa     *rsa.PrivateKey
	ec      *ecdsa.PrivateKey
	idToken string       // what the device flow gives
	polls   atomic.Int64 // of the token endpoint
	refuse  string       // what the token endpoint says at last
	down    atomic.Bool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t}
	var err error
	if i.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if i.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	i.Server = httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	if i.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer(200, map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token",
			"device_authorization_endpoint": i.URL + "/device", "id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"}})
	case "/keys":
		answer(200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.rsa.Public(), KeyID: "r", Algorithm: "RS256", Use: "sig"}, {Key: i.ec.Public(), KeyID: "e", Algorithm: "ES256", Use: "sig"}}})
	case "/device":
		answer(200, map[string]any{"device_code": "dev", "user_code": "ABCD-EFGH", "verification_uri": i.URL + "/activate", "expires_in": 60, "interval": 1})
	case "/token":
		switch {
		case r.FormValue("device_code") != "dev" || r.FormValue("client_id") != "tfw":
			answer(400, map[string]string{"error": "invalid_grant"})
		case i.polls.Add(1) == 1:
			answer(400, map[string]string{"error": "authorization_pending"})
		case i.refuse != "":
			answer(400, map[string]string{"error": i.refuse})
		default:
			answer(200, map[string]string{"access_token": "a", "token_type": "Bearer", "id_token": i.idToken})
		}
	default:
		http.NotFound(w, r)
	}
}

// sign makes a JWT of the claims.
func (i *issuer) sign(alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	i.t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := s.Sign(raw)
	if err != nil {
		i.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

func (i *issuer) claims(change map[string]any) map[string]any {
	c := map[string]any{"iss": i.URL, "aud": "tfw", "sub": "u1", "email": "ann@example.com", "groups": []string{"lab", "qa"},
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
	for k, v := range change {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func (i *issuer) verifier(cfg Config) *Verifier {
	i.t.Helper()
	cfg.Issuer, cfg.ClientID = i.URL, "tfw"
	v, err := New(cfg)
	if err != nil {
		i.t.Fatal(err)
	}
	return v
}

func TestIDTokens(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier(Config{})
	good := i.sign(jose.RS256, i.rsa, "r", i.claims(nil))
	for _, text := range []string{good, i.sign(jose.ES256, i.ec, "e", i.claims(map[string]any{"aud": []string{"other", "tfw"}}))} {
		id, err := v.Verify(t.Context(), text)
		if err != nil || id.Kind != executor.ByOIDC || id.Name != "ann@example.com" || strings.Join(id.Names, " ") != "sub:u1 ann@example.com" || strings.Join(id.Groups, " ") != "lab qa" || id.Expires.IsZero() {
			t.Errorf("%+v %v", id, err)
		}
	}
	other := newIssuer(t)
	payload := func(change map[string]any) string {
		raw, _ := json.Marshal(i.claims(change))
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + payload(nil) + "."
	parts := strings.Split(good, ".")
	public, err := json.Marshal(jose.JSONWebKey{Key: i.rsa.Public()})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"wrong audience":         i.sign(jose.RS256, i.rsa, "r", i.claims(map[string]any{"aud": "other"})),
		"no audience":            i.sign(jose.RS256, i.rsa, "r", i.claims(map[string]any{"aud": nil})),
		"expired":                i.sign(jose.RS256, i.rsa, "r", i.claims(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()})),
		"no expiry":              i.sign(jose.RS256, i.rsa, "r", i.claims(map[string]any{"exp": nil})),
		"not yet":                i.sign(jose.RS256, i.rsa, "r", i.claims(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()})),
		"another issuer":         i.sign(jose.RS256, i.rsa, "r", i.claims(map[string]any{"iss": "https://evil.example"})),
		"another's key":          i.sign(jose.RS256, other.rsa, "r", i.claims(nil)),
		"another's key, unnamed": i.sign(jose.RS256, other.rsa, "", i.claims(nil)),
		"alg none":               none,
		"alg None":               strings.Replace(none, none[:strings.Index(none, ".")], base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"None"}`)), 1),
		"HMAC by the public key": i.sign(jose.HS256, public, "r", i.claims(nil)),
		"no signature":           parts[0] + "." + parts[1] + ".",
		"other claims":           parts[0] + "." + payload(map[string]any{"email": "root@example.com"}) + "." + parts[2],
		"no JWT":                 "tfw_x_y",
		"empty":                  "",
	} {
		_, err := v.Verify(t.Context(), text)
		if !errors.Is(err, executor.ErrForbidden) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(text) > 10 && strings.Contains(err.Error(), text[:10]) {
			t.Errorf("%s: the error repeats the token: %v", name, err)
		}
	}
}

func TestClaims(t *testing.T) {
	i := newIssuer(t)
	for _, c := range []struct {
		cfg    Config
		change map[string]any
		name   string
	}{
		{Config{}, map[string]any{"email_verified": false}, "u1"}, // anybody can say so
		{Config{}, map[string]any{"email_verified": true}, "ann@example.com"},
		{Config{}, map[string]any{"email": 7, "groups": "lab"}, "u1"},
		{Config{Claim: "preferred_username"}, map[string]any{"preferred_username": "ann", "email_verified": false}, "ann"},
	} {
		id, err := i.verifier(c.cfg).Verify(t.Context(), i.sign(jose.RS256, i.rsa, "r", i.claims(c.change)))
		if err != nil || id.Name != c.name || id.Name == "u1" && len(id.Names) != 1 {
			t.Errorf("%+v: %+v %v", c, id, err)
		}
	}
}

// A provider that is away is told apart from a token that proves nothing, and is asked again.
func TestProviderThatIsAway(t *testing.T) {
	i := newIssuer(t)
	i.down.Store(true)
	v := i.verifier(Config{})
	text := i.sign(jose.RS256, i.rsa, "r", i.claims(nil))
	if _, err := v.Verify(t.Context(), text); !errors.Is(err, api.ErrElsewhere) || errors.Is(err, executor.ErrForbidden) {
		t.Errorf("%v", err)
	}
	i.down.Store(false)
	if _, err := v.Verify(t.Context(), text); err != nil {
		t.Error(err)
	}
}

func TestDeviceLogin(t *testing.T) {
	i := newIssuer(t)
	i.idToken = i.sign(jose.RS256, i.rsa, "r", i.claims(nil))
	v := i.verifier(Config{})
	shown := Prompt{}
	got, err := DeviceLogin(t.Context(), v.Offer(), func(p Prompt) { shown = p })
	if err != nil || got != i.idToken || shown.Code != "ABCD-EFGH" || shown.Page != i.URL+"/activate" || i.polls.Load() < 2 {
		t.Errorf("%q %v %+v", got, err, shown)
	}
	for word, want := range map[string]string{"access_denied": "refused on the page", "expired_token": "not used in time"} {
		i.polls.Store(1)
		i.refuse = word
		if _, err := DeviceLogin(t.Context(), v.Offer(), func(Prompt) {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", word, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	i.polls.Store(0)
	if _, err := DeviceLogin(ctx, v.Offer(), func(Prompt) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody types the code: %v", err)
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []Config{{}, {Issuer: "https://id.example.com"}, {Issuer: "http://id.example.com", ClientID: "tfw"}, {Issuer: "id.example.com", ClientID: "tfw"}, {Issuer: "ftp://id", ClientID: "tfw"}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
