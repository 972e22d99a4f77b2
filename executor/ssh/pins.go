package ssh

import (
	"bytes"
	"errors"
	"os"
	"strings"

	xssh "golang.org/x/crypto/ssh"

	"tfw/executor"
	"tfw/inventory"
)

var _ executor.HostKeys = (*Transport)(nil)

// PinnedKeys implements [executor.HostKeys]: the keys for exactly this host, of every file
// that is asked for it, or the one that the inventory names.
func (t *Transport) PinnedKeys(host *inventory.Host, via func(name string) (*inventory.Host, bool)) ([]executor.HostKey, error) {
	s, err := (&resolver{opt: &t.opt, via: via}).resolve(host)
	if err != nil {
		return nil, fail(host.Name, "host keys", err)
	}
	var keys []executor.HostKey
	add := func(key xssh.PublicKey) {
		k := describeKey(s, key)
		k.Known = true
		keys = append(keys, k)
	}
	if s.HostKey != "" {
		pin, err := parseKey(s.HostKey)
		if err != nil {
			return nil, fail(host.Name, "host keys", because(executor.ErrHostKey, "correct ssh.host_key", "ssh.host_key: %w", err))
		}
		add(pin)
		return keys, nil
	}
	for _, file := range s.KnownHosts {
		text, err := os.ReadFile(file)
		if err != nil && !missing(err) {
			return nil, fail(host.Name, "host keys", err)
		}
		for line := range bytes.Lines(text) {
			if l, ok := parseKnown(line); ok && l.marker == "" && l.names(s.addr()) {
				add(l.key)
			}
		}
	}
	return keys, nil
}

// PinKeys implements [executor.HostKeys]. It writes the first known_hosts file of the host, with its name hashed
// where the file holds hashed names already.
func (t *Transport) PinKeys(host *inventory.Host, via func(name string) (*inventory.Host, bool), keys []executor.HostKey, replace bool) (file string, removed int, err error) {
	s, err := (&resolver{opt: &t.opt, via: via}).resolve(host)
	if err == nil {
		err = s.pinnable()
	}
	var parsed []xssh.PublicKey
	for _, k := range keys {
		if err == nil {
			var key xssh.PublicKey
			_, _, key, _, _, err = xssh.ParseKnownHosts([]byte(k.Line))
			parsed = append(parsed, key)
		}
	}
	if err != nil {
		return "", 0, fail(host.Name, "host keys", err)
	}
	file = s.KnownHosts[0]
	err = rewrite(file, func(text []byte) []byte {
		hashed := bytes.HasPrefix(text, []byte("|1|")) || bytes.Contains(text, []byte("\n|1|"))
		if replace {
			text, removed = withoutKeys(text, s.addr())
		}
		for _, key := range parsed {
			text = withKey(text, s.addr(), key, hashed)
		}
		return text
	})
	if err == nil && replace {
		t.forgotten(s.addr())
	}
	return file, removed, fail(host.Name, "host keys", err)
}

// forgotten breaks the connections that were made to the address by keys that count no more.
func (t *Transport) forgotten(addr string) {
	for _, p := range t.allPlaces() {
		if p.set.addr() == addr {
			p.breakAll(errForgotten)
		}
	}
}

var errForgotten = errors.New("the host's key was taken off the file")

// pinnable tells why the host's keys are not in a file of ours.
func (s *settings) pinnable() error {
	switch {
	case s.HostKey != "":
		return because(executor.ErrHostKey, "change it there", "the key is pinned by ssh.host_key in the inventory")
	case s.HostCA != "":
		return because(executor.ErrHostKey, "sign its key instead", "the host is known by a certificate of ssh.host_ca in the inventory")
	case len(s.KnownHosts) == 0 || strings.TrimSpace(s.KnownHosts[0]) == os.DevNull:
		return because(executor.ErrHostKey, "name ssh.known_hosts", "no known_hosts file is configured")
	}
	return nil
}
