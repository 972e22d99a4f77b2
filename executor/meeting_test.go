package executor

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// scene plays calls ("b wait ready", "d set k v", "d get k b", "b leaves") and gives the answers in the order of the calls.
func scene(parties []Party, lines ...string) (m *meeting, answers []string) {
	m = newMeeting(parties)
	for i, line := range lines {
		w := append(strings.Fields(line), "", "", "")
		p := Party{Host: w[0]}
		if w[1] == "leaves" {
			m.left[p] = "failed"
		} else {
			c := &call{Party: p, N: i, Verb: w[1], Name: w[2], Value: w[3]}
			if w[1] == "get" {
				c.From = w[3]
			}
			m.add(c)
		}
		m.settle()
	}
	for i := range lines {
		var c *call
		for _, p := range parties {
			if found := m.find(p, 0, i); found != nil {
				c = found
			}
		}
		switch {
		case c == nil: // somebody left
		case c.Answer == nil:
			answers = append(answers, "-")
		case c.Answer.OK:
			answers = append(answers, "ok"+c.Answer.Text)
		default:
			answers = append(answers, "no")
		}
	}
	return m, answers
}

func parties(names string) (all []Party) {
	for _, n := range strings.Fields(names) {
		all = append(all, Party{Host: n})
	}
	return all
}

func TestMeeting(t *testing.T) {
	for name, c := range map[string]struct {
		who, play, want string
	}{
		"all arrive":               {"a b", "a wait x/b wait x", "ok ok"},
		"one is not there":         {"a b", "a wait x", "-"},
		"rounds":                   {"a b", "a wait x/b wait x/a wait x", "ok ok -"},
		"second round":             {"a b", "a wait x/b wait x/a wait x/b wait x", "ok ok ok ok"},
		"value":                    {"a b", "a set k v1/b get k", "ok okv1"},
		"value to come":            {"a b", "b get k/a set k v1", "okv1 ok"},
		"value of a host":          {"a b c", "c get k b/a set k v1/b set k v2", "okv2 ok ok"},
		"other barriers":           {"a b", "a wait x/b wait y", "no no"},
		"other barriers, c runs":   {"a b c", "a wait x/b wait y", "no no"},
		"who ends is missed":       {"a b", "a wait x/b leaves", "no"},
		"who ended is missed":      {"a b", "b leaves/a wait x", "no"},
		"arrived, then ended":      {"a b", "b wait x/a wait x/b leaves", "ok ok"},
		"no value any more":        {"a b", "a get k/b leaves", "no"},
		"value of who has ended":   {"a b", "b set k v/b leaves/a get k b", "ok okv"},
		"value of no host":         {"a b", "a get k z", "no"},
		"one who can still say it": {"a b c", "a get k/b leaves", "-"},
		"circle of values":         {"a b", "a get k/b get l", "no no"},
		"alone":                    {"a", "a wait x", "ok"},
		"waits for who waits":      {"a b c", "a wait x/b get k/c wait x", "no no no"},
		"waits for who runs":       {"a b c", "a wait x/b get k/c set k 1/c wait x/b wait x", "ok ok1 ok ok ok"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := scene(parties(c.who), strings.Split(c.play, "/")...); strings.Join(got, " ") != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
		})
	}
}

func TestDeadlockIsNamed(t *testing.T) {
	ps := []Party{{"server", "b1"}, {"client", "d1"}, {"client", "d2"}}
	m := newMeeting(ps)
	m.add(&call{Party: ps[0], Verb: "wait", Name: "ready"})
	m.add(&call{Party: ps[1], Verb: "get", Name: "port", From: "b1"})
	m.left[ps[2]] = "failed: exit status 3"
	m.settle()
	want := `deadlock: b1 (server) waits at "ready" for d1 (client) and d2 (client), which ended: failed: exit status 3; d1 (client) waits for "port" from b1 (server)`
	if a := m.of[ps[0]][0].Answer; a == nil || a.Text != want {
		t.Errorf("%+v", a)
	}
}

// TestMeetingsAreFair: parties that play one script never deadlock, whatever the order; and in no
// order does anybody wait once all others are over.
func TestMeetingsAreFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps := parties("a b c d")[:rapid.IntRange(2, 4).Draw(t, "parties")]
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{"wait x", "wait y", "set k v", "get k"}), 1, 8).Draw(t, "script")
		honest := rapid.Bool().Draw(t, "honest")
		set := false
		m := newMeeting(ps)
		at := map[Party]int{}
		stops := map[Party]int{}
		for _, p := range ps {
			stops[p] = len(steps)
			if !honest {
				stops[p] = rapid.IntRange(0, len(steps)).Draw(t, "stop")
			}
		}
		for i, s := range steps { // a get that nobody sets before would deadlock rightly
			if set = set || s == "set k v"; s == "get k" && !set {
				steps[i] = "wait x"
			}
		}
		waits := func(p Party) bool {
			for _, c := range m.waiting {
				if c.Party == p {
					return true
				}
			}
			return false
		}
		for n := 0; ; n++ {
			var ready []Party
			for _, p := range ps {
				if _, left := m.left[p]; !left && !waits(p) {
					ready = append(ready, p)
				}
			}
			if len(ready) == 0 {
				break
			}
			p := rapid.SampledFrom(ready).Draw(t, "next")
			if at[p] == stops[p] {
				m.left[p] = "passed"
			} else {
				w := append(strings.Fields(steps[at[p]]), "")
				at[p]++
				m.add(&call{Party: p, N: n, Verb: w[0], Name: w[1], Value: w[2]})
			}
			m.settle()
		}
		if open := m.waiting; len(open) > 0 {
			t.Fatalf("nobody can go on, and %d wait: %s", len(open), fmt.Sprint(m.explain(open)))
		}
		for _, p := range ps {
			for _, c := range m.of[p] {
				if honest && !c.Answer.OK {
					t.Fatalf("a deadlock among honest parties: %s", c.Answer.Text)
				}
			}
		}
	})
}
