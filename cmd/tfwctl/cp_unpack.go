package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"tfw/plugins"
)

// unpack lays a directory's archive out below name. The archive is a host's word:
// nothing of it can be put outside, only files, directories and links within are
// taken, and no more bytes than the archive itself has. A file is whole under its name or not there.
func unpack(root *os.Root, name string, content io.ReadSeeker, size int64) error {
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	inside, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer inside.Close()
	u := &unpacker{root: inside, left: size}
	archive := tar.NewReader(content)
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return u.dressDirs()
		}
		if err != nil {
			return err
		}
		if err := u.one(head, archive); err != nil {
			return fmt.Errorf("%s: %w", head.Name, err)
		}
	}
}

// unpacker lays one archive out.
type unpacker struct {
	root *os.Root
	left int64 // bytes that may still come: an archive can claim any number of holes
	dirs []unpackedDir
}

type unpackedDir struct {
	name string
	mode fs.FileMode
	time time.Time
}

func (u *unpacker) one(head *tar.Header, content io.Reader) error {
	name := filepath.FromSlash(path.Clean(head.Name))
	if name != "." {
		if err := u.root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
	}
	switch head.Typeflag {
	case tar.TypeDir:
		u.dirs = append(u.dirs, unpackedDir{name, head.FileInfo().Mode().Perm(), head.ModTime})
		return u.root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		if err := u.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return u.root.Symlink(head.Linkname, name)
	case tar.TypeLink:
		return u.again(head, name)
	case tar.TypeReg:
		return u.file(head, name, content)
	}
	return nil // devices, fifos and the like are nothing to copy
}

// again gives a file of the archive its second name, as it has on the host.
func (u *unpacker) again(head *tar.Header, name string) error {
	if err := u.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return u.root.Link(filepath.FromSlash(path.Clean(head.Linkname)), name)
}

func (u *unpacker) file(head *tar.Header, name string, content io.Reader) error {
	if u.left -= head.Size; u.left < 0 {
		return errors.New("claims to be larger than the archive that it came in")
	}
	part := filepath.Join(filepath.Dir(name), ".tfw-unpack.part")
	if err := u.root.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := u.root.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = dress(u.root, part, head.FileInfo().Mode().Perm(), plugins.Transfer{ModTime: head.ModTime})
	}
	if err == nil {
		err = u.root.Rename(part, name)
	}
	if err != nil {
		return errors.Join(err, u.root.Remove(part))
	}
	return nil
}

// dressDirs gives directories their modes and times, once nothing is put into them any more.
// Their owner may always go into them: else they could not be unpacked over, nor removed.
func (u *unpacker) dressDirs() error {
	for _, d := range slices.Backward(u.dirs) {
		if err := errors.Join(u.root.Chmod(d.name, d.mode|0o700), u.root.Chtimes(d.name, d.time, d.time)); err != nil {
			return err
		}
	}
	return nil
}
