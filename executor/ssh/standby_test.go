package ssh

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tfw/executor"
)

// standing counts the shells that stand by for the host's next commands.
func standing(c *conn) int {
	c.place.mu.Lock()
	defer c.place.mu.Unlock()
	return len(c.place.ready)
}

// untilStanding runs a command, again where it took so long that it was followed, until its shell stands by.
func untilStanding(t *testing.T, c *conn, cmd executor.DurableCommand) *recorder {
	t.Helper()
	for range 100 {
		cmd.ID = newID()
		if r, _ := mustRun(t, c, cmd); standing(c) == 1 {
			return r
		}
	}
	t.Fatal("no shell stands by")
	return nil
}

// parents gives the pids of a command's wrapper and of the shell that stands by.
func parents(t *testing.T, c *conn) (wrapper, shell int) {
	t.Helper()
	r := untilStanding(t, c, command(`read -r _ _ _ p _ </proc/$PPID/stat; echo $PPID $p`))
	if _, err := fmt.Sscan(r.out.String(), &wrapper, &shell); err != nil {
		t.Fatalf("%q: %v", &r.out, err)
	}
	return wrapper, shell
}

func TestStandbyServesTheNext(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	w1, s1 := parents(t, c)
	w2, s2 := parents(t, c)
	for try := 0; s1 != s2 && try < 20; try++ { // one was followed in between
		w1, s1 = w2, s2
		w2, s2 = parents(t, c)
	}
	if s1 != s2 || w1 == w2 {
		t.Errorf("wrappers %d %d, shells %d %d", w1, w2, s1, s2)
	}
	cmd := command("echo live; sleep 0.3; echo end") // it is followed: its shell goes with it
	if r, _ := mustRun(t, c, cmd); r.out.String() != "live\nend\n" || standing(c) != 0 {
		t.Errorf("%q, %d stand by", &r.out, standing(c))
	}
	until(t, "the spool to hold commands only", func() bool {
		left, _ := os.ReadDir(h.home + "/.tfw")
		return len(left) > 0 && !strings.Contains(fmt.Sprint(left), "standby")
	})
	if _, s3 := parents(t, c); s3 == s1 {
		t.Errorf("shell %d serves again", s3)
	}
}

// TestStandbyLeavesNoTrace: nothing of one command is seen by the next, which finds what a login finds.
func TestStandbyLeavesNoTrace(t *testing.T) {
	h := newDurableHost(t)
	look := `env | grep -v -e ^TFW_RUN= -e ^SSH_CL -e ^SSH_CONN; umask; pwd; ulimit -n; ulimit -c; trap; set | grep '^t_'; ls /proc/self/fd; cat /proc/self/status | grep -e ^Sig[^QP] -e Shd; id`
	fresh := newTransport(t, Options{StandbyIdle: -1})
	want := map[bool]string{}
	for _, login := range []bool{false, true} {
		cmd := command(look)
		cmd.Login = login
		r, _ := mustRun(t, mustConnect(t, fresh, h.host()), cmd)
		want[login] = r.out.String()
	}
	c := h.conn(t)
	for _, login := range []bool{false, true} {
		dirty := command(`umask 0; cd /tmp; X=1; export X; t_i=x; export t_i; trap 'echo trap' EXIT; ulimit -n 60; exec 7>/dev/null; set -u; alias ls=false
			(sleep 0.4; echo late; echo late >&2) & exit 3`)
		dirty.Env, dirty.Cwd, dirty.Stdin, dirty.Login = map[string]string{"SECRET": "s3cret"}, "/usr", []byte("stdin"), login
		untilStanding(t, c, dirty)
		cmd := command(look + "; sleep 0.6; cat /proc/$PPID/environ | grep -c s3cret")
		cmd.Login = login
		r, _ := mustRun(t, c, cmd)
		if r.out.String() != want[login]+"0\n" || len(want[login]) < 200 || r.err.Len() > 0 {
			t.Errorf("login %v: got\n%s(%s)\nwant\n%s", login, &r.out, &r.err, want[login])
		}
	}
}

// TestStandbyKeepsCommandsApart: what an earlier command left running is not reached by signals of a later one, nor by its cancel.
func TestStandbyKeepsCommandsApart(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	r := untilStanding(t, c, command("sleep 30 >/dev/null 2>&1 & echo $!; env -i sleep 30 >/dev/null 2>&1 & echo $!"))
	left := pids(t, r.out.String())
	t.Cleanup(func() {
		for _, p := range left {
			syscall.Kill(p, syscall.SIGKILL)
		}
	})
	if _, end := mustRun(t, c, command("trap '' TERM; kill -TERM 0; kill -KILL 0")); end.Signal != "KILL" {
		t.Errorf("%+v", end)
	}
	mustRun(t, c, command("true"))
	cmd := command("trap '' TERM; env -i sleep 31 & (env -i sleep 31 &) ; echo up; sleep 31")
	live := make(chan struct{})
	var once sync.Once
	wait := start(t, c, cmd, &recorder{onBytes: func(executor.Stream, []byte) { once.Do(func() { close(live) }) }})
	<-live
	if rep, err := c.Kill(within(t, 20*time.Second), cmd.ID, nil, 100*time.Millisecond); err != nil || rep.Killed != 4 || len(rep.Left) > 0 {
		t.Errorf("%+v %v", rep, err)
	}
	wait()
	for _, p := range left {
		if syscall.Kill(p, 0) != nil {
			t.Errorf("process %d of an earlier command was killed", p)
		}
	}
}

func pids(t *testing.T, text string) (all []int) {
	t.Helper()
	for _, f := range strings.Fields(text) {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all = append(all, n)
	}
	return all
}

