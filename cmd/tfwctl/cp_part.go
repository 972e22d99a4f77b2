package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tfw/api"
	"tfw/plugins"
)

// part is a file on its way here, beside its name-to-be. It is called after that name and
// after its content, so that a copy that broke off, however it did, goes on with it.
type part struct {
	root *os.Root
	name string // of the file, once it is whole
	path string // of the part
	sum  string // what it must be
	f    *os.File
	hash hash.Hash
	size int64 // what is there
	err  error // of writing it
}

// openPart goes on with what an earlier copy left.
func openPart(root *os.Root, name, sum string) (*part, error) {
	named := sha256.Sum256([]byte(name))
	p := &part{root: root, name: name, sum: sum, hash: sha256.New()}
	p.path = fmt.Sprintf(".tfw-%x-%.16s.part", named[:6], sum)
	f, err := root.OpenFile(p.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	p.f = f
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(errors.New("another tfwctl brings the same file into this directory (wait for its end)"), f.Close())
	}
	if p.size, err = io.Copy(p.hash, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return p, nil
}

// Write implements io.Writer.
func (p *part) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	p.hash.Write(b[:n])
	p.size += int64(n)
	p.err = err
	return n, err
}

// fill brings what is missing, over as many connections as it takes, and checks the whole.
func (p *part) fill(ctx context.Context, client *api.Client, b *bar, want int64) error {
	resumed := p.size > 0
	if p.size > want {
		if err := p.clear(); err != nil {
			return err
		}
	}
	for moved := time.Now(); p.size < want; {
		before := p.size
		err := p.more(ctx, client, b)
		if p.size > before {
			moved = time.Now()
		}
		if err == nil {
			continue
		}
		if p.err != nil {
			return p.full(want)
		}
		if ctx.Err() != nil || !cutShort(err) || time.Since(moved) > patience {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if hex.EncodeToString(p.hash.Sum(nil)) == p.sum {
		return nil
	}
	if err := p.clear(); err != nil {
		return err
	}
	if resumed { // what was left from before was damaged
		return p.fill(ctx, client, b, want)
	}
	return errors.New("the content was damaged on its way (do the same again)")
}

func (p *part) more(ctx context.Context, client *api.Client, b *bar) error {
	body, _, err := client.ResumeArtifact(ctx, p.sum, p.size)
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := io.Copy(p, b.more(body))
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// cutShort reports whether asking again may help: no controller has said no.
func cutShort(err error) bool {
	var said *api.Problem
	return !errors.As(err, &said) || said.Status >= 502
}

// full tells what to do when nothing more can be written here.
func (p *part) full(want int64) error {
	if !errors.Is(p.err, syscall.ENOSPC) && !errors.Is(p.err, syscall.EDQUOT) {
		return p.err
	}
	return fmt.Errorf("no space left in %s: %s of %s are here, in %s (make room, then do the same again)", p.root.Name(), size(p.size), size(want), p.path)
}

func (p *part) clear() error {
	p.size = 0
	p.hash.Reset()
	_, err := p.f.Seek(0, io.SeekStart)
	return errors.Join(err, p.f.Truncate(0))
}

// place gives the whole file its name, mode and time.
func (p *part) place(got plugins.Transfer) error {
	if err := dress(p.root, p.path, fs.FileMode(got.Mode).Perm(), got); err != nil {
		return err
	}
	if err := p.root.Rename(p.path, p.name); err != nil {
		return err
	}
	return p.tidy()
}

func (p *part) remove() error { return errors.Join(p.root.Remove(p.path), p.tidy()) }

// tidy removes what is left of copies of the same name that broke off and whose content is another by now.
func (p *part) tidy() error {
	dir, err := p.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, p.path[:len(p.path)-len("0123456789abcdef.part")]) && filepath.Ext(name) == ".part" {
			err = errors.Join(err, p.root.Remove(name))
		}
	}
	return err
}

// close leaves what is there: it may be gone on with.
func (p *part) close() {
	_ = p.f.Close()
	if p.size == 0 {
		_ = p.root.Remove(p.path)
	}
}
