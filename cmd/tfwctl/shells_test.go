package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Completion in the shells themselves, as it is typed.
func testShells(t *testing.T, d *desk) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "firmware.img"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for shell, start := range map[string][]string{
		"bash": {"bash", "--norc", "--noprofile", "-i"}, "zsh": {"zsh", "-f", "-i"}, "fish": {"fish", "--no-config"},
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip("not installed")
			}
			script := filepath.Join(t.TempDir(), "tfwctl."+shell)
			if err := os.WriteFile(script, []byte(d.say(t, "completion", shell)), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(path, start[1:]...)
			cmd.Env, cmd.Dir = append(d.env, "PS1=ready> "), dir
			p := d.start(t, 100, 50, cmd)
			load := "source " + script
			if shell == "zsh" {
				load = "autoload -U compinit && compinit -D && source " + script
			}
			if shell == "fish" {
				load += "; function fish_prompt; echo 'ready> '; end; function fish_right_prompt; end"
			}
			_ = p.Type(load + "\n")
			for typed, want := range map[string]string{
				"tfwctl exec builde\t":                              "builders",
				"tfwctl exec duts,gw --no-p\t":                      "--no-prefix",
				"tfwctl run linux_system.sys\t":                     "linux_system.system_information",
				"tfwctl run linux_system.run_shell dut01 silence\t": "silence_timeout=",
				"tfwctl runs --verdict timed\t":                     "timed_out",
				"tfwctl host g\t":                                   "gw",
				"tfwctl cp firm\t":                                  "firmware.img",
				"tfwctl plugins linux_system.wait\t":                "linux_system.wait_for",
				"tfwctl hosts set gw --state quar\t":                "quarantined",
				"tfwctl -o js\t":                                    "json",
			} {
				// At the beginning of the completed line: what shows its words. The shell reads on once it has completed.
				_ = p.Type(typed + "\x01printf 'GOT<%s>\\n' \r")
				if !p.Until(soon, func(string) bool { return strings.Contains(p.Sent(), "GOT<"+want) }) {
					t.Fatalf("%q did not become %s: %q", typed, want, p.Sent())
				}
			}
			_ = p.Type("exit\r")
			ends(t, p, 0)
			if s := p.Sent(); strings.Contains(s, "not found") || strings.Contains(s, "rror") {
				t.Errorf("the shell complained: %s", s)
			}
		})
	}
}

// Every page is one that man and troff read without a complaint.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	root := newRoot(newApp())
	if err := writeMan(root, dir); err != nil {
		t.Fatal(err)
	}
	pages, _ := filepath.Glob(filepath.Join(dir, "*.1"))
	if want := len(manCommands(root)); len(pages) != want || want < 20 {
		t.Fatalf("%d pages for %d commands", len(pages), want)
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("no groff to read them with")
	}
	for _, page := range pages {
		var errs bytes.Buffer
		cmd := exec.Command(groff, "-ww", "-man", "-Tascii", "-P-c", page)
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil || errs.Len() > 0 {
			t.Errorf("%s: %v %s", filepath.Base(page), err, errs.String())
		}
		out = regexp.MustCompile(".\x08").ReplaceAll(out, nil) // bold and underlined, as on a teleprinter
		if filepath.Base(page) == "tfwctl-exec.1" {
			for _, want := range []string{"--max-fail N", "tfwctl exec 'dut[01-24],!dut07' -b -- cat /etc/os-release", "tfwctl exec all --where \"vars.board == 'imx8'\" --shell 'dmesg | tail -3'"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("tfwctl-exec.1 does not say %s:\n%s", want, out)
				}
			}
		}
	}
}
