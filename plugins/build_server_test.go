package plugins_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tfw/plugins"
	"tfw/plugins/plugintest"
)

// project makes a git repository on the host with a C program, a branch and a tag.
func project(t testing.TB, h *plugintest.LocalHost) {
	t.Helper()
	sh(t, h, `
export GIT_AUTHOR_DATE='2026-11-22T10:00:00Z' GIT_COMMITTER_DATE='2026-11-22T10:00:00Z'
git config --global user.email t@example.com && git config --global user.name t && git config --global init.defaultBranch main
mkdir repo && cd repo && git init -q
cat > app.c <<END
#include <stdio.h>
int main(void) { puts("v1"); return 0; }
END
printf 'all: out/app\nout/app: app.c\n\tmkdir -p out\n\t$(CC) -o $@ app.c\n' > Makefile
echo out/ > .gitignore
git add . && git commit -qm one && git tag -a v1.0 -m one
git checkout -qb next && sed -i s/v1/v2/ app.c && git commit -qam two
git checkout -q main`)
}

// sh prepares something on the host.
func sh(t testing.TB, h *plugintest.LocalHost, script string) string {
	t.Helper()
	r, err := h.Run(t.Context(), plugins.Command{Script: []byte("set -e\n" + script)})
	if err != nil || r.ExitCode != 0 {
		t.Fatalf("%v, exit status %d: %s", err, r.ExitCode, r.Stderr)
	}
	return strings.TrimSpace(string(r.Stdout))
}

func TestCheckoutByBranchTagAndCommit(t *testing.T) {
	h := plugintest.Local(t)
	project(t, h)
	co := method(t, "build_server", "checkout")
	repo := h.Path("repo")
	first := sh(t, h, "cd repo; git rev-parse v1.0^{commit}")
	second := sh(t, h, "cd repo; git rev-parse next")
	for ref, want := range map[string]string{"main": first, "v1.0": first, "next": second, second: second, first[:10]: first, "HEAD": first, "refs/heads/next": second} {
		out, err := call[plugins.CheckoutOutputs](t, co, h, m{"repo": repo, "ref": ref})
		if err != nil || out.Commit != want {
			t.Errorf("%s: %+v, %v, want %s", ref, out, err, want)
		}
		if got := sh(t, h, "cd '"+out.Dir+"'; git rev-parse HEAD; git status --porcelain"); got != want {
			t.Errorf("%s: the checkout is at %s", ref, got)
		}
	}
	for _, ref := range []string{"nonesuch", "0123456789"} {
		_, err := call[plugins.CheckoutOutputs](t, co, h, m{"repo": repo, "ref": ref})
		if got := wantFailed(t, err, 66).Reason; !strings.Contains(got, ref) {
			t.Errorf("reason %q", got)
		}
	}
	_, err := call[plugins.CheckoutOutputs](t, co, h, m{"repo": h.Path("none")})
	wantFailed(t, err, 66)
	if err := co.Check([]byte(`{"ref":"main"}`)); err == nil || err.Error() != "parameters.repo: is required" {
		t.Errorf("without a repository: %v", err)
	}
	for _, bad := range []m{{"repo": "--upload-pack=touch x"}, {"repo": repo, "ref": "--help"}} {
		raw, _ := json.Marshal(bad)
		if co.Check(raw) == nil {
			t.Errorf("%s was passed", raw)
		}
	}
}

func TestCheckoutRecovers(t *testing.T) {
	h := plugintest.Local(t)
	project(t, h)
	co := method(t, "build_server", "checkout")
	params := m{"repo": h.Path("repo"), "ref": "main"}
	out, err := call[plugins.CheckoutOutputs](t, co, h, params)
	if err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]string{
		"a lock of a killed git":   "touch .git/index.lock",
		"changed and stray files":  "echo x >> app.c; echo y > stray",
		"a broken repository":      "rm -rf .git/HEAD .git/objects",
		"no repository":            "rm -rf .git",
		"a removed work tree":      "rm -f app.c",
		"a rewritten remote":       "git config remote.origin.url /nonesuch",
		"history forced elsewhere": "cd ../../../../repo; git commit -q --allow-empty --amend -m other",
	} {
		sh(t, h, "cd '"+out.Dir+"'; "+harm)
		again, err := call[plugins.CheckoutOutputs](t, co, h, params)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := sh(t, h, "cd '"+again.Dir+"'; git status --porcelain; ls"); got != "Makefile\napp.c" {
			t.Errorf("%s: left %q", name, got)
		}
	}
}

