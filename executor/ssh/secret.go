package ssh

import (
	"fmt"
	"os"
	"os/user"
	"strings"

	"tfw/inventory"
)

// resolveSecret reads env:NAME and file:/path. The error names the reference, never the secret.
func resolveSecret(ref inventory.Secret) (string, error) {
	kind, rest, _ := strings.Cut(string(ref), ":")
	switch kind {
	case "env":
		v, ok := os.LookupEnv(rest)
		if !ok {
			return "", fmt.Errorf("secret %s: the variable is not set", ref)
		}
		return v, nil
	case "file":
		b, err := os.ReadFile(rest)
		if err != nil {
			return "", fmt.Errorf("secret %s: %w", ref, err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	return "", fmt.Errorf("secret of kind %q: want env:NAME or file:/path", kind)
}

func processUser() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}
