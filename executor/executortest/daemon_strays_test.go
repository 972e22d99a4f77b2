package executortest_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"tfw/executor"
)

// TestStraysAreTold: what outlives its run is told in the run's log, with the host and in the metrics, until it has ended.
func TestStraysAreTold(t *testing.T) {
	lab := openSSHLab(t, 1)
	d := startDaemon(t, lab)
	host := lab.Hosts()[0].Name
	id, err := d.submit(t.Context(), "leaves something", shell(host, "setsid sleep 321 >/dev/null 2>&1 & echo up"))
	if err != nil {
		t.Fatal(err)
	}
	if run, err := d.wait(t.Context(), id); err != nil || run.Verdict != executor.Passed {
		t.Fatalf("%v %+v", err, run)
	}
	look := func() []executor.StrayProcess {
		t.Helper()
		var status struct {
			Strays []executor.StrayProcess `json:"strays"`
		}
		if err := d.call(t.Context(), http.MethodPost, "/v2.1/hosts/probe", map[string]any{"target": host}, nil); err != nil {
			t.Fatal(err)
		}
		if err := d.call(t.Context(), http.MethodGet, "/v2.1/hosts/"+host, nil, &status); err != nil {
			t.Fatal(err)
		}
		return status.Strays
	}
	strays := look()
	if len(strays) != 1 || strays[0].Run != id || strays[0].Command != "sleep" {
		t.Fatalf("strays %+v", strays)
	}
	if again := look(); len(again) != 1 || !again[0].Seen.Equal(strays[0].Seen) {
		t.Errorf("the same stray: %+v, then %+v", strays, again)
	}
	want := fmt.Sprintf("left behind: %d sleep still runs on the host (end it: tfwctl exec %s -- kill %d)\n", strays[0].PID, host, strays[0].PID)
	eventually(t, "the run's log to say so", func() bool {
		events, err := d.stream(t.Context(), id, host, "event")
		return err == nil && strings.Count(string(events), want) == 1
	})
	if n, err := d.metric(t.Context(), "tfw_stray_processes"); err != nil || n != 1 {
		t.Errorf("metric %v %v", n, err)
	}
	if err := syscall.Kill(strays[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no stray", func() bool { return len(look()) == 0 })
	if n, err := d.metric(t.Context(), "tfw_stray_processes"); err != nil || n != 0 {
		t.Errorf("metric %v %v", n, err)
	}
}
