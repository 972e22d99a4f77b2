package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Owner tells others of this machine who has a data directory, and how to reach it.
type Owner struct {
	PID       int    `json:"pid"`
	Socket    string `json:"socket"`
	HTTP      string `json:"http,omitempty"` // host:port
	Inventory string `json:"inventory"`      // absolute path
	Embedded  bool   `json:"embedded"`       // it is a tfwctl, and ends with it
	Version   string `json:"version"`
}

const (
	ownerFile = "owner.json"
	tokenFile = "admin.token"
	// maxSocket is what fits into sun_path of unix(7), with its NUL.
	maxSocket = 107
)

// ReadOwner reads who has, or last had, the data directory: whether it still
// lives is told by its socket.
func ReadOwner(data string) (Owner, error) {
	var o Owner
	text, err := os.ReadFile(filepath.Join(data, ownerFile))
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal(text, &o)
}

// own says that the data directory is ours.
func (c *Controller) own() error {
	c.owner.PID, c.owner.Inventory, c.owner.Embedded, c.owner.Version = os.Getpid(), c.cfg.Inventory, c.cfg.Embedded, c.cfg.Version
	if c.http != nil {
		c.owner.HTTP = c.http.Addr().String()
		// For tfwctl, which may be told the address only. Without it a token must be given.
		if err := leaveNote(c.owner.HTTP, c.cfg.Data); err != nil {
			c.log.Debug("no note for tfwctl", "error", err)
		}
	}
	text, err := json.Marshal(c.owner)
	if err != nil {
		return err
	}
	return private(filepath.Join(c.cfg.Data, ownerFile), text)
}

func (c *Controller) disown() {
	if c.owner.PID == 0 {
		return
	}
	os.Remove(filepath.Join(c.cfg.Data, ownerFile))
	if c.owner.HTTP != "" {
		if path, err := notePath(c.owner.HTTP); err == nil {
			os.Remove(path)
		}
	}
}

// socketPath is where the socket goes. One beside the data, unless that path is too long for a socket.
func (c *Controller) socketPath() (string, error) {
	if c.cfg.Socket != "" {
		path, err := filepath.Abs(c.cfg.Socket)
		if err == nil && len(path) > maxSocket {
			err = fmt.Errorf("socket %s: %d bytes, at most %d fit (choose another with --socket)", path, len(path), maxSocket)
		}
		return path, err
	}
	path, err := filepath.Abs(filepath.Join(c.cfg.Data, "tfwd.sock"))
	if err != nil || len(path) <= maxSocket {
		return path, err
	}
	sum := sha256.Sum256([]byte(path))
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("tfw-%d", os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != os.Getuid() || info.Mode().Perm() != 0o700 || !info.IsDir() {
		return "", fmt.Errorf("%s is not a private directory of this user (choose a socket with --socket)", dir)
	}
	return filepath.Join(dir, hex.EncodeToString(sum[:8])+".sock"), nil
}

// StateDir is where state is kept when nothing else is said: $XDG_STATE_HOME/tfw.
func StateDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "tfw")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "tfw-state"
	}
	return filepath.Join(home, ".local", "state", "tfw")
}

// TokenFiles lists where the admin token of the tfwd that listens on hostport of this machine may
// lie: only of one that has said itself that it listens there, so no other gets to see a token.
func TokenFiles(hostport, state string) []string {
	var files []string
	if path, err := notePath(hostport); err == nil {
		if data, err := os.ReadFile(path); err == nil {
			files = append(files, filepath.Join(strings.TrimSpace(string(data)), tokenFile))
		}
	}
	for _, dir := range []string{state, "/var/lib/tfw"} {
		if o, err := ReadOwner(dir); err == nil && same(o.HTTP, hostport) {
			files = append(files, filepath.Join(dir, tokenFile))
		}
	}
	return files
}

func same(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	return errA == nil && errB == nil && portA == portB && (hostA == hostB || loopback(hostA) && loopback(hostB))
}

// A note in the user's cache tells which data directory belongs to an address.
func leaveNote(hostport, data string) error {
	path, err := notePath(hostport)
	if err != nil {
		return err
	}
	if data, err = filepath.Abs(data); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return private(path, []byte(data+"\n"))
}

func notePath(hostport string) (string, error) {
	_, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", err
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "tfw", "listening-"+port), err
}
