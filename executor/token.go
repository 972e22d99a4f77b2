package executor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Token is a bearer token as it is listed: never its secret.
type Token struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Role     Role      `json:"role"`
	Groups   []string  `json:"groups,omitempty"` // nil: all
	Created  time.Time `json:"created"`
	By       string    `json:"by"`
	Expires  time.Time `json:"expires,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"` // to the minute
	Revoked  time.Time `json:"revoked,omitzero"`
	// Login says how its user proved who it is, for the token of a login. Its rights are then
	// those that the policy gives at each use; Role and Groups are those at the login.
	Login IdentityKind `json:"login,omitempty"`
}

// tokenRecord is a token with the hash of its secret.
type tokenRecord struct {
	Token
	Hash  string    `json:"hash"`            // hex of SHA-256
	Proof *Identity `json:"proof,omitempty"` // of a login
}

// good reports whether the token may still be used.
func (t tokenRecord) good(at time.Time) bool {
	return t.Revoked.IsZero() && (t.Expires.IsZero() || at.Before(t.Expires))
}

// CreateToken makes a token and gives its text, tfw_ID_SECRET: the only time it is
// seen. Only the SHA-256 of the secret is stored: it has 256 random bits, so no slow hash is needed.
func (e *Executor) CreateToken(ctx context.Context, p Principal, t Token) (text string, made Token, err error) {
	if !p.May(Admin) {
		return "", Token{}, fmt.Errorf("%s may not create tokens: %w (needs the role admin)", p.Name, ErrForbidden)
	}
	if p.bounds != nil {
		return "", Token{}, fmt.Errorf("%s may not create tokens: %w (the policy bounds its own)", p.Name, ErrForbidden)
	}
	if !within(t.Groups, p.Groups) {
		return "", Token{}, fmt.Errorf("groups: %w: %s may give only its own: %s", ErrBadRequest, p.Name, strings.Join(p.Groups, ", "))
	}
	if err := e.checkToken(t); err != nil {
		return "", Token{}, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	if err := e.checkName(ctx, p, t.Name); err != nil {
		return "", Token{}, err
	}
	return e.makeToken(ctx, p, t, nil, "token.create")
}

func (e *Executor) makeToken(ctx context.Context, p Principal, t Token, proof *Identity, action string) (text string, made Token, err error) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails (crypto/rand)
	hash := sha256.Sum256([]byte(hex.EncodeToString(secret[:])))
	t.ID, t.Created, t.By, t.LastUsed, t.Revoked = NewID(), e.now(), p.Name, time.Time{}, time.Time{}
	err = e.store.Update(ctx, func(tx Tx) error {
		if proof != nil {
			if err := endOldLogins(tx, t.Name, e.clock.trusted()); err != nil {
				return err
			}
		}
		return errors.Join(put(tx, tableTokens, t.ID, tokenRecord{t, hex.EncodeToString(hash[:]), proof}),
			e.audit(tx, p, AuditEntry{Action: action, Object: t.ID, Outcome: "made", Detail: fmt.Sprintf("%s, %s", t.Name, t.Role)}))
	})
	return "tfw_" + t.ID + "_" + hex.EncodeToString(secret[:]), t, err
}

// endOldLogins drops the tokens of a user's logins that are over, and the oldest beyond what is kept.
func endOldLogins(tx Tx, name string, at time.Time) error {
	var mine []tokenRecord
	err := rangePrefix(tx, tableTokens, "", func(_ string, t tokenRecord) error {
		if t.Login != "" && t.Name == name {
			mine = append(mine, t)
		}
		return nil
	})
	slices.SortFunc(mine, func(a, b tokenRecord) int { return b.Created.Compare(a.Created) })
	for i, t := range mine {
		if !t.good(at) || i >= loginsKept-1 {
			err = errors.Join(err, tx.Delete(tableTokens, t.ID))
		}
	}
	return err
}

func (e *Executor) checkToken(t Token) error {
	switch {
	case !printable(t.Name):
		return fmt.Errorf("name: want 1 to 64 printable characters, no space at either end")
	case !slices.Contains([]Role{Viewer, Operator, Admin}, t.Role):
		return fmt.Errorf("role %q: want viewer, operator or admin", t.Role)
	case !t.Expires.IsZero() && t.Expires.Before(e.now()):
		return fmt.Errorf("expires: is in the past")
	}
	return e.checkGroups(t.Groups)
}

// checkName keeps an admin of some groups from making itself a namesake of who sees others: leases, and the record of
// who did what, go by names.
func (e *Executor) checkName(ctx context.Context, p Principal, name string) error {
	if p.Groups == nil {
		return nil
	}
	is := func(other string) bool { return strings.EqualFold(other, name) } // people read them
	taken := slices.ContainsFunc(ownNames(), is)
	if policy := e.policy(); policy != nil {
		for _, u := range policy.Users {
			named := is(u.Name) || slices.ContainsFunc(slices.Concat(u.OIDC, u.Cert, u.Unix), func(n string) bool { return is(strings.TrimPrefix(n, "CN=")) })
			taken = taken || named && !within(u.Groups, p.Groups)
		}
	}
	err := e.view(ctx, func(tx Tx) error {
		return rangePrefix(tx, tableTokens, "", func(_ string, t tokenRecord) error {
			taken = taken || is(t.Name) && !within(t.Groups, p.Groups)
			return nil
		})
	})
	if err == nil && taken {
		err = fmt.Errorf("name: %w: %q is somebody's who sees more than you (choose another)", ErrBadRequest, name)
	}
	return err
}

