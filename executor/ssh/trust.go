package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"os"
	"path/filepath"
	"strings"
	"syscall"

	xssh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// withKey gives the text of a known_hosts file with the key in it, its name hashed or plain.
func withKey(text []byte, addr string, key xssh.PublicKey, hashed bool) []byte {
	for line := range bytes.Lines(text) {
		if l, ok := parseKnown(line); ok && l.marker == "" && sameKey(l.key, key) && l.names(addr) {
			return text
		}
	}
	name := xknownhosts.Normalize(addr)
	if hashed {
		name = xknownhosts.HashHostname(name)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	line := name + " " + strings.TrimSpace(string(xssh.MarshalAuthorizedKey(key)))
	return append(text, line+"\n"...)
}

// withoutKeys gives the text without every key of addr, and how many lines went. Lines for
// patterns, authorities and revoked keys stay, and so do the other names of a line.
func withoutKeys(text []byte, addr string) (out []byte, n int) {
	for line := range bytes.Lines(text) {
		l, ok := parseKnown(line)
		if !ok || l.marker != "" || !l.names(addr) {
			out = append(out, line...)
			continue
		}
		n++
		out = append(out, l.without(addr)...)
	}
	return out, n
}

// knownEntry is one readable line of a known_hosts file.
type knownEntry struct {
	marker, hosts, rest string
	key                 xssh.PublicKey
}

func parseKnown(line []byte) (knownEntry, bool) {
	text := strings.TrimSpace(string(line))
	if text == "" || text[0] == '#' || !knownLine(text) {
		return knownEntry{}, false
	}
	marker, hosts, key, _, _, err := xssh.ParseKnownHosts([]byte(text))
	if err != nil {
		return knownEntry{}, false
	}
	field := strings.Fields(text)
	if marker != "" {
		field = field[1:]
	}
	return knownEntry{marker, strings.Join(hosts, ","), strings.Join(field[1:], " "), key}, true
}

// names tells whether the line is for exactly this address, hashed or not; patterns do not count.
func (l knownEntry) names(addr string) bool {
	name := xknownhosts.Normalize(addr)
	if strings.HasPrefix(l.hosts, "|") {
		return hashMatches(l.hosts, name)
	}
	for h := range strings.SplitSeq(l.hosts, ",") {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// without gives the line without the address, "" when nothing is left of it.
func (l knownEntry) without(addr string) string {
	name := xknownhosts.Normalize(addr)
	var left []string
	for h := range strings.SplitSeq(l.hosts, ",") {
		if !strings.EqualFold(h, name) && !strings.HasPrefix(h, "|") {
			left = append(left, h)
		}
	}
	if len(left) == 0 {
		return ""
	}
	return strings.Join(left, ",") + " " + l.rest + "\n"
}

// rewrite replaces a file by what edit makes of its content: beside it, synced,
// renamed, under a lock so that two who add a key do not lose one. It comes into being with mode
// 0600, and a reader never sees half of it.
func rewrite(file string, edit func([]byte) []byte) error {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := lockFile(file + ".tfw-lock")
	if err != nil {
		return err
	}
	defer unlock()
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := edit(bytes.Clone(old))
	if bytes.Equal(text, old) {
		return nil
	}
	return replaceFile(dir, file, text)
}

func replaceFile(dir, file string, text []byte) error {
	tmp, err := os.CreateTemp(dir, ".known_hosts-") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.Rename(tmp.Name(), file)
}

func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
