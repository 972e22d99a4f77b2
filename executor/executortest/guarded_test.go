package executortest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tfw/executor/executortest"
)

// TestGuardedLab: what ends a machine, typed on a host of a lab that somebody plays with, does not reach this one. That
// our own commands stand there is seen before any is called.
func TestGuardedLab(t *testing.T) {
	for name, embedded := range map[string]bool{"sshd": false, "embedded": true} {
		t.Run(name, func(t *testing.T) {
			lab, err := executortest.NewLab(t.Context(), executortest.LabOptions{Hosts: 2, Guarded: true, Embedded: embedded})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = lab.Close() })
			for _, c := range []string{"reboot", "shutdown", "poweroff", "halt", "systemctl"} {
				if text, _ := onHost(t, lab, `cat "$(command -v `+c+`)"`); !strings.Contains(text, "throw-away lab") {
					t.Fatalf("%s on a host is not ours: %.200s", c, text)
				}
			}
			for _, line := range []string{"poweroff", "halt -p", "shutdown now", "systemctl poweroff", "systemctl --no-wall halt"} {
				if text, err := onHost(t, lab, line); err == nil || !strings.Contains(text, "not on a host of a throw-away lab") {
					t.Errorf("%s: %v %s", line, err, text)
				}
			}
			if _, err := exec.LookPath("systemctl"); err == nil {
				if text, err := onHost(t, lab, "systemctl --version"); err != nil || !strings.Contains(text, "systemd") {
					t.Errorf("the machine's systemctl is not there for what it is good for: %v %s", err, text)
				}
			}
			if !lab.Reboots() {
				for _, line := range []string{"reboot", "systemctl reboot", "shutdown -r now"} {
					if text, err := onHost(t, lab, line); err == nil || !strings.Contains(text, "reboot: not on a host") {
						t.Errorf("%s: %v %s", line, err, text)
					}
				}
				return
			}
			rebootsAsRoot(t, lab)
		})
	}
}

// rebootsAsRoot: a reboot is the host's also where sudo sets a PATH of its own.
func rebootsAsRoot(t *testing.T, lab *executortest.Lab) {
	if _, err := exec.LookPath("sudo"); err != nil {
		t.Skip("no sudo here")
	}
	if text, _ := onHost(t, lab, `sudo -n sh -c 'cat "$(command -v reboot)"'`); !strings.Contains(text, "throw-away lab") {
		t.Fatalf("reboot under sudo is not ours: %.200s", text)
	}
	const bootID = "cat /proc/sys/kernel/random/boot_id"
	before, err := onHost(t, lab, bootID)
	if err != nil {
		t.Fatal(before, err)
	}
	_, _ = onHost(t, lab, "sudo -n reboot") // cut off in the middle
	for range 100 {
		if after, err := onHost(t, lab, bootID); err == nil && after != before {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("the host did not come back with another boot id")
}

// onHost runs a line on the first host with plain ssh.
func onHost(t *testing.T, lab *executortest.Lab, line string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", "-F", lab.SSHConfig(), lab.Hosts()[0].Name, line)
	cmd.Env = os.Environ()
	out, err := cmd.CombinedOutput()
	return string(out), err
}
