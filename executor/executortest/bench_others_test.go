package executortest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sourcegraph/conc/pool"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"tfw/executor/executortest"
)

// command runs a program to its end and tells the CPU that it and its children used.
func command(ctx context.Context, out io.Writer, stdin, name string, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout = strings.NewReader(stdin), out
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), err
}

func names(lab *executortest.Lab) (all []string) {
	for _, h := range lab.Hosts() {
		all = append(all, h.Name)
	}
	return all
}

// control are the options for one master connection a host, in a folder of its own.
func control(t *testing.T, lab *executortest.Lab) []string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cm") // short: a socket's path is at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	options := []string{"-F", lab.SSHConfig(), "-o", "ControlMaster=auto", "-o", "ControlPath=" + filepath.Join(dir, "%C"), "-o", "ControlPersist=10m"}
	t.Cleanup(func() {
		for _, name := range names(lab) {
			_ = exec.Command("ssh", append(options, "-O", "exit", name)...).Run() // there may be none
		}
		_ = os.RemoveAll(dir)
	})
	return options
}

// sshTool is ssh over ControlMaster, 32 at a time by xargs.
func sshTool(t *testing.T, lab *executortest.Lab, host string) tool {
	options := control(t, lab)
	all := func(ctx context.Context) (time.Duration, error) {
		args := append([]string{"-P", "32", "-I{}", "ssh"}, options...)
		return command(ctx, nil, strings.Join(names(lab), "\n"), "xargs", append(args, "{}", "true")...)
	}
	return tool{name: "ssh", cold: all, warm: all, fetch: func(ctx context.Context) (time.Duration, error) {
		f, err := os.Create(filepath.Join(t.TempDir(), "copy"))
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return command(ctx, f, "", "ssh", append(options, host, "cat ~/big.log")...)
	}}
}

// clushTool is ClusterShell's clush: cold without masters, warm over ControlMaster.
func clushTool(t *testing.T, lab *executortest.Lab) tool {
	options := control(t, lab)
	run := func(options []string) func(ctx context.Context) (time.Duration, error) {
		return func(ctx context.Context) (time.Duration, error) {
			return command(ctx, nil, "", "clush", "-S", "-q", "-f", "64", "-w", strings.Join(names(lab), ","), "-o", strings.ReplaceAll(strings.Join(options, " "), "%", "%%"), "true")
		}
	}
	warm := run(options)
	first := sync.OnceValues(func() (time.Duration, error) { return warm(t.Context()) }) // makes the masters
	return tool{name: "clush", cold: run(options[:2]), warm: func(ctx context.Context) (time.Duration, error) {
		if _, err := first(); err != nil {
			return 0, err
		}
		return warm(ctx)
	}}
}

// bareTool is the least that Go can do: x/crypto/ssh, a connection a host, no log, no promises.
func bareTool(t *testing.T, lab *executortest.Lab, host string) tool {
	var mu sync.Mutex
	clients := map[string]*ssh.Client{}
	config := bareConfig(t, lab)
	t.Cleanup(func() {
		for _, c := range clients {
			c.Close()
		}
	})
	each := func(parallel int, do func(name, addr string) error) (time.Duration, error) {
		before := cpuSelf()
		p := pool.New().WithErrors().WithMaxGoroutines(parallel)
		for _, h := range lab.Hosts() {
			p.Go(func() error { return do(h.Name, fmt.Sprintf("%s:%d", h.Address, h.SSH.Port)) })
		}
		err := p.Wait()
		return cpuSelf() - before, err
	}
	run := func(name string) error {
		mu.Lock()
		c := clients[name]
		mu.Unlock()
		s, err := c.NewSession()
		if err != nil {
			return err
		}
		defer s.Close()
		return s.Run("true")
	}
	return tool{name: "bare",
		cold: func(context.Context) (time.Duration, error) {
			return each(32, func(name, addr string) error {
				c, err := ssh.Dial("tcp", addr, config)
				if err != nil {
					return err
				}
				mu.Lock()
				clients[name] = c
				mu.Unlock()
				return run(name)
			})
		},
		warm: func(context.Context) (time.Duration, error) {
			return each(benchHosts, func(name, _ string) error { return run(name) })
		},
		fetch: func(context.Context) (time.Duration, error) {
			before := cpuSelf()
			f, err := os.Create(filepath.Join(t.TempDir(), "copy"))
			if err != nil {
				return 0, err
			}
			defer f.Close()
			s, err := clients[host].NewSession()
			if err != nil {
				return 0, err
			}
			defer s.Close()
			s.Stdout = f
			err = s.Run("cat ~/big.log")
			return cpuSelf() - before, err
		},
	}
}

func bareConfig(t *testing.T, lab *executortest.Lab) *ssh.ClientConfig {
	t.Helper()
	pem, err := os.ReadFile(lab.IdentityFile())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	check, err := knownhosts.New(lab.KnownHosts())
	if err != nil {
		t.Fatal(err)
	}
	return &ssh.ClientConfig{User: lab.User(), Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: check,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}, Timeout: 30 * time.Second}
}

func cpuSelf() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
