package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"tfw/api"
	"tfw/executor"
	"tfw/plugins"
)

func (a *app) copyFrom(ctx context.Context, sources []string, dir string, f *copyFlags) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return usageError{fmt.Sprintf("%s: is no directory (files from hosts go into one, as NAME.HOST)", dir)}
	}
	for _, s := range sources {
		if _, _, remote := splitRemote(s); !remote {
			return usageError{fmt.Sprintf("%q: want TARGET:PATH on one side (see: tfwctl cp --help)", s)}
		}
		if strings.HasSuffix(s, ":") {
			return usageError{fmt.Sprintf("%q: want a path of the hosts after the colon", s)}
		}
		if err := sendable(s, strings.ReplaceAll(s, "\n", "")); err != nil {
			return err
		}
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	signals, deaf := heed()
	defer deaf()
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the user's own umask decides
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	t := &tally{}
	b := newBar(a, nil)
	defer b.hide()
	c := &copier{a: a, client: client, f: f, bar: b, tally: t, signals: signals}
	for i, s := range sources {
		b.begin(i, sources)
		if err := c.fetch(ctx, root, s); err != nil {
			return err
		}
	}
	b.hide()
	return t.report(a, "into "+dir, f.quiet)
}

// downloadParams are those of linux_system.download.
type downloadParams struct {
	Path   string `json:"path"`
	Limit  int64  `json:"limit,omitempty"`
	Become any    `json:"become,omitempty"`
}

// copier does one cp.
type copier struct {
	a       *app
	client  *api.Client
	f       *copyFlags
	bar     *bar
	tally   *tally
	signals chan os.Signal
}

func (c *copier) fetch(ctx context.Context, root *os.Root, from string) error {
	target, src, _ := splitRemote(from)
	params, err := json.Marshal(downloadParams{src, c.f.limit, c.f.who()})
	if err != nil {
		return err
	}
	run, err := c.run(ctx, copyAsk{"download", target, params})
	if err != nil {
		return err
	}
	return c.tally.add(src, run, func(h executor.HostResult) error {
		var got plugins.Transfer
		if err := json.Unmarshal(h.Outputs, &got); err != nil {
			return fmt.Errorf("outputs of %s: %w", h.Host, err)
		}
		if got.Note != "" {
			c.tally.noted(src, h.Host, got.Note)
		}
		c.bar.expect(got.Bytes)
		skipped, err := c.bring(ctx, root, got, localName(src)+"."+h.Host)
		var stopped statusError
		if err != nil && !errors.As(err, &stopped) {
			err = fmt.Errorf("%s of %s: %w", src, h.Host, err)
		}
		if err != nil {
			return err
		}
		c.tally.done++
		if skipped {
			c.tally.skipped++
		} else {
			c.tally.bytes += got.Bytes
		}
		return nil
	})
}

// localName is what a path of a host is called here, before the host's name.
func localName(src string) string {
	switch name := path.Base(path.Clean("/" + src)); {
	case name != "/":
		return name
	case strings.HasPrefix(src, "/"):
		return "root"
	}
	return "home"
}

// bring puts what the controller has fetched under its local name.
func (c *copier) bring(ctx context.Context, root *os.Root, got plugins.Transfer, name string) (skipped bool, err error) {
	if !got.Dir && sameContent(root, name, got.SHA256) {
		c.bar.skip(got.Bytes)
		return true, dress(root, name, fs.FileMode(got.Mode).Perm(), got)
	}
	p, err := openPart(root, name, got.SHA256)
	if err != nil {
		return false, err
	}
	defer p.close()
	c.bar.skip(p.size)
	err = c.interruptible(ctx, func(ctx context.Context) error { return p.fill(ctx, c.client, c.bar, got.Bytes) })
	if err != nil {
		return false, err
	}
	if !got.Dir {
		return false, p.place(got)
	}
	if err := unpack(root, name, p.f, p.size); err != nil {
		return false, err
	}
	return false, p.remove()
}

// interruptible does what a first Ctrl-C ends.
func (c *copier) interruptible(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := make(chan struct{})
	var hearing sync.WaitGroup
	hearing.Go(func() {
		select {
		case <-c.signals:
			close(heard)
			cancel()
		case <-ctx.Done():
		}
	})
	err := do(ctx)
	cancel()
	hearing.Wait()
	select {
	case <-heard:
		if err != nil {
			c.bar.hide()
			c.a.say("tfwctl: stopped; the same command goes on where this one was")
			return statusError(exitCancelled)
		}
	default:
	}
	return err
}

func sameContent(root *os.Root, name, sum string) bool {
	f, err := root.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	got, err := hashOf(f)
	return err == nil && got == sum
}

// dress gives a file its mode and time.
func dress(root *os.Root, name string, mode fs.FileMode, got plugins.Transfer) error {
	if mode != 0 {
		if err := root.Chmod(name, mode); err != nil {
			return err
		}
	}
	if got.ModTime.IsZero() {
		return nil
	}
	return root.Chtimes(name, got.ModTime, got.ModTime)
}
