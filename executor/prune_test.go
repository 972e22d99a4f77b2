package executor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// tables counts the records of the tables that runs fill.
func (l *lab) tables() map[string]int {
	l.t.Helper()
	n := map[string]int{}
	err := l.store.View(l.t.Context(), func(tx executor.Tx) error {
		for _, table := range []string{"runs", "runs.order", "runs.open", "results", "operations", "idempotency", "host.settings"} {
			n[table] = 0
			if err := tx.Range(table, "", false, func(string, []byte) bool { n[table]++; return true }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

func TestPruneByCountKeepsTheNewestAndWhatIsUnderWay(t *testing.T) {
	l := newLab(t, "h[1-3]")
	hanging := l.submit(request("sh", shParams{"say begun\nhang"}))
	l.untilLog(hanging, "begun", 3)
	var last *executor.Run
	for i := range 6 {
		req := request("sh", shParams{"say x"})
		req.IdempotencyKey = strings.Repeat("k", i+1)
		last = l.wait(l.submit(req))
	}
	gone, err := l.Prune(t.Context(), 0, 2, nil)
	if err != nil || gone.Runs != 4 || gone.Settings != 0 {
		t.Fatalf("%+v %v", gone, err)
	}
	want := map[string]int{"runs": 3, "runs.order": 3, "runs.open": 1, "results": 9, "operations": 9, "idempotency": 2, "host.settings": 3}
	for table, n := range l.tables() {
		if n != want[table] {
			t.Errorf("%s: %d records, want %d", table, n, want[table])
		}
	}
	if r, err := l.Run(t.Context(), me, "last"); err != nil || r.ID != last.ID || len(r.Hosts) != 3 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := l.Cancel(t.Context(), me, string(hanging.ID), ""); err != nil {
		t.Fatal(err)
	}
	l.wait(hanging)
}

func TestPruneByAgeTakesSettingsAndArtifactsAlong(t *testing.T) {
	l := newLab(t, "h[1-3]")
	l.wait(l.submit(request("steps", struct{}{}))) // stores an artifact
	unacked := func() (n int) {
		_ = l.store.View(t.Context(), func(tx executor.Tx) error {
			return tx.Range("operations.unacked", "", false, func(string, []byte) bool { n++; return true })
		})
		return n
	}
	sum, _, err := l.PutArtifact(t.Context(), me, strings.NewReader("used lately"))
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-3 * time.Hour)
	for _, path := range l.files() {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	f, _, err := l.OpenArtifact(t.Context(), me, sum)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if gone, err := l.Prune(t.Context(), time.Hour, 0, nil); err != nil || gone.Runs != 0 || gone.Artifacts != 3 {
		t.Errorf("%+v %v", gone, err)
	}
	if files := l.files(); len(files) != 1 || filepath.Base(files[0]) != sum {
		t.Errorf("left: %v", files)
	}
	time.Sleep(2 * time.Millisecond)
	if unacked() == 0 {
		t.Fatal("the test needs acknowledgements under way")
	}
	if gone, err := l.Prune(t.Context(), time.Millisecond, 0, nil); err != nil || gone.Runs != 1 || gone.Settings != 0 {
		t.Errorf("settings that an acknowledgement needs are gone: %+v %v", gone, err)
	}
	for table, n := range l.tables() {
		if n != 0 && table != "host.settings" {
			t.Errorf("%s: %d records left", table, n)
		}
	}
}

func (l *lab) files() (all []string) {
	l.t.Helper()
	err := filepath.WalkDir(l.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return all
}

// TestRunsTellHowHostsFare: what a run met is what the list of hosts shows, without a probe.
func TestRunsTellHowHostsFare(t *testing.T) {
	l := newLab(t, "{gone1,h1}")
	l.wait(l.submit(request("sh", shParams{"exit 3"})))
	all, err := l.Hosts(t.Context(), me, inventory.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if h := all[0]; h.Reachable == nil || *h.Reachable || !strings.Contains(h.Problem, "connection refused") || !h.LastSeen.IsZero() {
		t.Errorf("%+v", h)
	}
	if h := all[1]; h.Reachable == nil || !*h.Reachable || h.Problem != "" || time.Since(h.LastSeen) > time.Minute {
		t.Errorf("%+v", h)
	}
}
