package ssh

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfw/executor"
)

// TestHostShells sends the host's texts to each shell that may be its /bin/sh.
func TestHostShells(t *testing.T) {
	for _, sh := range []string{"dash", "bash", "busybox sh", "mksh", "ksh"} {
		path, err := exec.LookPath(strings.Fields(sh)[0])
		if err != nil {
			t.Logf("%s is not installed", sh)
			continue
		}
		t.Run(sh, func(t *testing.T) {
			full := path + strings.TrimPrefix(sh, strings.Fields(sh)[0])
			was := hostShell
			hostShell = full
			defer func() { hostShell = was }()
			h := newDurableHost(t)
			c := h.conn(t)
			for _, script := range []string{"echo short; echo e >&2; exit 3", "sleep 0.15; echo long; echo e >&2; exit 3"} {
				cmd := command(script + " # \x81\x82\x88\xff")
				cmd.Stdin = []byte("\x00\x81")
				r, end := mustRun(t, c, cmd)
				if end.Code != 3 || r.err.String() != "e\n" || r.out.Len() < 5 {
					t.Errorf("%q %q %+v", &r.out, &r.err, end)
				}
				again := &recorder{}
				if end, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, true, again); err != nil || end.Code != 3 || again.out.String() != r.out.String() {
					t.Errorf("attach: %q %+v %v", &again.out, end, err)
				}
				c.Acknowledge(nil, cmd.ID)
				if err := c.sweep(within(t, 10*time.Second)); err != nil || strings.Join(h.files(cmd.ID), " ") != "ack" {
					t.Errorf("sweep: %v %v", err, h.files(cmd.ID))
				}
			}
			if _, end := mustRun(t, c, command("kill -TERM $$")); end.Signal != "TERM" {
				t.Errorf("signal: %+v", end)
			}
			cmd := command("trap '' TERM; setsid sleep 100 & echo up; while :; do sleep 1; done")
			r := &recorder{}
			wait := start(t, c, cmd, r)
			until(t, "output", func() bool { return r.have().Stdout > 0 })
			if rep, err := c.Kill(within(t, 20*time.Second), cmd.ID, nil, 200*time.Millisecond); err != nil || rep.Killed < 2 || len(rep.Left) > 0 {
				t.Errorf("kill: %+v %v", rep, err)
			}
			if end := wait(); end.Signal != "KILL" {
				t.Errorf("killed: %+v", end)
			}
		})
	}
}

// suffix keeps test runs side by side apart.
func suffix() string { return strings.ToLower(nonce()[:6]) }

// otherUser makes a login of this machine for the test.
func otherUser(t *testing.T, name, shell, home string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make users")
	}
	if out, err := exec.Command("useradd", "-M", "-d", home, "-s", shell, "-p", "*", name).CombinedOutput(); err != nil {
		t.Skipf("useradd: %s", out)
	}
	t.Cleanup(func() { exec.Command("userdel", "-f", name).Run() })
	if out, err := exec.Command("chown", "-R", name, home).CombinedOutput(); err != nil {
		t.Fatalf("chown: %s", out)
	}
}

// readable lets other users log in: sshd reads their keys with their rights.
func (h *durableHost) readable() {
	os.Chmod(filepath.Dir(h.dir), 0o755)
	os.Chmod(h.dir, 0o755)
	os.Chmod(filepath.Join(h.dir, "authorized"), 0o644)
}

// TestLoginShells: what the login shell is, and what its profile says, does not matter.
func TestLoginShells(t *testing.T) {
	for _, sh := range []string{"fish", "tcsh", "zsh", "mksh"} {
		path, err := exec.LookPath(sh)
		if err != nil {
			t.Logf("%s is not installed", sh)
			continue
		}
		t.Run(sh, func(t *testing.T) {
			h := newDurableHost(t)
			h.readable()
			for file, text := range map[string]string{".cshrc": "echo noise\n", ".zshenv": "echo noise; echo noise >&2\n", ".config/fish/config.fish": "echo noise\n"} {
				os.MkdirAll(filepath.Dir(filepath.Join(h.home, file)), 0o755)
				os.WriteFile(filepath.Join(h.home, file), []byte(text), 0o644)
			}
			name := "tfwt" + sh + suffix()
			otherUser(t, name, path, h.home)
			host := h.host()
			host.SSH.User = name
			c := mustConnect(t, h.tr, host)
			for _, script := range []string{"printf 'a b'; echo \"$HOME\" >&2; exit 5", "sleep 0.2; printf 'a b'; echo \"$HOME\" >&2; exit 5"} {
				if r, end := mustRun(t, c, command(script)); r.out.String() != "a b" || r.err.String() != h.home+"\n" || end.Code != 5 {
					t.Errorf("%q %q %+v", &r.out, &r.err, end)
				}
			}
		})
	}
}

