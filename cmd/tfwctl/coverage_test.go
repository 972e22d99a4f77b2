package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// oneWay tells which ends of which commands no script shows on a way, and why not.
// A key that holds for both ways names none.
var oneWay = map[string]string{
	"top passes":            "it needs a terminal: testTop and its like",
	"lab up passes, server": "it speaks to no controller",
}

// Every command is shown by a script to pass and to fail, alone and through a server.
func TestEveryCommandIsScripted(t *testing.T) {
	shown := shownByScripts(t)
	for _, c := range allCommands(newRoot(newApp())) {
		if c.Hidden || !c.HasParent() || c.HasAvailableSubCommands() && c.Name() != "hosts" {
			continue
		}
		name := strings.TrimPrefix(c.CommandPath(), "tfwctl ")
		for _, end := range []string{"passes", "fails"} {
			for _, way := range []string{"embedded", "server"} {
				one, both := fmt.Sprintf("%s %s, %s", name, end, way), name+" "+end
				excused := oneWay[one] + oneWay[both]
				if shown[one] == (excused != "") {
					t.Errorf("%s: shown: %v, excused: %q", one, shown[one], excused)
				}
			}
		}
		delete(shown, name)
	}
	for key := range oneWay {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(shown)), func(s string) bool {
			return strings.HasPrefix(s, strings.Fields(key)[0])
		}) && !strings.HasPrefix(key, "top") {
			t.Errorf("%s: there is no such command", key)
		}
	}
}

// called finds the calls of tfwctl in a script: a condition, what is expected, and the words.
var called = regexp.MustCompile(`(?m)^(?:\[(\w+)\] )?(! |)(exec|status \d+|until) (?:\S+ )*?tfwctl (.*)$`)

// shownByScripts lists "COMMAND passes, WAY" and "COMMAND fails, WAY".
func shownByScripts(t *testing.T) map[string]bool {
	t.Helper()
	shown := map[string]bool{}
	for dir, ways := range map[string][]string{"script": {"embedded", "server"}, "alone": {"embedded", "server"}, "local": {"embedded"}} {
		files, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range called.FindAllStringSubmatch(string(text), -1) {
				end := "passes"
				if m[2] != "" || strings.HasPrefix(m[3], "status") && m[3] != "status 0" {
					end = "fails"
				}
				for _, way := range ways {
					if name := commandOf(m[4]); name != "" && (m[1] == "" || m[1] == way) {
						shown[name+" "+end+", "+way] = true
					}
				}
			}
		}
	}
	return shown
}

// commandOf is the command that a line of words calls.
func commandOf(words string) string {
	args := strings.Fields(words)
	c, _, err := newRoot(newApp()).Find(args)
	if err != nil || !c.HasParent() {
		return ""
	}
	return strings.TrimPrefix((*cobra.Command).CommandPath(c), "tfwctl ")
}
