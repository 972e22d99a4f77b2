package executor

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Identity is who somebody proved to be in another way than by a token of ours. The users of
// the policy say what that is worth; without one that fits it is worth nothing.
type Identity struct {
	Kind    IdentityKind `json:"kind"`
	Name    string       `json:"name"`             // what it is called where the policy gives no name
	Names   []string     `json:"names"`            // what a user of the policy may be known by
	Groups  []string     `json:"groups,omitempty"` // as the issuer says
	Expires time.Time    `json:"expires,omitzero"` // of the proof; zero: as long as the connection
}

// IdentityKind says how an identity was proven.
type IdentityKind string

// The kinds of proof.
const (
	ByOIDC        IdentityKind = "oidc" // an ID token of the issuer
	ByCertificate IdentityKind = "cert" // a client certificate
	ByUnixUser    IdentityKind = "unix" // the user at the other end of the unix socket
)

// User of a [Policy] gives somebody who comes without a token a name and rights. Whoever fits
// any of the lists is this user; the first user that fits counts, then the rules narrow its rights as those of a token.
type User struct {
	Name       string   `json:"name,omitempty"` // "": as the proof says
	Role       Role     `json:"role"`
	Groups     []string `json:"groups,omitempty"`      // nil: all
	OIDC       []string `json:"oidc,omitempty"`        // the claim that names users, or "sub:SUBJECT"
	OIDCGroups []string `json:"oidc_groups,omitempty"` // of the groups claim
	Cert       []string `json:"cert,omitempty"`        // "CN=NAME", "dns:NAME", "email:NAME", "uri:NAME" of a client certificate
	Unix       []string `json:"unix,omitempty"`        // local users, by name
}

func (u User) fits(id Identity) bool {
	anyOf := func(have, want []string) bool {
		return slices.ContainsFunc(have, func(n string) bool { return n != "" && slices.Contains(want, n) })
	}
	switch id.Kind {
	case ByOIDC:
		return anyOf(id.Names, u.OIDC) || anyOf(id.Groups, u.OIDCGroups)
	case ByCertificate:
		return anyOf(id.Names, u.Cert)
	case ByUnixUser:
		return anyOf(id.Names, u.Unix)
	}
	return false
}

func (u User) check() error {
	switch {
	case !slices.Contains([]Role{Viewer, Operator, Admin}, u.Role):
		return fmt.Errorf("role %q: want viewer, operator or admin", u.Role)
	case u.Groups != nil && len(u.Groups) == 0:
		return fmt.Errorf("groups: is empty: name one, or leave it out for all")
	case len(u.OIDC)+len(u.OIDCGroups)+len(u.Cert)+len(u.Unix) == 0:
		return fmt.Errorf("nobody can be this user: name oidc, oidc_groups, cert or unix")
	}
	for what, list := range map[string][]string{"oidc": u.OIDC, "oidc_groups": u.OIDCGroups, "cert": u.Cert, "unix": u.Unix} {
		if slices.Contains(list, "") {
			return fmt.Errorf("%s: an empty name", what)
		}
	}
	return nil
}

// Identify gives the principal that the policy makes of an identity now, or [ErrForbidden].
func (e *Executor) Identify(id Identity, source string) (Principal, error) {
	if !id.Expires.IsZero() && !e.clock.trusted().Before(id.Expires) {
		return Principal{}, fmt.Errorf("%s %s: %w: the proof has expired", id.Kind, id.Name, ErrForbidden)
	}
	policy := e.policy()
	if policy != nil {
		for _, u := range policy.Users {
			if u.fits(id) {
				p := Principal{Name: u.Name, Role: u.Role, Groups: u.Groups, Source: source, proof: &id}
				if orElse(&p.Name, id.Name); !printable(p.Name) {
					return Principal{}, fmt.Errorf("%s: %w: its name is no 1 to 64 printable characters", id.Kind, ErrForbidden)
				}
				return policy.narrow(p), nil
			}
		}
	}
	return Principal{}, fmt.Errorf("%s %s: %w: is no user of the policy (see: docs/security.md)", id.Kind, id.Name, ErrForbidden)
}

const (
	// MaxLogin bounds how long the token of a login is good for.
	MaxLogin = 7 * 24 * time.Hour
	// loginsKept bounds the tokens of one user's logins: the oldest is ended for a new one.
	loginsKept = 20
)

// Login makes a token for who proved an identity, good for so long. Its rights are those that the
// policy gives the identity at each use: who is no user any more is refused at once.
func (e *Executor) Login(ctx context.Context, id Identity, d time.Duration, source, request string) (text string, made Token, err error) {
	id.Expires = time.Time{} // the token has its own end
	p, err := e.Identify(id, source)
	if err != nil {
		return "", Token{}, err
	}
	p.Request = request
	t := Token{Name: p.Name, Role: p.Role, Groups: p.Groups, Login: id.Kind, Expires: e.now().Add(min(max(d, time.Minute), MaxLogin))}
	return e.makeToken(ctx, p, t, &id, "login")
}

// Still gives the principal as it is now: the rights of its token or proof may have changed, or be
// over, since the request was let in. The error is [ErrForbidden] then. Requests that last ask from time to time.
func (e *Executor) Still(ctx context.Context, p Principal) (Principal, error) {
	now := p
	switch {
	case p.Token != "":
		var t tokenRecord
		var known bool
		err := e.view(ctx, func(tx Tx) (err error) { known, err = get(tx, tableTokens, p.Token, &t); return err })
		if err != nil {
			return p, err
		}
		if !known || !t.good(e.clock.trusted()) {
			return Principal{}, fmt.Errorf("token: %w any more: it was revoked or has expired", ErrForbidden)
		}
		if now, err = e.holder(t, p.Source); err != nil {
			return Principal{}, err
		}
	case p.proof != nil:
		var err error
		if now, err = e.Identify(*p.proof, p.Source); err != nil {
			return Principal{}, err
		}
	}
	now.Request = p.Request
	return now, nil
}
