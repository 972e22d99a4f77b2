package ssh

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"tfw/executor"
	"tfw/inventory"
)

func TestHostKeys(t *testing.T) {
	s := startSSHD(t)
	addr := "127.0.0.1:" + s.portText()
	_, other := newKey(t)
	print, otherPrint := xssh.FingerprintSHA256(s.hostKey.PublicKey()), xssh.FingerprintSHA256(other)
	hashed := xknownhosts.HashHostname(xknownhosts.Normalize(addr)) + " " + authorizedLine(s.hostKey.PublicKey()) + "\n"
	plain := xknownhosts.Line([]string{addr}, s.hostKey.PublicKey()) + "\n"
	for _, tt := range []struct {
		name, known, pin string
		want             []string // "" for success
	}{
		{name: "on file", known: plain},
		{name: "hashed", known: hashed},
		{name: "behind garbage", known: "garbage\n@what is this\n|1|x host\n* ssh-rsa AAAA\n" + plain + "127.0.0.1 ssh-ed25519"},
		{name: "unknown", known: "", want: []string{"unknown", print, "tfwctl hostkeys trust dut"}},
		{name: "changed", known: "# a comment\n" + xknownhosts.Line([]string{addr}, other) + "\n",
			want: []string{"changed", print, otherPrint, "known_hosts:2", "forget dut"}},
		{name: "revoked", known: plain + "@revoked * " + authorizedLine(s.hostKey.PublicKey()) + "\n", want: []string{"revoked", print, ":2"}},
		{name: "pinned", pin: authorizedLine(s.hostKey.PublicKey())},
		{name: "another pin", known: plain, pin: authorizedLine(other), want: []string{"changed", print, otherPrint, "pinned"}},
		{name: "bad pin", pin: "nonsense", want: []string{"ssh.host_key"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := s.host()
			h.SSH.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
			h.SSH.HostKey = tt.pin
			mustWrite(t, h.SSH.KnownHosts, tt.known)
			err := connectError(t, Options{}, h)
			if tt.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, executor.ErrHostKey) {
				t.Fatalf("got %v, want a host key error", err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\ndoes not say %q", err, w)
				}
			}
		})
	}
}

// TestOnlyAnotherKindIsKnown: a server that has no key of the known kind has changed.
func TestOnlyAnotherKindIsKnown(t *testing.T) {
	s := startSSHD(t)
	rsa := "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7yn6zdwSf8ZSGTgZ3/5mG9bfbDJrBkYWk0Zn4fOOSrQHWjxKqk8VYv2eYO3mCJ3TOnh3bKXZjJ+3Kxg9VmKgl7FhV0xZqUkAYV1jUe6T8JuYX3mJSDb0fDB8m3o1jYlZ1PZQ0GkqkP0m4x+0wzF5mJxQm3z3GkQ5X7b6m7b9lXQ=="
	if _, err := parseKey(rsa); err != nil {
		t.Skip("fixture: ", err)
	}
	mustWrite(t, s.known, "[127.0.0.1]:"+s.portText()+" "+rsa+"\n")
	if err := connectError(t, Options{}, s.host()); !errors.Is(err, executor.ErrHostKey) || !strings.Contains(err.Error(), "changed") {
		t.Errorf("got %v", err)
	}
}

func TestHostCertificate(t *testing.T) {
	dir := t.TempDir()
	key, ca := writeKey(t, filepath.Join(dir, "h")), writeKey(t, filepath.Join(dir, "ca"))
	cert := &xssh.Certificate{Key: key.PublicKey(), CertType: xssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: xssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(dir, "h-cert.pub"), string(xssh.MarshalAuthorizedKey(cert)))
	s := startSSHD(t, "HostKey "+filepath.Join(dir, "h"), "HostCertificate "+filepath.Join(dir, "h-cert.pub"))
	h := s.host()
	h.SSH.HostCA = authorizedLine(ca.PublicKey())
	if err := connectError(t, Options{}, h); err != nil {
		t.Errorf("ssh.host_ca: %v", err)
	}
	_, other := newKey(t)
	h.SSH.HostCA = authorizedLine(other)
	if err := connectError(t, Options{}, h); !errors.Is(err, executor.ErrHostKey) {
		t.Errorf("another authority: %v", err)
	}
	h.SSH.HostCA = ""
	mustWrite(t, s.known, "@cert-authority * "+authorizedLine(ca.PublicKey())+"\n")
	if err := connectError(t, Options{}, h); err != nil {
		t.Errorf("@cert-authority in known_hosts: %v", err)
	}
}

