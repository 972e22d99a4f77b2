package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tfw/inventory"
)

// Secrets keeps the values behind references of the form secret:NAME. It holds no
// rights: the executor asks who may. Safe for concurrent use. No error and no log line of it
// holds any part of a value; its errors wrap [ErrNotFound], [ErrBadRequest] or [ErrSealed].
type Secrets interface {
	// Open gives what is on record of a secret, and its value.
	Open(name string) (Secret, string, error)
	// List gives all there are, by name, without values.
	List() ([]Secret, error)
	// Put makes or replaces a secret. What it acknowledged is on disk.
	Put(s Secret, value string) error
	// Remove forgets one.
	Remove(name string) error
}

// Secret is what may be told of a named secret: never its value.
type Secret struct {
	Name    string    `json:"name"`
	Groups  []string  `json:"groups,omitempty"` // who may name it: principals of these groups; nil: all operators
	Changed time.Time `json:"changed"`
	By      string    `json:"by"`
}

// ErrSealed says that the secrets are there and cannot be opened: no key, another's
// key, a damaged file. It is for a lab admin to mend.
var ErrSealed = errors.New("the secrets cannot be opened")

var errNoSecrets = fmt.Errorf("this controller keeps no secrets: %w", ErrConflict)

// Secrets lists the secrets that the principal may name in its runs.
func (e *Executor) Secrets(_ context.Context, p Principal) ([]Secret, error) {
	if !p.May(Operator) {
		return nil, fmt.Errorf("%s may not list secrets: %w (needs the role operator)", p.Name, ErrForbidden)
	}
	if e.cfg.Secrets == nil {
		return nil, errNoSecrets
	}
	all, err := e.cfg.Secrets.List()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s Secret) bool { return !p.mayName(s) }), nil
}

// SetSecret makes or replaces a secret; only principals of the groups may name it in
// their runs, nil is every operator. Names are the whole lab's, so this is for admins of all groups.
func (e *Executor) SetSecret(ctx context.Context, p Principal, s Secret, value string) (Secret, error) {
	if err := e.keeper(p, "set"); err != nil {
		return Secret{}, err
	}
	if err := e.checkSecret(s, value); err != nil {
		return Secret{}, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	s.Changed, s.By = e.now(), p.Name
	if err := e.cfg.Secrets.Put(s, value); err != nil {
		return Secret{}, err
	}
	e.recordAudit(ctx, p, AuditEntry{Action: "secret.set", Object: s.Name, Outcome: "set", Detail: strings.Join(s.Groups, ",")})
	return s, nil
}

// RemoveSecret forgets a secret. Runs that name it fail from their next command on.
func (e *Executor) RemoveSecret(ctx context.Context, p Principal, name string) error {
	if err := e.keeper(p, "remove"); err != nil {
		return err
	}
	if err := e.cfg.Secrets.Remove(name); err != nil {
		return err
	}
	e.recordAudit(ctx, p, AuditEntry{Action: "secret.remove", Object: name, Outcome: "removed"})
	return nil
}

func (e *Executor) keeper(p Principal, what string) error {
	if !p.May(Admin) || p.Groups != nil {
		return fmt.Errorf("%s may not %s secrets: %w (needs the role admin over all groups)", p.Name, what, ErrForbidden)
	}
	if e.cfg.Secrets == nil {
		return errNoSecrets
	}
	return nil
}

func (e *Executor) checkSecret(s Secret, value string) error {
	switch {
	case !secretName(s.Name):
		return errors.New("name: want 1 to 64 of letters, digits, dot, - and _, not beginning with a dot or -")
	case len(value) < shortestSecret || len(value) > longestSecret:
		return fmt.Errorf("value: want %d to %d bytes: another could not be masked in the log", shortestSecret, longestSecret)
	}
	return e.checkGroups(s.Groups)
}

func secretName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return name != "" && len(name) <= 64 && strings.Trim(name, letters+"._-") == "" && strings.Trim(name[:1], letters+"_") == ""
}

// mayName tells whether the principal may have the controller hand the secret to its commands.
func (p Principal) mayName(s Secret) bool {
	if s.Groups == nil || p.Groups == nil {
		return true
	}
	limits := [][]string{p.Groups}
	if p.bounds != nil {
		limits = append(limits, p.bounds.groups...)
	}
	return slices.ContainsFunc(s.Groups, func(g string) bool {
		return !slices.ContainsFunc(limits, func(limit []string) bool { return !slices.Contains(limit, g) })
	})
}

// named checks a secret:NAME of a request: one that the principal may not name is not there.
func (e *Executor) named(p Principal, name string) error {
	if e.cfg.Secrets == nil {
		return errNoSecrets
	}
	s, _, err := e.cfg.Secrets.Open(name)
	if err == nil && !p.mayName(s) || errors.Is(err, ErrNotFound) {
		return fmt.Errorf("secret %q: %w: there is no such secret (see: tfwctl secret list)", name, ErrBadRequest)
	}
	return err
}

// Resolver reads secrets by their references: secret:NAME of kept, the others as
// [inventory.Secret.Resolve] does. It asks nobody's rights: it is for references of the inventory
// and for those of runs that were admitted.
func Resolver(kept Secrets) func(inventory.Secret) (string, error) {
	return func(ref inventory.Secret) (string, error) {
		name, is := strings.CutPrefix(string(ref), "secret:")
		if !is {
			return ref.Resolve()
		}
		if kept == nil {
			return "", errNoSecrets
		}
		_, value, err := kept.Open(name)
		return value, err
	}
}
