package executortest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfw/executor"
)

// TestSensitiveParametersOfPlans: the hosts have the secret, and nobody else has, the store's files included.
func TestSensitiveParametersOfPlans(t *testing.T) {
	const secret = "correct-horse-battery-staple"
	lab := openSSHLab(t, 4)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, lab)
	p := d.plan(t, `
name: secret
parameters: {token: {type: string, sensitive: true}}
hosts: {d: {target: dut01}}
steps:
  env:
    uses: testcase.run
    on: d
    with:
      env: {TOKEN: "${{ params.token }}"}
      command: |
        printf %s "$TOKEN" | sha256sum >>"$HOME/sum"
        echo "it is $TOKEN"; printf %s "$TOKEN" | base64
        echo "::tfw case name=$TOKEN result=pass"
        printf '%s' "${TOKEN%staple}"; sleep 0.3; echo staple >&1
        tr '\0' '\n' </proc/*/cmdline 2>/dev/null | grep -q "$TOKEN" && echo "seen by ps"
        echo "$TOKEN is wrong" >&2; exit 3
  stdin:
    uses: linux_system.run_shell
    on: d
    with: {command: "sha256sum >>~/sum", stdin: "${{ params.token }}"}
`, map[string]any{"token": "file:" + file})
	r := d.runOf(t, p, "env").Hosts[0]
	if p.Verdict != executor.Failed || r.ExitCode == nil || *r.ExitCode != 3 {
		t.Errorf("%s", p)
	}
	sum := sha256.Sum256([]byte(secret))
	if got, err := os.ReadFile(lab.Home("dut01") + "/sum"); err != nil || strings.Count(string(got), hex.EncodeToString(sum[:])) != 2 {
		t.Errorf("the host was given something else: %v %s", err, got)
	}
	out, err := d.stream(t.Context(), d.runOf(t, p, "env").ID, "dut01", "stdout")
	if err != nil || !bytes.Contains(out, []byte("it is "+strings.Repeat("*", len(secret)))) || bytes.Contains(out, []byte("seen by ps")) {
		t.Errorf("%v %q", err, out)
	}
	seen := map[string][]byte{}
	for _, path := range []string{"/v2.1/testplans/" + p.ID, "/v2.1/runs?plan=" + p.ID, "/v2.1/runs/" + string(d.runOf(t, p, "env").ID) + "/log", "/v2.1/audit"} {
		if seen[path], err = d.bytes(t.Context(), "GET", path, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			seen[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil || len(seen) < 6 {
		t.Fatalf("%v: %d places", err, len(seen))
	}
	for where, content := range seen {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)), "horse-battery"} {
			if bytes.Contains(content, []byte(form)) {
				t.Errorf("%s: holds %q", where, form)
			}
		}
	}
	if err := d.start(t.Context()); err != nil { // for the cleanup
		t.Fatal(err)
	}
}
