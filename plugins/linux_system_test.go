package plugins_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfw/plugins"
	"tfw/plugins/plugintest"
)

type m = map[string]any

func TestRunShell(t *testing.T) {
	tests := []struct {
		name, params   string
		stdout, stderr string
		code           int
		signal         string
	}{
		{name: "a line", params: `{"command":"echo a | tr a b"}`, stdout: "b\n"},
		{name: "args as text are the shell's", params: `{"command":"echo","args":"-n $((1+2)) > f; cat f"}`, stdout: "3"},
		{name: "args as list are quoted", params: `{"command":"printf '%s;'","args":["-n","$HOME","it's",7,true]}`, stdout: "-n;$HOME;it's;7;true;"},
		{name: "exit status", params: `{"command":"echo no >&2; exit 77"}`, stderr: "no\n", code: 77},
		{name: "missing command", params: `{"command":"exec /no/such/thing 2>/dev/null"}`, code: 127},
		{name: "signal", params: `{"command":"kill -9 $$"}`, code: 137, signal: "KILL"},
		{name: "stdin text", params: `{"command":"cat","stdin":"x\ny"}`, stdout: "x\ny"},
		{name: "stdin bytes", params: `{"command":"od -An -tx1","stdin":{"base64":"AP8="}}`, stdout: " 00 ff\n"},
		{name: "no stdin is at its end", params: `{"command":"cat; echo end"}`, stdout: "end\n"},
		{name: "env", params: `{"command":"echo $A $B $C","env":{"A":"x y","B":1.50,"C":true}}`, stdout: "x y 1.50 true\n"},
		{name: "cwd", params: `{"command":"pwd","cwd":"/"}`, stdout: "/\n"},
		{name: "merge", params: `{"command":"echo a; echo b >&2; echo c","merge":true}`, stdout: "a\nb\nc\n"},
		{name: "not UTF-8", params: `{"command":"printf 'a\\377b'"}`, stdout: "a\uFFFDb"},
	}
	run := method(t, "linux_system", "run_shell")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := call[plugins.CommandOutputs](t, run, plugintest.Local(t), tt.params)
			if tt.code != 0 {
				wantFailed(t, err, tt.code)
			} else if err != nil {
				t.Fatal(err)
			}
			if out.Stdout != tt.stdout || out.Stderr != tt.stderr || out.ExitCode != tt.code || out.Signal != tt.signal {
				t.Errorf("got %+v, want %+v", out, tt)
			}
		})
	}
}

func TestRunShellHeadIsBounded(t *testing.T) {
	h := plugintest.Local(t)
	out, err := call[plugins.CommandOutputs](t, method(t, "linux_system", "run_shell"), h, m{"command": `printf xxx; yes é | tr -d '\n' | head -c 20000`})
	if err != nil {
		t.Fatal(err)
	}
	if out.StdoutBytes != 20003 || len(out.Stdout) > 4096 || len(out.Stdout) < 4090 || strings.Contains(out.Stdout, "\uFFFD") {
		t.Errorf("got %d bytes of %d, ending %q", len(out.Stdout), out.StdoutBytes, out.Stdout[len(out.Stdout)-4:])
	}
}

