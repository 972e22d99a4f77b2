package executortest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfw/executor"
)

const examples = "../../examples"

// TestExamplesRun: every example passes on a lab as `tfwctl lab up` makes it.
func TestExamplesRun(t *testing.T) {
	lab := openSSHLab(t, 6)
	d := startDaemon(t, lab)
	files, err := filepath.Glob(examples + "/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if p := d.plan(t, string(text), nil); p.Verdict != executor.Passed {
				t.Error(p)
			}
		})
	}
	t.Run("a board that fails is rolled back", func(t *testing.T) { faultyBoard(t, d) })
}

// faultyBoard: a project is built from git on one host and deployed to four; the one where a
// case fails has the version before, the others the new one, and what was built is stored once.
func faultyBoard(t *testing.T, d *daemon) {
	text, err := os.ReadFile(examples + "/release.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := d.plan(t, string(text), map[string]any{"faulty": "dut03"})
	if p.Verdict != executor.Failed {
		t.Fatal(p)
	}
	type cell struct{ step, cell string }
	ends := map[cell]map[string]executor.Verdict{}
	undone := []string{}
	for _, s := range p.Steps {
		for _, c := range s.Cells {
			ends[cell{s.Name, c.Cell}] = c.Hosts
			if s.Name == "undo" {
				for h := range c.Hosts {
					undone = append(undone, h)
				}
			}
		}
	}
	for _, h := range []string{"dut01", "dut02", "dut03", "dut04"} {
		want := executor.Passed
		if h == "dut03" {
			want = executor.Failed
		}
		if got := ends[cell{"test", "suite=sum"}][h]; got != want {
			t.Errorf("sum on %s %s, want %s", h, got, want)
		}
		if got := ends[cell{"test", "suite=version"}][h]; got != executor.Passed {
			t.Errorf("version on %s %s", h, got)
		}
	}
	if !slices.Equal(undone, []string{"dut03"}) {
		t.Errorf("rolled back: %v", undone)
	}
	for _, r := range d.runOf(t, p, "running").Hosts {
		var out struct{ Stdout string }
		want := "2.0\n"
		if r.Host == "dut03" {
			want = "1.0\n"
		}
		if err := json.Unmarshal(r.Outputs, &out); err != nil || out.Stdout != want {
			t.Errorf("%s runs %q, want %q: %v", r.Host, out.Stdout, want, err)
		}
	}
	sum, _ := p.Outputs["greet"].(string)
	stored := 0
	err = filepath.WalkDir(filepath.Join(d.data(), "artifacts"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.Contains(path, sum[2:]) {
			stored++
		}
		return err
	})
	if err != nil || len(sum) != 64 || stored != 1 {
		t.Errorf("%d copies of %q: %v", stored, sum, err)
	}
}