// ownNames are those of who needs no token, and of the controller itself in the record.
func ownNames() []string {
	names := []string{"tfwd", "root"}
	if u, err := user.Current(); err == nil {
		names = append(names, u.Username)
	}
	return names
}

// checkGroups looks at the groups that a token or a secret is for; nil is all of them.
func (e *Executor) checkGroups(groups []string) error {
	if groups != nil && len(groups) == 0 { // JSON would make all of none
		return errors.New("groups: is empty: name at least one, or leave it out for all")
	}
	inv := e.cfg.Inventory()
	for _, g := range groups {
		if _, ok := inv.Group(g); !ok {
			return fmt.Errorf("group %q: no such group (see: tfwctl groups)", g)
		}
	}
	return nil
}

// printable reports whether a name is fit for records and tables, and does not pass for another: none of its letters is unseen.
func printable(name string) bool {
	return name != "" && len(name) <= 64 && utf8.ValidString(name) && strings.TrimSpace(name) == name &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (e *Executor) policy() *Policy {
	if e.cfg.Policy == nil {
		return nil
	}
	return e.cfg.Policy()
}

// within reports whether rights over groups are no more than those of limit; nil is all groups.
func within(groups, limit []string) bool {
	return limit == nil || groups != nil && !slices.ContainsFunc(groups, func(g string) bool { return !slices.Contains(limit, g) })
}

// Tokens lists tokens, oldest first, revoked and expired ones too.
func (e *Executor) Tokens(ctx context.Context, p Principal) ([]Token, error) {
	if !p.May(Admin) {
		return nil, fmt.Errorf("%s may not list tokens: %w (needs the role admin)", p.Name, ErrForbidden)
	}
	all := []Token{}
	err := e.view(ctx, func(tx Tx) error {
		all = all[:0]
		return rangePrefix(tx, tableTokens, "", func(_ string, t tokenRecord) error {
			if within(t.Groups, p.Groups) {
				all = append(all, t.Token)
			}
			return nil
		})
	})
	slices.SortFunc(all, func(a, b Token) int { return a.Created.Compare(b.Created) })
	return all, err
}

// RevokeToken ends a token now and for good: requests that it is used for are cut off.
// Everybody may end the token that it came with.
func (e *Executor) RevokeToken(ctx context.Context, p Principal, id string) error {
	if !p.May(Admin) && (p.Token == "" || id != p.Token) {
		return fmt.Errorf("%s may not revoke tokens: %w (needs the role admin)", p.Name, ErrForbidden)
	}
	return e.store.Update(ctx, func(tx Tx) error {
		var t tokenRecord
		ok, err := get(tx, tableTokens, id, &t)
		switch {
		case err != nil:
			return err
		case !ok || id != p.Token && !within(t.Groups, p.Groups):
			return fmt.Errorf("token %q: %w (see: tfwctl token list)", id, ErrNotFound)
		case !t.Revoked.IsZero():
			return nil
		}
		t.Revoked = e.now()
		return errors.Join(put(tx, tableTokens, id, t), e.audit(tx, p, AuditEntry{Action: "token.revoke", Object: id, Outcome: "revoked"}))
	})
}

// Authenticate tells whose token text is. The error is [ErrForbidden] for every
// reason alike, and the secret is compared in constant time.
func (e *Executor) Authenticate(ctx context.Context, text, source string) (Principal, error) {
	rest, isToken := strings.CutPrefix(text, "tfw_")
	id, secret, _ := strings.Cut(rest, "_")
	var t tokenRecord
	var known bool
	if isToken && id != "" {
		err := e.view(ctx, func(tx Tx) (err error) { known, err = get(tx, tableTokens, id, &t); return err })
		if err != nil {
			return Principal{}, err
		}
	}
	hash := sha256.Sum256([]byte(secret))
	same := subtle.ConstantTimeCompare([]byte(hex.EncodeToString(hash[:])), []byte(t.Hash)) == 1
	if !known || !same || !t.good(e.clock.trusted()) {
		return Principal{}, fmt.Errorf("token: %w", ErrForbidden)
	}
	e.used(ctx, t)
	return e.holder(t, source)
}

// holder is the principal that a good token stands for now.
func (e *Executor) holder(t tokenRecord, source string) (Principal, error) {
	if t.Proof == nil {
		return e.policy().narrow(Principal{Name: t.Name, Role: t.Role, Groups: t.Groups, Token: t.ID, Source: source}), nil
	}
	p, err := e.Identify(*t.Proof, source)
	p.Token = t.ID
	return p, err
}

// used notes the use, at most once a minute.
func (e *Executor) used(ctx context.Context, t tokenRecord) {
	if e.now().Sub(t.LastUsed).Abs() < time.Minute {
		return
	}
	if _, noting := e.noting.LoadOrStore(t.ID, true); noting { // under load a write takes a while: one request waits for it, not all
		return
	}
	defer e.noting.Delete(t.ID)
	err := e.store.Update(ctx, func(tx Tx) error {
		var now tokenRecord
		if ok, err := get(tx, tableTokens, t.ID, &now); err != nil || !ok {
			return err
		}
		now.LastUsed = e.now().Truncate(time.Minute)
		return put(tx, tableTokens, t.ID, now)
	})
	if err != nil {
		e.log.Warn("cannot note the use of a token", "token", t.ID, "error", err)
	}
}
