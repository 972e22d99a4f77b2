package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tfw/executor"
)

// tmpfs puts the host's spool on a disk of its own.
func (h *durableHost) tmpfs(t *testing.T, size string, more ...string) (dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a tmpfs")
	}
	dir = h.home + "/.tfw"
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", strings.Join(append(more, "size="+size, "mode=700"), ","), "tfw", dir).CombinedOutput(); err != nil {
		t.Skipf("mount: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return dir
}

// spooled gives a file of the command's spool: its size and the bytes it takes on the disk.
func (h *durableHost) spooled(id executor.CommandID, what string) (size, onDisk int64) {
	var s syscall.Stat_t
	if err := syscall.Stat(filepath.Join(h.home, ".tfw", id.String()+"+"+what), &s); err != nil {
		return -1, -1
	}
	return s.Size, s.Blocks * 512
}

// TestSpoolFullDisk starts a command whose spool has no room, and one that takes the last of it.
func TestSpoolFullDisk(t *testing.T) {
	h := newDurableHost(t)
	dir := h.tmpfs(t, "64k")
	c := h.conn(t)
	quiet := command("true") // nothing of it lingers that would give its page back to the disk
	quiet.Login = true
	mustRun(t, c, quiet)
	for _, script := range []string{"head -c 200000 /dev/zero; echo rc $? >&2; exit 6", "head -c 200000 /dev/zero 2>/dev/null; exit 0", "sleep 0.2; head -c 200000 /dev/zero; exit 6"} {
		cmd := command(script)
		r, end := mustRun(t, c, cmd)
		if end.Kind != executor.EndSpoolFull || end.Sizes != r.have() || end.Sizes.Stdout > 64<<10 || !strings.Contains(end.Note, "ended with status "+script[len(script)-1:]) {
			t.Errorf("%s: %+v", script, end)
		}
		again := &recorder{}
		if end, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, true, again); err != nil || end.Kind != executor.EndSpoolFull || again.out.Len() != r.out.Len() {
			t.Errorf("attach: %+v %v", end, err)
		}
		if script[len(script)-1] == '6' && strings.HasPrefix(script, "sleep") {
			break
		}
		os.Remove(filepath.Join(dir, cmd.ID.String()+"+out"))
	}
	cmd := command("echo x >>$HOME/ran")
	_, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, false, &recorder{})
	if !errors.Is(err, executor.ErrRefused) || !strings.Contains(err.Error(), "full") {
		t.Errorf("start on a full disk: %v", err)
	}
	if _, err := os.Stat(h.home + "/ran"); err == nil {
		t.Error("it was started and not recorded")
	}
	files, _ := filepath.Glob(dir + "/*+out")
	for _, f := range files {
		os.Truncate(f, 0)
	}
	mustRun(t, c, cmd) // once there is room the same id may start
}

