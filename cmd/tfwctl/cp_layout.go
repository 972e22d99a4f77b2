package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// piece is one file to copy and its name on the hosts.
type piece struct {
	local string
	dest  string
	info  fs.FileInfo
}

// layout is what a copy to hosts puts there.
type layout struct {
	pieces []piece
	dirs   []string                 // to be made, parents first
	modes  map[fs.FileMode][]string // of the directories that come from here
}

// maxPieces bounds the files of one copy; a tree with more is for a tar archive.
const maxPieces = 20_000

// layOut walks the sources. A DST that ends in "/" is a directory to copy into.
func layOut(sources []string, dst string) (*layout, error) {
	l := &layout{modes: map[fs.FileMode][]string{}}
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
	return l, nil
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
		info, err := os.Stat(file)
		if err != nil {
			return usageError{err.Error()}
		}
		if len(l.pieces) >= maxPieces {
			return usageError{fmt.Sprintf("%s: more than %d files (pack them into one archive)", src, maxPieces)}
		}
		return l.add(file, path.Join(dest, filepath.ToSlash(rel)), d, info)
	})
}

func (l *layout) add(file, name string, d fs.DirEntry, info fs.FileInfo) error {
	switch {
	case d.IsDir():
		l.dirs = append(l.dirs, name)
		l.modes[info.Mode().Perm()] = append(l.modes[info.Mode().Perm()], name)
	case info.Mode().IsRegular():
		l.pieces = append(l.pieces, piece{file, name, info})
	case info.IsDir():
		return usageError{file + ": is a link to a directory (name it, with a / at its end, as a source of its own)"}
	default:
		return usageError{file + ": is neither a file nor a directory"}
	}
	return nil
}
