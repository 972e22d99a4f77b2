package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	xssh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"tfw/executor"
)

// hostKeys decides whether a server is who it should be.
type hostKeys struct {
	opt   *Options
	files knownFiles
}

func (h *hostKeys) init(o *Options) {
	h.opt = o
	h.files.init(o)
}

// checker gives the check of the host's key and the key algorithms to ask for, the known ones first.
func (h *hostKeys) checker(s *settings) (xssh.HostKeyCallback, []string, error) {
	if s.HostKey != "" || s.HostCA != "" {
		return h.pinned(s)
	}
	db, err := h.files.load(s.KnownHosts)
	if err != nil {
		return nil, nil, because(executor.ErrHostKey, "correct ssh.known_hosts", "%w", err)
	}
	check := db.HostKeyCallback()
	verify := func(hostname string, remote net.Addr, key xssh.PublicKey) error {
		err := check(hostname, remote, key)
		if err == nil {
			return nil
		}
		if s.AcceptNew && knownhosts.IsHostUnknown(err) && len(s.KnownHosts) > 0 {
			return h.acceptNew(s, key)
		}
		return explainKey(s, key, err)
	}
	return verify, withRest(db.HostKeyAlgorithms(s.addr())), nil
}

// withRest puts all other algorithms behind the known ones: a server that has
// none of those is then told to have changed, with the fingerprint it has now.
func withRest(known []string) []string {
	if len(known) == 0 {
		return nil
	}
	out := slices.Clone(known)
	for _, a := range xssh.SupportedAlgorithms().HostKeys {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// acceptNew puts the key of a host on file that has none there. Of two that are shown at once only one can be the first:
// that is decided under the file's lock.
func (h *hostKeys) acceptNew(s *settings, key xssh.PublicKey) error {
	var refused error
	added := false
	err := rewrite(s.KnownHosts[0], func(text []byte) []byte {
		for line := range bytes.Lines(text) {
			if l, ok := parseKnown(line); ok && l.marker == "" && l.names(s.addr()) {
				if !sameKey(l.key, key) {
					refused = explainKey(s, key, &xknownhosts.KeyError{Want: []xknownhosts.KnownKey{{Key: l.key, Filename: s.KnownHosts[0]}}})
				}
				return text
			}
		}
		if h.opt.Accepted != nil {
			if refused = h.opt.Accepted(describeKey(s, key)); refused != nil {
				return text
			}
		}
		added = true
		return withKey(text, s.addr(), key, true)
	})
	if err = errors.Join(err, refused); err != nil {
		return because(executor.ErrHostKey, "", "the first key of %s was not taken: %w", s.addr(), err)
	}
	if !added {
		return nil
	}
	h.opt.Logger.Info("recorded a new host key", "host", s.name, "address", s.addr(), "key", fingerprint(key), "file", s.KnownHosts[0])
	return nil
}

// pinned checks against the one key, or the authority, that the inventory names.
func (h *hostKeys) pinned(s *settings) (xssh.HostKeyCallback, []string, error) {
	var pin, ca xssh.PublicKey
	var err error
	if s.HostKey != "" {
		if pin, err = parseKey(s.HostKey); err != nil {
			return nil, nil, because(executor.ErrHostKey, "correct ssh.host_key", "ssh.host_key: %w", err)
		}
	}
	if s.HostCA != "" {
		if ca, err = parseKey(s.HostCA); err != nil {
			return nil, nil, because(executor.ErrHostKey, "correct ssh.host_ca", "ssh.host_ca: %w", err)
		}
	}
	signed := xssh.CertChecker{IsHostAuthority: func(by xssh.PublicKey, _ string) bool { return sameKey(by, ca) }}
	verify := func(hostname string, remote net.Addr, key xssh.PublicKey) error {
		if sameKey(key, pin) {
			return nil
		}
		if _, is := key.(*xssh.Certificate); is && ca != nil {
			if err := signed.CheckHostKey(hostname, remote, key); err != nil {
				return because(executor.ErrHostKey, "", "host certificate of %s: %w", s.addr(), err)
			}
			return nil
		}
		return notPinned(s, key, pin, ca)
	}
	return verify, pinAlgorithms(pin, ca), nil
}

func notPinned(s *settings, key, pin, ca xssh.PublicKey) error {
	want := "a certificate signed by the ssh.host_ca " + maybeFingerprint(ca)
	if pin != nil {
		want = "the pinned ssh.host_key " + fingerprint(pin)
	}
	return because(executor.ErrHostKey, "correct the inventory if the host was reinstalled; else somebody may be in between",
		"host key of %s changed: it is %s, expected %s", s.addr(), fingerprint(key), want)
}

func pinAlgorithms(pin, ca xssh.PublicKey) []string {
	var first []string
	for _, a := range xssh.SupportedAlgorithms().HostKeys {
		isCert := strings.Contains(a, "-cert-v01@")
		switch {
		case isCert && ca != nil:
			first = append(first, a)
		case !isCert && pin != nil && slices.Contains(algorithmsOf(pin.Type()), a):
			first = append(first, a)
		}
	}
	return withRest(first)
}

func algorithmsOf(keyType string) []string {
	if keyType == xssh.KeyAlgoRSA {
		return []string{xssh.KeyAlgoRSASHA256, xssh.KeyAlgoRSASHA512}
	}
	return []string{keyType}
}

// explainKey tells unknown, changed and revoked apart, with what is expected and what to do.
func explainKey(s *settings, key xssh.PublicKey, err error) error {
	var revoked *xknownhosts.RevokedError
	var want *xknownhosts.KeyError
	switch {
	case errors.As(err, &revoked):
		return because(executor.ErrHostKey, "this key must not be used any more: give the host a new one",
			"host key %s of %s is revoked by %s:%d", fingerprint(key), s.addr(), revoked.Revoked.Filename, revoked.Revoked.Line)
	case !errors.As(err, &want):
		return because(executor.ErrHostKey, "", "host key of %s: %w", s.addr(), err)
	case len(want.Want) == 0:
		return because(executor.ErrHostKey, "compare the fingerprint with the host's, then: tfwctl hostkeys trust "+s.name,
			"host key of %s is unknown: %s", s.addr(), fingerprint(key))
	}
	var expected []string
	for _, k := range want.Want {
		expected = append(expected, fmt.Sprintf("%s (%s:%d)", fingerprint(k.Key), k.Filename, k.Line))
	}
	return because(executor.ErrHostKey,
		fmt.Sprintf("if the host was reinstalled: tfwctl hostkeys forget %s, then: tfwctl hostkeys trust %s; else somebody may be in between", s.name, s.name),
		"host key of %s changed: it is %s, expected %s", s.addr(), fingerprint(key), strings.Join(expected, " or "))
}

// parseKey reads a public key in authorized_keys format, or a known_hosts line's end.
func parseKey(text string) (xssh.PublicKey, error) {
	key, _, _, _, err := xssh.ParseAuthorizedKey([]byte(text))
	return key, err
}

func fingerprint(key xssh.PublicKey) string {
	return key.Type() + " " + xssh.FingerprintSHA256(key)
}

func maybeFingerprint(key xssh.PublicKey) string {
	if key == nil {
		return ""
	}
	return fingerprint(key)
}

func normalize(addr string) string { return xknownhosts.Normalize(addr) }

func authorizedLine(key xssh.PublicKey) string {
	return strings.TrimSpace(string(xssh.MarshalAuthorizedKey(key)))
}
