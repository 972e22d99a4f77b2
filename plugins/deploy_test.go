package plugins_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"tfw/plugins"
	"tfw/plugins/plugintest"
)

type installed struct {
	Changed    bool   `json:"changed"`
	SHA256     string `json:"sha256"`
	Previous   string `json:"previous"`
	Activated  bool   `json:"activated"`
	RolledBack bool   `json:"rolled_back"`
	Removed    bool   `json:"removed"`
	ExitCode   int    `json:"exit_code"`
	Dest       string `json:"dest"`
}

func deploy(t *testing.T, h plugins.Remote, name string, params m) (installed, error) {
	t.Helper()
	return call[installed](t, method(t, "deploy", name), h, params)
}

// files lists a directory of the host with contents.
func files(t *testing.T, h *plugintest.LocalHost, dir string) string {
	t.Helper()
	names, err := filepath.Glob(h.Path(dir) + "/*")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			continue // a directory
		}
		all = append(all, filepath.Base(n)+"="+strings.TrimSpace(string(b)))
	}
	sort.Strings(all)
	return strings.Join(all, " ")
}

func newDir(t *testing.T, h *plugintest.LocalHost, content string) {
	t.Helper()
	if err := os.MkdirAll(h.Path("opt"), 0o755); err != nil {
		t.Fatal(err)
	}
	if content == "" {
		return
	}
	if err := os.WriteFile(h.Path("opt/app"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestInstallReplacesAndRollsBack(t *testing.T) {
	h := plugintest.Local(t)
	newDir(t, h, "v1")
	v2 := h.AddArtifact([]byte("v2"))
	out, err := deploy(t, h, "install", m{"artifact": v2, "dest": "opt/app", "mode": "0755", "activate": "cat $TFW_DEST > opt/live"})
	if err != nil || !out.Changed || !out.Activated || out.SHA256 != v2 || len(out.Previous) != 64 {
		t.Fatalf("%+v, %v", out, err)
	}
	if got := files(t, h, "opt"); got != ".app.tfw-old=v1 app=v2 live=v2" {
		t.Errorf("files %s", got)
	}
	if info, err := os.Stat(h.Path("opt/app")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info, err)
	}
	if out, err = deploy(t, h, "install", m{"artifact": v2, "dest": "opt/app"}); err != nil || out.Changed {
		t.Errorf("again: %+v, %v", out, err)
	}
	if got := files(t, h, "opt"); got != ".app.tfw-old=v1 app=v2 live=v2" {
		t.Errorf("installing the same lost the version before: %s", got)
	}
	out, err = deploy(t, h, "rollback", m{"activate": "cat $TFW_DEST > opt/live"})
	if err != nil || !out.RolledBack || out.Dest != h.Path("opt/app") {
		t.Errorf("%+v, %v", out, err)
	}
	if got := files(t, h, "opt"); got != "app=v1 live=v1" {
		t.Errorf("files %s", got)
	}
	if out, err = deploy(t, h, "rollback", m{}); err != nil || out.RolledBack {
		t.Errorf("nothing to roll back: %+v, %v", out, err)
	}
	_, err = deploy(t, h, "rollback", m{"dest": "opt/app"})
	if got := wantFailed(t, err, 66).Reason; !strings.Contains(got, "no version before it") {
		t.Errorf("reason %q", got)
	}
}

func TestInstallWhereThereWasNone(t *testing.T) {
	h := plugintest.Local(t)
	newDir(t, h, "")
	remote := withEnv{h, map[string]string{"XDG_STATE_HOME": h.Path("my state")}}
	out, err := deploy(t, remote, "install", m{"content": "v1", "dest": "opt/app"})
	if err != nil || !out.Changed || out.Previous != "" || out.SHA256 != h.AddArtifact([]byte("v1")) {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = deploy(t, h, "rollback", m{"dest": "opt/app"})
	if err != nil || !out.Removed || files(t, h, "opt") != "" {
		t.Errorf("%+v, %v, files %s", out, err, files(t, h, "opt"))
	}
}

func TestInstallTakesItBackWhenActivateFails(t *testing.T) {
	h := plugintest.Local(t)
	newDir(t, h, "v1")
	out, err := deploy(t, h, "install", m{"content": "v2", "dest": "opt/app",
		"activate": "cat opt/app >> opt/live; grep -q v1 opt/app || { echo cannot load >&2; exit 9; }"})
	if got := wantFailed(t, err, 9).Reason; got != "activate ended with exit status 9: cannot load (rolled back)" {
		t.Errorf("reason %q", got)
	}
	if !out.RolledBack || out.Activated || files(t, h, "opt") != "app=v1 live=v2v1" {
		t.Errorf("%+v, files %s", out, files(t, h, "opt"))
	}
	if out, err = deploy(t, h, "rollback", m{}); err != nil || out.RolledBack {
		t.Errorf("rolled back twice: %+v, %v", out, err)
	}
}

func TestInstallTakesItBackWhenActivateHangs(t *testing.T) {
	h := plugintest.Local(t)
	newDir(t, h, "v1")
	out, err := deploy(t, h, "install", m{"content": "v2", "dest": "opt/app", "timeout": 0.3,
		"activate": "grep -q v1 opt/app || exec sleep 60"})
	if err == nil || !out.RolledBack || files(t, h, "opt") != "app=v1" {
		t.Errorf("%+v, %v, files %s", out, err, files(t, h, "opt"))
	}
}

func TestInstallAFileOfTheHost(t *testing.T) {
	h := plugintest.Local(t)
	newDir(t, h, "v1")
	if err := os.WriteFile(h.Path("built"), []byte("v2"), 0o751); err != nil {
		t.Fatal(err)
	}
	_, err := deploy(t, h, "install", m{"file": "built", "sha256": strings.Repeat("0", 64), "dest": "opt/app"})
	if got := wantFailed(t, err, 74).Reason; !strings.Contains(got, "another hash") {
		t.Errorf("reason %q", got)
	}
	if got := files(t, h, "opt"); got != "app=v1" {
		t.Errorf("a wrong hash was installed: %s", got)
	}
	if _, err := deploy(t, h, "install", m{"file": "built", "dest": "opt/app"}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(h.Path("opt/app"))
	if err != nil || info.Mode().Perm() != 0o751 || files(t, h, "opt") != ".app.tfw-old=v1 app=v2" {
		t.Errorf("%v, %v, files %s", info, err, files(t, h, "opt"))
	}
	_, err = deploy(t, h, "install", m{"file": "none", "dest": "opt/app"})
	wantFailed(t, err, 66)
	_, err = deploy(t, h, "install", m{"file": "built", "dest": "opt"})
	wantFailed(t, err, 64)
}

func TestInstallSurvivesTheController(t *testing.T) {
	setup := plugintest.Setup(func(h *plugintest.LocalHost) { newDir(t, h, "v1") })
	for name, activate := range map[string]string{"good": "cat opt/app >> opt/live", "bad": "cat opt/app >> opt/live; grep -q v1 opt/app"} {
		t.Run(name, func(t *testing.T) {
			plugintest.Replay(t, method(t, "deploy", "install"), m{"content": "v2", "dest": "opt/app", "activate": activate}, setup)
		})
	}
}

func TestServiceWithAManager(t *testing.T) {
	// A machine without any of the managers refuses; one made up answers.
	type state struct{ Manager, State string }
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("this machine runs systemd: the script would ask it")
	}
	svc := method(t, "deploy", "service")
	h := plugintest.Local(t)
	_, err := call[state](t, svc, h, m{"name": "tfw-no-such", "action": "restart"})
	if got := wantFailed(t, err, 69).Reason; !strings.Contains(got, "is needed") {
		t.Errorf("reason %q", got)
	}
	bin := h.Path("bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	sv := "#!/bin/sh\necho \"$@\" >> " + h.Path("calls") + "\ncase $1 in status) echo 'run: app: (pid 1) 5s';; restart) [ $2 != broken ] || { echo no such >&2; exit 3; };; esac\n"
	if err := os.WriteFile(filepath.Join(bin, "sv"), []byte(sv), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"app", "broken"} {
		if err := os.MkdirAll(h.Path("sv/"+name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	remote := withEnv{h, map[string]string{"SVDIR": h.Path("sv")}}
	out, err := call[state](t, svc, remote, m{"name": "app", "action": "restart"})
	if err != nil || out != (state{"sv", "active"}) {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = call[state](t, svc, remote, m{"name": "broken", "action": "restart"})
	if got := wantFailed(t, err, 3).Reason; got != "no such" {
		t.Errorf("reason %q", got)
	}
	_, err = call[state](t, svc, remote, m{"name": "app", "action": "enable"})
	wantFailed(t, err, 69)
	if calls, err := os.ReadFile(h.Path("calls")); err != nil || string(calls) != "restart app\nstatus app\nrestart broken\n" {
		t.Errorf("calls %q, %v", calls, err)
	}
}

func TestRebootWaitsForANewBoot(t *testing.T) {
	h := plugintest.Local(t)
	out, err := call[struct {
		BootID string `json:"boot_id"`
	}](t, method(t, "deploy", "reboot"), h, m{})
	if err != nil || h.Reboots() != 1 || len(out.BootID) != 36 {
		t.Errorf("%+v, %v, %d", out, err, h.Reboots())
	}
	if _, err := call[m](t, method(t, "deploy", "reboot"), without{h}, m{}); err == nil || !strings.Contains(err.Error(), "cannot reboot") {
		t.Errorf("a controller without the power: %v", err)
	}
}

// What the host refuses is failed, says why in its own words, and changes nothing.
func TestInstallWhereItCannotBe(t *testing.T) {
	h := plugintest.Local(t)
	newDir(t, h, "v1")
	full := fullDisk(t, h)
	big := h.AddArtifact(make([]byte, 300<<10))
	for name, c := range map[string]struct {
		params m
		want   string
	}{
		"no directory": {m{"content": "v2", "dest": "none/app"}, "none: no such directory on the host (make it first); nothing was changed"},
		"a file":       {m{"content": "v2", "dest": "opt/app/app"}, "opt/app: no such directory"},
		"not writable": {m{"content": "v2", "dest": "/proc/app"}, "/proc cannot be written by "},
		"disk full":    {m{"artifact": big, "dest": full + "/app"}, full + ": no space left on the host"},
		"no room":      {m{"file": "big", "dest": full + "/app"}, "big cannot be copied beside " + full + "/app"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(c.want, full) && full == "" {
				t.Skip("a small file system cannot be mounted here (needs root)")
			}
			if err := os.WriteFile(h.Path("big"), make([]byte, 300<<10), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := deploy(t, h, "install", c.params)
			var failed *plugins.FailedError
			if !errors.As(err, &failed) || !strings.HasPrefix(failed.Reason, c.want) || out.Changed {
				t.Errorf("%v, %+v", err, out)
			}
		})
	}
	if got := files(t, h, "opt"); got != "app=v1" {
		t.Errorf("files %s", got)
	}
	if full != "" && files(t, h, full) != "app=v1" {
		t.Errorf("on the full disk: %.300s", files(t, h, full))
	}
}

// fullDisk mounts 200 KiB with an app on it, "" where that is not allowed.
func fullDisk(t *testing.T, h *plugintest.LocalHost) string {
	t.Helper()
	dir := h.Path("small")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if exec.Command("mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", dir).Run() != nil {
		return ""
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	if err := os.WriteFile(dir+"/app", []byte("v1"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A way back that fails is told, and never as one that was gone.
func TestInstallTellsThatTheWayBackFailed(t *testing.T) {
	h := plugintest.Local(t)
	newDir(t, h, "v1")
	out, err := deploy(t, h, "install", m{"content": "v2", "dest": "opt/app", "activate": "rm -f opt/.app.tfw-old; exit 9"})
	if err == nil || out.RolledBack || !strings.Contains(err.Error(), "exit status 9") || !strings.Contains(err.Error(), "and the old version could not be put back: "+h.Path("opt/app")+" has no version before it") {
		t.Errorf("%+v, %v", out, err)
	}
	newDir(t, h, "v1")
	out, err = deploy(t, h, "install", m{"content": "v3", "dest": "opt/app", "activate": "exit 9"})
	if got := wantFailed(t, err, 9).Reason; !out.RolledBack || !strings.HasSuffix(got, "(rolled back, but activating the old version failed too)") || files(t, h, "opt") != "app=v1" {
		t.Errorf("%q, %+v, %s", got, out, files(t, h, "opt"))
	}
}

func TestInstallWithoutAHashTool(t *testing.T) {
	h := plugintest.Local(t)
	newDir(t, h, "v1")
	_, err := deploy(t, withEnv{h, map[string]string{"PATH": onlyTools(t, h, "cut", "rm", "mv", "cp", "ln", "sync", "id")}}, "install", m{"content": "v2", "dest": "opt/app"})
	if got := wantFailed(t, err, 69).Reason; !strings.Contains(got, "sha256sum, shasum or openssl is needed on the host") || files(t, h, "opt") != "app=v1" {
		t.Errorf("%q, files %s", got, files(t, h, "opt"))
	}
}
