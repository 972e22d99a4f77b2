package executortest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tfw/executor"
)

// sought are the forms in which a secret must not be found: as it is, its halves, and what
// base64 makes of it in any place.
type sought struct {
	name  string
	forms map[string]string
}

func soughtOf(name, secret string) sought {
	s := sought{name, map[string]string{"itself": secret, "first half": secret[:len(secret)/2], "second half": secret[len(secret)/2:], "hex": hex.EncodeToString([]byte(secret))}}
	for before := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + secret))
		s.forms[fmt.Sprintf("base64 after %d bytes", before)] = strings.TrimRight(text, "=")[before+1 : len(text)-4]
	}
	return s
}

// in reports every form that the bytes hold.
func (s sought) in(t *testing.T, place string, content []byte) {
	t.Helper()
	for form, text := range s.forms {
		if i := bytes.Index(content, []byte(text)); i >= 0 {
			t.Errorf("the %s (%s) is in %s: ...%q", s.name, form, place, content[max(0, i-80):min(len(content), i+80)])
		}
	}
}

// files calls fn for every file below dir that can be read.
func files(t *testing.T, dir string, fn func(path string, content []byte)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil {
			n++
			fn(path, content)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%s: %d files read: %v", dir, n, err)
	}
}

// TestSecretsAreFoundNowhere hands secrets to commands in every way that there is, through a tfwd that tells all it can (debug),
// is killed and drains meanwhile, and looks for them in every byte that is left anywhere, and in what other users of the host can see.
// Its memory does hold them: that a crash copies none of it to a core file is TestCrashesLeaveNoCore's.
func TestSecretsAreFoundNowhere(t *testing.T) {
	lab := openSSHLab(t, 3)
	secrets := map[string]string{
		"environment":         "env-Zk3vQ9-sEcReT-0aB",
		"standard input":      "in+Yw8/xT2=sEcReT;1cD",
		"secrets.age":         "age_Lp7mR4_sEcReT_2eF",
		"sensitive parameter": "prm.Nb6kS1.sEcReT.3gH",
		"become password":     "bec,Jc5jD0,sEcReT,4iJ",
		"sudo password":       "sud%Hq8tW2%sEcReT%5kL",
	}
	all := []sought{}
	for name, secret := range secrets {
		all = append(all, soughtOf(name, secret))
	}
	search := func(place string, content []byte) {
		t.Helper()
		for _, s := range all {
			s.in(t, place, content)
		}
	}
	dir := t.TempDir()
	text := strings.Replace(string(lab.Inventory()), "ssh: {", "ssh: {become: {password: \"env:TFW_SECRET_BECOME\"}, ", 1)
	if !strings.Contains(text, "TFW_SECRET_BECOME") {
		t.Fatalf("the lab's inventory has another form:\n%s", text)
	}
	asked := sudoUser(t, lab, lab.Hosts()[2].Name, secrets["sudo password"])
	text = strings.Replace(text, asked.host+": {", fmt.Sprintf("%s: {ssh: {user: %q, become: {password: \"env:TFW_SECRET_SUDO\"}}, ", asked.host, asked.user), 1)
	inventory := filepath.Join(dir, "inventory.yaml")
	if err := os.WriteFile(inventory, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &daemon{bin: programs(t), inventory: inventory, dir: dir, env: []string{"TFW_LOG_LEVEL=debug", "TFW_SECRETS_KEY=" + lab.IdentityFile(),
		"TFW_SECRET_ENV=" + secrets["environment"], "TFW_SECRET_IN=" + secrets["standard input"], "TFW_SECRET_BECOME=" + secrets["become password"], "TFW_SECRET_SUDO=" + secrets["sudo password"]}}
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.stop() }() // it is stopped at the end of the test; not on the way out of a failed one
	ctx := t.Context()
	host := lab.Hosts()[0].Name
	for name, value := range map[string]string{"db": secrets["secrets.age"], "prm": secrets["sensitive parameter"]} {
		if err := d.call(ctx, http.MethodPut, "/v2.1/secrets/"+name, map[string]string{"value": value}, nil); err != nil {
			t.Fatal(err)
		}
	}
	// Everything that prints: whole, in pieces, at the border of a chunk, in base64, behind other text, on both streams.
	script := `IFS= read -r IN || :
for s in "$ENV" "$AGE" "$IN"; do
  echo "whole $s"; echo "whole $s" >&2
  a=${s%??????????}; printf 'piece %s' "$a"; sleep 0.1; printf '%s\n' "${s#"$a"}"
  printf %s "$s" | base64; printf 'user:%s' "$s" | base64; printf 'xuser:%s' "$s" | base64
  head -c 65530 /dev/zero | tr '\0' .; printf '%s\n' "$s"
done
echo "$ENV" >"$0.nosuch/$ENV"
sleep 2
exit 3`
	request := map[string]any{"plugin": "linux_system", "method": "run_shell", "target": host, "parameters": map[string]any{
		"command": script, "become": true, "stdin": map[string]string{"secret": "env:TFW_SECRET_IN"},
		"env": map[string]any{"ENV": map[string]string{"secret": "env:TFW_SECRET_ENV"}, "AGE": map[string]string{"secret": "secret:db"}}}}
	id, err := d.submit(ctx, "one", request)
	if err != nil {
		t.Fatal(err)
	}
	const plan = "name: p\nparameters:\n  token: {type: string, sensitive: true}\nhosts: {dut: HOST}\nsteps:\n  one: {uses: linux_system.run_shell, on: dut, with: {command: 'echo $T; echo $T | base64', env: {T: \"${{ params.token }}\"}}}\n"
	var planned struct {
		ID string `json:"id"`
	}
	body := map[string]any{"file": "p.yaml", "plan": strings.Replace(plan, "HOST", lab.Hosts()[1].Name, 1), "parameters": map[string]string{"token": "secret:prm"}}
	if err := d.call(ctx, http.MethodPost, "/v2.1/testplans", body, &planned); err != nil {
		t.Fatal(err)
	}
	asked.submit(t, d)
	running := time.Now().Add(15 * time.Second)
	for seen := false; !seen && time.Now().Before(running); time.Sleep(20 * time.Millisecond) {
		for _, p := range lab.Processes() { // all of the host's command lines, as any user's ps shows them
			seen = seen || strings.Contains(p.Command, "sleep 2")
			search(fmt.Sprintf("the command line of process %d", p.PID), []byte(p.Command))
		}
	}
	asked.look(t, lab, secrets["sudo password"], search)
	met := 0 // while the command runs its script, input and output are in the spool, which is the login user's alone
	spools(t, func(_ string, content []byte) {
		if slices.ContainsFunc(all, func(s sought) bool { return s.anywhere(content) }) {
			met++
		}
	})
	if met == 0 {
		t.Error("no file on the host holds any secret while the command runs: the search looks in the wrong place")
	}
	d.kill()
	if err := d.start(ctx); err != nil {
		t.Fatal(err)
	}
	asked.ended(t, d)
	run, err := d.wait(ctx, id)
	if err != nil || run.Verdict != executor.Failed || run.Hosts[0].ExitCode == nil || *run.Hosts[0].ExitCode != 3 {
		t.Fatalf("%+v %v\n%s", run, err, d.tail())
	}
	shown, err := d.stream(ctx, id, host, "stdout")
	if err != nil || bytes.Count(shown, []byte("whole ****")) != 3 || bytes.Count(shown, []byte("piece ****")) != 3 {
		t.Errorf("the secrets did not reach the command, or their places are gone: %d bytes, %v: %q", len(shown), err, shown[:min(len(shown), 500)])
	}
	// Requests that are refused: what they held is not told back.
	for _, refused := range []struct {
		method, path string
		body         any
	}{
		{http.MethodPut, "/v2.1/secrets/x", map[string]any{"value": secrets["environment"], "nosuch": secrets["environment"]}},
		{http.MethodPut, "/v2.1/secrets/x", map[string]any{"value": map[string]string{"a": secrets["environment"]}}},
		{http.MethodPut, "/v2.1/secrets/a%20b", map[string]any{"value": secrets["environment"]}},
		{http.MethodPost, "/login", map[string]any{"id_token": secrets["environment"]}},
		{http.MethodPost, "/v2.1/runs", map[string]any{"plugin": "linux_system", "method": "run_shell", "target": host, "parameters": map[string]any{"command": "true", "env": map[string]any{"A B": secrets["environment"]}}}},
		{http.MethodPost, "/v2.1/runs", map[string]any{"plugin": "linux_system", "method": "run_shell", "target": host, "parameters": map[string]any{"command": "true", "stdin": map[string]any{"secret": 1, "x": secrets["environment"]}}}},
	} {
		_, err := d.bytes(ctx, refused.method, refused.path, refused.body)
		var status *statusError
		if !errors.As(err, &status) {
			t.Errorf("%s %s: %v", refused.method, refused.path, err)
			continue
		}
		search("the answer to "+refused.method+" "+refused.path, []byte(status.body))
	}
	for _, path := range []string{"/v2.1/runs/" + string(id) + "?output=true", "/v2.1/runs/" + string(id) + "/log", "/v2.1/runs/" + string(id) + "/log?format=sse", "/v2.1/runs",
		"/v2.1/testplans/" + planned.ID, "/v2.1/testplans", "/v2.1/audit?limit=10000", "/v2.1/secrets", "/v2.1/hosts", "/v2.1/inventory", "/metrics", "/openapi.json"} {
		answer, err := d.bytes(ctx, http.MethodGet, path, nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		search(path, answer)
	}
	var runs struct {
		Runs []executor.Run `json:"runs"`
	}
	if err := d.call(ctx, http.MethodGet, "/v2.1/runs", nil, &runs); err != nil || len(runs.Runs) < 2 {
		t.Fatalf("%d runs, %v", len(runs.Runs), err)
	}
	for _, r := range runs.Runs {
		log, err := d.bytes(ctx, http.MethodGet, "/v2.1/runs/"+string(r.ID)+"/log?format=raw&stream=stdout", nil)
		if err != nil {
			t.Error(err)
		}
		search("the log of run "+string(r.ID), log)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(ctx); err != nil { // a stop in good order leaves nothing behind either
		t.Fatal(err)
	}
	files(t, d.dir, func(path string, content []byte) { search(path, content) })
	// The host gives its copies up once the controller has all of them.
	left := func() (paths []string) {
		spools(t, func(path string, content []byte) {
			if slices.ContainsFunc(all, func(s sought) bool { return s.anywhere(content) }) {
				paths = append(paths, path)
			}
		})
		for _, h := range lab.Hosts() { // the spool of the lab's own user is in its home
			all, err := filepath.Glob(filepath.Join(lab.Home(h.Name), ".tfw", "*+out"))
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, all...)
		}
		return paths
	}
	for end := time.Now().Add(30 * time.Second); len(left()) > 0 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	if paths := left(); len(paths) > 0 {
		t.Errorf("the host still holds secrets: %v", paths)
	}
	for _, h := range lab.Hosts() {
		if err := os.WriteFile(filepath.Join(lab.Home(h.Name), "looked.at"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		files(t, lab.Home(h.Name), func(path string, content []byte) { search(path, content) })
	}
}

// spools calls fn for the files of this user's spools on the host, which nobody else may look into.
func spools(t *testing.T, fn func(path string, content []byte)) {
	t.Helper()
	for _, parent := range []string{"/var/tmp", "/tmp"} {
		dir := fmt.Sprintf("%s/tfw-%d", parent, os.Getuid())
		if info, err := os.Lstat(dir); err != nil {
			continue
		} else if !info.IsDir() || info.Mode().Perm() != 0o700 {
			t.Errorf("the spool %s is %v", dir, info.Mode())
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		for _, e := range entries {
			if content, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil { // else it went meanwhile
				fn(filepath.Join(dir, e.Name()), content)
			}
		}
	}
}

// anywhere reports whether the bytes hold the secret in any form.
func (s sought) anywhere(content []byte) bool {
	for _, form := range s.forms {
		if bytes.Contains(content, []byte(form)) {
			return true
		}
	}
	return false
}
