package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfw/cmd/controller"
	"tfw/cmd/tfwctl/screen/screentest"
	"tfw/executor/executortest"
)

// desk is where a person works: a lab, a tfwd for it, and a terminal to call tfwctl on.
type desk struct {
	lab  *executortest.Lab
	home string
	env  []string
	c    *controller.Controller
}

const soon = 20 * time.Second // for what takes well under one on an idle machine

func newDesk(t *testing.T, lab *executortest.Lab) *desk {
	t.Helper()
	home, err := os.MkdirTemp("", "tfwctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	t.Cleanup(func() { tellRaces(t, home) }) // on a screen they cannot be read
	d := &desk{lab: lab, home: home}
	inv := filepath.Join(home, "inventory.yaml")
	if err := os.WriteFile(inv, inventoryOf(lab), 0o600); err != nil {
		t.Fatal(err)
	}
	d.c, err = controller.Start(t.Context(), controller.Config{
		Inventory: inv, Data: filepath.Join(home, "data"), Listen: "127.0.0.1:0", Version: "test", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := d.c.Close(ctx); err != nil {
			t.Errorf("closing the controller: %v", err)
		}
	})
	token, err := os.ReadFile(filepath.Join(home, "data", "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	d.env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home, "XDG_CONFIG_HOME="+home, "GORACE=atexit_sleep_ms=0 log_path="+filepath.Join(home, "race"), "TERM=xterm",
		"NO_COLOR=", "TFW_SERVER="+d.c.URL(), "TFW_TOKEN="+strings.TrimSpace(string(token)))
	return d
}

// tellRaces shows what the race detector found in programs that were started in home.
func tellRaces(t *testing.T, home string) {
	t.Helper()
	reports, err := filepath.Glob(filepath.Join(home, "race.*"))
	if err != nil {
		t.Error(err)
	}
	for _, name := range reports {
		report, err := os.ReadFile(name)
		t.Errorf("%s (%v)", report, err)
	}
}

// tfwctl makes a command; it runs nothing yet.
func (d *desk) tfwctl(args ...string) *exec.Cmd {
	cmd := exec.Command("tfwctl", args...)
	cmd.Env = d.env
	return cmd
}

// say runs tfwctl away from any terminal and gives what it printed.
func (d *desk) say(t *testing.T, args ...string) string {
	t.Helper()
	out, err := d.tfwctl(args...).Output()
	if err != nil {
		t.Fatalf("tfwctl %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

func (d *desk) start(t *testing.T, width, height int, cmd *exec.Cmd) *screentest.Pty {
	t.Helper()
	p, err := screentest.StartPty(cmd, width, height)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func await(t *testing.T, p *screentest.Pty, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	if !p.Until(soon, re.MatchString) {
		t.Fatalf("the screen never showed %s:\n%s", pattern, p.Screen())
	}
}

func ends(t *testing.T, p *screentest.Pty, want int) {
	t.Helper()
	got, err := p.Wait(soon)
	if err != nil || got != want {
		t.Fatalf("ended with %d (%v), want %d:\n%s", got, err, want, p.Screen())
	}
}

// What people see on terminals, on one lab.
func TestTerminal(t *testing.T) {
	lab := newTestLab(t)
	for name, test := range map[string]func(*testing.T, *desk){
		"progress":             testProgress,
		"progress is not kept": testProgressPiped,
		"ctrl-c":               testCtrlC,
		"ctrl-c twice":         testCtrlCTwice,
		"hang-up":              testHangUp,
		"plan ctrl-c":          testPlanCtrlC,
		"plan ctrl-c twice":    testPlanCtrlCTwice,
		"lookers leave":        testLookersLeave,
		"lease ctrl-c":         testLeaseCtrlC,
		"colours":              testColours,
		"top":                  testTop,
		"top loses its server": testTopLost,
		"top is small":         testTopSmall,
		"top ends":             testTopEnds,
		"shells":               testShells,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newDesk(t, lab))
		})
	}
}

// waits is a command that goes on until the file "go" is in the home of its host, on one host only.
func waits(host string) string {
	return `case $LAB_HOST in ` + host + `) until [ -e "$HOME/` + host + `.go" ]; do sleep 0.1; done;; *) echo done; exit 0;; esac`
}

func (d *desk) let(t *testing.T, host string) {
	t.Helper()
	name := filepath.Join(d.lab.Home(host), host+".go")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(name) })
}

func testProgress(t *testing.T, d *desk) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := d.tfwctl("exec", "duts", "--shell", strings.Replace(waits("dut03"), "*)", "dut01) exit 3;; *)", 1))
	cmd.Stdout = out
	p := d.start(t, 80, 24, cmd)
	await(t, p, `(?m)^3/4 done, 1 not passed, 1 running, slowest dut03 \(\d`)
	d.let(t, "dut03")
	ends(t, p, 1)
	if s := p.Screen(); strings.Contains(s, "slowest") || !strings.HasPrefix(s, "run ") {
		t.Errorf("the progress line is left on the screen:\n%s", s)
	}
	if got, _ := os.ReadFile(out.Name()); strings.Count(string(got), "done\n") != 2 || bytes.ContainsAny(got, "\r\x1b") {
		t.Errorf("standard output is %q", got)
	}
}

