package ssh

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tfw/executor"
)

// loginUser makes a login with a password, and a host to log in as that user, who has the home.
func loginUser(t *testing.T, h *durableHost, kind, password, home string) (name string, c *conn) {
	t.Helper()
	name = "tfw" + kind + suffix()
	if err := os.MkdirAll(home+"/.tfw", 0o700); err != nil {
		t.Fatal(err)
	}
	otherUser(t, name, "/bin/bash", home)
	set := exec.Command("chpasswd")
	set.Stdin = strings.NewReader(name + ":" + password + "\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Skipf("chpasswd: %s", out)
	}
	host := h.host()
	host.SSH.User = name
	return name, mustConnect(t, h.tr, host)
}

// became runs a command as b says that is long enough to be followed, then attaches to it, and expects the user.
func became(t *testing.T, c *conn, b executor.BecomeAs, user string) {
	t.Helper()
	for _, script := range []string{"id -un; echo e >&2; exit 3", "id -un; sleep 0.3; cat; echo e >&2; exit 3"} {
		cmd := command(script)
		cmd.Become, cmd.Stdin = &b, nil
		if strings.Contains(script, "cat") {
			cmd.Stdin = []byte("in\n")
		}
		r, end := mustRun(t, c, cmd)
		if end.Code != 3 || r.out.String() != user+"\n"+string(cmd.Stdin) || r.err.String() != "e\n" {
			t.Errorf("%s: %+v %q %q", b.Method, end, &r.out, &r.err)
		}
		again := &recorder{}
		if end, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, true, again); err != nil || end.Code != 3 || again.out.String() != r.out.String() {
			t.Errorf("%s, attach: %+v %v %q", b.Method, end, err, &again.out)
		}
	}
	cmd := command("trap '' TERM; setsid sleep 100 & echo up; while :; do sleep 1; done")
	cmd.Become = &b
	r := &recorder{}
	wait := start(t, c, cmd, r)
	until(t, "output", func() bool { return r.have().Stdout > 0 })
	if rep, err := c.Kill(within(t, 20*time.Second), cmd.ID, &b, 200*time.Millisecond); err != nil || rep.Killed < 2 || len(rep.Left) > 0 {
		t.Errorf("%s, kill: %+v %v", b.Method, rep, err)
	}
	if end := wait(); end.Signal != "KILL" {
		t.Errorf("%s, killed: %+v", b.Method, end)
	}
}

// refused expects a command not to be run as b says, and an error that says why, without the password.
func refused(t *testing.T, c *conn, b executor.BecomeAs, why string) {
	t.Helper()
	cmd := command("id -un")
	cmd.Become = &b
	r := &recorder{}
	end, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, false, r)
	if !errors.Is(err, executor.ErrBecome) || !strings.Contains(err.Error(), why) || r.out.Len() > 0 {
		t.Errorf("%s: %v (want %q) %+v %q", b.Method, err, why, end, &r.out)
	}
	if err != nil && b.Password != "" && strings.Contains(err.Error(), b.Password) {
		t.Errorf("the password shows: %v", err)
	}
}

func TestBecomeSu(t *testing.T) {
	h := newDurableHost(t)
	h.readable()
	name, c := loginUser(t, h, "u", "right horse", h.home)
	other, _ := loginUser(t, h, "v", "battery staple", h.home+"/v")
	became(t, c, executor.BecomeAs{User: other, Method: "su", Password: "battery staple"}, other)
	root := newDurableHost(t)
	became(t, root.conn(t), executor.BecomeAs{User: name, Method: "su"}, name) // root is asked for nothing
	refused(t, c, executor.BecomeAs{User: other, Method: "su", Password: "wrong horse"}, "uthentication failure")
	refused(t, c, executor.BecomeAs{User: other, Method: "su"}, "uthentication failure")
	refused(t, c, executor.BecomeAs{User: "nobody-4711", Method: "su", Password: "x-4711"}, "does not exist")
}

func TestBecomeDoas(t *testing.T) {
	if _, err := exec.LookPath("doas"); err != nil {
		t.Skip("doas is not installed")
	}
	h := newDurableHost(t)
	h.readable()
	name, c := loginUser(t, h, "d", "right horse", h.home)
	other, _ := loginUser(t, h, "e", "battery staple", h.home+"/e")
	rules, err := os.OpenFile("/etc/doas.conf", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o400)
	if err != nil {
		t.Skipf("the machine has rules of its own: %v", err)
	}
	t.Cleanup(func() { os.Remove("/etc/doas.conf") })
	rules.WriteString("permit nopass " + name + " as " + other + "\npermit " + name + " as root\n")
	rules.Close()
	became(t, c, executor.BecomeAs{User: other, Method: "doas"}, other)
	refused(t, c, executor.BecomeAs{User: "root", Method: "doas"}, "nopass")
	refused(t, c, executor.BecomeAs{User: "root", Method: "doas", Password: "right horse"}, "from a terminal only")
	refused(t, c, executor.BecomeAs{User: "nobody", Method: "doas"}, "not permitted")
}
