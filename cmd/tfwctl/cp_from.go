package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

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
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
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
	for i, s := range sources {
		b.begin(i, sources)
		if err := a.fetch(ctx, client, root, s, f, t, b); err != nil {
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

func (a *app) fetch(ctx context.Context, client *api.Client, root *os.Root, from string, f *copyFlags, t *tally, b *bar) error {
	target, src, _ := splitRemote(from)
	params, err := json.Marshal(downloadParams{src, f.limit, f.who()})
	if err != nil {
		return err
	}
	run, err := a.copyRun(ctx, client, copyAsk{"download", target, params}, f, b)
	if err != nil {
		return err
	}
	return t.add(src, run, func(h executor.HostResult) error {
		var got plugins.Transfer
		if err := json.Unmarshal(h.Outputs, &got); err != nil {
			return fmt.Errorf("outputs of %s: %w", h.Host, err)
		}
		name := path.Base(path.Clean("/"+src)) + "." + h.Host
		skipped, err := bring(ctx, client, root, got, name, b)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", src, h.Host, err)
		}
		t.done++
		if skipped {
			t.skipped++
		} else {
			t.bytes += got.Bytes
		}
		return nil
	})
}

// bring puts what the controller has fetched under its local name.
func bring(ctx context.Context, client *api.Client, root *os.Root, got plugins.Transfer, name string, b *bar) (skipped bool, err error) {
	if !got.Dir && sameContent(root, name, got.SHA256) {
		return true, nil
	}
	body, _, err := client.GetArtifact(ctx, got.SHA256)
	if err != nil {
		return false, err
	}
	defer body.Close()
	content := b.more(body)
	if got.Dir {
		return false, unpack(root, name, content)
	}
	return false, place(root, name, content, got)
}

func sameContent(root *os.Root, name, sum string) bool {
	f, err := root.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false
	}
	return hex.EncodeToString(h.Sum(nil)) == sum
}

// place writes a file beside its name, checks it, and renames it.
func place(root *os.Root, name string, content io.Reader, got plugins.Transfer) error {
	part := name + ".part"
	f, err := root.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), content)
	if err = errors.Join(err, f.Close()); err == nil && hex.EncodeToString(h.Sum(nil)) != got.SHA256 {
		err = errors.New("the content changed on the way (try again)")
	}
	if err == nil {
		err = dress(root, part, fs.FileMode(got.Mode).Perm(), got)
	}
	if err != nil {
		return errors.Join(err, root.Remove(part))
	}
	return root.Rename(part, name)
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

// unpack lays a directory's archive out below name. The archive is a host's word:
// nothing of it can be put outside, and only files, directories and links within are taken.
func unpack(root *os.Root, name string, content io.Reader) error {
	if err := root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	inside, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer inside.Close()
	archive := tar.NewReader(content)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackOne(inside, head, archive); err != nil {
			return fmt.Errorf("%s: %w", head.Name, err)
		}
	}
}

func unpackOne(root *os.Root, head *tar.Header, content io.Reader) error {
	name := filepath.FromSlash(path.Clean(head.Name))
	if name == "." {
		return nil
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	mode := head.FileInfo().Mode().Perm()
	switch head.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, mode|0o700)
	case tar.TypeSymlink:
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return root.Symlink(head.Linkname, name)
	case tar.TypeReg:
	default:
		return nil // devices, fifos and the like are nothing to copy
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Chtimes(name, head.ModTime, head.ModTime)
}
