package ssh

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/inventory"
)

// busyboxRoot is a file system that holds nothing but busybox: what a small board has.
func busyboxRoot(t *testing.T, without ...string) (root string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make a root")
	}
	bb, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed")
	}
	root, err = os.MkdirTemp("/run", "tfw-root-") // sshd wants no parent that others may write to
	if err != nil {
		t.Skip(err)
	}
	var mounts []string
	t.Cleanup(func() {
		for _, m := range mounts {
			if out, err := exec.Command("umount", "-l", m).CombinedOutput(); err != nil {
				t.Errorf("umount: %s", out) // and nothing is deleted through it
				return
			}
		}
		os.RemoveAll(root)
	})
	os.Chmod(root, 0o755)
	for _, dir := range []string{"bin", "usr", "proc", "dev", "tmp", "var/tmp", "home/.tfw", "etc"} {
		os.MkdirAll(filepath.Join(root, dir), 0o755)
	}
	os.Chmod(root+"/home/.tfw", 0o700)
	os.Symlink("/bin", root+"/usr/bin")
	libs, _ := exec.Command("ldd", bb).Output()
	for _, file := range append(regexp.MustCompile(`/\S+`).FindAllString(string(libs), -1), bb) {
		b, err := os.ReadFile(file)
		to := filepath.Join(root, file)
		if file == bb {
			to = root + "/bin/busybox"
		}
		os.MkdirAll(filepath.Dir(to), 0o755)
		if err != nil || os.WriteFile(to, b, 0o755) != nil {
			t.Fatal("copy ", file, err)
		}
	}
	applets, err := exec.Command(bb, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range strings.Fields(string(applets)) {
		if !strings.Contains(" "+strings.Join(without, " ")+" ", " "+a+" ") && a != "busybox" {
			os.Symlink("busybox", root+"/bin/"+a)
		}
	}
	for _, m := range [][2]string{{"/proc", root + "/proc"}, {"/dev", root + "/dev"}} {
		if out, err := exec.Command("mount", "--bind", m[0], m[1]).CombinedOutput(); err != nil {
			t.Skipf("mount: %s", out)
		}
		mounts = append(mounts, m[1])
	}
	return root
}

// rootedHost is an sshd whose logins find themselves in the root.
func rootedHost(t *testing.T, root string) (*durableHost, *inventory.Host) {
	t.Helper()
	name := "tfwbb" + suffix()
	if out, err := exec.Command("useradd", "-M", "-d", "/home", "-s", "/bin/ash", "-p", "*", name).CombinedOutput(); err != nil {
		t.Skipf("useradd: %s", out)
	}
	t.Cleanup(func() { exec.Command("userdel", "-f", name).Run() })
	if out, err := exec.Command("chown", "-R", name, root+"/home").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(root+"/etc/passwd", []byte(name+":x:"+u.Uid+":"+u.Gid+"::/home:/bin/ash\n"), 0o644)
	h := &durableHost{sshd: startSSHD(t, "ChrootDirectory "+root, "SetEnv HOME=/home"), home: root + "/home", tr: newTransport(t, Options{})}
	h.readable()
	host := h.host()
	host.SSH.User = name
	return h, host
}

// TestBusyboxOnly: a host that has nothing but busybox, and one whose busybox was built without much.
func TestBusyboxOnly(t *testing.T) {
	for name, without := range map[string][]string{"whole": nil, "small": {"setsid", "fallocate", "timeout", "nohup", "truncate", "stat"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, host := rootedHost(t, busyboxRoot(t, without...))
			onlyBusybox(t, h, mustConnect(t, h.tr, host))
		})
	}
}