// TestDiskFills: somebody else fills the disk under a command that writes; it waits for room and loses nothing.
func TestDiskFills(t *testing.T) {
	h := newDurableHost(t)
	dir := h.tmpfs(t, "64m")
	c := h.conn(t)
	cmd := command("i=0; while [ $i -lt 1000 ]; do head -c 5000 /dev/zero; i=$((i+1)); sleep 0.005; done; echo end")
	r := &recorder{}
	wait := start(t, c, cmd, r)
	until(t, "first output", func() bool { return r.have().Stdout > 0 })
	if err := os.WriteFile(dir+"/somebody", make([]byte, 59<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	stall := filepath.Join(dir, cmd.ID.String()+"+stall")
	until(t, "stall", func() bool { _, err := os.Stat(stall); return err == nil })
	time.Sleep(100 * time.Millisecond)
	before, _ := h.spooled(cmd.ID, "out")
	time.Sleep(1200 * time.Millisecond)
	if now, _ := h.spooled(cmd.ID, "out"); now != before || now == 5_000_004 {
		t.Errorf("it goes on writing: %d, then %d", before, now)
	}
	os.Remove(dir + "/somebody")
	if end := wait(); end.Kind != executor.EndExit || r.out.Len() != 5_000_004 {
		t.Errorf("%+v %d", end, r.out.Len())
	}
	if text := strings.Join(r.events, "\n"); !strings.Contains(text, "stalled: the disk of "+dir) || !strings.Contains(text, "resumed") {
		t.Errorf("events %q", text)
	}
}

// keeping is a recorder whose bytes are on its disk at once.
type keeping struct{ *recorder }

func (k keeping) Kept() (executor.Offsets, error) { return k.have(), nil }

// TestSpoolIsGivenBack: what is stored does not stay on the host's disk until the command ends, and an attach that
// asks for what was given back is told so.
func TestSpoolIsGivenBack(t *testing.T) {
	if _, err := exec.LookPath("fallocate"); err != nil {
		t.Skip("no fallocate here")
	}
	h := newDurableHost(t)
	c := h.conn(t)
	cmd := command("i=0; while [ $i -lt 60 ]; do head -c 1000000 /dev/zero; head -c 10 /dev/zero >&2; i=$((i+1)); sleep 0.02; done; touch written; until [ -e $HOME/go ]; do sleep 0.05; done; echo end")
	r := &recorder{}
	var end executor.End
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { end, err = c.Run(within(t, 40*time.Second), cmd, executor.Offsets{}, false, keeping{r}) })
	until(t, "holes", func() bool {
		size, onDisk := h.spooled(cmd.ID, "out")
		return size == 60_000_000 && onDisk < 30<<20
	})
	mustWrite(t, h.home+"/go", "")
	wg.Wait()
	if err != nil || end.Kind != executor.EndExit || !bytes.Equal(r.out.Bytes(), append(make([]byte, 60_000_000), "end\n"...)) || r.err.Len() != 600 {
		t.Errorf("%v %+v %d %d", err, end, r.out.Len(), r.err.Len())
	}
	again := &recorder{}
	if end, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, true, again); err != nil || end.Kind != executor.EndSpoolGone || again.out.Len() > 0 {
		t.Errorf("an attach from the start: %+v %v, %d bytes", end, err, again.out.Len())
	}
	again = &recorder{at: executor.Offsets{Stdout: 60_000_000, Stderr: 600}}
	if end, err := c.Run(within(t, 20*time.Second), cmd, again.at, true, again); err != nil || end.Kind != executor.EndExit || again.out.String() != "end\n" {
		t.Errorf("an attach from where we were: %+v %v", end, err)
	}
}

// TestBoundWithoutController: the bound holds while nobody is connected, and for an attach when the helper was killed too.
func TestBoundWithoutController(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("helper killed %v", killed), func(t *testing.T) {
			h := newDurableHost(t)
			proxy, host := h.through(t)
			c := mustConnect(t, h.tr, host)
			cmd := command("echo up; until [ -e $HOME/go ]; do sleep 0.05; done; i=0; while [ $i -lt 80 ]; do head -c 100000 /dev/zero; i=$((i+1)); sleep 0.02; done; echo end")
			cmd.MaxSpool = 1 << 20
			r := &recorder{}
			var once sync.Once
			r.onBytes = func(executor.Stream, []byte) { once.Do(func() { go proxy.Cut(true) }) }
			if _, err := c.Run(within(t, 20*time.Second), cmd, executor.Offsets{}, false, r); !errors.Is(fail("dut", "run", err), executor.ErrLost) {
				t.Fatal(err)
			}
			if killed {
				h.killHelper(cmd.ID)
			}
			mustWrite(t, h.home+"/go", "")
			if !killed {
				stall := filepath.Join(h.home, ".tfw", cmd.ID.String()+"+stall")
				until(t, "stall", func() bool { _, err := os.Stat(stall); return err == nil })
			}
			d := mustConnect(t, h.tr, host)
			release := make(chan struct{})
			r.at, r.onBytes = r.have(), func(executor.Stream, []byte) { <-release }
			time.AfterFunc(2500*time.Millisecond, func() { close(release) })
			if killed { // a controller that reads nothing is all that is needed for the bound
				time.AfterFunc(2200*time.Millisecond, func() {
					if size, _ := h.spooled(cmd.ID, "out"); size > 6<<20 {
						t.Errorf("%d bytes are spooled beyond the bound", size)
					}
				})
			}
			r.out.Reset()
			end, err := d.Run(within(t, 40*time.Second), cmd, r.at, true, r)
			if err != nil || end.Kind != executor.EndExit || r.have().Stdout != 8_000_007 {
				t.Errorf("%v %+v %d", err, end, r.have().Stdout)
			}
			if text := strings.Join(r.events, "\n"); !strings.Contains(text, "stalled: ") || !strings.Contains(text, "resumed") {
				t.Errorf("events %q", text)
			}
		})
	}
}

