package executor

import (
	"fmt"
	"path"
	"slices"
)

// Policy says who comes in without a token, and narrows what everybody may do. Its rules never widen: whoever is
// named by no rule has the rights of its token or user, and each rule that names it takes away.
type Policy struct {
	Users  []User  `json:"users,omitempty"`
	Rules  []Rule  `json:"rules"`
	Limits []Limit `json:"limits,omitempty"` // of runs under way; those beyond wait
}

// Rule is about the tokens and users of some names. Names and methods are patterns in the way of path.Match.
type Rule struct {
	Name      string   `json:"name"`                 // of the token or user
	Role      Role     `json:"role,omitempty"`       // at most this; "": the token's
	Groups    []string `json:"groups,omitempty"`     // only hosts that are in one of these, too
	Allow     []string `json:"allow,omitempty"`      // only these methods: "linux_system.*"
	Deny      []string `json:"deny,omitempty"`       // never these, whoever allows them
	MaxLeases int      `json:"max_leases,omitempty"` // held and waiting; 0 is 64
}

// bounds is what rules took from a principal, beyond its role and groups.
type bounds struct {
	groups    [][]string
	allow     [][]string
	deny      []string
	maxLeases int
}

// Check reports the first mistake of a policy.
func (p *Policy) Check() error {
	for i, u := range p.Users {
		if err := u.check(); err != nil {
			return fmt.Errorf("users[%d]: %w", i, err)
		}
	}
	for i, l := range p.Limits {
		if err := l.check(); err != nil {
			return fmt.Errorf("limits[%d]: %w", i, err)
		}
	}
	for i, r := range p.Rules {
		if r.Name == "" {
			return fmt.Errorf("rules[%d]: name: is empty (use \"*\" for everybody)", i)
		}
		if r.Role != "" && !slices.Contains([]Role{Viewer, Operator, Admin}, r.Role) {
			return fmt.Errorf("rules[%d]: role %q: want viewer, operator or admin", i, r.Role)
		}
		for what, list := range map[string][]string{"groups": r.Groups, "allow": r.Allow, "deny": r.Deny} {
			if list != nil && len(list) == 0 {
				return fmt.Errorf("rules[%d]: %s: is empty: name one, or leave it out", i, what)
			}
		}
		for _, pattern := range slices.Concat([]string{r.Name}, r.Allow, r.Deny) {
			if _, err := path.Match(pattern, ""); err != nil {
				return fmt.Errorf("rules[%d]: %q: %w", i, pattern, err)
			}
		}
		if r.MaxLeases < 0 {
			return fmt.Errorf("rules[%d]: max_leases: %d: want a number from 1", i, r.MaxLeases)
		}
	}
	return nil
}

// narrow gives the principal as the policy leaves it.
func (p *Policy) narrow(who Principal) Principal {
	if p == nil {
		return who
	}
	for _, r := range p.Rules {
		if ok, err := path.Match(r.Name, who.Name); !ok && err == nil {
			continue
		}
		b := bounds{}
		if who.bounds != nil {
			b = *who.bounds
		}
		if r.Role != "" && who.May(r.Role) {
			who.Role = r.Role
		}
		if r.Groups != nil {
			if who.Groups == nil {
				who.Groups = r.Groups
			}
			b.groups = append(slices.Clone(b.groups), r.Groups)
		}
		if r.Allow != nil {
			b.allow = append(slices.Clone(b.allow), r.Allow)
		}
		b.deny = slices.Concat(b.deny, r.Deny)
		if r.MaxLeases > 0 && (b.maxLeases == 0 || r.MaxLeases < b.maxLeases) {
			b.maxLeases = r.MaxLeases
		}
		who.bounds = &b
	}
	return who
}

// Bounded gives a principal that was stored the bounds that the policy puts on its name now: a record does not hold them.
func (e *Executor) Bounded(p Principal) Principal {
	p.bounds = nil
	return e.policy().narrow(p)
}

// mayRun tells whether the policy lets the principal run the method; deny wins.
func (p Principal) mayRun(method string) error {
	if p.bounds == nil {
		return nil
	}
	is := func(pattern string) bool { ok, err := path.Match(pattern, method); return ok || err != nil }
	not := slices.ContainsFunc(p.bounds.deny, is)
	for _, list := range p.bounds.allow {
		not = not || !slices.ContainsFunc(list, is)
	}
	if not {
		return fmt.Errorf("%s may not run %s: %w by the policy", p.Name, method, ErrForbidden)
	}
	return nil
}

// leaseLimit is how many leases the principal may hold or wait for.
func (p Principal) leaseLimit() int {
	if p.bounds != nil && p.bounds.maxLeases > 0 {
		return p.bounds.maxLeases
	}
	return maxLeasesPerUser
}