func onlyBusybox(t *testing.T, h *durableHost, c *conn) {
	for _, script := range []string{"printf a; echo e >&2; exit 3", "sleep 0.2; printf 'a\\n\\036b'; sleep 3; printf c; echo e >&2; exit 3"} {
		cmd := command(script)
		r, end := mustRun(t, c, cmd)
		if end.Code != 3 || !strings.HasPrefix(r.out.String(), "a") || r.err.String() != "e\n" {
			t.Errorf("%+v %q %q", end, &r.out, &r.err)
		}
		again := &recorder{}
		if end, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, true, again); err != nil || end.Code != 3 || again.out.String() != r.out.String() {
			t.Errorf("attach: %+v %v %q", end, err, &again.out)
		}
	}
	if i := c.Info(); i.Follow != "poll" || i.Spool != "/home/.tfw" || !i.Durable {
		t.Errorf("%+v", i)
	}
	login := command("echo $0; ls -d /proc/self")
	login.Login = true
	if r, end := mustRun(t, c, login); end.Code != 0 || !strings.HasSuffix(r.out.String(), "sh\n/proc/self\n") {
		t.Errorf("login line: %+v %q %q", end, &r.out, &r.err)
	}

	large := command("i=0; while [ $i -lt 100 ]; do head -c 100000 /dev/zero; i=$((i+1)); sleep 0.01; done; echo end")
	large.MaxSpool = 1 << 20
	release := make(chan struct{})
	stalled := func() bool {
		_, err := os.Stat(filepath.Join(h.home, ".tfw", large.ID.String()+"+stall"))
		return err == nil
	}
	r := &recorder{onBytes: func(executor.Stream, []byte) { <-release }}
	wait := start(t, c, large, r)
	until(t, "stall", stalled)
	close(release)
	if end := wait(); end.Code != 0 || r.out.Len() != 10_000_004 {
		t.Errorf("%+v %d", end, r.out.Len())
	}

	tree := command(`trap '' TERM
(trap '' TERM; while :; do sleep 1; done) &
( ( sh -c 'trap "" TERM; while :; do sleep 1; done' & ) & )
echo up; while :; do sleep 1; done`)
	r = &recorder{}
	wait = start(t, c, tree, r)
	until(t, "output", func() bool { return r.have().Stdout > 0 })
	if rep, err := c.Kill(within(t, 20*time.Second), tree.ID, nil, 200*time.Millisecond); err != nil || rep.Killed < 3 || len(rep.Left) > 0 {
		t.Errorf("kill: %+v %v", rep, err)
	}
	if end := wait(); end.Signal != "KILL" {
		t.Errorf("killed: %+v", end)
	}
	c.Acknowledge(nil, large.ID, tree.ID)
	if err := c.sweep(within(t, 20*time.Second)); err != nil || strings.Join(h.files(large.ID), " ") != "ack" {
		t.Errorf("sweep: %v %v", err, h.files(large.ID))
	}
	if left := append(marked(tree.ID), marked(large.ID)...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestLogind: a host whose systemd-logind ends what a login leaves behind is told apart, and its commands are
// started in a scope where the user may have one. systemd itself is played: by its files, and a systemd-run that tells on us.
func TestLogind(t *testing.T) {
	const kill = "[Login]\nKillUserProcesses=yes\n"
	for _, x := range []struct {
		name, conf, dropin, run string
		linger                  bool
		durable, scope          bool
	}{
		{name: "nothing said", durable: true},
		{name: "yes", conf: kill},
		{name: "yes by default", conf: "[Login]\n#KillUserProcesses=yes\n"},
		{name: "no after all", conf: kill, dropin: "KillUserProcesses = no\n", durable: true},
		{name: "yes by a drop-in", conf: "#KillUserProcesses=no\n", dropin: kill},
		{name: "spared", conf: kill, dropin: "KillExcludeUsers=root USER\n", durable: true},
		{name: "others only", conf: kill, dropin: "KillOnlyUsers=alice bob\n", durable: true},
		{name: "no scope to be had", conf: kill, linger: true, run: "exit 1"},
		{name: "does not linger", conf: kill, run: `exec "$@"`},
		{name: "scope", conf: kill, linger: true, run: `exec "$@"`, durable: true, scope: true},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			root := busyboxRoot(t)
			h, host := rootedHost(t, root)
			for _, dir := range []string{"run/systemd/system", "etc/systemd/logind.conf.d", "var/lib/systemd/linger"} {
				os.MkdirAll(filepath.Join(root, dir), 0o755)
			}
			mustPut := func(name, text string, mode os.FileMode) {
				if err := os.WriteFile(filepath.Join(root, name), []byte(strings.ReplaceAll(text, "USER", host.SSH.User)), mode); err != nil {
					t.Fatal(err)
				}
			}
			mustPut("etc/systemd/logind.conf", x.conf, 0o644)
			mustPut("etc/systemd/logind.conf.d/lab.conf", x.dropin, 0o644)
			if x.linger {
				mustPut("var/lib/systemd/linger/"+host.SSH.User, "", 0o644)
			}
			if x.run != "" {
				mustPut("bin/systemd-run", "#!/bin/sh\necho \"$@\" >>/home/asked\n[ \"$1 $2 $3 $4\" = '--user --scope --quiet --' ] || exit 9\nshift 4; SCOPE=1; export SCOPE\n"+x.run+"\n", 0o755)
			}
			c := mustConnect(t, h.tr, host)
			cmd := command("echo scope=$SCOPE >>$HOME/ran; sleep 0.2")
			mustRun(t, c, cmd)
			ran, _ := os.ReadFile(root + "/home/ran")
			if want := map[bool]string{false: "scope=\n", true: "scope=1\n"}[x.scope]; string(ran) != want {
				asked, _ := os.ReadFile(root + "/home/asked")
				t.Errorf("the command ran with %q, want %q; asked %q", ran, want, asked)
			}
			if i := c.Info(); i.Durable != x.durable || strings.Contains(i.NotDurable, "KillUserProcesses") == x.durable {
				t.Errorf("%+v", i)
			}
			if end, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, true, &recorder{}); err != nil || end.Kind != executor.EndExit {
				t.Errorf("attach: %+v %v", end, err)
			}
		})
	}
}
