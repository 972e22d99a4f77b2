package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfw/executor/executortest"
)

// copies is a desk with a large file on a host, reached through relays that can cut.
type copies struct {
	*desk
	t       *testing.T
	host    string
	relay   *executortest.Proxy // between tfwctl and tfwd
	content []byte
	dir     string
}

func newCopies(t *testing.T) *copies {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lab, err := executortest.NewLab(ctx, executortest.LabOptions{Hosts: 2, Proxied: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lab.Close() })
	c := &copies{desk: newDesk(t, lab), t: t, host: lab.Hosts()[0].Name, content: make([]byte, 16<<20), dir: t.TempDir()}
	rand.NewChaCha8([32]byte{2}).Read(c.content)
	if err := os.WriteFile(filepath.Join(lab.Home(c.host), "big"), c.content, 0o640); err != nil {
		t.Fatal(err)
	}
	if c.relay, err = executortest.NewProxy("127.0.0.1:0", strings.TrimPrefix(c.c.URL(), "http://")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.relay.Close)
	c.env = append(c.env, "TFW_SERVER=http://"+c.relay.Addr())
	return c
}

func (c *copies) copy() *exec.Cmd { return c.tfwctl("cp", c.host+":big", c.dir) }

// whole fails unless the file is there as it is on the host, and nothing else.
func (c *copies) whole() {
	c.t.Helper()
	name := filepath.Join(c.dir, "big."+c.host)
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, c.content) {
		c.t.Fatalf("what arrived differs: %d bytes, %v", len(got), err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode() != 0o640 {
		c.t.Errorf("%v %v", info, err)
	}
	if entries, _ := os.ReadDir(c.dir); len(entries) != 1 {
		c.t.Errorf("left behind: %v", entries)
	}
	os.Remove(name)
}

// part is what is there of a copy that is not done; the file itself must not be there.
func (c *copies) part() (name string, size int64) {
	c.t.Helper()
	if _, err := os.Lstat(filepath.Join(c.dir, "big."+c.host)); err == nil {
		c.t.Fatal("half a file has its final name")
	}
	parts, _ := filepath.Glob(filepath.Join(c.dir, ".tfw-*.part"))
	if len(parts) != 1 {
		return "", 0
	}
	info, err := os.Stat(parts[0])
	if err != nil {
		return "", 0
	}
	return parts[0], info.Size()
}

// A download that breaks off goes on where it was, however it broke off; what arrives is whole.
func TestCopyGoesOn(t *testing.T) {
	c := newCopies(t)

	// the connection to the host: the controller goes on by itself
	c.lab.Proxy(c.host).CutAfter(-1, 8<<20, true)
	if out, err := c.copy().CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.whole()
	said := regexp.MustCompile(`big: \d+ of 16777216 bytes had arrived before, the rest was brought`).FindString(c.say(t, "logs", "last", "-o", "jsonl"))
	if said == "" {
		t.Errorf("nothing tells that it went on: %s", c.say(t, "logs", "last", "-o", "jsonl"))
	}

	// the connection to the controller: tfwctl goes on by itself
	c.relay.CutAfter(-1, 8<<20, true)
	if out, err := c.copy().CombinedOutput(); err != nil || c.relay.Cuts() != 1 {
		t.Fatalf("%v, %d cuts: %s", err, c.relay.Cuts(), out)
	}
	c.whole()

	// tfwctl itself, killed, and by Ctrl-C: the next one goes on
	for i, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		c.broken(s, []int{-1, exitCancelled}[i])
		_, had := c.part()
		c.relay.CutAfter(-1, int64(len(c.content))-had+1<<20, true) // more than what is missing would be cut
		cuts := c.relay.Cuts()
		if out, err := c.copy().CombinedOutput(); err != nil || c.relay.Cuts() != cuts {
			t.Fatalf("%v: %v, %d cuts: %s", s, err, c.relay.Cuts()-cuts, out)
		}
		c.relay.CutAfter(-1, -1, false)
		c.whole()
	}

	// what was left is damaged: the whole is fetched anew
	c.broken(syscall.SIGKILL, -1)
	name, _ := c.part()
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := c.copy().CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.whole()
}

