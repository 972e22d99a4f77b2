package executor

import (
	"context"
	"time"
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
	LastUsed time.Time `json:"last_used,omitzero"`
	Revoked  time.Time `json:"revoked,omitzero"`
}

// CreateToken makes a token and gives its text, tfw_ID_SECRET: the only time it is seen. Only its SHA-256 is stored.
func (e *Executor) CreateToken(ctx context.Context, p Principal, t Token) (text string, made Token, err error) {
	return "", Token{}, errNotBuilt
}

// Tokens lists tokens, revoked and expired ones too.
func (e *Executor) Tokens(ctx context.Context, p Principal) ([]Token, error) { return nil, errNotBuilt }

// RevokeToken ends a token now and for good.
func (e *Executor) RevokeToken(ctx context.Context, p Principal, id string) error { return errNotBuilt }

// Authenticate tells whose token text is. The error is [ErrForbidden] for every reason alike, in constant time over the secret.
func (e *Executor) Authenticate(ctx context.Context, text, source string) (Principal, error) {
	return Principal{}, errNotBuilt
}
