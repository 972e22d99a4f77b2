package executortest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tfw/executor"
	"tfw/executor/executortest"
)

// mounted gives the daemon-to-be a data directory on a small disk of its own.
func mounted(t *testing.T, size string) (dir, data string) {
	t.Helper()
	dir = t.TempDir()
	data = filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a tmpfs")
	}
	if err := unix.Mount("tfw", data, "tmpfs", 0, "size="+size+",mode=700"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(data, unix.MNT_DETACH) })
	return dir, data
}

// startIn starts tfwd on a data directory that is there.
func startIn(t *testing.T, lab *executortest.Lab, dir string, under ...string) *daemon {
	t.Helper()
	d := &daemon{bin: programs(t), inventory: lab.InventoryFile(), dir: dir, under: under}
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	return d
}

// ready is what /readyz says: "" when all is well.
func (d *daemon) ready(ctx context.Context) string {
	_, err := d.bytes(ctx, http.MethodGet, "/readyz", nil)
	if err != nil {
		return err.Error()
	}
	return ""
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 40 s", what)
		}
	}
}

// counting is a command that says lines for a while, and what it says.
func counting(n int) (line string, says []byte) {
	var b bytes.Buffer
	pad := strings.Repeat("x", 2000)
	for i := range n {
		fmt.Fprintf(&b, "line %d %s\n", i, pad)
	}
	return fmt.Sprintf(`echo >>~/started; i=0; while [ $i -lt %d ]; do echo "line $i %s"; i=$((i+1)); [ $((i%%20)) != 0 ] || sleep 0.05; done`, n, pad), b.Bytes()
}

// whole checks that a run passed, ran once, and that nothing of its output is missing.
func whole(t *testing.T, d *daemon, lab *executortest.Lab, id executor.RunID, want []byte) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	run, err := d.wait(ctx, id)
	if err != nil || run.Verdict != executor.Passed {
		t.Fatalf("%v %+v", err, run)
	}
	got, err := d.stream(t.Context(), id, run.Hosts[0].Host, "stdout")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d: %v", len(got), len(want), err)
	}
	if marks, _ := os.ReadFile(lab.Home(run.Hosts[0].Host) + "/started"); string(marks) != "\n" {
		t.Errorf("started %q", marks)
	}
}

// TestFullControllerDisk: the disk under the store fills up in the middle of a run, tfwd is even killed then; once
// there is room the run goes on and nothing is missing.
func TestFullControllerDisk(t *testing.T) {
	lab := openSSHLab(t, 1)
	dir, data := mounted(t, "24m")
	d := startIn(t, lab, dir)
	line, want := counting(1500)
	id, err := d.submit(t.Context(), "full", shell(lab.Hosts()[0].Name, line))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "output", func() bool {
		got, err := d.stream(t.Context(), id, lab.Hosts()[0].Name, "stdout")
		return err == nil && len(got) > 10_000
	})
	fill(t, data)
	eventually(t, "readyz to say so", func() bool { return strings.Contains(d.ready(t.Context()), "disk full") })
	time.Sleep(time.Second) // of trying again
	d.kill()
	if err := d.start(t.Context()); err == nil {
		d.kill() // with luck there was a page left to start with
	} else if !strings.Contains(err.Error(), "disk full") && !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a start on a full disk: %v", err)
	}
	if err := os.Remove(filepath.Join(data, "filler")); err != nil {
		t.Fatal(err)
	}
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole(t, d, lab, id, want)
	if text := d.ready(t.Context()); text != "" {
		t.Errorf("not ready though there is room again: %s", text)
	}
}

// fill takes what is left of a disk.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// TestControllerDiskTurnsReadOnly: as a failing disk does. What runs goes on when it can be written again.
func TestControllerDiskTurnsReadOnly(t *testing.T) {
	lab := openSSHLab(t, 1)
	dir, data := mounted(t, "64m")
	d := startIn(t, lab, dir)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("tfw", data, "tmpfs", unix.MS_REMOUNT|flags, "size=64m,mode=700"); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	if err := d.start(t.Context()); err == nil || !strings.Contains(err.Error(), data) || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("a start on a read-only disk: %v", err)
	}
	remount(0)
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	line, want := counting(600)
	id, err := d.submit(t.Context(), "read-only", shell(lab.Hosts()[0].Name, line))
	if err != nil {
		t.Fatal(err)
	}
	whole(t, d, lab, id, want)
}

