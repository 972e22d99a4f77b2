package age

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"tfw/executor"
)

// sshKey is a private key of the controller: it opens what was encrypted to it.
type sshKey struct {
	path      string
	identity  age.Identity
	recipient age.Recipient
}

// sshKeys are those that can be used, the best first.
type sshKeys []sshKey

// String names the files.
func (keys sshKeys) String() string {
	paths := make([]string, len(keys))
	for i, k := range keys {
		paths[i] = k.path
	}
	return strings.Join(paths, " or ")
}

func (keys sshKeys) identities() []age.Identity {
	all := make([]age.Identity, len(keys))
	for i, k := range keys {
		all[i] = k.identity
	}
	return all
}

// readKeys reads those of the keys that are there. The error, for none that can be used, says why for each.
func readKeys(paths []string) (keys sshKeys, err error) {
	var wrong []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var k sshKey
		if err == nil {
			k, err = parseKey(text)
			clear(text)
		}
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", path, err))
			continue
		}
		k.path = path
		keys = append(keys, k)
	}
	switch {
	case len(keys) > 0:
		return keys, nil
	case wrong != nil:
		return nil, fmt.Errorf("%w: %s (want an Ed25519 or RSA key without a passphrase: name one with secrets_key)", executor.ErrSealed, strings.Join(wrong, "; "))
	}
	return nil, fmt.Errorf("%w: no SSH key at %s (make one with: ssh-keygen -t ed25519, or name one with secrets_key)", executor.ErrSealed, strings.Join(paths, " or "))
}

func parseKey(text []byte) (k sshKey, err error) {
	if k.identity, err = agessh.ParseIdentity(text); err != nil {
		return k, err
	}
	switch id := k.identity.(type) {
	case *agessh.Ed25519Identity:
		k.recipient = id.Recipient()
	case *agessh.RSAIdentity:
		k.recipient = id.Recipient()
	default:
		err = errors.New("not a kind of key that can encrypt")
	}
	return k, err
}
