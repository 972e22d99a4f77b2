package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// keyring reads private keys and certificates once, and again when the file changed.
type keyring struct {
	mu    sync.Mutex
	files map[string]*keyFile
}

// keyFile is a file of the keyring as it was when read.
type keyFile struct {
	mod    time.Time
	size   int64
	signer xssh.Signer
	public xssh.PublicKey // of a key that needs a passphrase, where the file tells it
	cert   *xssh.Certificate
	err    error
}

func (k *keyring) init(*Options) { k.files = map[string]*keyFile{} }

// errPassphrase is the error of a key file that needs a passphrase.
var errPassphrase = errors.New("needs a passphrase")

// private gives the key of a file.
func (k *keyring) private(path string) *keyFile { return k.read(path, parsePrivate) }

// certificate gives the OpenSSH certificate of a file.
func (k *keyring) certificate(path string) *keyFile { return k.read(path, parseCertificate) }

func (k *keyring) read(path string, parse func(*keyFile, []byte)) *keyFile {
	st, err := os.Stat(path)
	if err != nil {
		return &keyFile{err: err}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.files[path]; f != nil && f.mod.Equal(st.ModTime()) && f.size == st.Size() {
		return f
	}
	f := &keyFile{mod: st.ModTime(), size: st.Size()}
	if st.Size() > 1<<20 {
		f.err = fmt.Errorf("%s: too large for a key", path)
	} else if text, err := os.ReadFile(path); err != nil {
		f.err = err
	} else {
		parse(f, text)
	}
	k.files[path] = f
	return f
}

func parsePrivate(f *keyFile, text []byte) {
	var locked *xssh.PassphraseMissingError
	f.signer, f.err = xssh.ParsePrivateKey(text)
	if errors.As(f.err, &locked) {
		f.public, f.err = locked.PublicKey, errPassphrase
	}
	clear(text)
}

func parseCertificate(f *keyFile, text []byte) {
	key, _, _, _, err := xssh.ParseAuthorizedKey(text)
	if err != nil {
		f.err = err
		return
	}
	cert, ok := key.(*xssh.Certificate)
	if !ok {
		f.err = errors.New("holds no certificate")
		return
	}
	f.cert = cert
}

// public reads KEY.pub, for a private key that only the agent holds.
func readPublic(path string) xssh.PublicKey {
	text, err := os.ReadFile(path + ".pub")
	if err != nil {
		return nil
	}
	key, _, _, _, err := xssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil
	}
	return key
}

func sameKey(a, b xssh.PublicKey) bool {
	return a != nil && b != nil && bytes.Equal(a.Marshal(), b.Marshal())
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
