package inventory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// run asks an executable inventory for its hosts, or its cache.
func (l *loader) run(path string, info fs.FileInfo) ([]byte, error) {
	cache := l.cacheFile(path, info)
	if data, ok := l.cached(cache); ok {
		return data, nil
	}
	limit := l.opt.Timeout
	if limit <= 0 {
		limit = 30 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(l.ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	data, err := output(ctx, path, "--list")
	if err != nil {
		return nil, err
	}
	if data, err = withHostVars(ctx, path, data); err != nil {
		return nil, err
	}
	l.keep(cache, data)
	return data, nil
}

// output runs the program and returns what it prints, at most maxFile bytes.
func output(ctx context.Context, path string, args ...string) ([]byte, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, abs, args...)
	cmd.Dir = filepath.Dir(abs)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // its children too
	cmd.WaitDelay = time.Second
	var out, complaints bounded
	out.limit, complaints.limit = maxFile, 4096
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case out.full:
		return nil, fmt.Errorf("prints more than %d MiB", maxFile>>20)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return nil, fmt.Errorf("%w%s", err, lastLine(complaints.Bytes()))
	}
	return out.Bytes(), nil
}

// bounded keeps the first bytes written and passes over the rest.
type bounded struct {
	bytes.Buffer
	limit int
	full  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.limit - b.Len()
	if len(p) > room {
		b.full = true
		b.Buffer.Write(p[:room])
		return len(p), nil
	}
	return b.Buffer.Write(p)
}

// ReadFrom would pass the bound by: io.Copy must use Write.
func (b *bounded) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{b}, r)
}

func lastLine(stderr []byte) string {
	lines := strings.Split(strings.TrimSpace(string(stderr)), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return ": " + quoted(last)
	}
	return ""
}

// maxAsked bounds the hosts that are asked for one by one.
const maxAsked = 1000

// withHostVars asks for each host when --list does not give _meta, as the old
// kind of executable wants.
func withHostVars(ctx context.Context, path string, list []byte) ([]byte, error) {
	var groups map[string]json.RawMessage
	if err := json.Unmarshal(list, &groups); err != nil {
		return nil, fmt.Errorf("--list does not print a JSON object: %w", err)
	}
	if _, ok := groups["_meta"]; ok {
		return list, nil
	}
	vars := map[string]json.RawMessage{}
	for _, g := range groups {
		var members struct{ Hosts []string }
		if json.Unmarshal(g, &members) != nil {
			_ = json.Unmarshal(g, &members.Hosts)
		}
		for _, h := range members.Hosts {
			if _, done := vars[h]; done {
				continue
			}
			if len(vars) >= maxAsked {
				return nil, fmt.Errorf("more than %d hosts without _meta.hostvars: print them with --list", maxAsked)
			}
			answer, err := output(ctx, path, "--host", h)
			if err != nil {
				return nil, fmt.Errorf("--host %s: %w", h, err)
			}
			if len(bytes.TrimSpace(answer)) == 0 {
				answer = []byte("{}")
			}
			vars[h] = answer
		}
	}
	groups["_meta"], _ = json.Marshal(map[string]any{"hostvars": vars})
	return json.Marshal(groups)
}

// cacheFile is where the answer is kept: a new version of the program has its own.
func (l *loader) cacheFile(path string, info fs.FileInfo) string {
	if l.opt.CacheDir == "" || l.opt.CacheFor <= 0 {
		return ""
	}
	abs, _ := filepath.Abs(path)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", abs, info.Size(), info.ModTime().UnixNano()))
	return filepath.Join(l.opt.CacheDir, hex.EncodeToString(sum[:12])+".json")
}

func (l *loader) cached(file string) ([]byte, bool) {
	if file == "" {
		return nil, false
	}
	data, info, err := readFile(file)
	return data, err == nil && time.Since(info.ModTime()) < l.opt.CacheFor
}

// keep writes the cache; that it cannot is no reason to fail.
func (l *loader) keep(file string, data []byte) {
	if file == "" || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".tmp-*")
	if err != nil {
		return
	}
	_, err = tmp.Write(data)
	if cerr := tmp.Close(); err != nil || cerr != nil || os.Rename(tmp.Name(), file) != nil {
		os.Remove(tmp.Name())
	}
}
