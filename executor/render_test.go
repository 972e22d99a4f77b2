package executor

import (
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestQuote lets real shells read back what quote wrote.
func TestQuote(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		words := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune("ab'\"\\$`!*?~#=;&|<>(){}[] \t\né-/.")), 0, 8, -1), 1, 4).Draw(rt, "words")
		line := "printf '%s\\0' " + quote(append([]string{"x"}, words...))
		out, err := exec.Command("sh", "-c", line).Output()
		if got := strings.TrimSuffix(string(out), "\x00"); err != nil || got != "x\x00"+strings.Join(words, "\x00") {
			rt.Fatalf("%q came back as %q (%v)", words, got, err)
		}
	})
	if got := quote([]string{"time", "ls"}); got != "'time' ls" {
		t.Errorf("a program that is called like a reserved word: %s", got)
	}
}