func TestBecome(t *testing.T) {
	if _, err := exec.LookPath("sudo"); err != nil {
		t.Skip("sudo is not installed")
	}
	h := newDurableHost(t)
	home := h.home + "/other"
	os.Mkdir(home, 0o755)
	os.Mkdir(home+"/.tfw", 0o700)
	name := "tfwb" + suffix()
	otherUser(t, name, "/bin/bash", home)
	c := h.conn(t)
	cmd := command("id -un; sleep 0.2; trap '' TERM; echo ready; while :; do sleep 1; done")
	cmd.Become = &executor.BecomeAs{User: name}
	r := &recorder{}
	wait := start(t, c, cmd, r)
	until(t, "output", func() bool { return strings.Contains(r.text(), "ready") })
	states, _ := filepath.Glob(filepath.Join(c.spool(cmd.Become).dir, cmd.ID.String()+"+*"))
	if len(states) < 4 {
		t.Errorf("the spool of %s has only %v", name, states)
	}
	for _, path := range states { // whatever umask the user has
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
	rep, err := c.Kill(within(t, 20*time.Second), cmd.ID, cmd.Become, 200*time.Millisecond)
	if err != nil || rep.Killed < 1 || len(rep.Left) > 0 {
		t.Errorf("%+v %v", rep, err)
	}
	if end := wait(); end.Signal != "KILL" || r.out.String() != name+"\nready\n" {
		t.Errorf("%+v %q", end, &r.out)
	}
}

// TestBecomePassword logs in as a user who must give a password to become root.
func TestBecomePassword(t *testing.T) {
	if _, err := exec.LookPath("sudo"); err != nil {
		t.Skip("sudo is not installed")
	}
	h := newDurableHost(t)
	h.readable()
	name := "tfws" + suffix()
	otherUser(t, name, "/bin/bash", h.home)
	set := exec.Command("chpasswd")
	set.Stdin = strings.NewReader(name + ":right horse\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Skipf("chpasswd: %s", out)
	}
	rule := "/etc/sudoers.d/" + name
	if err := os.WriteFile(rule, []byte(name+" ALL=(ALL) ALL\n"), 0o440); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.Remove(rule) })
	host := h.host()
	host.SSH.User = name
	c := mustConnect(t, h.tr, host)
	for password, want := range map[string]string{"right horse": "root\n", "wrong": "", "": ""} {
		cmd := command("id -un; sleep 0.1")
		cmd.Become = &executor.BecomeAs{Password: password}
		r := &recorder{}
		end, err := c.Run(within(t, 30*time.Second), cmd, executor.Offsets{}, false, r)
		if want == "" && !errors.Is(err, executor.ErrBecome) || want != "" && (err != nil || end.Code != 0) || r.out.String() != want {
			t.Errorf("%q: %v %+v %q", password, err, end, &r.out)
		}
		if err != nil && password != "" && strings.Contains(err.Error(), password) {
			t.Errorf("the password shows: %v", err)
		}
	}
	if err := os.WriteFile(rule, []byte("Defaults:"+name+" passwd_tries=1\n"+name+" ALL=(ALL) ALL\n"), 0o440); err != nil { // as docs/durable.md advises
		t.Fatal(err)
	}
	refused(t, c, executor.BecomeAs{Password: "wrong"}, "1 incorrect password attempt")
}

func TestHostileSpool(t *testing.T) {
	h := newDurableHost(t)
	os.Remove(h.home + "/.tfw")
	if err := os.Symlink(t.TempDir(), h.home+"/.tfw"); err != nil {
		t.Fatal(err)
	}
	c := h.conn(t)
	mustRun(t, c, command("true"))
	if i := c.Info(); strings.HasPrefix(i.Spool, h.home) {
		t.Errorf("a symlink was taken for a spool: %s", i.Spool)
	}
}

