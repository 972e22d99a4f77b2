package inventory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrNotReference is wrapped by the errors for a [Secret] that is no reference.
var ErrNotReference = errors.New("not a reference to a secret (write env:NAME, file:/path or secret:NAME)")

// maxSecret bounds a secret's file, in bytes.
const maxSecret = 64 << 10

// String shows the reference, and nothing of a value that is none.
func (s Secret) String() string {
	if s == "" || s.valid() == nil {
		return string(s)
	}
	return "(not a reference)"
}

// GoString keeps %#v as careful as String.
func (s Secret) GoString() string { return fmt.Sprintf("inventory.Secret(%q)", s.String()) }

func (s Secret) valid() error {
	scheme, rest, _ := strings.Cut(string(s), ":")
	if rest == "" || strings.ContainsAny(rest, "\x00\n") {
		return ErrNotReference
	}
	switch scheme {
	case "env", "file", "secret":
		return nil
	}
	return ErrNotReference
}

// Resolve reads the secret that an env: or file: reference names; one newline
// at its end is not part of it. A secret: reference is the controller's to
// resolve and an error here. No error repeats any part of a secret.
func (s Secret) Resolve() (string, error) {
	if err := s.valid(); err != nil {
		return "", err
	}
	scheme, rest, _ := strings.Cut(string(s), ":")
	switch scheme {
	case "env":
		if v, ok := os.LookupEnv(rest); ok && v != "" {
			return v, nil
		}
		return "", fmt.Errorf("secret env:%s: the environment variable is not set", rest)
	case "file":
		return readSecret(rest)
	}
	return "", fmt.Errorf("secret %s: only the controller can open it", s)
}

func readSecret(path string) (string, error) {
	if strings.HasPrefix(path, "~/") {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("secret file:%s: %w", path, err)
		}
		path = filepath.Join(home, path[2:])
	}
	data, _, err := readFile(path)
	if err != nil {
		return "", fmt.Errorf("secret file:%s: %w", path, err)
	}
	if len(data) > maxSecret {
		return "", fmt.Errorf("secret file:%s: larger than %d KiB", path, maxSecret>>10)
	}
	v := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if v == "" {
		return "", fmt.Errorf("secret file:%s: the file is empty", path)
	}
	return v, nil
}
