package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tfw/api"
	"tfw/cmd/controller"
	"tfw/cmd/daemon"
	"tfw/executor/executortest"
	"tfw/plugins"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tfwctl": main,
		"tfwd":   func() { os.Exit(daemon.Main("test", os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) },
	})
}

// The scripts of testdata/script run on both ways: tfwctl by itself, and through a tfwd over HTTP.
// They print the same bytes.
func TestScripts(t *testing.T) { runScripts(t, "script") }

// Those of testdata/alone change hosts under everybody: they have a lab for themselves.
func TestScriptsAlone(t *testing.T) { runScripts(t, "alone") }

func runScripts(t *testing.T, dir string) {
	t.Helper()
	lab := newTestLab(t)
	for _, way := range []string{"embedded", "server"} {
		t.Run(way, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir: filepath.Join("testdata", dir), RequireUniqueNames: true,
				Setup:     func(e *testscript.Env) error { return setUp(t, e, lab, way) },
				Deadline:  time.Now().Add(5 * time.Minute),
				Cmds:      scriptCommands(lab),
				Condition: func(cond string) (bool, error) { return cond == way, nil },
			})
		})
	}
}

// The scripts of testdata/local are about one way only.
func TestLocalScripts(t *testing.T) {
	lab := newTestLab(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "local"), RequireUniqueNames: true,
		Setup:    func(e *testscript.Env) error { return setUp(t, e, lab, "embedded") },
		Deadline: time.Now().Add(5 * time.Minute),
		Cmds:     scriptCommands(lab),
	})
}

func newTestLab(t *testing.T) *executortest.Lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lab, err := executortest.NewLab(ctx, executortest.LabOptions{Hosts: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

func setUp(t *testing.T, e *testscript.Env, lab *executortest.Lab, way string) error {
	home, err := os.MkdirTemp("", "tfwctl") // short enough for a socket's path
	if err != nil {
		return err
	}
	e.Defer(func() { os.RemoveAll(home) })
	e.Setenv("HOME", home)
	e.Setenv("GORACE", "atexit_sleep_ms=0") // else every command sleeps for a second at its end
	e.Setenv("XDG_STATE_HOME", filepath.Join(home, "state"))
	e.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	e.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "config"))
	e.Setenv("WAY", way)
	file := filepath.Join(e.WorkDir, "inventory.yaml")
	if err := os.WriteFile(file, inventoryOf(lab), 0o600); err != nil || way != "server" {
		return err
	}
	c, err := controller.Start(t.Context(), controller.Config{
		Inventory: file, Data: filepath.Join(home, "data"), Listen: "127.0.0.1:0", Version: "test", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	e.Defer(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("closing the controller: %v", err)
		}
	})
	token, err := os.ReadFile(filepath.Join(home, "data", "admin.token"))
	e.Setenv("TFW_SERVER", c.URL())
	e.Setenv("TFW_TOKEN", strings.TrimSpace(string(token)))
	return err
}

// inventoryOf is the lab's inventory with the roles that there are.
func inventoryOf(lab *executortest.Lab) []byte {
	text := lab.Inventory()
	known := map[string]bool{}
	for _, p := range plugins.Builtin() {
		known[p.Name()] = true
	}
	for _, role := range []string{"build_server", "deploy", "testcase"} {
		if !known[role] {
			text = bytes.ReplaceAll(text, []byte(role+", "), nil)
			text = bytes.ReplaceAll(text, []byte(", "+role), nil)
		}
	}
	return text
}

// Besides testscript's own: runid FILE sets $RUN to the id in a file; host-file HOST NAME
// compares with the file of that name in the host's home; until CMD retries a command.
func scriptCommands(lab *executortest.Lab) map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	return map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"setenv-file": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
		},
		"home": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Setenv("HOST_HOME", lab.Home(args[0]))
		},
		"reimage": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(lab.Reimage(context.Background(), args[0]))
		},
		"status": func(ts *testscript.TestScript, _ bool, args []string) {
			err := ts.Exec(args[1], args[2:]...)
			got := "0"
			if err != nil {
				got = strings.TrimPrefix(err.Error(), "exit status ")
			}
			if got != args[0] {
				ts.Fatalf("%s: exit status %s, want %s", strings.Join(args[1:], " "), got, args[0])
			}
		},
		"until": func(ts *testscript.TestScript, neg bool, args []string) {
			for end := time.Now().Add(20 * time.Second); ; {
				if err := ts.Exec(args[0], args[1:]...); (err == nil) != neg {
					return
				}
				if time.Now().After(end) {
					ts.Fatalf("gave up waiting for: %s", strings.Join(args, " "))
				}
				time.Sleep(20 * time.Millisecond)
			}
		},
	}
}

// What the server says of a run is what tfwctl's own Go types say: no field is lost on the way.
func TestExitStatusIsTheWorst(t *testing.T) {
	for _, c := range []struct {
		verdicts string
		want     int
	}{
		{"passed", 0}, {"passed skipped", 0}, {"passed failed", 1}, {"failed cancelled", 5}, {"cancelled timed_out", 4},
		{"timed_out errored failed", 3}, {"failed timed_out", 4},
	} {
		run := runWith(strings.Fields(c.verdicts)...)
		if got := exitOfRun(run); got != c.want {
			t.Errorf("%s: got %d, want %d", c.verdicts, got, c.want)
		}
	}
	for err, want := range map[error]int{
		fmt.Errorf("x: %w", api.ErrTooLarge): 2, usageError{"no"}: 2, context.Canceled: 3, statusError(7): 7,
	} {
		if got := exitOfError(err); got != want {
			t.Errorf("%v: got %d, want %d", err, got, want)
		}
	}
}
