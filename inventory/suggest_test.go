package inventory_test

import (
	"strings"
	"testing"

	"tfw/inventory"
)

func TestNearest(t *testing.T) {
	for _, c := range []struct{ word, known, want string }{
		{"stpes", "name steps hosts", "steps"}, // neighbours swapped are one slip
		{"Hosts", "name steps hosts", "hosts"}, // whatever the case
		{"maintainance", "active maintenance", "maintenance"},
		{"dd", "d duts", "d"},
		{"abc", "xyz", ""},
		{"nope", "do", ""},
		{"", "steps", ""},
		{strings.Repeat("a", 65), strings.Repeat("a", 64), ""}, // not for what nobody types
	} {
		if got := inventory.Nearest(c.word, strings.Fields(c.known)); got != c.want {
			t.Errorf("%q among %q: got %q, want %q", c.word, c.known, got, c.want)
		}
	}
	if got := inventory.Hint("stpes", []string{"steps"}, "no"); got != "did you mean `steps`?" {
		t.Error(got)
	}
	if got := inventory.Hint("x", []string{"steps"}, "the keys are: steps"); got != "the keys are: steps" {
		t.Error(got)
	}
}
