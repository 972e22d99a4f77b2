package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	xssh "golang.org/x/crypto/ssh"

	"tfw/executor"
	"tfw/inventory"
)

// errSeen ends a handshake as soon as the key was seen: a scan logs in nowhere.
var errSeen = errors.New("host key seen")

// scanned are the kinds of key that a scan asks for, best first.
var scanned = [][]string{
	{xssh.KeyAlgoED25519},
	{xssh.KeyAlgoECDSA256, xssh.KeyAlgoECDSA384, xssh.KeyAlgoECDSA521},
	{xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256},
}

// ScanKeys implements [executor.HostKeys]. It logs in nowhere but to jump hosts.
func (t *Transport) ScanKeys(ctx context.Context, host *inventory.Host, via func(name string) (*inventory.Host, bool)) ([]executor.HostKey, error) {
	keys, err := t.scan(ctx, host, via)
	return keys, fail(host.Name, "scan host keys", err)
}

func (t *Transport) scan(ctx context.Context, host *inventory.Host, via lookup) ([]executor.HostKey, error) {
	r := resolver{opt: &t.opt, via: via}
	s, err := r.resolve(host)
	if err != nil {
		return nil, err
	}
	s.AcceptNew = false // to look is not to trust
	known, _, err := t.hosts.checker(s)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.ConnectTimeout)
	defer cancel()
	var found []executor.HostKey
	for _, kinds := range scanned {
		key, err := t.scanOne(ctx, s, kinds)
		var none *xssh.AlgorithmNegotiationError
		if errors.As(err, &none) {
			continue // it has no key of this kind
		}
		if err != nil {
			return found, err
		}
		info := describeKey(s, key)
		info.Known = known(s.addr(), &net.TCPAddr{}, key) == nil
		found = append(found, info)
	}
	return found, nil
}

// scanOne begins one handshake, again where sshd dropped the connection unread.
func (t *Transport) scanOne(ctx context.Context, s *settings, kinds []string) (key xssh.PublicKey, err error) {
	for attempt := 0; ; attempt++ {
		st := &stage{set: s}
		key, err = t.scanOnce(ctx, s, kinds, st)
		if ctx.Err() != nil && key == nil {
			return nil, st.timeout(context.Cause(ctx))
		}
		if !errors.Is(err, errDropped) || attempt >= maxDropped || !pause(ctx, attempt) {
			return key, err
		}
	}
}

func (t *Transport) scanOnce(ctx context.Context, s *settings, kinds []string, st *stage) (xssh.PublicKey, error) {
	st.at(atJump)
	jump, err := t.reachJump(ctx, s)
	if err != nil {
		return nil, err
	}
	if jump != nil {
		defer jump.release()
	}
	leave, err := t.gates.enter(ctx, s.addr())
	if err != nil {
		return nil, err
	}
	defer leave()
	st.at(atDial)
	w, err := openWire(ctx, s, jump)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	defer context.AfterFunc(ctx, func() { w.Close() })()
	st.wire.Store(w)
	st.at(atHandshake)
	return showKey(ctx, t, s, w, kinds)
}

func showKey(ctx context.Context, t *Transport, s *settings, w *wire, kinds []string) (xssh.PublicKey, error) {
	var seen xssh.PublicKey
	_, _, _, err := xssh.NewClientConn(w, s.addr(), &xssh.ClientConfig{
		User:              s.User,
		HostKeyAlgorithms: slices.Clone(kinds),
		ClientVersion:     "SSH-2.0-tfw",
		HostKeyCallback: func(_ string, _ net.Addr, key xssh.PublicKey) error {
			seen = key
			return errSeen
		},
	})
	if seen != nil {
		return seen, nil
	}
	var none *xssh.AlgorithmNegotiationError
	if errors.As(err, &none) {
		return nil, err
	}
	a := &login{t: t, set: s, ctx: ctx}
	return nil, a.explain(w, err)
}

func describeKey(s *settings, key xssh.PublicKey) executor.HostKey {
	return executor.HostKey{
		Host: s.name, Address: s.addr(), Type: key.Type(), Fingerprint: xssh.FingerprintSHA256(key),
		Line: fmt.Sprintf("%s %s", normalize(s.addr()), authorizedLine(key)),
	}
}