// TestReadOnlyHome: where the home cannot be written another place serves; but a spool that became read-only is not
// left for another, in which what was started there would be started again: that is refused, and its ends are still told.
func TestReadOnlyHome(t *testing.T) {
	for _, used := range []bool{false, true} {
		t.Run(fmt.Sprintf("used before %v", used), func(t *testing.T) {
			h := newDurableHost(t)
			h.readable()
			if !used {
				os.Remove(h.home + "/.tfw")
			}
			name := "tfwr" + suffix()
			otherUser(t, name, "/bin/bash", h.home)
			host := h.host()
			host.SSH.User = name
			c := mustConnect(t, h.tr, host)
			before := command("echo before")
			if used {
				mustRun(t, c, before)
			}
			for _, args := range [][]string{{"--bind", h.home, h.home}, {"-o", "remount,bind,ro", h.home}} {
				if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
					t.Skipf("mount: %s", out)
				}
			}
			t.Cleanup(func() { exec.Command("umount", "-l", h.home).Run() })
			cmd := command("touch $HOME/x 2>/dev/null || echo read-only; sleep 0.1; exit 3")
			if !used {
				r, end := mustRun(t, c, cmd)
				if i := c.Info(); r.out.String() != "read-only\n" || end.Code != 3 || !strings.HasPrefix(i.Spool, "/var/tmp/tfw-") {
					t.Errorf("%q %+v %+v", &r.out, end, i)
				} else {
					os.RemoveAll(i.Spool)
				}
				return
			}
			if _, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, false, &recorder{}); !errors.Is(err, executor.ErrRefused) || !strings.Contains(err.Error(), h.home+"/.tfw on the host cannot be written") {
				t.Errorf("%v", err)
			}
			for _, attach := range []bool{false, true} {
				r := &recorder{}
				if end, err := c.Run(within(t, 20*time.Second), before, executor.Offsets{}, attach, r); err != nil || end.Kind != executor.EndExit || r.out.String() != "before\n" {
					t.Errorf("attach %v: %+v %v %q", attach, end, err, &r.out)
				}
			}
		})
	}
}

// TestNoExec: nothing of ours needs the right to execute where it lies, nor does a script.
func TestNoExec(t *testing.T) {
	h := newDurableHost(t)
	dir := h.tmpfs(t, "8m", "noexec")
	c := h.conn(t)
	for script, want := range map[string]string{"echo sh; sleep 0.1": "sh\n", "#!/usr/bin/awk -f\nBEGIN { print \"awk\" }": "awk\n", "#!/bin/sh\n" + strings.Repeat("# long\n", 20_000) + "echo long": "long\n"} {
		if r, end := mustRun(t, c, command(script)); end.Code != 0 || r.out.String() != want {
			t.Errorf("%.20q: %+v %q %q", script, end, &r.out, &r.err)
		}
	}
	if i := c.Info(); i.Spool != dir {
		t.Errorf("spool %s", i.Spool)
	}
}

// TestLeft: a cancel says whom it could not end: what became another user by itself, out of our reach.
func TestLeft(t *testing.T) {
	if _, err := exec.LookPath("sudo"); err != nil {
		t.Skip("sudo is not installed")
	}
	h := newDurableHost(t)
	h.readable()
	name, c := loginUser(t, h, "l", "x", h.home)
	rule := "/etc/sudoers.d/" + name
	if err := os.WriteFile(rule, []byte(name+" ALL=(ALL) NOPASSWD: ALL\n"), 0o440); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.Remove(rule) })
	cmd := command("trap '' TERM; sudo -n sh -c 'echo up; exec sleep 60' & wait; echo over; sleep 60")
	r := &recorder{}
	wait := start(t, c, cmd, r)
	until(t, "output", func() bool { return r.have().Stdout > 0 })
	rep, err := c.Kill(within(t, 20*time.Second), cmd.ID, nil, 200*time.Millisecond)
	if err != nil || len(rep.Left) == 0 || rep.Left[0].PID == 0 || rep.Left[0].Command == "" || !strings.Contains(rep.String(), "left: ") {
		t.Errorf("%+v %v %s", rep, err, rep)
	}
	if end := wait(); end.Signal != "KILL" {
		t.Errorf("%+v", end)
	}
	for _, l := range rep.Left {
		syscall.Kill(l.PID, syscall.SIGKILL)
	}
	until(t, "them to go", func() bool {
		rep, err := c.Kill(within(t, 20*time.Second), cmd.ID, nil, 0)
		return err == nil && len(rep.Left) == 0
	})
}
