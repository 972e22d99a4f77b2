package executortest

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Fault is a way in which a server misbehaves, for [Lab.Misbehave].
type Fault string

// The ways to misbehave. Those that hang do so until the client closes.
const (
	Behave Fault = ""

	// Before a login.
	FaultNoBanner     Fault = "banner never sent"              // accepts, and never speaks
	FaultLongBanner   Fault = "100 KB banner"                  // 100 KB of lines before the version, and never a version
	FaultHangVersion  Fault = "hangs after its version"        // KEXINIT never comes
	FaultHangKexInit  Fault = "hangs after KEXINIT"            // the key exchange is never answered
	FaultHangKexReply Fault = "hangs after the key exchange"   // NEWKEYS never comes
	FaultHangNewKeys  Fault = "hangs after NEWKEYS"            // the service request is never accepted
	FaultAuthHangs    Fault = "authentication hangs"           // the key is never judged
	FaultAuthBanner   Fault = "100 KB authentication banner"   // RFC 4252 section 5.4; then it behaves
	FaultStartupDrops Fault = "drops two of three connections" // as MaxStartups does: closed before the banner
	FaultKeyChanges   Fault = "another host key each time"     // the first connection meets the true one

	// After it.
	FaultChannelRefused Fault = "channel open refused"
	FaultMaxSessions1   Fault = "one session at a time" // MaxSessions 1
	FaultExecRefused    Fault = "exec refused"
	FaultNoExitStatus   Fault = "no exit status"           // the command runs, the channel closes without a word
	FaultEndless        Fault = "endless output"           // in place of any command
	FaultZeroWindow     Fault = "window never opens again" // stdin is not read: the first 2 MiB are all the client can send
	FaultHalfOpen       Fault = "half-open"                // at the first exec the peer is gone without a FIN: nothing is read, what it says is lost
	FaultNoSFTP         Fault = "no sftp subsystem"
)

// Faults lists every way to misbehave.
func Faults() []Fault {
	return []Fault{FaultNoBanner, FaultLongBanner, FaultHangVersion, FaultHangKexInit, FaultHangKexReply, FaultHangNewKeys,
		FaultAuthHangs, FaultAuthBanner, FaultStartupDrops, FaultKeyChanges, FaultChannelRefused, FaultMaxSessions1, FaultExecRefused,
		FaultNoExitStatus, FaultEndless, FaultZeroWindow, FaultHalfOpen, FaultNoSFTP}
}

// ErrNotEmbedded means that only a lab made with Embedded can do that.
var ErrNotEmbedded = errors.New("real OpenSSH does not misbehave on order (make the lab with Embedded)")

// Misbehave gives the host's server a fault, or [Behave] to heal it. It holds for connections made from now on.
func (l *Lab) Misbehave(name string, fault Fault) error {
	return l.each([]string{name}, func(h *labHost) error {
		e, ok := h.server.(*embedded)
		if !ok {
			return ErrNotEmbedded
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.fault, e.seen = fault, 0
		return nil
	})
}

// greet plays the faults that come before SSH is spoken. It reports whether SSH is to follow.
func (f Fault) greet(c *faultConn, nth int) bool {
	switch f {
	case FaultNoBanner:
		c.waitClosed()
		return false
	case FaultLongBanner:
		_, _ = c.Write([]byte(strings.Repeat(strings.Repeat("=", 78)+"\r\n", 1280)))
		c.waitClosed()
		return false
	case FaultStartupDrops:
		return nth%3 == 2
	}
	return true
}

// hostKey gives the key to show: nobody's, when keys change.
func (f Fault) hostKey(nth int, own ssh.Signer) ssh.Signer {
	if f != FaultKeyChanges || nth == 0 {
		return own
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return own
	}
	other, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return own
	}
	return other
}

// instead plays the faults that take a command's place. nil means that the command is to run.
func (f Fault) instead(s *connection, channel ssh.Channel) <-chan struct{} {
	done := make(chan struct{})
	switch f {
	case FaultEndless:
		s.server.work.Go(func() {
			defer close(done)
			for line := []byte(strings.Repeat("la", 2000) + "\n"); ; {
				if _, err := channel.Write(line); err != nil {
					return
				}
			}
		})
		return done
	case FaultHalfOpen:
		s.raw.vanish()
		return done // for ever, that is, until the connection is closed
	}
	return nil
}
