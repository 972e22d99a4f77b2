// Package plugintest is a test kit for authors of plugins: a [plugins.Remote]
// that works on this machine, without ssh, and [Replay], which kills the controller
// after every single remote operation and compares how the method ends.
package plugintest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tfw/plugins"
)

// Op is one remote operation as the host saw it.
type Op struct {
	Kind     string // "run", "upload", "download", "reboot", "host key"
	Text     string // what was asked for, enough to tell two operations apart
	Err      error
	Command  plugins.Command   // of a run
	Result   plugins.Result    // of a run
	Upload   plugins.Upload    // of an upload
	Download plugins.Download  // of a download
	Transfer plugins.Transfer  // of an upload or download
	Keys     plugins.KeyChange // of a change of the host key
}

// LocalHost is a [plugins.Remote] that runs commands on this machine. Its home is a
// directory that goes with the test. It has the powers [plugins.Artifacts],
// [plugins.Rebooter] and [plugins.Rekeyer]. Safe for concurrent use.
type LocalHost struct {
	home string
	host plugins.Host

	mu        sync.Mutex
	ops       []Op
	notes     []string
	artifacts map[string][]byte
	reboots   int
	rebootErr error
}

var (
	_ plugins.Remote    = (*LocalHost)(nil)
	_ plugins.Artifacts = (*LocalHost)(nil)
	_ plugins.Rebooter  = (*LocalHost)(nil)
	_ plugins.Rekeyer   = (*LocalHost)(nil)
)

// Local makes a host with an empty home.
func Local(t testing.TB) *LocalHost {
	t.Helper()
	return newHost(t.TempDir())
}

func newHost(home string) *LocalHost {
	return &LocalHost{
		home:      home,
		host:      plugins.Host{Name: "local", Address: "127.0.0.1", Vars: map[string]any{}},
		artifacts: map[string][]byte{},
	}
}

// Home is the login user's home, where relative paths begin.
func (h *LocalHost) Home() string { return h.home }

// Path gives the absolute path of a file of the host.
func (h *LocalHost) Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(h.home, name)
}

// SetHost changes what the method is told of its host.
func (h *LocalHost) SetHost(host plugins.Host) { h.host = host }

// AddArtifact puts a file into the artifact store and gives its SHA-256.
func (h *LocalHost) AddArtifact(content []byte) string {
	sum := sumOf(content)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.artifacts[sum] = bytes.Clone(content)
	return sum
}

// Artifact gives a stored file, or nil.
func (h *LocalHost) Artifact(sha256 string) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.artifacts[sha256]
}

// FailReboot makes later reboots end with err.
func (h *LocalHost) FailReboot(err error) { h.rebootErr = err }

// Ops lists the operations so far, in order.
func (h *LocalHost) Ops() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Op(nil), h.ops...)
}

// Notes lists what the method told the tester.
func (h *LocalHost) Notes() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.notes...)
}

// Host implements [plugins.Remote].
func (h *LocalHost) Host() plugins.Host { return h.host }

// Note implements [plugins.Remote].
func (h *LocalHost) Note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notes = append(h.notes, fmt.Sprintf(format, args...))
}

