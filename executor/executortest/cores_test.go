package executortest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// dumping runs a program where a crash leaves a core file if the machine makes any.
func dumping(dir string, argv ...string) []string {
	return append([]string{"sh", "-c", `cd "$1" && shift && ulimit -c "$(ulimit -H -c)" && exec "$@"`, "sh", dir}, argv...)
}

// crashed reports whether the process died by an abort, and fails when it left a core.
func crashed(t *testing.T, program, dir string, end *os.ProcessState) {
	t.Helper()
	status := end.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.CoreDump() {
		t.Errorf("%s: %v, want a crash without a core", program, end)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*core*")); err != nil || len(left) > 0 {
		t.Errorf("%s left %v, %v", program, left, err)
	}
}

var coreLimit = regexp.MustCompile(`(?m)^Max core file size +0 +0 `)

// TestCrashesLeaveNoCore: the memory of tfwd and tfwctl holds secrets, and a core file would be a copy of it.
func TestCrashesLeaveNoCore(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	limited := func(pid int) bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
		return err == nil && coreLimit.Match(text)
	}
	bin, dir := programs(t), t.TempDir()
	t.Setenv("GOTRACEBACK", "crash")
	argv := dumping(dir, "sh", "-c", "kill -ABRT $$")
	_ = exec.Command(argv[0], argv[1:]...).Run() // it crashes
	if left, err := filepath.Glob(filepath.Join(dir, "*core*")); err != nil || len(left) == 0 {
		t.Logf("another program's crash leaves no core file here either (%v): only the limits tell", err)
	} else {
		for _, path := range left {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}

	inventory := filepath.Join(dir, "inventory.yaml")
	if err := os.WriteFile(inventory, []byte("version: 1\nhosts: {h1: {plugins: [linux_system]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &daemon{bin: bin, inventory: inventory, dir: dir, under: dumping(dir)}
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !limited(d.cmd.Process.Pid) {
		t.Error("tfwd may write a core file")
	}
	if err := d.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	<-d.ended
	crashed(t, "tfwd", dir, d.cmd.ProcessState)

	argv = dumping(dir, filepath.Join(bin, "tfwctl"), "inventory", "fold") // it waits for names
	ctl := exec.Command(argv[0], argv[1:]...)
	in, err := ctl.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := ctl.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); !limited(ctl.Process.Pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Error("tfwctl may write a core file")
			break
		}
	}
	if err := ctl.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	_ = ctl.Wait() // by the signal
	crashed(t, "tfwctl", dir, ctl.ProcessState)
}
