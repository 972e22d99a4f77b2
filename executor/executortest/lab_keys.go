package executortest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"tfw/inventory"
)

// hostKey is a key pair with the file that holds its private half.
type hostKey struct {
	signer ssh.Signer
	file   string
}

// newKey makes an ed25519 key pair and writes the private half to file (0600), the public one beside it.
func newKey(file string) (*hostKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "tfw lab")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return &hostKey{signer, file}, os.WriteFile(file+".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o600)
}

// makeKeys makes the client's key and, for each host, its directory, key and home.
func (l *Lab) makeKeys() error {
	me, err := user.Current()
	if err != nil {
		return fmt.Errorf("who runs this: %w", err)
	}
	l.user = me.Username
	l.client, err = newKey(l.IdentityFile())
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.authorized(), ssh.MarshalAuthorizedKey(l.client.signer.PublicKey()), 0o600); err != nil {
		return err
	}
	for i, name := range l.opt.Names {
		h := &labHost{home: filepath.Join(l.hostDir(name), "home")}
		h.host = &inventory.Host{
			Name: name, Address: address(i), State: inventory.Active,
			Groups: []string{groupOf(name)}, Plugins: rolesOf(groupOf(name)),
			SSH: inventory.SSH{User: l.user, IdentityFiles: []string{l.IdentityFile()}, KnownHosts: l.KnownHosts()},
		}
		// tfw keeps its spool in ~/.tfw only where there is one, else in /var/tmp: a lab leaves nothing there.
		if err := os.MkdirAll(filepath.Join(h.home, ".tfw"), 0o700); err != nil {
			return err
		}
		if h.key, err = newKey(filepath.Join(l.hostDir(name), "host_key")); err != nil {
			return err
		}
		l.hosts = append(l.hosts, h)
		l.byName[name] = h
	}
	return nil
}

func (l *Lab) authorized() string         { return filepath.Join(l.dir, "authorized_keys") }
func (l *Lab) hostDir(name string) string { return filepath.Join(l.dir, "hosts", name) }

const binPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is what every process of a host inherits: a home below the lab's
// directory, the mark that Close finds them by, and the host's name for commands that want to say who they are.
func (l *Lab) environment(h *labHost) []string {
	env := []string{"HOME=" + h.home, "LAB_ID=" + l.id, "LAB_HOST=" + h.host.Name}
	if l.opt.Bootable || l.opt.Guarded {
		env = append(env, "PATH="+filepath.Dir(l.ownBin(h, "reboot"))+":"+binPath)
	}
	return env
}
