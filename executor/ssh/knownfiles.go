package ssh

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/skeema/knownhosts"
	xssh "golang.org/x/crypto/ssh"
)

// knownFiles reads known_hosts files once, and again when one changed.
type knownFiles struct {
	log *slog.Logger
	mu  sync.Mutex
	dbs map[string]*knownDB
}

type knownDB struct {
	stamp string
	db    *knownhosts.HostKeyDB
}

func (k *knownFiles) init(o *Options) {
	k.log = o.Logger
	k.dbs = map[string]*knownDB{}
}

// load gives the keys of the files together. Files that do not exist hold no keys.
func (k *knownFiles) load(files []string) (*knownhosts.HostKeyDB, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := strings.Join(files, "\x00")
	stamp := stampOf(files)
	if have := k.dbs[id]; have != nil && have.stamp == stamp {
		return have.db, nil
	}
	db, err := k.read(files)
	if err != nil {
		return nil, err
	}
	k.dbs[id] = &knownDB{stamp, db}
	return db, nil
}

func stampOf(files []string) string {
	var b strings.Builder
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			fmt.Fprintf(&b, "%d %d\n", st.ModTime().UnixNano(), st.Size())
		} else {
			b.WriteString("-\n")
		}
	}
	return b.String()
}

const maxKnownHosts = 32 << 20

// read parses the files. Where a line is garbage, a copy without it is read
// instead: the parser refuses a whole file for one line, and with it every host.
func (k *knownFiles) read(files []string) (*knownhosts.HostKeyDB, error) {
	var paths []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if missing(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("known_hosts: %w", err)
		}
		if len(text) > maxKnownHosts {
			return nil, fmt.Errorf("known_hosts: %s is larger than 32 MiB", f)
		}
		clean, bad := dropGarbage(text)
		if len(bad) == 0 {
			paths = append(paths, f)
			continue
		}
		k.log.Warn("known_hosts has lines that cannot be read; they count for nothing", "file", f, "lines", bad)
		copied, err := cleanCopy(clean)
		if err != nil {
			return nil, err
		}
		defer os.Remove(copied)
		paths = append(paths, copied)
	}
	return knownhosts.NewDB(paths...)
}

func cleanCopy(text []byte) (string, error) {
	f, err := os.CreateTemp("", "tfw-known-hosts-")
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// dropGarbage empties the lines that are no known_hosts lines, and gives their
// numbers. The others keep theirs.
func dropGarbage(text []byte) (clean []byte, bad []int) {
	lines := bytes.Split(text, []byte("\n"))
	for i, line := range lines {
		if !knownLine(string(line)) {
			lines[i] = nil
			bad = append(bad, i+1)
		}
	}
	return bytes.Join(lines, []byte("\n")), bad
}

// knownLine tells whether x/crypto's parser takes the line (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
func knownLine(line string) bool {
	line = strings.Trim(line, " \t\r")
	if line == "" || line[0] == '#' {
		return true
	}
	if len(line) > 60<<10 {
		return false
	}
	field := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if field[0] == "@cert-authority" || field[0] == "@revoked" {
		field = field[1:]
	}
	if len(field) < 3 || field[0][0] == '@' || !knownPatterns(field[0]) {
		return false
	}
	blob, err := base64.StdEncoding.DecodeString(field[2])
	if err != nil {
		return false
	}
	key, err := xssh.ParsePublicKey(blob)
	return err == nil && key.Type() == field[1]
}

func knownPatterns(text string) bool {
	if text[0] == '|' {
		return hashedPattern(text)
	}
	for p := range strings.SplitSeq(text, ",") {
		negated := strings.HasPrefix(p, "!")
		p = strings.TrimPrefix(p, "!")
		if negated && p == "" {
			return false
		}
		if strings.HasPrefix(p, "[") {
			if _, _, err := net.SplitHostPort(p); err != nil {
				return false
			}
		}
	}
	return true
}

func hashedPattern(text string) bool {
	part := strings.Split(text, "|")
	if len(part) != 4 || part[1] != "1" {
		return false
	}
	_, err := base64.StdEncoding.DecodeString(part[2])
	_, err2 := base64.StdEncoding.DecodeString(part[3])
	return err == nil && err2 == nil
}
