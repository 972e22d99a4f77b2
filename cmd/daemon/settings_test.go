package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func read(t *testing.T, file string, environ []string, args ...string) (merged, error) {
	t.Helper()
	fs := pflag.NewFlagSet("tfwd", pflag.ContinueOnError)
	flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	path := ""
	if file != "" {
		path = filepath.Join(t.TempDir(), "tfwd.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return gather(path, environ, fs)
}

func TestLaterSourcesWin(t *testing.T) {
	m, err := read(t, "parallel: 1\nmax_runs: 2\ngrace: 1m # a comment\nlog_level: debug\n",
		[]string{"TFW_MAX_RUNS=3", "TFW_GRACE=2m", "TFW_SERVER=ignored", "TFW_SECRET_DB=ignored", "TFW_KEY_FILE=ignored", "TFW_SOCKET=", "PATH=/bin", "TFW_PORT_80_TCP=x", "TFW_METRICS=token"},
		"--grace", "3m", "--no-auth")
	if err != nil {
		t.Fatal(err)
	}
	s := m.settings
	if s.Parallel != 1 || s.MaxRuns != 3 || s.Grace != 3*time.Minute || s.LogLevel != "debug" || !s.NoAuth || s.MaxOutput != 4<<30 || s.KeepLogs != 30*24*time.Hour || !s.controller("", nil).MetricsToken {
		t.Errorf("got %+v", s)
	}
	var b bytes.Buffer
	if err := m.print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tfwd.yaml:1:1", "# TFW_MAX_RUNS", "# --grace", "# --no-auth", "# default"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

// What --print-config prints is a file for --config that says the same.
func TestPrintedSettingsAreAFile(t *testing.T) {
	m, err := read(t, "", nil, "--data", "/var/lib/tfw: x", "--keep-log-size", "5GB", "--listen", "[::1]:1")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.print(&b); err != nil {
		t.Fatal(err)
	}
	again, err := read(t, b.String(), nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	if again.settings != m.settings {
		t.Errorf("got %+v\nwant %+v", again.settings, m.settings)
	}
}

func TestMistakesNameTheirPlace(t *testing.T) {
	for file, want := range map[string]string{
		"lisen: x":                   `tfwd.yaml:1:1: no such setting "lisen", did you mean "listen"?`,
		"\n  parallel: 0":            `tfwd.yaml:2:3: parallel: got "0", want a number from 1`,
		"log_level: loud":            `log_level: got "loud", want debug, info, warn or error`,
		"metrics: closed":            `metrics: got "closed", want open, or token`,
		"grace: -1s":                 `grace: got "-1s", want a duration`,
		"max_output: big":            `max_output: got "big", want a size`,
		"no_auth: maybe":             `no_auth: got "maybe", want true or false`,
		"listen: [a]":                `listen: want one value`,
		"- a":                        `want settings as "name: value" lines`,
		"a: b\na: c":                 `tfwd.yaml`,
		"listen: {":                  `tfwd.yaml`,
		"a: &x 1":                    `no such setting`,
		strings.Repeat("#", 1<<20+1): "larger than 1 MiB",
	} {
		_, err := read(t, file, nil)
		if err == nil || !isUsage(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", file, err, want)
		}
	}
	if _, err := read(t, "", []string{"TFW_PARALEL=1"}); err == nil || !strings.Contains(err.Error(), `TFW_PARALEL: no such setting "paralel", did you mean "parallel"?`) {
		t.Errorf("environment: %v", err)
	}
}

func TestSizesAndSpans(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1024": 1024, "1K": 1024, "4GiB": 4 << 30, "1.5MB": 1_500_000, "2 GiB": 2 << 30, "7B": 7} {
		if got, err := readSize(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "x", "1e99", "NaN", "GiB", "9999999TiB"} {
		if got, err := readSize(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
	for _, text := range []string{"", "1", "-1s", "d", "-3d", "99999999d"} {
		if got, err := readSpan(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func FuzzSettingsFile(f *testing.F) {
	f.Add("listen: 127.0.0.1:0\nparallel: 3\n")
	f.Add("a: {b: [c, *d]}\n---\nx")
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := read(t, text, nil); err == nil && m.Parallel < 1 {
			t.Errorf("taken: %+v", m.settings)
		}
	})
}
