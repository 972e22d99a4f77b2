package executortest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tfw/executor"
)

// testPlan is what the tests read of a test plan's JSON.
type testPlan struct {
	ID       string
	State    executor.State
	Verdict  executor.Verdict
	Reason   string
	Lease    string
	Hosts    map[string][]string
	Outputs  map[string]any
	ResumeOf string `json:"resume_of"`
	Steps    []struct {
		Name    string
		Verdict executor.Verdict
		Reason  string
		Cells   []struct {
			Cell  string
			Runs  []executor.RunID
			Hosts map[string]executor.Verdict
			Plan  string
		}
	}
}

// String is the plan's end with every step's, for messages.
func (p testPlan) String() string {
	all := []string{fmt.Sprintf("%s %s (%s)", p.ID, p.Verdict, p.Reason)}
	for _, s := range p.Steps {
		all = append(all, fmt.Sprintf("%s=%s %s", s.Name, s.Verdict, s.Reason))
	}
	return strings.Join(all, "\n  ")
}

func (d *daemon) submitPlan(ctx context.Context, key, text string, params map[string]any) (p testPlan, err error) {
	body := map[string]any{"file": "plan.yaml", "plan": text, "parameters": params}
	err = d.call(ctx, http.MethodPost, "/v2.1/testplans", body, &p, "Idempotency-Key", key)
	return p, err
}

// waitPlan polls until the test plan is done. It may be killed and started meanwhile.
func (d *daemon) waitPlan(ctx context.Context, id string) (p testPlan, err error) {
	for {
		if err = d.call(ctx, http.MethodGet, "/v2.1/testplans/"+id, nil, &p); err != nil || p.State == executor.Done {
			return p, err
		}
		select {
		case <-ctx.Done():
			return p, fmt.Errorf("test plan is still %s: %w: %s", p.State, ctx.Err(), p)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// plan runs a test plan to its end.
func (d *daemon) plan(t *testing.T, text string, params map[string]any) testPlan {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	p, err := d.submitPlan(ctx, executor.NewID(), text, params)
	if err == nil {
		p, err = d.waitPlan(ctx, p.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run gives the only run of a step's first cell.
func (d *daemon) runOf(t *testing.T, p testPlan, step string) executor.Run {
	t.Helper()
	for _, s := range p.Steps {
		if s.Name == step && len(s.Cells) > 0 && len(s.Cells[0].Runs) > 0 {
			run, err := d.wait(t.Context(), s.Cells[0].Runs[0])
			if err != nil {
				t.Fatal(err)
			}
			return run
		}
	}
	t.Fatalf("step %s has no run: %s", step, p)
	return executor.Run{}
}
