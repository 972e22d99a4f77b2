package executor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Party is one host's part of one step: who may wait at a meeting.
type Party struct {
	Step string `json:"step"`
	Host string `json:"host"`
}

// String names the party for testers: "d1 (client)".
func (p Party) String() string {
	if p.Step == "" {
		return p.Host
	}
	return p.Host + " (" + p.Step + ")"
}

// call is one use of tfw-sync on a host: the N-th of one command.
type call struct {
	Party   Party     `json:"party"`
	Command int       `json:"command"` // ordinal of the command that made it
	N       int       `json:"n"`
	Verb    string    `json:"verb"` // "wait", "set" or "get"
	Name    string    `json:"name"` // of the barrier, or the key
	Value   string    `json:"value,omitempty"`
	From    string    `json:"from,omitempty"` // get: of that host only
	At      time.Time `json:"at"`
	Gone    bool      `json:"gone,omitempty"`   // it was killed while it waited
	Answer  *answer   `json:"answer,omitempty"` // nil: it waits

	index int // place in the meeting
	round int // wait: the how-many-th time of its party there
}

type answer struct {
	OK   bool   `json:"ok"`
	Text string `json:"text,omitempty"` // the value, or why not
}

// meeting is who waits for whom: a value without machinery. It decides once and
// for ever; the caller stores the calls that changed before anybody hears of it.
type meeting struct {
	parties []Party
	left    map[Party]string // who will not come any more, and why
	calls   int
	of      map[Party][]*call
	waiting []*call          // in the order in which they came
	came    map[spot]int     // how often a party came to a barrier
	values  map[string]value // by key, and by key and host
}

// spot is a party at a barrier.
type spot struct {
	party Party
	name  string
}

type value struct{ text string }

func newMeeting(parties []Party) *meeting {
	return &meeting{parties: parties, left: map[Party]string{}, of: map[Party][]*call{}, came: map[spot]int{}, values: map[string]value{}}
}

func (m *meeting) has(p Party) bool { return slices.Contains(m.parties, p) }

// find gives the call that was made before, or nil.
func (m *meeting) find(p Party, command, n int) *call {
	for _, c := range m.of[p] {
		if c.Command == command && c.N == n {
			return c
		}
	}
	return nil
}

// add takes a new call in, or one that is on record.
func (m *meeting) add(c *call) {
	c.index = m.calls
	m.calls++
	m.of[c.Party] = append(m.of[c.Party], c)
	switch c.Verb {
	case "wait":
		if !c.Gone {
			m.came[spot{c.Party, c.Name}]++
		}
		c.round = m.came[spot{c.Party, c.Name}]
	case "set":
		m.values[c.Name] = value{c.Value}
		m.values[c.Name+" "+c.Party.Host] = value{c.Value}
	}
	if c.Answer == nil && !c.Gone {
		m.waiting = append(m.waiting, c)
	}
}

// withdraw takes a call back that waits.
func (m *meeting) withdraw(c *call) {
	c.Gone = true
	if c.Verb == "wait" {
		m.came[spot{c.Party, c.Name}]--
	}
	m.waiting = slices.DeleteFunc(m.waiting, func(w *call) bool { return w == c })
}

// tell answers a call.
func (m *meeting) tell(c *call, a answer) {
	c.Answer = &a
	m.waiting = slices.DeleteFunc(m.waiting, func(w *call) bool { return w == c })
}

// settle answers all that can be answered and gives the calls that it answered.
func (m *meeting) settle() (changed []*call) {
	for {
		n := len(changed)
		for _, c := range slices.Clone(m.waiting) {
			if a, met := m.met(c); met {
				m.tell(c, a)
				changed = append(changed, c)
			}
		}
		if len(changed) == n {
			break
		}
	}
	doomed := m.doomed()
	if len(doomed) == 0 {
		return changed
	}
	why := "deadlock: " + m.explain(doomed)
	for _, c := range doomed {
		m.tell(c, answer{Text: why})
	}
	return append(changed, doomed...)
}

// met gives the call's answer when what it waits for is there.
func (m *meeting) met(c *call) (a answer, yes bool) {
	switch c.Verb {
	case "set":
		return answer{OK: true}, true
	case "get":
		key := c.Name
		if c.From != "" {
			key += " " + c.From
		}
		v, set := m.values[key]
		return answer{OK: true, Text: v.text}, set
	}
	return answer{OK: true}, !slices.ContainsFunc(m.parties, func(p Party) bool { return m.late(c, p) })
}

// late reports whether the party has not come to the barrier as often as the call. Who
// arrives for the second time waits for the others' second time.
func (m *meeting) late(c *call, p Party) bool { return m.came[spot{p, c.Name}] < c.round }

// missing gives the parties for which the call waits.
func (m *meeting) missing(c *call) (all []Party) {
	for _, p := range m.parties {
		switch {
		case c.Verb == "wait" && m.late(c, p), c.Verb == "get" && p != c.Party && (c.From == "" || p.Host == c.From):
			all = append(all, p)
		}
	}
	return all
}

// doomed gives the calls that cannot be answered any more, whatever the parties do
// that still run: who waits for one that has left, or for one that waits in vain itself.
func (m *meeting) doomed() (all []*call) {
	waits := map[Party]bool{}
	for _, c := range m.waiting {
		waits[c.Party] = true
	}
	can := map[Party]bool{} // may still make a call
	for _, p := range m.parties {
		_, left := m.left[p]
		can[p] = !left && !waits[p]
	}
	for again := true; again; {
		again = false
		for _, c := range m.waiting {
			if !can[c.Party] && m.hope(c, can) {
				can[c.Party], again = true, true
			}
		}
	}
	for _, c := range m.waiting {
		if !can[c.Party] {
			all = append(all, c)
		}
	}
	place := func(c *call) int { return slices.Index(m.parties, c.Party) } // told in the same order whoever came first
	slices.SortStableFunc(all, func(a, b *call) int { return cmp.Compare(place(a), place(b)) })
	return all
}

// hope reports whether the call may still be answered. A get of anybody's value needs one who can; all else needs all.
func (m *meeting) hope(c *call, can map[Party]bool) bool {
	missing := m.missing(c)
	able := func(p Party) bool { return can[p] }
	if c.Verb == "get" && c.From == "" {
		return slices.ContainsFunc(missing, able)
	}
	return len(missing) > 0 && !slices.ContainsFunc(missing, func(p Party) bool { return !can[p] })
}

// explain says who waits where for whom.
func (m *meeting) explain(doomed []*call) string {
	var lines []string
	for _, c := range doomed {
		if len(lines) == 20 {
			lines = append(lines, fmt.Sprintf("and %d more wait", len(doomed)-20))
			break
		}
		lines = append(lines, m.waits(c))
	}
	return strings.Join(lines, "; ")
}

// waits says for whom a call waits: d1 (client) waits at "go" for b1 (server), which ended: failed.
func (m *meeting) waits(c *call) string {
	what := fmt.Sprintf("%s waits at %q for ", c.Party, c.Name)
	if c.Verb == "get" {
		what = fmt.Sprintf("%s waits for %q from ", c.Party, c.Name)
	}
	var names []string
	missing := m.missing(c)
	for _, p := range missing {
		if len(names) == 8 {
			names = append(names, fmt.Sprintf("%d others", len(missing)-8))
			break
		}
		name := p.String()
		if why, left := m.left[p]; left {
			name += ", which ended: " + why
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		names = []string{"a host that is not there"}
	}
	return what + strings.Join(names, " and ")
}
