package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// piece is one file to copy and its name on the hosts.
type piece struct {
	local string
	dest  string
	info  fs.FileInfo
}

// layout is what a copy to hosts puts there.
type layout struct {
	pieces  []piece
	dirs    []string // to be made, parents first
	links   []string // where each points to, and its name
	dressed []string // mode, time and name of the directories that come from here, what is within first
}

// maxPieces bounds the files of one copy; a tree with more is for a tar archive.
const maxPieces = 20_000

// layOut walks the sources. A DST that ends in "/" is a directory to copy into.
func layOut(sources []string, dst string) (*layout, error) {
	l := &layout{}
	into := dst == "" || strings.HasSuffix(dst, "/")
	if len(sources) > 1 && !into {
		return nil, usageError{fmt.Sprintf("several files cannot all be named %q (end it with / to copy into it)", dst)}
	}
	if into && strings.Trim(dst, "/") != "" {
		l.dirs = append(l.dirs, dst)
	}
	for _, src := range sources {
		if _, _, remote := splitRemote(src); remote {
			return nil, usageError{fmt.Sprintf("%q: from hosts to hosts is not possible (copy to here first; write ./%s for a local file)", src, src)}
		}
		dest := dst
		if into {
			dest = path.Join(dst, filepath.Base(filepath.Clean(src)))
		}
		if err := l.walk(src, dest); err != nil {
			return nil, err
		}
	}
	slices.Reverse(l.dressed)
	return l, nil
}

// sendable refuses names that would not arrive as they are.
func sendable(local, name string) error {
	if !utf8.ValidString(name) || strings.ContainsAny(name, "\n\x00") {
		return usageError{fmt.Sprintf("%+q: a name with a line break, or that is no UTF-8, cannot be sent as it is (pack it into an archive)", local)}
	}
	return nil
}

func (l *layout) walk(src, dest string) error {
	return filepath.WalkDir(src, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return usageError{err.Error()}
		}
		rel, err := filepath.Rel(src, file)
		if err != nil {
			return err
		}
		if len(l.pieces)+len(l.links) >= maxPieces {
			return usageError{fmt.Sprintf("%s: more than %d files (pack them into one archive)", src, maxPieces)}
		}
		name := path.Join(dest, filepath.ToSlash(rel))
		if err := sendable(file, name); err != nil {
			return err
		}
		if file != src && d.Type() == fs.ModeSymlink {
			return l.link(file, name)
		}
		info, err := os.Stat(file)
		if err != nil {
			return usageError{err.Error()}
		}
		return l.add(file, name, d, info)
	})
}

// link keeps a link within a directory as what it is; one that is a source of its own is followed.
func (l *layout) link(file, name string) error {
	to, err := os.Readlink(file)
	if err != nil {
		return usageError{err.Error()}
	}
	l.links = append(l.links, to, name)
	return sendable(file, to)
}

func (l *layout) add(file, name string, d fs.DirEntry, info fs.FileInfo) error {
	switch {
	case d.IsDir():
		l.dirs = append(l.dirs, name)
		l.dressed = append(l.dressed, name, info.ModTime().UTC().Format("200601021504.05"), fmt.Sprintf("%04o", info.Mode().Perm()))
	case info.Mode().IsRegular():
		l.pieces = append(l.pieces, piece{file, name, info})
	case info.IsDir():
		return usageError{file + ": is a link to a directory (name it, with a / at its end, as a source of its own)"}
	default:
		return usageError{file + ": is neither a file nor a directory"}
	}
	return nil
}
