package executortest_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfw/executor"
	"tfw/executor/executortest"
)

// sudoer is a login of one host that must give a password to become root, and the run that does.
type sudoer struct {
	host, user string
	uid        uint32
	missing    string // why there is none; the rest is looked for without it
	leak       string // a file that holds the password
	run        executor.RunID
}

// sudoUser makes one, for as long as the test runs.
func sudoUser(t *testing.T, lab *executortest.Lab, host, password string) *sudoer {
	t.Helper()
	s := &sudoer{host: host, user: "tfwq" + strings.ToLower(rand.Text()[:6]), leak: filepath.Join(t.TempDir(), "leak")}
	if _, err := exec.LookPath("sudo"); err != nil || os.Getuid() != 0 {
		s.user, s.missing = lab.User(), "needs root, to make a user, and sudo"
		return s
	}
	home := lab.Home(host)
	if out, err := exec.Command("useradd", "-M", "-d", home, "-s", "/bin/sh", "-p", "*", s.user).CombinedOutput(); err != nil {
		s.user, s.missing = lab.User(), "useradd: "+string(out)
		return s
	}
	t.Cleanup(func() { _ = exec.Command("userdel", "-f", s.user).Run() })
	set := exec.Command("chpasswd")
	set.Stdin = strings.NewReader(s.user + ":" + password + "\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("chpasswd: %s", out)
	}
	rule := "/etc/sudoers.d/" + s.user
	t.Cleanup(func() { _ = os.Remove(rule) })
	if err := os.WriteFile(rule, []byte(s.user+" ALL=(ALL) ALL\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	made, err := user.Lookup(s.user)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(made.Uid)
	if err != nil {
		t.Fatal(err)
	}
	s.uid = uint32(uid)
	if out, err := exec.Command("chown", "-R", s.user, home).CombinedOutput(); err != nil {
		t.Fatalf("chown: %s", out)
	}
	for path, mode := range map[string]os.FileMode{lab.Dir(): 0o755, filepath.Join(lab.Dir(), "hosts"): 0o755, filepath.Dir(home): 0o755, filepath.Join(lab.Dir(), "authorized_keys"): 0o644} {
		if err := os.Chmod(path, mode); err != nil { // sshd reads a user's keys with the user's rights
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.leak, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := s.as(s.uid, "sudo", "-n", "true").CombinedOutput(); err == nil {
		t.Fatalf("sudo asks for no password: %s", out)
	}
	return s
}

// as makes a command of another user of this machine.
func (s *sudoer) as(uid uint32, argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd
}

// submit lets a command become root by the password, and tell it.
func (s *sudoer) submit(t *testing.T, d *daemon) {
	t.Helper()
	if s.missing != "" {
		return
	}
	id, err := d.submit(t.Context(), "sudo", map[string]any{"plugin": "linux_system", "method": "run_shell", "target": s.host,
		"parameters": map[string]any{"become": true, "command": "id -un; cat " + s.leak + "; sleep 3.25"}})
	if err != nil {
		t.Fatal(err)
	}
	s.run = id
}

// look searches what others can see of the host while the command runs: as somebody who has no rights there
// all that /proc and ps tell, and with all rights the password in what the host's processes were given.
func (s *sudoer) look(t *testing.T, lab *executortest.Lab, secret string, search func(place string, content []byte)) {
	t.Run("a sudo password that is asked for", func(t *testing.T) {
		if s.missing != "" {
			t.Skip(s.missing)
		}
		const nobody = 65534
		var seen []byte
		for end := time.Now().Add(15 * time.Second); !bytes.Contains(seen, []byte("sleep 3.25")); time.Sleep(20 * time.Millisecond) {
			seen, _ = s.as(nobody, "sh", "-c", "ps -eww -o args; ps eww; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null").Output() // of cat: what it may not read
			search("what another user sees of the host", seen)
			if time.Now().After(end) {
				t.Fatalf("the command did not begin: %d bytes seen", len(seen))
			}
		}
		asked := soughtOf("sudo password", secret)
		marked := 0
		for _, p := range lab.Processes() {
			for _, file := range []string{"environ", "cmdline"} {
				given, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.PID, file)) // it may have ended
				marked += bytes.Count(given, []byte("TFW_RUN="))
				asked.in(t, fmt.Sprintf("the %s of %s", file, p.Command), given)
			}
		}
		if marked == 0 {
			t.Error("no process of a run was looked at")
		}
	})
}

// ended is the run's end, some time after the daemon was killed: root had the password, and it is masked.
func (s *sudoer) ended(t *testing.T, d *daemon) {
	t.Helper()
	if s.missing != "" {
		return
	}
	run, err := d.wait(t.Context(), s.run)
	if err != nil || run.Verdict != executor.Passed {
		t.Fatalf("%+v %v\n%s", run, err, d.tail())
	}
	if shown, err := d.stream(t.Context(), s.run, s.host, "stdout"); err != nil || !bytes.HasPrefix(shown, []byte("root\n****")) {
		t.Errorf("%v %q", err, shown)
	}
}
