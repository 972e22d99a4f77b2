package inventory

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// lintKeys warns of private keys that will not do, each file once. It is no error: the
// controller may be another machine, and an agent may have the key.
func (b *builder) lintKeys() {
	seen := map[string]bool{}
	b.allLayers(func(l *layer, _ string) {
		for _, s := range l.settings {
			files, ok := s.value.([]string)
			if s.path != "ssh.identity_file" || !ok {
				continue
			}
			for _, file := range files {
				if seen[file] {
					continue
				}
				seen[file] = true
				if why, fix := keyTrouble(file); why != "" {
					b.rep.warnf(s.at, fix, "the key %s %s", quoted(file), why)
				}
			}
		}
	})
}

// keyTrouble says why a private key cannot be used; "" when nothing speaks against it.
func keyTrouble(path string) (why, fix string) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(filepath.Base(path), "id_") && filepath.Base(filepath.Dir(path)) == ".ssh":
		return "", "" // the names that ssh too tries without a word; the agent may have the key
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist", "correct the path, or make one: ssh-keygen -f " + path
	case err != nil:
		return "", "" // another user's home, perhaps: the connection tells
	case info.IsDir():
		return "is a directory", "name the file of the private key"
	case !info.Mode().IsRegular():
		return "is not a regular file", "name the file of the private key"
	}
	head, err := readHead(path, 64<<10)
	if err != nil {
		return "cannot be read", "check its owner and mode: it must be readable for the user of the controller"
	}
	switch {
	case isPublicKey(head):
		return "is a public key", "name the private one: " + strings.TrimSuffix(path, ".pub")
	case !bytes.Contains(head, []byte("PRIVATE KEY-----")):
		return "is not a private key", "name a key that ssh-keygen made"
	case info.Mode().Perm()&0o077 != 0:
		return "can be read by others", "chmod 600 " + path
	case needsPassphrase(head) && os.Getenv("SSH_AUTH_SOCK") == "":
		return "needs a passphrase, and there is no ssh-agent here", "start the controller with an agent that has it (ssh-add " + path + "), or use a key without one"
	}
	return "", ""
}

func readHead(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

func isPublicKey(head []byte) bool {
	word, _, _ := strings.Cut(string(head[:min(len(head), 80)]), " ")
	return strings.HasPrefix(word, "ssh-") || strings.HasPrefix(word, "ecdsa-sha2-") || strings.HasPrefix(word, "sk-")
}

// needsPassphrase knows both ways in which key files say so: PEM's header, and the
// cipher's name that stands first in OpenSSH's own format.
func needsPassphrase(head []byte) bool {
	if bytes.Contains(head, []byte("ENCRYPTED")) {
		return true
	}
	_, body, found := bytes.Cut(head, []byte("BEGIN OPENSSH PRIVATE KEY-----"))
	if !found {
		return false
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(first)[:len(strings.TrimSpace(first))/4*4])
	const magic = "openssh-key-v1\x00\x00\x00\x00"
	return err == nil && bytes.HasPrefix(raw, []byte(magic)) && !bytes.HasPrefix(raw[len(magic):], []byte("\x04none"))
}
