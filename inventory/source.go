package inventory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// maxFile is the largest inventory file that is read, in bytes.
const maxFile = 16 << 20

// source is one file (or output of a program) that an inventory is read from.
type source struct {
	name string // as shown in messages
	dir  string // relative paths in it start here
	data []byte
}

// text is a line of the source, without its end, cut at a sane length.
func (s *source) text(line int) string {
	if line <= 0 {
		return ""
	}
	rest := s.data
	for ; line > 1; line-- {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return ""
		}
		rest = rest[i+1:]
	}
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	const longest = 4096
	if len(rest) > longest {
		rest = rest[:longest]
	}
	return strings.ToValidUTF8(strings.TrimRight(string(rest), "\r"), "?")
}

func (s *source) at(line, col int) position { return position{src: s, line: line, col: col} }

// place turns a byte offset into a position.
func (s *source) place(offset int) position {
	offset = max(0, min(offset, len(s.data)))
	before := s.data[:offset]
	line := bytes.Count(before, []byte{'\n'}) + 1
	start := bytes.LastIndexByte(before, '\n') + 1
	return s.at(line, utf8.RuneCount(before[start:])+1)
}

// revision is a hash of everything an inventory was read from.
func revision(sources []*source) string {
	h := sha256.New()
	for _, s := range sources {
		fmt.Fprintf(h, "%d\n", len(s.data))
		h.Write(s.data)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// readFile reads a regular file of at most maxFile bytes. It never blocks: a
// fifo is opened without waiting for a writer and then refused by its type.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, info, errNotRegular(info.Mode())
	}
	if info.Size() > maxFile {
		return nil, info, errTooLarge(info.Size())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, info, err
	}
	if len(data) > maxFile {
		return nil, info, errTooLarge(int64(len(data)))
	}
	return data, info, nil
}

type errTooLarge int64

func (n errTooLarge) Error() string {
	return fmt.Sprintf("larger than %d MiB", maxFile>>20)
}

type errNotRegular fs.FileMode

func (m errNotRegular) Error() string {
	switch mode := fs.FileMode(m); {
	case mode.IsDir():
		return "is a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "is a fifo"
	case mode&fs.ModeSocket != 0:
		return "is a socket"
	case mode&fs.ModeDevice != 0:
		return "is a device"
	}
	return "is not a regular file"
}

// unreadable words why a file could not be read and what to do.
func unreadable(path string, err error) Problem {
	p := Problem{File: path, Severity: SeverityError}
	var large errTooLarge
	var kind errNotRegular
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.Message, p.Fix = "no such file", "name the inventory with --inventory FILE"
	case errors.Is(err, fs.ErrPermission):
		p.Message, p.Fix = "no permission to read it", "check the owner and mode of the file and of the directories above it"
	case errors.As(err, &large):
		p.Message, p.Fix = large.Error(), "fold hosts into ranges such as dut[01-24], or split it with include:"
	case errors.As(err, &kind):
		p.Message, p.Fix = kind.Error()+", not an inventory file", "name a YAML or JSON file"
	default:
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		p.Message, p.Fix = "cannot be read: "+err.Error(), "check that the path is a readable file"
	}
	return p
}
