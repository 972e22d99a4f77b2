package plugintest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"tfw/plugins"
)

// ErrTimeout ends a command that ran longer than its Timeout.
var ErrTimeout = errors.New("command timed out")

// Run implements [plugins.Remote]: the command runs with /bin/sh on this machine,
// with the home of this host and next to nothing of the test's environment.
func (h *LocalHost) Run(ctx context.Context, cmd plugins.Command) (plugins.Result, error) {
	r, err := h.run(ctx, cmd)
	h.record(Op{Kind: "run", Text: commandText(cmd), Command: cmd, Result: r, Err: err})
	return r, err
}

func (h *LocalHost) run(ctx context.Context, cmd plugins.Command) (plugins.Result, error) {
	argv, cleanup, err := h.argv(cmd)
	if err != nil {
		return plugins.Result{}, err
	}
	defer cleanup()
	if cmd.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, cmd.Timeout, ErrTimeout)
		defer cancel()
	}
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 2 * time.Second // a child that left the group may hold the pipes
	c.Dir = h.Path(cmd.Cwd)
	c.Env = h.environ(cmd)
	if cmd.Stdin != nil {
		c.Stdin = bytes.NewReader(cmd.Stdin)
	}
	limit := cmd.Capture
	if limit <= 0 {
		limit = 64 << 10
	}
	out, errs := &heading{limit: limit}, &heading{limit: limit}
	c.Stdout, c.Stderr = out, errs
	if cmd.Merge {
		c.Stderr = c.Stdout
	}
	started := time.Now()
	err = c.Run()
	r := plugins.Result{
		Stdout: out.kept, Stderr: errs.kept, StdoutBytes: out.total, StderrBytes: errs.total,
		Started: started, Elapsed: time.Since(started),
	}
	if ctx.Err() != nil {
		return plugins.Result{}, context.Cause(ctx)
	}
	return r, ended(c, err, &r)
}

// ended sets how the process ended; a status other than 0 is no error.
func ended(c *exec.Cmd, err error, r *plugins.Result) error {
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited && !errors.Is(err, exec.ErrWaitDelay) {
		return err
	}
	status := c.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		r.Signal = strings.TrimPrefix(signalName(status.Signal()), "SIG")
		r.ExitCode = 128 + int(status.Signal())
		return nil
	}
	r.ExitCode = status.ExitStatus()
	return nil
}

func signalName(s syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGQUIT: "QUIT", syscall.SIGABRT: "ABRT",
		syscall.SIGKILL: "KILL", syscall.SIGSEGV: "SEGV", syscall.SIGPIPE: "PIPE", syscall.SIGTERM: "TERM",
	}
	if n, ok := names[s]; ok {
		return n
	}
	return fmt.Sprint(int(s))
}

// argv gives the local command line; a script goes through a file that cleanup removes.
func (h *LocalHost) argv(cmd plugins.Command) (argv []string, cleanup func(), err error) {
	nothing := func() {}
	switch {
	case cmd.Script != nil:
		f, err := os.CreateTemp("", "tfw-script-*")
		if err != nil {
			return nil, nothing, err
		}
		cleanup = func() { _ = os.Remove(f.Name()) } // a leftover in the temp directory harms nobody
		_, err = f.Write(cmd.Script)
		if err := errors.Join(err, f.Chmod(0o700), f.Close()); err != nil {
			cleanup()
			return nil, nothing, err
		}
		argv = []string{"/bin/sh", f.Name()}
		if bytes.HasPrefix(cmd.Script, []byte("#!")) {
			argv = interpreter(cmd.Script, f.Name())
		}
		return append(argv, cmd.Argv[min(1, len(cmd.Argv)):]...), cleanup, nil
	case cmd.Shell != "" && cmd.Argv == nil:
		return []string{"/bin/sh", "-c", cmd.Shell}, nothing, nil
	case len(cmd.Argv) > 0 && cmd.Shell == "":
		line, err := plugins.Quote(cmd.Argv...)
		return []string{"/bin/sh", "-c", "exec " + line}, nothing, err
	}
	return nil, nothing, errors.New("command: want exactly one of argv, shell and script")
}

// interpreter reads a "#!" line as Linux does: a path and at most one argument.
// (Running the file itself could meet ETXTBSY in a test that forks.)
func interpreter(script []byte, file string) []string {
	line, _, _ := bytes.Cut(script[2:], []byte("\n"))
	path, arg, more := strings.Cut(strings.TrimSpace(string(line)), " ")
	if more {
		return []string{path, strings.TrimSpace(arg), file}
	}
	return []string{path, file}
}

func (h *LocalHost) environ(cmd plugins.Command) []string {
	env := []string{"HOME=" + h.home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "USER=tester", "LOGNAME=tester",
		"GIT_CONFIG_NOSYSTEM=1"}
	for k, v := range cmd.Env {
		env = append(env, k+"="+v)
	}
	sort.Strings(env[6:])
	return env
}

// heading keeps the first bytes of a stream and counts the rest.
type heading struct {
	limit int
	kept  []byte
	total int64
}

func (h *heading) Write(p []byte) (int, error) {
	h.total += int64(len(p))
	h.kept = append(h.kept, p[:min(len(p), h.limit-len(h.kept))]...)
	return len(p), nil
}

var _ io.Writer = (*heading)(nil)

func tarOf(ctx context.Context, dir string) ([]byte, error) {
	return exec.CommandContext(ctx, "tar", "-C", filepath.Dir(dir), "-cf", "-", filepath.Base(dir)).Output()
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// commandText tells two commands apart, with their environment in order.
func commandText(c plugins.Command) string {
	names := make([]string, 0, len(c.Env))
	for k, v := range c.Env {
		names = append(names, k+"="+v)
	}
	sort.Strings(names)
	become := "-"
	if c.Become != nil {
		become = "become " + c.Become.User
	}
	return fmt.Sprintf("run argv=%q shell=%q script=%q env=%q cwd=%q stdin=%q timeout=%s silence=%s merge=%v %s",
		c.Argv, c.Shell, c.Script, names, c.Cwd, c.Stdin, c.Timeout, c.SilenceTimeout, c.Merge, become)
}

func uploadText(u plugins.Upload) string {
	sum := u.Artifact
	if sum == "" {
		sum = sumOf(u.Content)
	}
	return fmt.Sprintf("upload %s to %q %q mode %o", sum, u.Dest, u.Name, u.Mode)
}

func downloadText(d plugins.Download) string {
	return fmt.Sprintf("download %q limit %d optional %v", d.Src, d.Limit, d.Optional)
}