// Without a server the controller dies with tfwctl: what it had of the host is gone on with by the next.
func TestCopyGoesOnEmbedded(t *testing.T) {
	c := newCopies(t)
	c.env = append(c.env, "TFW_SERVER=", "TFW_TOKEN=", "TFW_DATA="+filepath.Join(c.home, "own"), "TFW_INVENTORY="+filepath.Join(c.home, "inventory.yaml"))
	link := c.lab.Proxy(c.host)
	link.SetLatency(25 * time.Millisecond) // so that there is a middle
	link.CutAfter(-1, 8<<20, true)
	cmd := c.copy()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.until("connected", func() bool { live, _ := link.Connections(); return live > 0 })
	link.Refuse(true) // once it is cut there is no way on
	c.until("cut", func() bool { return link.Cuts() == 1 })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	link.Refuse(false)
	link.SetLatency(0)
	if parts, _ := filepath.Glob(filepath.Join(c.home, "own", "artifacts", ".new-part-*")); len(parts) != 1 {
		t.Fatalf("left behind: %q", parts)
	}
	if out, err := c.copy().CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.whole()
	if said := c.say(t, "logs", "last", "-o", "jsonl"); !regexp.MustCompile(`16777216 bytes had (arrived|been brought) before`).MatchString(said) {
		t.Errorf("nothing tells that it went on: %s", said)
	}
}

func (c *copies) until(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(soon); !ok(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			c.t.Fatalf("it was never %s", what)
		}
	}
}

// broken ends tfwctl by a signal while it brings the file over a link that stands still then.
func (c *copies) broken(s syscall.Signal, want int) {
	c.t.Helper()
	for range 10 {
		cmd := c.copy()
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			c.t.Fatal(err)
		}
		c.until("in the middle", func() bool { return c.there() > 1<<20 })
		c.relay.Freeze()
		_ = cmd.Process.Signal(s)
		_ = cmd.Wait()
		c.relay.Thaw()
		c.relay.Cut(true)
		if os.Remove(filepath.Join(c.dir, "big."+c.host)) == nil {
			continue // it was faster than we
		}
		if got := cmd.ProcessState.ExitCode(); got != want {
			c.t.Errorf("%v: ended with %d, want %d: %s", s, got, want, said.String())
		}
		if _, size := c.part(); size == 0 || size >= int64(len(c.content)) {
			c.t.Fatalf("%v: left %d of %d bytes: %s", s, size, len(c.content), said.String())
		}
		if s == syscall.SIGINT && !strings.Contains(said.String(), "goes on where this one was") {
			c.t.Errorf("it does not say how to go on: %s", said.String())
		}
		return
	}
	c.t.Fatal("a copy cannot be caught in the middle")
}

// there is how much has arrived, under whatever name.
func (c *copies) there() int64 {
	entries, _ := os.ReadDir(c.dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			return info.Size()
		}
	}
	return 0
}

// Nothing is left of a copy into a full disk but what can be gone on with, and the way on is told.
func TestCopyIntoFullDisk(t *testing.T) {
	c := newCopies(t)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m", "tfw", c.dir).CombinedOutput(); err != nil {
		t.Skipf("no small disk can be had: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", c.dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	out, err := c.copy().CombinedOutput()
	if err == nil || !regexp.MustCompile(`^tfwctl: big of `+c.host+`: no space left in .*: 8.0 MiB of 16.0 MiB are here, in \.tfw-\S+\.part \(make room, then do the same again\)\n$`).Match(out) {
		t.Errorf("%v: %s", err, out)
	}
	if _, size := c.part(); size != 8<<20 {
		t.Errorf("%d bytes are left", size)
	}
	if out, err := exec.Command("mount", "-o", "remount,size=64m", c.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := c.copy().CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("%w: %s", err, out))
	}
	c.whole()
}
