package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"tfw/api"
	"tfw/executor"
	"tfw/plugins"
)

// piece is one file to copy and its name on the hosts.
type piece struct {
	local string
	dest  string
	info  fs.FileInfo
}

// maxPieces bounds the files of one copy; a tree with more is for a tar archive.
const maxPieces = 20_000

func (a *app) copyTo(ctx context.Context, sources []string, target, dst string, f *copyFlags) error {
	pieces, dirs, err := plan(sources, dst)
	if err != nil {
		return err
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	t := &tally{}
	if len(dirs) > 0 {
		if err := a.makeDirs(ctx, client, target, dirs, f, t); err != nil || t.verdict != executor.Passed {
			return firstError(err, t.report(a, "to "+target, true))
		}
	}
	bar := newBar(a, pieces)
	defer bar.hide()
	for i, p := range pieces {
		if err := a.sendPiece(ctx, client, target, p, f, t, bar, i); err != nil {
			return err
		}
	}
	bar.hide()
	return t.report(a, "to "+target, f.quiet)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// plan walks the sources. A DST that ends in "/" is a directory to copy into.
func plan(sources []string, dst string) (pieces []piece, dirs []string, err error) {
	into := dst == "" || strings.HasSuffix(dst, "/")
	if len(sources) > 1 && !into {
		return nil, nil, usageError{fmt.Sprintf("several files cannot all be named %q (end it with / to copy into it)", dst)}
	}
	for _, src := range sources {
		if _, _, remote := splitRemote(src); remote {
			return nil, nil, usageError{fmt.Sprintf("%q: from hosts to hosts is not possible (copy to here first; write ./%s for a local file)", src, src)}
		}
		dest := dst
		if into {
			dest = path.Join(dst, filepath.Base(filepath.Clean(src)))
		}
		err := filepath.WalkDir(src, func(file string, d fs.DirEntry, err error) error {
			if err != nil {
				return usageError{err.Error()}
			}
			rel, err := filepath.Rel(src, file)
			if err != nil {
				return err
			}
			info, err := os.Stat(file)
			if err != nil {
				return usageError{err.Error()}
			}
			name := path.Join(dest, filepath.ToSlash(rel))
			switch {
			case d.IsDir():
				dirs = append(dirs, name)
			case info.Mode().IsRegular():
				pieces = append(pieces, piece{file, name, info})
			default:
				return usageError{file + ": is neither a file nor a directory"}
			}
			if len(pieces) > maxPieces {
				return usageError{fmt.Sprintf("%s: more than %d files (pack them into one archive)", src, maxPieces)}
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return pieces, dirs, nil
}

// makeDirs makes every directory first, the empty ones too.
func (a *app) makeDirs(ctx context.Context, client *api.Client, target string, dirs []string, f *copyFlags, t *tally) error {
	for len(dirs) > 0 {
		n := min(len(dirs), 500)
		params, err := json.Marshal(execParams{Command: "cd && mkdir -p --", Args: dirs[:n], Become: f.who()})
		if err != nil {
			return err
		}
		run, err := copyRun(ctx, client, "run_shell", target, params, f)
		if err != nil {
			return err
		}
		if err := t.add("mkdir", run, func(executor.HostResult) error { return nil }); err != nil {
			return err
		}
		dirs = dirs[n:]
	}
	return nil
}

func copyRun(ctx context.Context, client *api.Client, method, target string, params json.RawMessage, f *copyFlags) (*executor.Run, error) {
	req := executor.Request{
		Plugin: "linux_system", Method: method, Parameters: params, Target: target, Where: f.where,
		Options: f.options(), AdHoc: true, IdempotencyKey: rand.Text(),
	}
	run, err := client.Submit(ctx, req)
	if err != nil {
		return nil, err
	}
	return client.Wait(ctx, string(run.ID))
}

// uploadParams are those of linux_system.upload.
type uploadParams struct {
	Artifact string    `json:"artifact"`
	Dest     string    `json:"dest"`
	Mode     string    `json:"mode"`
	ModTime  time.Time `json:"mod_time"`
	Become   any       `json:"become,omitempty"`
}

func (a *app) sendPiece(ctx context.Context, client *api.Client, target string, p piece, f *copyFlags, t *tally, b *bar, i int) error {
	file, err := os.Open(p.local)
	if err != nil {
		return err
	}
	defer file.Close()
	stored, err := client.PutArtifact(ctx, b.count(i, file))
	if err != nil {
		return fmt.Errorf("%s: %w", p.local, err)
	}
	mode := f.mode
	if mode == "" {
		mode = fmt.Sprintf("%04o", p.info.Mode().Perm())
	}
	params, err := json.Marshal(uploadParams{stored.SHA256, p.dest, mode, p.info.ModTime().UTC(), f.who()})
	if err != nil {
		return err
	}
	b.waiting(i)
	run, err := copyRun(ctx, client, "upload", target, params, f)
	if err != nil {
		return err
	}
	return t.add(p.local, run, func(h executor.HostResult) error {
		var out plugins.Transfer
		if err := json.Unmarshal(h.Outputs, &out); err != nil {
			return fmt.Errorf("outputs of %s: %w", h.Host, err)
		}
		t.done++
		if out.Skipped {
			t.skipped++
		} else {
			t.bytes += out.Bytes
		}
		return nil
	})
}
