package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	signals, deaf := heed()
	defer deaf()
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	c := &copier{a: a, client: client, f: f, bar: newBar(a, l.pieces), tally: &tally{}, signals: signals}
	defer c.bar.hide()
	made, err := c.shape(ctx, target, "mkdir", makeDirs, l.dirs)
	if err != nil || !made {
		c.bar.hide()
		return firstError(err, c.tally.report(a, "to "+target, true))
	}
	for i, p := range l.pieces {
		if err := c.send(ctx, target, p, i); err != nil {
			return err
		}
	}
	if _, err := c.shape(ctx, target, "ln", makeLinks, l.links); err != nil {
		return err
	}
	if _, err := c.shape(ctx, target, "chmod", dressDirs, l.dressed); err != nil {
		return err
	}
	c.bar.hide()
	return c.tally.report(a, "to "+target, f.quiet)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// The programs that lay out what is no file. Their words are taken as they are, in the home
// directory where they are no paths from the root; no login shell finds anything to expand.
const (
	makeDirs  = `for d; do at; mkdir -p -- "$d" || exit; done`
	makeLinks = `while [ $# -gt 1 ]; do d=$2; at; if [ -d "$d" ] && [ ! -L "$d" ]; then echo "$d: is a directory" >&2; exit 1; fi
ln -sfn -- "$1" "$d" || exit; shift 2; done`
	dressDirs = `while [ $# -gt 2 ]; do d=$3; at; chmod -- "$1" "$d" || exit; TZ=UTC0 touch -t "$2" -- "$d" || exit; shift 3; done`
	atHome    = `cd || exit; at() { case $d in "~/"*) d=./${d#"~/"};; /*) ;; *) d=./$d;; esac; }
`
)

// shape runs one of these programs over words, some hundred at a time. done is whether all hosts did it.
func (c *copier) shape(ctx context.Context, target, what, program string, words []string) (done bool, err error) {
	for some := range slices.Chunk(words, 600) { // a multiple of what each of the programs takes at once
		params, err := json.Marshal(execParams{Script: plugins.Content("#!/bin/sh\n" + atHome + program), Args: some, Become: c.f.who()})
		if err != nil {
			return false, err
		}
		run, err := c.run(ctx, copyAsk{"run_script", target, params})
		if err != nil {
			return false, err
		}
		if run.Verdict != executor.Passed {
			c.tally.noted("run "+string(run.ID), "", "what was wrong is told by: tfwctl logs "+string(run.ID))
		}
		if err := c.tally.add(what, run, func(executor.HostResult) error { return nil }); err != nil {
			return false, err
		}
	}
	return exitOfVerdict(c.tally.verdict) == exitPassed, nil
}

// worthAsking is the size from which a file is not sent to a controller that has it already.
const worthAsking = 1 << 20

// hand gives the controller a file, unless it has it, and tells the file's hash. So a
// copy that was broken off goes on with the file that it was at.
func (c *copier) hand(ctx context.Context, p piece, file *os.File, i int) (sum string, err error) {
	if p.info.Size() >= worthAsking {
		if sum, err = hashOf(asLong(file, p)); err != nil {
			return "", err
		}
		if content, size, err := c.client.GetArtifact(ctx, sum); err == nil {
			c.bar.skip(size)
			return sum, content.Close()
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
	}
	var stored api.Artifact
	err = c.interruptible(ctx, func(ctx context.Context) error {
		stored, err = c.client.PutArtifact(ctx, c.bar.count(i, asLong(file, p)))
		return err
	})
	return stored.SHA256, err
}

// asLong reads a file as long as it was when the copy began: one that grows would never end.
// What has no size may be a file of /proc.
func asLong(file io.Reader, p piece) io.Reader {
	if p.info.Size() == 0 {
		return struct{ io.Reader }{file} // not for others to close
	}
	return io.LimitReader(file, p.info.Size())
}

// unchanged refuses what is neither the old content nor the new, and tells what has grown.
func (c *copier) unchanged(file *os.File, p piece) error {
	now, err := file.Stat()
	switch {
	case err != nil:
		return err
	case now.Size() > p.info.Size() && p.info.Size() > 0:
		c.tally.noted(p.local, "", fmt.Sprintf("it grew to %d bytes while it was read; the copy is of what was there at the beginning", now.Size()))
	case now.Size() < p.info.Size() || !now.ModTime().Equal(p.info.ModTime()):
		return errors.New("changed while it was read (do the same again)")
	}
	return nil
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

func (c *copier) send(ctx context.Context, target string, p piece, i int) error {
	file, err := os.Open(p.local)
	if err != nil {
		return usageError{err.Error()}
	}
	defer file.Close()
	sum, err := c.hand(ctx, p, file, i)
	var stopped statusError
	if errors.As(err, &stopped) {
		return err
	}
	if err == nil {
		err = c.unchanged(file, p)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.local, err)
	}
	mode := c.f.mode
	if mode == "" {
		mode = fmt.Sprintf("%04o", p.info.Mode().Perm())
	}
	params, err := json.Marshal(uploadParams{sum, p.dest, mode, p.info.ModTime().UTC(), c.f.who()})
	if err != nil {
		return err
	}
	run, err := c.run(ctx, copyAsk{"upload", target, params})
	if err != nil {
		return err
	}
	return c.tally.add(p.local, run, func(h executor.HostResult) error {
		var out plugins.Transfer
		if err := json.Unmarshal(h.Outputs, &out); err != nil {
			return fmt.Errorf("outputs of %s: %w", h.Host, err)
		}
		c.tally.done++
		if out.Skipped {
			c.tally.skipped++
		} else {
			c.tally.bytes += out.Bytes
		}
		return nil
	})
}
