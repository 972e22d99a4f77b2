package ssh

import (
	_ "embed"
	"fmt"
	"strings"

	"tfw/executor"
)

// The host's side. Each text says at its head what it does; launch.sh describes the files of the spool.
var (
	//go:embed common.sh
	commonText string
	//go:embed probe.sh
	probeText string
	//go:embed guard.sh
	guardText string
	//go:embed launch.sh
	launchText string
	//go:embed state.sh
	stateText string
	//go:embed attach.sh
	attachText string
	//go:embed kill.sh
	killText string
	//go:embed sweep.sh
	sweepText string
	//go:embed age.sh
	ageText string
	//go:embed strays.sh
	straysText string
)

func init() {
	for _, t := range []*string{&commonText, &probeText, &guardText, &launchText, &stateText, &attachText, &killText, &sweepText, &ageText, &straysText} {
		*t = lean(*t)
	}
	launchText, attachText = guardText+launchText, guardText+attachText
}

// lean drops comments and indentation: the text is sent with every command.
func lean(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// spool is what a probe found of the spool of one user of a host.
type spool struct {
	dir, umask, tail string
	uid              string
	boot             string
	durable          string // "yes", "scope" (yes, in a scope of systemd's), "logind", "noproc"
}

// spoolKey is where a place remembers the spool of a user commands run as.
type spoolKey struct{ method, user string }

func keyOf(b *executor.BecomeAs) spoolKey {
	if b == nil {
		return spoolKey{}
	}
	return spoolKey{orText(b.Method, "sudo"), orText(b.User, "root")}
}

func (c *conn) spool(b *executor.BecomeAs) *spool {
	s, _ := c.memo().get(keyOf(b)).(*spool)
	return s
}

// host gives the words that begin every script: what is known, or the text that finds it out.
func (s *spool) head(nonce string) string {
	known := "t_r='\x1e' t_n=" + nonce
	if s == nil {
		return known + "\n" + commonText + probeText
	}
	return fmt.Sprintf("%s t_d=%s t_m=%s t_w=%s\n%s", known, s.dir, s.umask, s.tail, commonText)
}

// parseSpool reads the probe's line: boot uid umask tail durable dir.
func parseSpool(text string) (*spool, bool) {
	f := strings.Fields(text)
	if len(f) != 6 || !plainPath(f[5]) || !allIn(f[2], "01234567") || f[3] != "gnu" && f[3] != "poll" {
		return nil, false
	}
	return &spool{boot: f[0], uid: f[1], umask: f[2], tail: f[3], durable: f[4], dir: f[5]}, true
}

// plainPath reports whether the path needs no quotes in any shell: the host named it, so it is not trusted.
func plainPath(p string) bool {
	return strings.HasPrefix(p, "/") && allIn(strings.ToLower(p), "abcdefghijklmnopqrstuvwxyz0123456789/._@+-")
}

func allIn(s, set string) bool { return s != "" && strings.Trim(s, set) == "" }

// idText is the command's id as the host's files and the mark have it.
func idText(id executor.CommandID) (string, error) {
	s := id.String()
	if len(s) > 200 {
		return "", because(executor.ErrRefused, "use a shorter host name", "the id %q is too long for a file name", s)
	}
	return s, nil
}

// hostShell runs our texts. A variable for tests only: hosts have others behind the name.
var hostShell = "/bin/sh"

// shellFor is the exec request that gives a plain sh which reads its script
// from stdin, as the user asked for, and what stdin must begin with. Only
// characters are used on which sh, csh and fish agree.
func (c *conn) shellFor(b *executor.BecomeAs, nonce string) (request, first string, err error) {
	request, first, err = shellFor(b, nonce)
	if s := c.spool(nil); s != nil && s.durable == "scope" {
		request = "exec systemd-run --user --scope --quiet -- " + strings.TrimPrefix(request, "exec ")
	}
	return request, first, err
}

func shellFor(b *executor.BecomeAs, nonce string) (request, first string, err error) {
	plain := hostShell + " -s"
	if b == nil {
		return "exec " + plain, "", nil
	}
	user := orText(b.User, "root")
	if !allIn(strings.ToLower(user), "abcdefghijklmnopqrstuvwxyz0123456789._-$@+") || user[0] == '-' {
		return "", "", because(executor.ErrBecome, "ssh.become.user is a login name", "cannot become %q", user)
	}
	// What was not asked for (the password, when none is needed) is read away up to the mark.
	skip := `'while IFS= read -r l; do [ "$l" = ` + nonce + ` ] && exec ` + plain + `; done'`
	switch b.Method {
	case "", "sudo":
		if b.Password == "" {
			return "exec sudo -n -H -u '" + user + "' -- " + plain, "", nil
		}
		// A wrong password costs as many attempts as sudoers' passwd_tries says: sudo takes what follows for the next ones. No
		// option bounds them, and standard input cannot end after the password, for the script comes on it; to hold the script
		// back until sudo is content would cost each command a round trip, and pam_faillock counts an end of input as a second attempt all the same.
		return "exec sudo -k -S -p '' -H -u '" + user + "' -- /bin/sh -c " + skip, b.Password + "\n" + nonce + "\n", nil
	case "doas":
		return "exec doas -n -u '" + user + "' " + plain, "", nil
	case "su":
		if b.Password != "" {
			first = b.Password + "\n"
		}
		return "exec su '" + user + "' -s /bin/sh -c " + skip, first + nonce + "\n", nil
	}
	return "", "", because(executor.ErrBecome, "ssh.become.method is sudo, su or doas", "become method %q is not known", b.Method)
}