func (h *LocalHost) record(op Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// Reboot implements [plugins.Rebooter]: it only counts.
func (h *LocalHost) Reboot(_ context.Context, wait time.Duration) error {
	h.record(Op{Kind: "reboot", Text: "reboot " + wait.String(), Err: h.rebootErr})
	if h.rebootErr == nil {
		h.reboots++
	}
	return h.rebootErr
}

// Reboots counts the reboots that went well.
func (h *LocalHost) Reboots() int { return h.reboots }

// NewHostKey implements [plugins.Rekeyer]: the host shows the key that is asked for.
func (h *LocalHost) NewHostKey(_ context.Context, ask plugins.NewKey) (plugins.KeyChange, error) {
	change := plugins.KeyChange{Changed: true, Was: []string{"SHA256:old"}, Now: []string{cmp.Or(ask.Fingerprint, "SHA256:new")}}
	h.record(Op{Kind: "host key", Text: fmt.Sprintf("host key %+v", ask), Keys: change})
	return change, nil
}

// OpenArtifact implements [plugins.Artifacts].
func (h *LocalHost) OpenArtifact(_ context.Context, sha256 string) (io.ReadCloser, int64, error) {
	content := h.Artifact(sha256)
	if content == nil {
		return nil, 0, fmt.Errorf("artifact %.12s: %w", sha256, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(content)), int64(len(content)), nil
}

// Upload implements [plugins.Remote]. As over SSH, the directory must be there.
func (h *LocalHost) Upload(_ context.Context, up plugins.Upload) (plugins.Transfer, error) {
	done, err := h.place(up)
	h.record(Op{Kind: "upload", Text: uploadText(up), Upload: up, Transfer: done, Err: err})
	return done, err
}

func (h *LocalHost) place(up plugins.Upload) (plugins.Transfer, error) {
	if (up.Artifact == "") == (up.Content == nil) {
		return plugins.Transfer{}, errors.New("upload: want exactly one of content and artifact")
	}
	content := up.Content
	if up.Artifact != "" {
		if content = h.Artifact(up.Artifact); content == nil {
			return plugins.Transfer{}, fmt.Errorf("artifact %.12s: %w", up.Artifact, fs.ErrNotExist)
		}
	}
	dest := up.Dest
	if strings.HasSuffix(dest, "/") {
		dest += up.Name
	}
	dest = h.Path(dest)
	mode := up.Mode
	if mode == 0 {
		mode = 0o644
	}
	done := plugins.Transfer{Path: dest, SHA256: sumOf(content), Bytes: int64(len(content)), Mode: mode, ModTime: up.ModTime}
	if old, err := os.ReadFile(dest); err == nil && bytes.Equal(old, content) {
		done.Skipped = true
		return done, os.Chmod(dest, fs.FileMode(mode))
	}
	return done, writeFile(dest, content, fs.FileMode(mode), up.ModTime)
}

func writeFile(dest string, content []byte, mode fs.FileMode, when time.Time) error {
	part := dest + ".tfw-part"
	if err := os.WriteFile(part, content, 0o600); err != nil {
		return errors.Join(err, os.RemoveAll(part)) // as over SSH, nothing is left of it
	}
	if err := os.Chmod(part, mode); err != nil {
		return err
	}
	if !when.IsZero() {
		if err := os.Chtimes(part, when, when); err != nil {
			return err
		}
	}
	return os.Rename(part, dest)
}

// Download implements [plugins.Remote].
func (h *LocalHost) Download(ctx context.Context, down plugins.Download) (plugins.Transfer, error) {
	done, err := h.fetch(ctx, down)
	h.record(Op{Kind: "download", Text: downloadText(down), Download: down, Transfer: done, Err: err})
	return done, err
}

func (h *LocalHost) fetch(ctx context.Context, down plugins.Download) (plugins.Transfer, error) {
	path := h.Path(down.Src)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && down.Optional {
		return plugins.Transfer{Path: path}, nil
	} else if err != nil {
		return plugins.Transfer{}, err
	}
	var content []byte
	if info.IsDir() {
		content, err = tarOf(ctx, path)
	} else {
		content, err = os.ReadFile(path)
	}
	if err != nil {
		return plugins.Transfer{}, err
	}
	if down.Limit > 0 && int64(len(content)) > down.Limit {
		return plugins.Transfer{}, fmt.Errorf("%s: over the limit of %d bytes", path, down.Limit)
	}
	return plugins.Transfer{
		Path: path, SHA256: h.AddArtifact(content), Bytes: int64(len(content)),
		Dir: info.IsDir(), Mode: uint32(info.Mode().Perm()), ModTime: info.ModTime(),
	}, nil
}
