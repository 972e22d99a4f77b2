package executor

import (
	"errors"
	"fmt"
	"slices"

	"tfw/inventory"
)

// Role says what a principal may do; each includes the one before.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // look
	Operator Role = "operator" // run, lease, cancel
	Admin    Role = "admin"    // tokens, host states, host keys, breaking leases
)

// Principal is who asks. Everything that users do goes through methods that
// take one: there is no way around it.
type Principal struct {
	Name    string   // user or token name, for the record
	Role    Role     //
	Groups  []string // groups of the inventory it may see; nil is all of them, empty is none
	Token   string   // id of the token it came with, "" for local trust
	Source  string   // where it came from: address, or "unix:pid=..."
	Request string   // id of the request it came with, for the record

	bounds *bounds   // what the policy took away; nil: nothing
	proof  *Identity // by which it came in, without a token; nil: none
}

// Local is the principal of the process's own user: all rights.
func Local(name string) Principal { return Principal{Name: name, Role: Admin, Source: "local"} }

// Proof says how the principal proved who it is, itself or at the login that its token came from; "" for a token and for local trust.
func (p Principal) Proof() IdentityKind {
	if p.proof == nil {
		return ""
	}
	return p.proof.Kind
}

// May reports whether the principal's role includes r.
func (p Principal) May(r Role) bool {
	order := []Role{Viewer, Operator, Admin}
	return slices.Index(order, p.Role) >= slices.Index(order, r) && slices.Contains(order, p.Role)
}

// Was reports whether the principal is the one that q was, with no less to see. A name alone proves nothing: an
// admin of some groups names its tokens as it likes.
func (p Principal) Was(q Principal) bool {
	return p.Name == q.Name && (p.Token == q.Token || within(q.Groups, p.Groups))
}

// Same reports whether the principal is the one that q was, with as much to see: an idempotency key answers to nobody else.
func (p Principal) Same(q Principal) bool {
	return p.Name == q.Name && (p.Token != "" && p.Token == q.Token || within(q.Groups, p.Groups) && within(p.Groups, q.Groups))
}

// Sees reports whether the host exists for the principal.
func (p Principal) Sees(h *inventory.Host) bool {
	if p.Groups == nil {
		return true
	}
	in := func(groups []string) bool {
		return slices.ContainsFunc(h.Groups, func(g string) bool { return slices.Contains(groups, g) })
	}
	if p.bounds != nil && slices.ContainsFunc(p.bounds.groups, func(groups []string) bool { return !in(groups) }) {
		return false
	}
	return in(p.Groups)
}

// Errors that users meet, for errors.Is. The API's one error table maps them to HTTP.
var (
	ErrForbidden   = errors.New("not allowed")
	ErrBadRequest  = errors.New("bad request")   // with what is wrong: target, parameters, options
	ErrConflict    = errors.New("conflict")      // the thing is not in a state for it
	ErrLeased      = errors.New("leased")        // a lease or isolation of another stands against it
	ErrDraining    = errors.New("shutting down") // no new runs
	ErrTooMany     = errors.New("too many")      // one user has as many as it may
	ErrReplayedKey = errors.New("idempotency key was used for another request")
	// ErrNamesakeKey is an [ErrReplayedKey]: it says nothing of what the key made, which may be hidden.
	ErrNamesakeKey = fmt.Errorf("%w: by another of the same name, or before its rights changed (take another key)", ErrReplayedKey)
)