func testProgressPiped(t *testing.T, d *desk) {
	var errs bytes.Buffer
	cmd := d.tfwctl("exec", "duts", "--shell", "sleep 1; echo done")
	cmd.Stderr = &errs
	p := d.start(t, 80, 24, cmd)
	ends(t, p, 0)
	if s := p.Sent(); strings.Contains(s, "running") || strings.Contains(errs.String(), "running") || strings.Contains(errs.String(), "\r") {
		t.Errorf("progress was shown where standard error is no terminal: %q and %q", s, errs.String())
	}
}

// stubborn leaves its pid and does not heed TERM for some seconds.
const stubborn = `echo $$ >"$HOME/%.pid"; trap : TERM; i=0; while [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done`

func (d *desk) pid(t *testing.T, host, name string) string {
	t.Helper()
	path := filepath.Join(d.lab.Home(host), name+".pid")
	t.Cleanup(func() { os.Remove(path) })
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if text, err := os.ReadFile(path); err == nil && len(text) > 0 {
			return strings.TrimSpace(string(text))
		}
	}
	t.Fatalf("%s was not started on %s", name, host)
	return ""
}

func alive(pid string) bool {
	_, err := os.Stat("/proc/" + pid)
	return err == nil
}

func testCtrlC(t *testing.T, d *desk) {
	p := d.start(t, 100, 24, d.tfwctl("exec", "dut01", "--grace", "1s", "--shell", strings.Replace(stubborn, "%", "once", 1)))
	pid := d.pid(t, "dut01", "once")
	if err := p.Type("\x03"); err != nil {
		t.Fatal(err)
	}
	await(t, p, `tfwctl: cancelling run \w{12}; once more to leave it to itself`)
	ends(t, p, exitCancelled)
	if !strings.Contains(p.Screen(), "1 cancelled (dut01: ") || alive(pid) {
		t.Errorf("alive: %v, and the screen says\n%s", alive(pid), p.Screen())
	}
}

func testCtrlCTwice(t *testing.T, d *desk) {
	p := d.start(t, 100, 24, d.tfwctl("exec", "dut01", "--grace", "8s", "--shell", strings.Replace(stubborn, "%", "twice", 1)))
	pid := d.pid(t, "dut01", "twice")
	_ = p.Type("\x03")
	await(t, p, "once more to leave it to itself")
	_ = p.Type("\x03")
	await(t, p, `not waiting for run (\w{12}) any more; follow it with: tfwctl logs -f \w{12}`)
	ends(t, p, exitCancelled)
	if !alive(pid) {
		t.Error("the command was gone at once, so nothing was left to itself")
	}
	out, err := d.tfwctl("wait", "last").Output()
	if err == nil || !strings.Contains(string(out), "1 cancelled") || alive(pid) {
		t.Errorf("it ended as %s (%v), alive: %v", out, err, alive(pid))
	}
}

func testHangUp(t *testing.T, d *desk) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("this was started with nohup: so is tfwctl, which heeds no hang-up then")
	}
	p := d.start(t, 100, 24, d.tfwctl("exec", "dut02", "--shell", `echo $$ >"$HOME/hup.pid"; `+waits("dut02")))
	pid := d.pid(t, "dut02", "hup")
	if err := p.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	ends(t, p, exitCancelled)
	if !strings.Contains(p.Screen(), "follow it with: tfwctl logs -f") || !alive(pid) {
		t.Errorf("alive: %v, and the screen says\n%s", alive(pid), p.Screen())
	}
	d.let(t, "dut02")
	if out := d.say(t, "wait", "last"); !strings.Contains(out, "1 passed") {
		t.Errorf("the run that was left ended as %s", out)
	}
}

// A host cannot speak to the terminal, unless one asks for it.
func testColours(t *testing.T, d *desk) {
	evil := []string{"exec", "dut04", "-q", "--shell", `printf '\033[31mred\033[0m \033]0;title\007 \033[2Jgone\n'`}
	p := d.start(t, 80, 24, d.tfwctl(evil...))
	ends(t, p, 0)
	if got, want := p.Sent(), "\x1b[34mdut04: \x1b[0mred ^[]0;title^G ^[[2Jgone\r\n"; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
	for _, view := range []string{"-b", "-L"} {
		p = d.start(t, 80, 24, d.tfwctl(append(slices.Clone(evil[:2]), append([]string{view}, evil[2:]...)...)...))
		ends(t, p, 0)
		if got := p.Sent(); !strings.Contains(got, "red ^[]0;title^G ^[[2Jgone\r\n") {
			t.Errorf("%s sent %q", view, got)
		}
	}
	differ := []string{"exec", "dut0[3-4]", "--diff", "-q", "--shell", `echo same; printf '\033]0;title\007 \033[2J%s\n' "$SSH_CONNECTION"`}
	p = d.start(t, 80, 24, d.tfwctl(differ...))
	ends(t, p, 0)
	if got := p.Sent(); strings.Count(got, "^[]0;title^G ^[[2J") != 2 || strings.Contains(got, "\x1b]") || strings.Contains(got, "\x1b[2J") {
		t.Errorf("--diff sent %q", got)
	}
	cmd := d.tfwctl(append(evil, "--raw")...)
	cmd.Env = append(cmd.Env, "NO_COLOR=1")
	p = d.start(t, 80, 24, cmd)
	ends(t, p, 0)
	if got, want := p.Sent(), "dut04: \x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2Jgone\r\n"; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}