func TestExecKeepsEveryByte(t *testing.T) {
	words := []string{"printf", `%s\n`, "", " ", "it's", `"`, `\`, "$(id)", "`id`", "*", "~", "a\nb", "-n", "é", "\x01", "!!", "#x", "&"}
	out, err := call[plugins.CommandOutputs](t, method(t, "linux_system", "exec"), plugintest.Local(t), m{"argv": words})
	if want := strings.Join(words[2:], "\n") + "\n"; err != nil || out.Stdout != want {
		t.Errorf("got %q, %v\nwant %q", out.Stdout, err, want)
	}
}

func TestRunScript(t *testing.T) {
	run := method(t, "linux_system", "run_script")
	h := plugintest.Local(t)
	stored := h.AddArtifact([]byte("#!/bin/bash\necho \"${BASH_VERSION:+bash} $1 $0\"\nexit 3\n"))
	tests := []struct {
		name   string
		params m
		want   string
		code   int
	}{
		{"sh", m{"script": "echo \"$1:$2\"", "args": []string{"a b", "$c"}}, "a b:$c\n", 0},
		{"bang", m{"script": "#!/usr/bin/env python3\nimport sys; print(sys.argv[1:])", "args": []string{"x y"}}, "['x y']\n", 0},
		{"interpreter", m{"script": "print(6*7)", "interpreter": "python3"}, "42\n", 0},
		{"artifact", m{"artifact": stored, "args": []string{"it's"}}, "bash it's " + h.Path(".cache/tfw/scripts/"+stored) + "\n", 3},
		{"artifact again", m{"artifact": stored, "args": []string{""}}, "bash  " + h.Path(".cache/tfw/scripts/"+stored) + "\n", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := call[plugins.CommandOutputs](t, run, h, tt.params)
			if tt.code != 0 {
				wantFailed(t, err, tt.code)
			} else if err != nil {
				t.Fatal(err)
			}
			if out.Stdout != tt.want {
				t.Errorf("got %q, want %q", out.Stdout, tt.want)
			}
		})
	}
}

func TestRunScriptAsAnotherUserLeavesNothing(t *testing.T) {
	h := plugintest.Local(t)
	out, err := call[plugins.CommandOutputs](t, method(t, "linux_system", "run_script"), h,
		m{"artifact": h.AddArtifact([]byte("#!/bin/sh\necho $0\nexit 5\n")), "become": "root"})
	wantFailed(t, err, 5)
	path := strings.TrimSpace(out.Stdout)
	if !strings.HasPrefix(path, "/tmp/tfw.") {
		t.Errorf("ran at %q", path)
	}
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
	for _, op := range h.Ops() {
		if op.Kind == "run" && (op.Command.Become == nil || op.Command.Become.User != "root") {
			t.Errorf("ran as the login user: %s", op.Text)
		}
	}
}

func TestSystemInformation(t *testing.T) {
	f, err := call[plugins.Facts](t, method(t, "linux_system", "system_information"), plugintest.Local(t), "")
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	if f.OS != "linux" || f.Hostname != host || f.CPUs.Count < 1 || f.Memory.Total < 1<<20 ||
		f.Uptime <= 0 || len(f.BootID) != 36 || f.Kernel == "" || f.Arch == "" || len(f.Mounts) == 0 {
		t.Errorf("facts of this machine are missing: %+v", f)
	}
	if f.Clock.Skew < -5 || f.Clock.Skew > 5 {
		t.Errorf("this machine's clock is %v s away from itself", f.Clock.Skew)
	}
}

func TestUploadAndDownload(t *testing.T) {
	h := plugintest.Local(t)
	if err := os.Mkdir(h.Path("d"), 0o755); err != nil {
		t.Fatal(err)
	}
	up, err := call[plugins.Transfer](t, method(t, "linux_system", "upload"), h,
		m{"content": m{"base64": "AAH/"}, "dest": "d/", "name": "f", "mode": "0750"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(h.Path("d/f"))
	if err != nil || info.Mode().Perm() != 0o750 || up.Bytes != 3 {
		t.Errorf("placed %v %v, %+v", info, err, up)
	}
	down, err := call[plugins.Transfer](t, method(t, "linux_system", "download"), h, m{"path": "d/f"})
	if err != nil || down.SHA256 != up.SHA256 || string(h.Artifact(down.SHA256)) != "\x00\x01\xff" {
		t.Errorf("brought %+v, %v", down, err)
	}
	none, err := call[plugins.Transfer](t, method(t, "linux_system", "download"), h, m{"path": "none", "optional": true})
	if err != nil || none.SHA256 != "" {
		t.Errorf("brought %+v, %v", none, err)
	}
}

type waited struct {
	Tries  int              `json:"tries"`
	Waited plugins.Duration `json:"waited"`
}

func TestWaitFor(t *testing.T) {
	wait := method(t, "linux_system", "wait_for")
	h := plugintest.Local(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if out, err := call[waited](t, wait, h, m{"port": port}); err != nil || out.Tries != 1 {
		t.Errorf("an open port: %+v, %v", out, err)
	}
	_, err = call[waited](t, wait, h, m{"port": port, "absent": true, "timeout": "0s", "interval": 0.05})
	if got := wantFailed(t, err, 75).Reason; got != fmt.Sprintf("port %d is still listened on after 0s", port) {
		t.Errorf("got %q", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err = call[waited](t, wait, h, m{"port": port, "absent": true, "timeout": "5s"}); err != nil {
		t.Errorf("a closed port: %v", err)
	}
	_, err = call[waited](t, wait, h, m{"path": "ready", "timeout": "0s"})
	wantFailed(t, err, 75)
	made := time.AfterFunc(100*time.Millisecond, func() { _ = os.WriteFile(h.Path("ready"), nil, 0o600) }) // a failure shows as time-out
	defer made.Stop()
	if out, err := call[waited](t, wait, h, m{"path": "ready", "timeout": "20s", "interval": 0.02}); err != nil || out.Tries < 2 {
		t.Errorf("a path that comes: %+v, %v", out, err)
	}
	out, err := call[waited](t, wait, h, m{"command": "echo x >> n; [ $(wc -l < n) -ge 3 ]", "timeout": "20s", "interval": 0.02})
	if err != nil || out.Tries != 3 {
		t.Errorf("a command that succeeds the third time: %+v, %v", out, err)
	}
}
