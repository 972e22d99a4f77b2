package ssh

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestShCommandKeepsEveryByte sends any arguments through any login shell at hand.
func TestShCommandKeepsEveryByte(t *testing.T) {
	var shells []string
	for _, name := range []string{"sh", "bash", "fish", "tcsh", "zsh", "mksh"} {
		if path, err := exec.LookPath(name); err == nil {
			shells = append(shells, path)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		arg := rapid.Custom(func(t *rapid.T) string {
			b := rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 40).Draw(t, "bytes")
			if rapid.Bool().Draw(t, "nasty") {
				b = append(b, rapid.SampledFrom([]string{"'", "\\", "!!", "\n", "$(id)", "`id`", "%s", "\\0101", "\n\n", "-n", "~"}).Draw(t, "text")...)
			}
			return string(b)
		})
		args := rapid.SliceOfN(arg, 1, 3).Draw(t, "args")
		shell := rapid.SampledFrom(shells).Draw(t, "shell")
		cmd := exec.Command(shell, "-c", shCommand(`printf "%s\000" "$@"`, args...))
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C"}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if want := strings.Join(args, "\x00") + "\x00"; err != nil || string(out) != want {
			t.Fatalf("%s: got %q %v %s, want %q", shell, out, err, &stderr, want)
		}
	})
}
