package executor

import (
	"context"
	"slices"
	"strings"
	"time"
)

// GroupUser is somebody who may use the hosts of a group, by a token and the policy.
type GroupUser struct {
	Name      string   `json:"name"`
	Role      Role     `json:"role"`
	AllGroups bool     `json:"all_groups,omitempty"` // not for this group alone
	Allow     []string `json:"allow,omitempty"`      // only these methods, of the policy
	Deny      []string `json:"deny,omitempty"`       // never these
}

// GroupUsers tells, for each group, which live tokens and users of the policy see its
// hosts and as what, with what the policy takes away taken away. Only an admin of all groups is
// told; for others, and without tokens, it is empty. The process's own user is not listed.
func (e *Executor) GroupUsers(ctx context.Context, p Principal) (map[string][]GroupUser, error) {
	if !p.May(Admin) || p.Groups != nil {
		return nil, nil
	}
	tokens, err := e.Tokens(ctx, p)
	if err != nil {
		return nil, err
	}
	users := map[string][]GroupUser{}
	at := time.Now()
	var all []Principal
	for _, t := range tokens {
		if t.Revoked.IsZero() && (t.Expires.IsZero() || at.Before(t.Expires)) {
			all = append(all, Principal{Name: t.Name, Role: t.Role, Groups: t.Groups})
		}
	}
	if policy := e.policy(); policy != nil {
		for _, u := range policy.Users {
			all = append(all, Principal{Name: u.shown(), Role: u.Role, Groups: u.Groups})
		}
	}
	for _, p := range all {
		who := e.policy().narrow(p)
		for _, g := range e.cfg.Inventory().Groups() {
			if who.seesGroup(g.Name) {
				users[g.Name] = append(users[g.Name], who.asUser())
			}
		}
	}
	for name, list := range users {
		slices.SortStableFunc(list, func(a, b GroupUser) int { return strings.Compare(a.Name, b.Name) })
		users[name] = slices.CompactFunc(list, func(a, b GroupUser) bool { return a.Name == b.Name && a.Role == b.Role })
	}
	return users, nil
}

// shown names a user of the policy: by the name it is given, or by how it proves itself.
func (u User) shown() string {
	if u.Name != "" {
		return u.Name
	}
	return strings.Join(slices.Concat(u.OIDC, u.OIDCGroups, u.Cert, u.Unix), " or ")
}

// seesGroup reports whether the principal was given the group by name, or all of them.
func (p Principal) seesGroup(name string) bool {
	if p.Groups != nil && !slices.Contains(p.Groups, name) {
		return false
	}
	return p.bounds == nil || !slices.ContainsFunc(p.bounds.groups, func(groups []string) bool { return !slices.Contains(groups, name) })
}

func (p Principal) asUser() GroupUser {
	u := GroupUser{Name: p.Name, Role: p.Role, AllGroups: p.Groups == nil}
	if p.bounds != nil {
		u.Allow, u.Deny = slices.Concat(p.bounds.allow...), p.bounds.deny
	}
	return u
}