// TestStandbyKilled kills the shell that stands by, idle and with a command under way.
func TestStandbyKilled(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	_, shell := parents(t, c)
	syscall.Kill(shell, syscall.SIGKILL)
	for i := range 3 { // before and after the server has told
		mustRun(t, c, command(fmt.Sprintf("echo %d >>$HOME/marks", i)))
	}
	if marks, _ := os.ReadFile(h.home + "/marks"); string(marks) != "0\n1\n2\n" {
		t.Errorf("marks %q", marks)
	}
	_, shell = parents(t, c)
	cmd := command("echo one; kill -KILL " + strconv.Itoa(shell) + "; sleep 0.3; echo two; echo x >>$HOME/once; exit 6")
	r, end := mustRun(t, c, cmd)
	if once, _ := os.ReadFile(h.home + "/once"); end.Kind != executor.EndExit || end.Code != 6 || r.out.String() != "one\ntwo\n" || string(once) != "x\n" {
		t.Errorf("%+v %q, executed %q", end, &r.out, once)
	}
}

// TestStandbyIsCut: a command that a standing shell runs goes on when the connection is cut; the shell ends with it.
func TestStandbyIsCut(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	_, shell := parents(t, c)
	cmd := command("echo one; sleep 0.7; echo two; exit 6")
	live := make(chan struct{})
	var once sync.Once
	r := &recorder{onBytes: func(executor.Stream, []byte) { once.Do(func() { close(live) }) }}
	failed := make(chan error, 1)
	go func() {
		_, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, false, r)
		failed <- err
	}()
	<-live
	c.place.breakAll(errIdle)
	if err := <-failed; err == nil {
		t.Fatal("no error of a broken connection")
	}
	d := h.conn(t)
	r.started = nil
	end, err := d.Run(within(t, 20*time.Second), cmd, r.have(), true, r)
	if err != nil || end.Code != 6 || r.out.String() != "one\ntwo\n" {
		t.Errorf("%+v %v %q", end, err, &r.out)
	}
	until(t, "the shell to end", func() bool { return syscall.Kill(shell, 0) != nil })
}

// TestStandbyGrowsStale: what a login reads is read again once it has changed.
func TestStandbyGrowsStale(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	_, before := parents(t, c)
	mustRun(t, c, command("echo 'export FROM_RC=yes' >>$HOME/.bashrc"))
	r, _ := mustRun(t, c, command("echo got $FROM_RC"))
	want, _, _, err := run(within(t, 10*time.Second), c, "echo got $FROM_RC")
	if err != nil || r.out.String() != want {
		t.Errorf("%q, a login gives %q, %v", &r.out, want, err)
	}
	if _, after := parents(t, c); after == before {
		t.Error("the old shell serves on")
	}
}

// TestStandbyGivesWay: a session that is wanted for something else is never refused for a shell that only waits.
func TestStandbyGivesWay(t *testing.T) {
	for _, most := range []int{1, 2} {
		t.Run(fmt.Sprint("MaxSessions", most), func(t *testing.T) {
			h := newDurableHost(t, fmt.Sprint("MaxSessions ", most))
			c := h.conn(t)
			for range 3 {
				var wg sync.WaitGroup
				for range most {
					wg.Go(func() { mustRun(t, c, command("true")) })
				}
				wg.Wait()
				if _, err := c.Probe(within(t, 5*time.Second), "echo probe"); err != nil {
					t.Fatal(err)
				}
				mustRun(t, c, command("true"))
				s, err := c.openUrgent(within(t, 5*time.Second), "true")
				if err != nil {
					t.Fatal(err)
				}
				s.Wait()
			}
			if links, _ := c.place.count(); links > 1 && most == 1 {
				t.Logf("%d connections", links)
			}
		})
	}
}

func TestStandbyIsBounded(t *testing.T) {
	h := newDurableHost(t)
	h.tr = newTransport(t, Options{StandbyIdle: 300 * time.Millisecond})
	c := h.conn(t)
	for range 3 {
		var wg sync.WaitGroup
		for range 9 {
			wg.Go(func() { mustRun(t, c, command("echo x >>$HOME/count")) })
		}
		wg.Wait()
	}
	if n := standing(c); n < 1 || n > standbyMost {
		t.Errorf("%d stand by", n)
	}
	if count, _ := os.ReadFile(h.home + "/count"); len(count) != 27*2 {
		t.Errorf("%d of 27 executed", len(count)/2)
	}
	until(t, "them to go", func() bool { return standing(c) == 0 && h.tr.Stats().Sessions == 0 })
	c.place.mu.Lock()
	defer c.place.mu.Unlock()
	for _, l := range c.place.links {
		if l.ready != 0 {
			t.Errorf("a link counts %d", l.ready)
		}
	}
}

// TestStandbyServesThoseWhoWait: on a busy host a shell that has ended its command goes on with
// one that waits for a session.
func TestStandbyServesThoseWhoWait(t *testing.T) {
	h := newDurableHost(t)
	c := mustConnect(t, newTransport(t, Options{MaxPerHost: 1}), h.host())
	const commands = 40
	var mu sync.Mutex
	shells := map[int]bool{}
	var wg sync.WaitGroup
	for range commands {
		wg.Go(func() {
			r, _ := mustRun(t, c, command(`read -r _ _ _ p _ </proc/$PPID/stat; echo $p`))
			pid, err := strconv.Atoi(strings.TrimSpace(r.out.String()))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			shells[pid] = true
		})
	}
	wg.Wait()
	if len(shells) > commands*3/4 { // ten, and one more for each that took so long that it was followed
		t.Errorf("%d commands took %d shells", commands, len(shells))
	}
	until(t, "no session to be taken", func() bool { return c.place.t.Stats().Sessions == 0 })
}