func TestBuildFromGitKeepsArtifacts(t *testing.T) {
	h := plugintest.Local(t)
	project(t, h)
	b := method(t, "build_server", "build")
	for ref, want := range map[string]string{"main": "v1\n", "next": "v2\n"} {
		out, err := call[plugins.BuildOutputs](t, b, h, m{"repo": h.Path("repo"), "ref": ref, "command": "make", "artifacts": []string{"out/*"}})
		if err != nil {
			t.Fatal(err)
		}
		app := h.Path("app-" + ref)
		if err := os.WriteFile(app, h.Artifact(out.Artifacts["out/app"]), 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := exec.Command(app).Output(); err != nil || string(got) != want {
			t.Errorf("%s: the artifact says %q, %v; outputs %+v", ref, got, err, out)
		}
	}
	out, err := call[plugins.BuildOutputs](t, b, h, m{"repo": h.Path("repo"), "command": "echo $TFW_COMMIT; echo oops >&2; exit 2", "artifacts": "none"})
	wantFailed(t, err, 2)
	if out.Stdout != out.Commit+"\n" || len(out.Commit) != 40 {
		t.Errorf("%+v", out)
	}
	_, err = call[plugins.BuildOutputs](t, b, h, m{"repo": h.Path("repo"), "command": "true", "artifacts": "none/*"})
	if got := wantFailed(t, err, 0).Reason; !strings.Contains(got, "artifact none/* does not exist") {
		t.Errorf("reason %q", got)
	}
	_, err = call[plugins.BuildOutputs](t, b, h, m{"repo": h.Path("repo"), "command": "true", "cwd": "a/../../x"})
	if err == nil || !strings.Contains(err.Error(), "leaves the source") {
		t.Errorf("cwd outside: %v", err)
	}
}

func TestBuildFromAnUploadedSource(t *testing.T) {
	h := plugintest.Local(t)
	for name, compress := range map[string]string{"plain": "cat", "gzip": "gzip", "xz": "xz"} {
		if _, err := exec.LookPath(compress); err != nil {
			continue
		}
		archive, err := h.Run(t.Context(), plugins.Command{
			Shell: "mkdir -p src/sub; echo " + name + " > src/sub/x; tar -C src -cf - . | " + compress, Capture: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		source := h.AddArtifact(bytes.Clone(archive.Stdout))
		out, err := call[plugins.BuildOutputs](t, method(t, "build_server", "build"), h,
			m{"source": source, "command": []string{"cp", "x", "y"}, "cwd": "sub", "artifacts": "sub/y"})
		if err != nil || string(h.Artifact(out.Artifacts["sub/y"])) != name+"\n" {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	_, err := call[plugins.BuildOutputs](t, method(t, "build_server", "build"), h,
		m{"source": h.AddArtifact([]byte("no archive")), "command": "true"})
	wantFailed(t, err, 65)
}

func TestCleanRemovesCheckouts(t *testing.T) {
	h := plugintest.Local(t)
	project(t, h)
	for _, repo := range []string{h.Path("repo"), h.Path("repo") + "/"} {
		if _, err := call[plugins.CheckoutOutputs](t, method(t, "build_server", "checkout"), h, m{"repo": repo}); err != nil {
			t.Fatal(err)
		}
	}
	type cleaned struct {
		Removed int
		Bytes   int64
	}
	c := method(t, "build_server", "clean")
	if out, err := call[cleaned](t, c, h, m{"repo": h.Path("repo")}); err != nil || out.Removed != 1 || out.Bytes == 0 {
		t.Errorf("one: %+v, %v", out, err)
	}
	if out, err := call[cleaned](t, c, h, m{}); err != nil || out.Removed != 1 {
		t.Errorf("all: %+v, %v", out, err)
	}
	if out, err := call[cleaned](t, c, h, m{}); err != nil || out.Removed != 0 {
		t.Errorf("none: %+v, %v", out, err)
	}
}

func TestWithoutGitItRefusesPolitely(t *testing.T) {
	h := plugintest.Local(t)
	remote := withEnv{h, map[string]string{"PATH": h.Path("bin")}}
	if err := os.MkdirAll(h.Path("bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := call[plugins.CheckoutOutputs](t, method(t, "build_server", "checkout"), remote, m{"repo": "/x"})
	if got := wantFailed(t, err, 69).Reason; !strings.Contains(got, "git is not installed") {
		t.Errorf("reason %q", got)
	}
}

func TestBuildSurvivesTheController(t *testing.T) {
	var h *plugintest.LocalHost
	setup := plugintest.Setup(func(local *plugintest.LocalHost) { h = local; project(t, h) })
	out := plugintest.Replay(t, method(t, "build_server", "build"),
		m{"repo": "../../../../repo", "ref": "next", "command": "echo $TFW_COMMIT > id; echo built >> trace", "artifacts": []string{"id", "trace"}},
		setup, plugintest.Ignore("elapsed"), plugintest.IgnoreFiles(".git/", "repo/"))
	if out.Err != nil || len(out.Ops) != 5 {
		t.Errorf("%v, %d operations", out.Err, len(out.Ops))
	}
}

// onlyTools makes a directory for PATH that holds these programs of the machine and no others.
func onlyTools(t *testing.T, h *plugintest.LocalHost, names ...string) string {
	t.Helper()
	dir := h.Path("tools")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWithoutToolsForASourceItRefusesPolitely(t *testing.T) {
	h := plugintest.Local(t)
	gzip := h.AddArtifact([]byte("\x1f\x8b\x08\x00no matter"))
	for want, tools := range map[string][]string{
		"tar is not installed on this host":                                    {"mkdir", "rm"},
		"gzip, which the source is packed with, is not installed on this host": {"mkdir", "rm", "od", "tr", "tar"},
	} {
		host := plugintest.Local(t)
		host.AddArtifact([]byte("\x1f\x8b\x08\x00no matter"))
		_, err := call[plugins.BuildOutputs](t, method(t, "build_server", "build"), withEnv{host, map[string]string{"PATH": onlyTools(t, host, tools...)}}, m{"source": gzip, "command": "true"})
		if got := wantFailed(t, err, 69).Reason; got != want {
			t.Errorf("reason %q, want %q", got, want)
		}
	}
}

// A second checkout works in the first one's repository: what a build left out of git's sight is still there.
func TestCheckoutsAreReused(t *testing.T) {
	h := plugintest.Local(t)
	project(t, h)
	b := method(t, "build_server", "build")
	params := m{"repo": h.Path("repo"), "ref": "main", "command": "make; cat out/once 2>/dev/null; echo here >out/once; ls -di .git"}
	first, err := call[plugins.BuildOutputs](t, b, h, params)
	if err != nil {
		t.Fatal(err)
	}
	params["ref"] = "next"
	second, err := call[plugins.BuildOutputs](t, b, h, params)
	if err != nil || second.Dir != first.Dir || !strings.Contains(second.Stdout, "here\n") || lastOf(first.Stdout) != lastOf(second.Stdout) {
		t.Errorf("%v\n%+v\n%+v", err, first, second)
	}
	params["clean"] = true
	if third, err := call[plugins.BuildOutputs](t, b, h, params); err != nil || strings.Contains(third.Stdout, "here\n") {
		t.Errorf("clean: %v\n%+v", err, third)
	}
}

func lastOf(out string) string { return out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:] }

func TestCheckoutWithSubmodules(t *testing.T) {
	h := plugintest.Local(t)
	project(t, h)
	sh(t, h, `git config --global protocol.file.allow always
mkdir lib && cd lib && git init -q && echo lib > lib.txt && git add . && git commit -qm lib
cd ../repo && git submodule --quiet add `+h.Path("lib")+` vendor/lib && git commit -qm sub`)
	for want, with := range map[string]bool{"lib": true, "": false} {
		if _, err := call[m](t, method(t, "build_server", "clean"), h, m{}); err != nil {
			t.Fatal(err)
		}
		out, err := call[plugins.CheckoutOutputs](t, method(t, "build_server", "checkout"), h, m{"repo": h.Path("repo"), "submodules": with})
		if err != nil {
			t.Fatal(err)
		}
		if got := sh(t, h, "cat '"+out.Dir+"/vendor/lib/lib.txt' 2>/dev/null || :"); got != want {
			t.Errorf("submodules %t: %q", with, got)
		}
	}
}

func TestBuildArtifactLimits(t *testing.T) {
	h := plugintest.Local(t)
	project(t, h)
	for want, limit := range map[string]m{"more than 2 files match (raise max_artifacts": {"max_artifacts": 2}, "more than 5 bytes match (raise max_artifact_bytes": {"max_artifact_bytes": 5}} {
		params := m{"repo": h.Path("repo"), "command": "for i in 1 2 3 4 5 6; do echo $i > f$i; done", "artifacts": "f*"}
		for k, v := range limit {
			params[k] = v
		}
		out, err := call[plugins.BuildOutputs](t, method(t, "build_server", "build"), h, params)
		if got := wantFailed(t, err, 0).Reason; !strings.Contains(got, want) || len(out.Artifacts) != 0 {
			t.Errorf("%q, %v", got, out.Artifacts)
		}
	}
}
