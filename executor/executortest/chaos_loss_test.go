package executortest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const packetsLost = "packets lost"

// apart runs a long storm again in a network namespace of its own, where it may make the loopback lose packets:
// whatever becomes of the storm, the rules are gone with the last process in there. It gives
// nil when this is that namespace, else an error: of the storm in there, or why there can be none.
func apart(ctx context.Context) error {
	if os.Getenv("CHAOS_APART") != "" {
		out, err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: ip link set lo up: %w: %s", errNoLoss, err, out)
		}
		return loss(ctx, "-L", 0)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: that needs root", errNoLoss)
	}
	for _, tool := range []string{"ip", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: %w", errNoLoss, err)
		}
	}
	runtime.LockOSThread() // the storm dies with the thread that began it
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChaos$", "-test.v", "-test.count=1", "-test.timeout=30m")
	cmd.Env = append(os.Environ(), "CHAOS_APART=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		if errors.Is(err, syscall.EPERM) {
			return fmt.Errorf("%w: a network namespace: %w", errNoLoss, err)
		}
		return fmt.Errorf("%w: %w", errApart, err)
	}
	return errApart
}

var (
	errNoLoss = errors.New("no packets are lost")
	errApart  = errors.New("the storm was in a namespace of its own")
)

// elsewhere says where the storm is to be: it reports true when it was somewhere else.
func (c *chaos) elsewhere(ctx context.Context, t *testing.T) bool {
	switch err := apart(ctx); {
	case err == nil:
		c.lossy = true
	case errors.Is(err, errNoLoss) && c.only.MatchString(packetsLost) && c.matches() == 1:
		t.Skip(err)
	case errors.Is(err, errNoLoss):
		t.Log(err)
	case err != errApart: //nolint:errorlint // bare: the storm there found nothing
		t.Error(err)
		return true
	default:
		return true
	}
	return false
}

// matches counts the kinds of fault that the storm is to have.
func (c *chaos) matches() (n int) {
	for _, f := range faults {
		if c.only.MatchString(f.name) {
			n++
		}
	}
	return n
}

// losePackets drops a part of what goes over the loopback for a while: to sshd, to tfwd, and the answers.
func (c *chaos) losePackets(ctx context.Context, rng *rand.Rand) error {
	part := 0.01 + 0.09*rng.Float64()
	if err := loss(ctx, "-I", part); err != nil {
		return err
	}
	c.later(ctx, time.Duration(rng.IntN(c.longest))*time.Millisecond, func() {
		if err := loss(context.WithoutCancel(ctx), "-D", part); err != nil {
			c.wrong("the rule cannot be taken back: %v", err)
		}
	})
	return nil
}

// loss adds or takes away a rule; -L only asks whether the kernel knows such.
func loss(ctx context.Context, verb string, part float64) error {
	args := []string{"-w", verb, "INPUT"}
	if verb != "-L" {
		args = append(args, "-i", "lo", "-p", "tcp", "-m", "statistic", "--mode", "random", "--probability", fmt.Sprintf("%.4f", part), "-j", "DROP")
	}
	out, err := exec.CommandContext(ctx, "iptables", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: iptables %s: %w: %s", errNoLoss, strings.Join(args, " "), err, out)
	}
	return nil
}