// TestDamagedLogShard: a shard with a torn page is set aside, said so, and the rest is served.
func TestDamagedLogShard(t *testing.T) {
	lab := openSSHLab(t, 1)
	d := startDaemon(t, lab)
	host := lab.Hosts()[0].Name
	line, _ := counting(100)
	id, err := d.submit(t.Context(), "damaged", shell(host, line))
	if err == nil {
		_, err = d.wait(t.Context(), id)
	}
	if err == nil {
		err = d.stop()
	}
	if err != nil {
		t.Fatal(err)
	}
	shards, _ := filepath.Glob(filepath.Join(d.data(), "logs", "*.db"))
	if len(shards) != 1 {
		t.Fatalf("shards %v", shards)
	}
	raw, err := os.ReadFile(shards[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := 8192; i < len(raw); i++ { // the meta pages are whole, nothing behind them is
		raw[i] ^= 0x5a
	}
	if err := os.WriteFile(shards[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	run, err := d.wait(t.Context(), id)
	if err != nil || run.Verdict != executor.Passed {
		t.Errorf("the run's record went with its log: %v %+v", err, run)
	}
	line2, want := counting(50)
	_ = os.Remove(lab.Home(host) + "/started")
	again, err := d.submit(t.Context(), "after the damage", shell(host, line2))
	if err != nil {
		t.Fatal(err)
	}
	whole(t, d, lab, again, want)
	if text := d.ready(t.Context()); !strings.Contains(text, "damaged") {
		t.Errorf("readyz says %q", text)
	}
	if aside, _ := filepath.Glob(filepath.Join(d.data(), "logs", "*.corrupt")); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
}

// TestDamagedState: without its records tfwd must not begin anew as if there were none.
func TestDamagedState(t *testing.T) {
	lab := openSSHLab(t, 1)
	d := startDaemon(t, lab)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.data(), "state.db")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"empty": {}, "truncated": raw[:3*4096], "torn": slices.Concat(raw[:8192], make([]byte, len(raw)-8192))} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.start(t.Context()); err == nil || !strings.Contains(err.Error(), "state.db") || strings.Contains(err.Error(), "goroutine ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.start(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestFewDescriptors: with hardly any, hosts wait for one another and nothing fails; when they are taken away from a
// tfwd at work, hosts that cannot be reached for want of them end with that as the reason, and it lives on.
func TestFewDescriptors(t *testing.T) {
	if _, err := exec.LookPath("prlimit"); err != nil {
		t.Skip(err)
	}
	lab := openSSHLab(t, 20)
	d := startIn(t, lab, t.TempDir(), "prlimit", "--nofile=48")
	ctx, stop := context.WithTimeout(t.Context(), 90*time.Second)
	defer stop()
	everywhere := func(key string) []executor.HostResult {
		t.Helper()
		id, err := d.submit(ctx, key, shell("all", "echo up; sleep 0.2"))
		if err != nil {
			t.Fatal(err)
		}
		run, err := d.wait(ctx, id)
		if err != nil || len(run.Hosts) != 20 {
			t.Fatalf("%v, %d hosts; tfwd: %s", err, len(run.Hosts), d.tail())
		}
		return run.Hosts
	}
	for _, r := range everywhere("few") {
		if r.Verdict != executor.Passed {
			t.Errorf("48 descriptors: %+v", r)
		}
	}
	limit := func(n uint64) {
		t.Helper()
		if err := unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: 48}, nil); err != nil {
			t.Fatal(err)
		}
	}
	limit(10) // fewer than it has open
	short := 0
	for _, r := range everywhere("none") {
		switch {
		case r.Verdict == executor.Passed && r.StdoutBytes == 3: // over a connection that was open
		case r.Verdict == executor.Errored && strings.Contains(r.Reason, "too many open files"):
			short++
		default:
			t.Errorf("no descriptors: %+v", r)
		}
	}
	if short == 0 {
		t.Error("no host felt the want of descriptors")
	}
	limit(48)
	for _, r := range everywhere("enough") {
		if r.Verdict != executor.Passed {
			t.Errorf("enough again: %+v", r)
		}
	}
}
