package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"tfw/api"
	"tfw/executor"
)

// TestMetricsAskForAToken asks for the totals as everybody, by each way to write the path: open, which is the default,
// and for who sees all groups only.
func TestMetricsAskForAToken(t *testing.T) {
	for _, closed := range []bool{false, true} {
		l := newTeams(t, func(c *api.Config) { c.MetricsToken = closed })
		var err error
		if l.tokens["watcher"], _, err = l.exec.CreateToken(t.Context(), root, executor.Token{Name: "prometheus", Role: executor.Viewer}); err != nil {
			t.Fatal(err)
		}
		for _, who := range append(everybody, "watcher") {
			want, code := http.StatusOK, ""
			if closed {
				switch who {
				case "none", "wrong", "expired", "revoked":
					want, code = http.StatusUnauthorized, "unauthenticated"
				case "viewer", "other", "operator", "lead":
					want, code = http.StatusForbidden, "forbidden"
				}
			}
			for _, path := range []string{"/metrics", "/metrics/", "/%6detrics", "/metrics?x=1"} {
				status, answer := l.ask(who, "GET", path, "")
				if status != want || strings.Contains(answer, "\ntfw_runs_active ") != (want == http.StatusOK) {
					t.Errorf("closed %v: %s as %s: %d, want %d: %s", closed, path, who, status, want, answer)
				}
				if code == "" {
					continue
				}
				var p api.Problem
				if err := json.Unmarshal([]byte(head(answer)), &p); err != nil || p.Code != code || p.Status != want || p.Detail == "" || p.Request != l.request || !strings.Contains(answer, "application/problem+json") {
					t.Errorf("%s as %s is no problem: %v %s", path, who, err, answer)
				}
				if want == http.StatusUnauthorized && !strings.Contains(answer, "Www-Authenticate: Bearer") {
					t.Errorf("%s as %s: no challenge: %s", path, who, answer)
				}
			}
			if status, _ := l.ask(who, "HEAD", "/metrics", ""); status != want {
				t.Errorf("closed %v: HEAD as %s: %d, want %d", closed, who, status, want)
			}
		}
		_, text := l.ask("none", "GET", "/openapi.json", "")
		var doc struct {
			Paths map[string]map[string]struct {
				Responses map[string]any
				Security  []any
			}
		}
		if err := json.NewDecoder(strings.NewReader(text)).Decode(&doc); err != nil {
			t.Fatal(err)
		}
		op := doc.Paths["/metrics"]["get"]
		for _, status := range []string{"401", "403", "429"} {
			if (op.Responses[status] != nil) != closed {
				t.Errorf("closed %v: %s is described wrongly: %+v", closed, status, op)
			}
		}
		if (len(op.Security) == 0) != closed {
			t.Errorf("closed %v: security %v", closed, op.Security)
		}
	}
}
