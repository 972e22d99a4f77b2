package ssh

import (
	"errors"
	"fmt"
	"path/filepath"

	xssh "golang.org/x/crypto/ssh"

	"tfw/executor"
)

// maxOffers is how many keys are offered at most: sshd's MaxAuthTries is 6.
const maxOffers = 6

var defaultIdentities = []string{"id_ed25519", "id_ecdsa", "id_rsa"}

// methods gathers what the login is tried with: keys in a sensible order, then the password.
func (a *login) methods() ([]xssh.AuthMethod, error) {
	var m []xssh.AuthMethod
	if keys := a.signers(); len(keys) > 0 {
		m = append(m, xssh.PublicKeys(keys...))
	}
	if a.set.Password != "" {
		m = append(m, a.passwords()...)
	}
	if len(m) == 0 {
		a.close()
		return nil, because(executor.ErrAuth, "name ssh.identity_file, ssh.password or start ssh-agent",
			"nothing to log in to %s with%s", a.set.addr(), a.noteText())
	}
	return m, nil
}

func (a *login) noteText() string {
	text := ""
	for _, n := range a.notes {
		text += "; " + n
	}
	return text
}

func (a *login) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf(format, args...))
}

// signers puts the keys in order: named files (each behind its certificate), then
// what else the agent has. A named key that needs a passphrase is taken from the agent.
func (a *login) signers() []xssh.Signer {
	held := a.agentSigners()
	var keys []xssh.Signer
	for _, path := range a.identities() {
		if s := a.identity(path, held); s != nil {
			keys = append(keys, a.certified(path, s)...)
		}
	}
	if !a.set.IdentitiesOnly {
		keys = append(keys, held...)
	}
	keys = distinct(keys)
	limit := maxOffers
	if a.set.Password != "" {
		limit-- // so that sshd still hears the password
	}
	if len(keys) > limit {
		a.note("%d more keys were not offered: name the right one with ssh.identity_file", len(keys)-limit)
		keys = keys[:limit]
	}
	a.offered = len(keys)
	return keys
}

func (a *login) agentSigners() []xssh.Signer {
	socket := a.t.opt.AgentSocket
	if socket == "" {
		return nil
	}
	c, err := openAgent(a.ctx, socket)
	if err != nil {
		a.note("%v", err)
		return nil
	}
	a.agent = c
	return c.signers
}

func (a *login) identities() []string {
	if len(a.set.Identities) > 0 {
		return a.set.Identities
	}
	var paths []string
	for _, name := range defaultIdentities {
		paths = append(paths, filepath.Join(a.t.opt.Home, ".ssh", name))
	}
	return paths
}

// identity gives the signer for a private key file, from the agent where the file will not do.
func (a *login) identity(path string, held []xssh.Signer) xssh.Signer {
	f := a.t.keys.private(path)
	if f.err == nil {
		return f.signer
	}
	public := f.public
	if public == nil {
		public = readPublic(path)
	}
	for _, s := range held {
		if sameKey(s.PublicKey(), public) {
			return s
		}
	}
	named := len(a.set.Identities) > 0
	switch {
	case errors.Is(f.err, errPassphrase):
		a.note("%s needs a passphrase: give it to the agent with ssh-add %s", path, path)
	case named || !missing(f.err):
		a.note("%s: %v", path, f.err)
	}
	return nil
}

// certified gives the key behind each certificate for it: those named, and KEY-cert.pub.
func (a *login) certified(path string, key xssh.Signer) []xssh.Signer {
	var out []xssh.Signer
	named := len(a.set.Certificates)
	for i, file := range append(a.set.Certificates[:named:named], path+"-cert.pub") {
		f := a.t.keys.certificate(file)
		if f.err != nil {
			if i < named || !missing(f.err) {
				a.note("%s: %v", file, f.err)
			}
			continue
		}
		if !sameKey(f.cert.Key, key.PublicKey()) {
			continue
		}
		s, err := xssh.NewCertSigner(f.cert, key)
		if err != nil {
			a.note("%s: %v", file, err)
			continue
		}
		out = append(out, s)
	}
	return append(out, key)
}

func distinct(keys []xssh.Signer) []xssh.Signer {
	seen := map[string]bool{}
	var out []xssh.Signer
	for _, k := range keys {
		id := string(k.PublicKey().Marshal())
		if !seen[id] {
			seen[id] = true
			out = append(out, k)
		}
	}
	return out
}

// passwords are the two ways a server asks for the one password. The reference
// is resolved only when it does.
func (a *login) passwords() []xssh.AuthMethod {
	secret := func() (string, error) {
		s, err := a.t.opt.Secret(a.set.Password)
		if err != nil {
			a.note("%v", err)
		}
		return s, err
	}
	answer := func(_, _ string, questions []string, echos []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i := range questions {
			if echos[i] {
				continue
			}
			var err error
			if answers[i], err = secret(); err != nil {
				return nil, err
			}
		}
		return answers, nil
	}
	return []xssh.AuthMethod{xssh.PasswordCallback(secret), xssh.KeyboardInteractive(answer)}
}