func TestAcceptNewRecordsOnceAndStillRefusesChange(t *testing.T) {
	s := startSSHD(t)
	h := s.host()
	h.SSH.KnownHosts = filepath.Join(t.TempDir(), "new", "known_hosts")
	strict := *h
	h.SSH.HostKey = inventory.AcceptNew
	var told []executor.HostKey
	tell := func(k executor.HostKey) error { told = append(told, k); return nil }
	full := errors.New("the record is full")
	if err := connectError(t, Options{Accepted: func(executor.HostKey) error { return full }}, h); !errors.Is(err, executor.ErrHostKey) || !strings.Contains(err.Error(), full.Error()) {
		t.Errorf("what could not be put on record was trusted: %v", err)
	}
	if keys, err := newTransport(t, Options{Accepted: tell}).ScanKeys(within(t, 20*time.Second), h, nil); err != nil || len(keys) == 0 || keys[0].Known || len(told) > 0 {
		t.Errorf("a scan: %+v %v", keys, err)
	}
	for range 2 {
		if err := connectError(t, Options{Accepted: tell}, h); err != nil {
			t.Fatal(err)
		}
	}
	if len(told) != 1 || told[0].Fingerprint != xssh.FingerprintSHA256(s.hostKey.PublicKey()) || told[0].Host != h.Name {
		t.Errorf("told of %+v", told)
	}
	if err := connectError(t, Options{}, &strict); err != nil {
		t.Fatalf("strict, afterwards: %v", err)
	}
	st, err := os.Stat(h.SSH.KnownHosts)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	_, other := newKey(t)
	mustWrite(t, h.SSH.KnownHosts, xknownhosts.Line([]string{"127.0.0.1:" + s.portText()}, other)+"\n")
	if err := connectError(t, Options{Accepted: tell}, h); !errors.Is(err, executor.ErrHostKey) || !strings.Contains(err.Error(), "changed") || len(told) != 1 {
		t.Errorf("changed: %v", err)
	}
	// What another connection put on file meanwhile counts, whatever this one had read before.
	if err := acceptOnce(newTransport(t, Options{Accepted: tell}), h, s.hostKey.PublicKey()); !errors.Is(err, executor.ErrHostKey) || len(told) != 1 {
		t.Errorf("the second of two first keys: %v", err)
	}
}

// acceptOnce is what a connection does that found no key on file a moment ago.
func acceptOnce(tr *Transport, h *inventory.Host, key xssh.PublicKey) error {
	s, err := (&resolver{opt: &tr.opt}).resolve(h)
	if err != nil {
		return err
	}
	return tr.hosts.acceptNew(s, key)
}

func TestScanLogsInNowhere(t *testing.T) {
	s := startSSHD(t)
	h := s.host()
	h.SSH.IdentityFiles = nil
	tr := newTransport(t, Options{})
	keys, err := tr.ScanKeys(within(t, 20*time.Second), h, nil)
	if err != nil || len(keys) != 1 || !keys[0].Known || keys[0].Fingerprint != xssh.FingerprintSHA256(s.hostKey.PublicKey()) {
		t.Errorf("%+v %v", keys, err)
	}
	h.SSH.Port = freePort(t)
	if _, err := tr.ScanKeys(within(t, 20*time.Second), h, nil); !errors.Is(err, executor.ErrUnreachable) {
		t.Errorf("nothing there: %v", err)
	}
}

func TestTrustAndForget(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sub", "known_hosts")
	_, key := newKey(t)
	_, other := newKey(t)
	for _, hashed := range []bool{true, false} {
		for range 2 {
			if err := trustHostKey(file, "10.0.0.1:2222", key, hashed); err != nil {
				t.Fatal(err)
			}
		}
	}
	if text := mustRead(t, file); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "|1|") {
		t.Errorf("the same key was doubled:\n%s", text)
	}
	keep := "garbage stays\n@revoked * " + authorizedLine(other) + "\nother,10.0.0.1 " + authorizedLine(other) + " note\n"
	mustWrite(t, file, mustRead(t, file)+keep)
	if n, err := forget(file, "10.0.0.1:2222"); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if n, err := forget(file, "10.0.0.1:22"); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	want := strings.Replace(keep, "other,10.0.0.1", "other", 1)
	if got := mustRead(t, file); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestTrustSideBySideLosesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known_hosts")
	_, key := newKey(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := trustHostKey(file, "10.0.0."+string(rune('a'+i))+":22", key, false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(mustRead(t, file), "\n"); n != 20 {
		t.Errorf("%d lines, want 20", n)
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// FuzzKnownHosts: whatever a file holds, what is left after dropping garbage must be readable.
func FuzzKnownHosts(f *testing.F) {
	key := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1n5JXVwEvYNHb4aD4N5BZcYlTTTEtBXe7WV8PqgYqS"
	for _, seed := range []string{"", "host " + key, "|1|a|b " + key, "@revoked * " + key + " c", "[h]:2,!x " + key, "! " + key, "[h " + key, "@a @b " + key, "h\x00\v " + key + "\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		clean, _ := dropGarbage(text)
		path := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(path, clean, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := xknownhosts.New(path); err != nil {
			t.Errorf("%q: %v", clean, err)
		}
	})
}

func forget(file, addr string) (n int, err error) {
	err = rewrite(file, func(old []byte) (text []byte) { text, n = withoutKeys(old, addr); return text })
	return n, err
}

// trustHostKey puts a key on file.
func trustHostKey(file, addr string, key xssh.PublicKey, hashed bool) error {
	return rewrite(file, func(old []byte) []byte { return withKey(old, addr, key, hashed) })
}
