package executortest_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// faults are what can happen. Each has a weight, and says what it did.
var faults = []struct {
	name   string
	weight int
	do     func(c *chaos, ctx context.Context, rng *rand.Rand) error
}{
	{"tfwd killed", 10, (*chaos).killDaemon},
	{"connection closed", 5, func(c *chaos, _ context.Context, rng *rand.Rand) error { return c.cut(rng, false) }},
	{"connection reset", 5, func(c *chaos, _ context.Context, rng *rand.Rand) error { return c.cut(rng, true) }},
	{"cut at a byte", 5, (*chaos).cutAtByte},
	{"black hole", 4, (*chaos).freeze},
	{"refused for a while", 2, (*chaos).refuse},
	{"sshd sessions killed", 3, (*chaos).killSessions},
	{"sshd down", 2, (*chaos).downSSHD},
	{"wrapper killed", 1, (*chaos).killWrapper},
	{"helper killed", 2, (*chaos).killHelper},
	{packetsLost, 3, (*chaos).losePackets},
}

// storm makes things happen until ctx ends, then lets what is under way finish.
// CHAOS_ONLY is a regular expression over the faults' names: the others stay away.
func (c *chaos) storm(ctx context.Context, rng *rand.Rand) {
	defer c.pending.Wait()
	faults := slices.Clone(faults)
	for i := range faults {
		if !c.only.MatchString(faults[i].name) || faults[i].name == packetsLost && !c.lossy {
			faults[i].weight = 0
		}
	}
	total := 0
	for _, f := range faults {
		total += f.weight
	}
	if total == 0 {
		c.wrong("CHAOS_ONLY=%s matches no fault", c.only)
		return
	}
	for pause(ctx, time.Duration(50+rng.IntN(700))*time.Millisecond) {
		pick := rng.IntN(total)
		for _, f := range faults {
			if pick -= f.weight; pick >= 0 {
				continue
			}
			if err := f.do(c, ctx, rng); err != nil && ctx.Err() == nil {
				c.wrong("fault %q: %v", f.name, err)
			}
			c.mu.Lock()
			c.faults[f.name]++
			c.mu.Unlock()
			break
		}
	}
}

// pause reports whether ctx still holds after d.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// later does something after a while, also when the storm has ended meanwhile.
func (c *chaos) later(ctx context.Context, d time.Duration, do func()) {
	c.pending.Go(func() {
		pause(ctx, d)
		do()
	})
}

// some are a few random hosts.
func (c *chaos) some(rng *rand.Rand) []string {
	all := names(c.lab)
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+rng.IntN(max(1, len(all)/2))]
}

func (c *chaos) killDaemon(ctx context.Context, rng *rand.Rand) error {
	c.daemon.Load().kill()
	pause(ctx, time.Duration(rng.IntN(500))*time.Millisecond)
	err := c.startDaemon()
	if c.breath > 0 { // or it would be killed before it has taken up the runs
		pause(ctx, time.Duration(c.breath/2+rng.IntN(c.breath))*time.Millisecond)
	}
	return err
}

func (c *chaos) cut(rng *rand.Rand, reset bool) error {
	for _, h := range c.some(rng) {
		c.lab.Proxy(h).Cut(reset)
	}
	return nil
}

func (c *chaos) cutAtByte(_ context.Context, rng *rand.Rand) error {
	for _, h := range c.some(rng) {
		up, down := int64(-1), int64(rng.IntN(200_000))
		if rng.IntN(2) == 0 {
			up, down = int64(rng.IntN(10_000)), -1
		}
		c.lab.Proxy(h).CutAfter(up, down, rng.IntN(2) == 0)
	}
	return nil
}

func (c *chaos) freeze(ctx context.Context, rng *rand.Rand) error {
	for _, h := range c.some(rng) {
		p := c.lab.Proxy(h)
		p.Freeze()
		c.later(ctx, time.Duration(rng.IntN(c.longest))*time.Millisecond, p.Thaw)
	}
	return nil
}

func (c *chaos) refuse(ctx context.Context, rng *rand.Rand) error {
	for _, h := range c.some(rng) {
		p := c.lab.Proxy(h)
		p.Refuse(true)
		c.later(ctx, time.Duration(rng.IntN(1000))*time.Millisecond, func() { p.Refuse(false) })
	}
	return nil
}

func (c *chaos) killSessions(_ context.Context, rng *rand.Rand) error {
	return c.lab.Disconnect(c.some(rng)...)
}

func (c *chaos) downSSHD(ctx context.Context, rng *rand.Rand) error {
	host := c.some(rng)[0]
	if err := c.lab.Kill(host); err != nil {
		return err
	}
	pause(ctx, time.Duration(rng.IntN(500))*time.Millisecond)
	return c.lab.Start(context.WithoutCancel(ctx), host)
}

// killWrapper kills tfw's shell on a host from behind: the parent, itself without
// the run's mark, of a process that carries it.
func (c *chaos) killWrapper(_ context.Context, rng *rand.Rand) error {
	of := map[int]string{} // wrapper to command id
	for _, p := range c.lab.Processes() {
		id := environment(p.PID, "TFW_RUN")
		if parent := parentOf(p.PID); id != "" && parent > 1 && environment(parent, "TFW_RUN") == "" && environment(parent, "LAB_ID") != "" {
			of[parent] = id
		}
	}
	if len(of) == 0 {
		return nil
	}
	pids := slices.Sorted(maps.Keys(of))
	pid := pids[rng.IntN(len(pids))]
	c.disturb(of[pid])
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return err
	}
	return nil
}

// killHelper kills a running command's helper, which the second field of a "pid1" line in
// its claim names (see launch.sh). No command may come to harm by that.
func (c *chaos) killHelper(_ context.Context, rng *rand.Rand) error {
	var pids []int
	for _, host := range names(c.lab) {
		claims, _ := filepath.Glob(filepath.Join(c.lab.Home(host), ".tfw", "*+run"))
		for _, claim := range claims {
			text, _ := os.ReadFile(claim)
			if _, line, ok := strings.Cut(string(text), "\npid1 "); ok && !strings.Contains(line, "\nexit1 ") {
				f := strings.Fields(line)
				if pid, err := strconv.Atoi(f[min(1, len(f)-1)]); err == nil && pid > 1 && environment(pid, "LAB_ID") != "" {
					pids = append(pids, pid)
				}
			}
		}
	}
	if len(pids) == 0 {
		return nil
	}
	if err := syscall.Kill(pids[rng.IntN(len(pids))], syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return err
	}
	return nil
}

// disturb notes that a command (RUN.ORDINAL.HOST) cannot be expected to end well.
func (c *chaos) disturb(id string) {
	run, rest, _ := strings.Cut(id, ".")
	_, host, _ := strings.Cut(rest, ".")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disturbed[run+" "+host] = true
}

func environment(pid int, name string) string {
	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if value, ok := bytes.CutPrefix(v, []byte(name+"=")); ok {
			return string(value)
		}
	}
	return ""
}

func parentOf(pid int) int {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}
