package plugins_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tfw/plugins"
)

// Every byte but NUL goes through each shell unchanged, as first word too.
func TestQuoteThroughShells(t *testing.T) {
	every := make([]byte, 0, 255)
	for c := 1; c < 256; c++ {
		every = append(every, byte(c))
	}
	words := []string{string(every), "", "if", "time", "A=b", "~root", "a b", "-n", "'", "''", `\`, "é", "{a,b}", "!x", "\n", "=ls"}
	for _, shell := range []string{"sh", "dash", "bash", "mksh", "zsh", "busybox sh"} {
		argv := strings.Fields(shell)
		if _, err := exec.LookPath(argv[0]); err != nil {
			t.Logf("%s is not installed", shell)
			continue
		}
		checkQuote(t, argv, words)
	}
}

func TestQuoteAnyWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.Custom(func(t *rapid.T) string {
			b := rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 12).Draw(t, "bytes")
			return string(b)
		})
		checkQuote(t, []string{"sh"}, rapid.SliceOfN(word, 1, 4).Draw(t, "words"))
	})
}

func checkQuote(t rapid.TB, shell, words []string) {
	t.Helper()
	line, err := plugins.Quote(words...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(shell[0], append(shell[1:], "-c", `printf '%s\0' `+line)...).Output()
	if want := strings.Join(words, "\x00") + "\x00"; err != nil || string(out) != want {
		t.Errorf("%v: got %q, %v\nwant %q\nline %s", shell, out, err, want, line)
	}
}

func TestQuoteFirstWordIsACommand(t *testing.T) {
	for _, word := range []string{"A=b", "if", "{", "!", "time", "[["} {
		line, err := plugins.Quote(word)
		if err != nil {
			t.Fatal(err)
		}
		err = exec.Command("bash", "-c", "function "+"notfound { :; }; "+line+" 2>/dev/null").Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 127 {
			if word != "time" { // may be installed as a program
				t.Errorf("%s was not looked for as a program: %v", line, err)
			}
		}
	}
}

func TestQuoteRefusesNUL(t *testing.T) {
	if _, err := plugins.Quote("a", "b\x00"); !errors.Is(err, plugins.ErrNUL) {
		t.Errorf("got %v", err)
	}
}
