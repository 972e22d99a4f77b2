package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"tfw/api"
	"tfw/executor"
	"tfw/plugins"
)

func (a *app) copyTo(ctx context.Context, sources []string, target, dst string, f *copyFlags) error {
	l, err := layOut(sources, dst)
	if err != nil {
		return err
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	t := &tally{}
	bar := newBar(a, l.pieces)
	defer bar.hide()
	if len(l.dirs) > 0 {
		if err := a.makeDirs(ctx, client, target, l.dirs, f, t, bar); err != nil || t.verdict != executor.Passed {
			bar.hide()
			return firstError(err, t.report(a, "to "+target, true))
		}
	}
	for i, p := range l.pieces {
		if err := a.sendPiece(ctx, client, target, p, f, t, bar, i); err != nil {
			return err
		}
	}
	if err := a.dressDirs(ctx, client, target, l.modes, f, t, bar); err != nil {
		return err
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

// makeDirs makes every directory first, the empty ones too.
func (a *app) makeDirs(ctx context.Context, client *api.Client, target string, dirs []string, f *copyFlags, t *tally, b *bar) error {
	for len(dirs) > 0 {
		n := min(len(dirs), 500)
		params, err := json.Marshal(execParams{Command: "cd && mkdir -p --", Args: dirs[:n], Become: f.who()})
		if err != nil {
			return err
		}
		run, err := a.copyRun(ctx, client, copyAsk{"run_shell", target, params}, f, b)
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

// dressDirs gives directories their modes, once nothing is put into them any more.
func (a *app) dressDirs(ctx context.Context, client *api.Client, target string, modes map[fs.FileMode][]string, f *copyFlags, t *tally, b *bar) error {
	for _, mode := range slices.Sorted(maps.Keys(modes)) {
		for dirs := range slices.Chunk(modes[mode], 500) {
			command := fmt.Sprintf("cd && chmod %04o --", mode)
			params, err := json.Marshal(execParams{Command: command, Args: dirs, Become: f.who()})
			if err != nil {
				return err
			}
			run, err := a.copyRun(ctx, client, copyAsk{"run_shell", target, params}, f, b)
			if err != nil {
				return err
			}
			if err := t.add("chmod", run, func(executor.HostResult) error { return nil }); err != nil {
				return err
			}
		}
	}
	return nil
}

// worthAsking is the size from which a file is not sent to a controller that has it already.
const worthAsking = 1 << 20

// hand gives the controller a file, unless it has it, and tells the file's hash. So a
// copy that was broken off goes on with the file that it was at.
func (a *app) hand(ctx context.Context, client *api.Client, p piece, file *os.File, b *bar, i int) (sum string, err error) {
	if p.info.Size() >= worthAsking {
		if sum, err = hashOf(file); err != nil {
			return "", err
		}
		if content, size, err := client.GetArtifact(ctx, sum); err == nil {
			b.skip(size)
			return sum, content.Close()
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
	}
	stored, err := client.PutArtifact(ctx, b.count(i, file))
	return stored.SHA256, err
}

func hashOf(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
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
	sum, err := a.hand(ctx, client, p, file, b, i)
	if err != nil {
		return fmt.Errorf("%s: %w", p.local, err)
	}
	mode := f.mode
	if mode == "" {
		mode = fmt.Sprintf("%04o", p.info.Mode().Perm())
	}
	params, err := json.Marshal(uploadParams{sum, p.dest, mode, p.info.ModTime().UTC(), f.who()})
	if err != nil {
		return err
	}
	run, err := a.copyRun(ctx, client, copyAsk{"upload", target, params}, f, b)
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
