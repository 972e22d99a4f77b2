package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"tfw/api"
	"tfw/executor"
)

// The same key runs once, whoever restarts in between: the store remembers it.
func TestIdempotencyKeySurvivesARestart(t *testing.T) {
	b := &bigLog{dir: t.TempDir()}
	b.open(t)
	ask := func(path, key, body string) (int, executor.Run) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var run executor.Run
		if err := json.Unmarshal(raw, &run); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		return resp.StatusCode, run
	}
	const body, other = `{"plugin":"linux_system","method":"run_shell","target":"red1","parameters":{"command":"true"}}`,
		`{"plugin":"linux_system","method":"run_shell","target":"red2","parameters":{"command":"true"}}`
	const old = `{"plugin":"linux_system","method":"run_shell","host":"red1","parameters":{"command":"true"}}`
	status, first := ask("/v2.1/runs?wait=20s", "night-1", body)
	if status != 200 || first.State != executor.Done {
		t.Fatalf("%d %+v", status, first)
	}
	_, testcase := ask("/v2.1/testcases?wait=20s", "night-2", old)
	b.reopen(t)
	if status, again := ask("/v2.1/runs?wait=20s", "night-1", body); status != 200 || again.ID != first.ID {
		t.Errorf("run %s, then %d %s", first.ID, status, again.ID)
	}
	if status, again := ask("/v2.1/testcases?wait=20s", "night-2", old); status != 200 || again.ID != testcase.ID {
		t.Errorf("testcase %s, then %d %s", testcase.ID, status, again.ID)
	}
	if status, _ := ask("/v2.1/runs", "night-1", other); status != http.StatusConflict {
		t.Errorf("another request with the key: %d", status)
	}
	c, err := api.NewClient(b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if runs, _, err := c.Runs(t.Context(), executor.RunFilter{}); err != nil || len(runs) != 2 {
		t.Errorf("%d runs: %v", len(runs), err)
	}
}