// killHelper kills the helper that the launch left behind, and what it waits for.
func (h *durableHost) killHelper(id executor.CommandID) {
	b, _ := os.ReadFile(filepath.Join(h.home, ".tfw", id.String()+"+run"))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == "pid1" {
			if pid, err := strconv.Atoi(f[2]); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
		}
	}
	for _, pid := range withEnv("TFW_HELPER=" + id.String()) {
		n, _ := strconv.Atoi(pid)
		_ = syscall.Kill(n, syscall.SIGKILL)
	}
}

// TestDaemonWrites: a child that writes for ever neither delays the end nor, once that is acknowledged, fills the disk.
func TestDaemonWrites(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	cmd := command("(while :; do head -c 300000 /dev/zero; sleep 0.01; done) & sleep 0.3; echo over; exit 4")
	r, end := mustRun(t, c, cmd)
	if end.Code != 4 || end.Sizes != r.have() {
		t.Errorf("%+v", end)
	}
	until(t, "more", func() bool { size, _ := h.spooled(cmd.ID, "out"); return size > end.Sizes.Stdout+1<<20 })
	c.Acknowledge(nil, cmd.ID)
	begun := time.Now()
	if err := c.sweep(within(t, 10*time.Second)); err != nil || time.Since(begun) > 5*time.Second {
		t.Errorf("%v after %v: held up by what writes on?", err, time.Since(begun))
	}
	for range 2 {
		until(t, "emptied", func() bool { size, _ := h.spooled(cmd.ID, "out"); return size < 1<<20 })
		until(t, "more again", func() bool { size, _ := h.spooled(cmd.ID, "out"); return size > 1<<20 })
	}
	if files := strings.Join(h.files(cmd.ID), " "); files != "ack err out" {
		t.Errorf("left in the spool: %s", files)
	}
	if all, err := c.Strays(within(t, 10*time.Second)); err != nil || len(all) == 0 || all[0].Command != cmd.ID {
		t.Errorf("strays: %+v %v", all, err)
	}
	if rep, err := c.Kill(within(t, 10*time.Second), cmd.ID, nil, time.Second); err != nil || rep.Killed == 0 {
		t.Errorf("%+v %v", rep, err)
	}
	until(t, "the files to go", func() bool { return strings.Join(h.files(cmd.ID), " ") == "ack" })
}

// TestWritesOnAfterTheEnd: until the end is acknowledged the bound holds for what outlived a command too, whether that was
// followed or had ended before; after it nobody is left stopped.
func TestWritesOnAfterTheEnd(t *testing.T) {
	const writer = "sh -c 'while :; do head -c 100000 /dev/zero; echo x >>$HOME/$TFW_RUN; sleep 0.02; done'"
	h := newDurableHost(t)
	c := h.conn(t)
	for name, script := range map[string]string{
		"short":    writer + " &",
		"followed": writer + " & sleep 0.3",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := command(script + "\nexit 4")
			cmd.MaxSpool = 1 << 20
			if _, end := mustRun(t, c, cmd); end.Code != 4 {
				t.Errorf("%+v", end)
			}
			wrote := func() int64 {
				i, err := os.Stat(filepath.Join(h.home, cmd.ID.String()))
				if err != nil {
					return 0
				}
				return i.Size()
			}
			until(t, "the child to be stopped", func() bool {
				_, err := os.Stat(filepath.Join(h.home, ".tfw", cmd.ID.String()+"+stall"))
				return err == nil
			})
			time.Sleep(300 * time.Millisecond)
			size, _ := h.spooled(cmd.ID, "out")
			at := wrote()
			time.Sleep(1500 * time.Millisecond)
			if now, _ := h.spooled(cmd.ID, "out"); now > size+200_000 || now > 20<<20 {
				t.Errorf("it goes on writing: %d, then %d", size, now)
			}
			c.Acknowledge(nil, cmd.ID)
			if err := c.sweep(within(t, 20*time.Second)); err != nil {
				t.Error(err)
			}
			until(t, "the child to go on", func() bool { return wrote() > at+20 })
			if rep, err := c.Kill(within(t, 20*time.Second), cmd.ID, nil, time.Second); err != nil || rep.Killed == 0 || len(rep.Left) > 0 {
				t.Errorf("%+v %v", rep, err)
			}
			until(t, "the files to go", func() bool { return strings.Join(h.files(cmd.ID), " ") == "ack" })
			until(t, "the guard to go", func() bool { return len(withEnv("TFW_HELPER="+cmd.ID.String())) == 0 })
		})
	}
}
