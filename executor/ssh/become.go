package ssh

import (
	"fmt"

	"tfw/executor"
)

// becomeScript wraps a script so that it runs as another user. What it must read
// from its stdin first comes back too: the password, and a line that ends
// whatever of it was not asked for. The password is never part of the command.
func becomeScript(b *executor.BecomeAs, script, mark string) (wrapped, stdin string, err error) {
	if b == nil {
		return script, "", nil
	}
	user := b.User
	if user == "" {
		user = "root"
	}
	skip := "while IFS= read -r l; do [ \"$l\" = " + mark + " ] && break; done\n"
	inner := quote(skip + script)
	stdin = mark + "\n"
	switch b.Method {
	case "", "sudo":
		if b.Password == "" {
			return "exec sudo -n -H -u " + quote(user) + " -- /bin/sh -c " + inner + ` sh "$@"`, stdin, nil
		}
		// What a wrong password costs, and why: see shellFor.
		return "exec sudo -k -S -p '' -H -u " + quote(user) + " -- /bin/sh -c " + inner + ` sh "$@"`, b.Password + "\n" + stdin, nil
	case "doas":
		return "exec doas -n -u " + quote(user) + " /bin/sh -c " + inner + ` sh "$@"`, stdin, nil
	case "su":
		if b.Password != "" {
			stdin = b.Password + "\n" + stdin
		}
		return "exec su " + quote(user) + " -s /bin/sh -c " + inner + ` sh "$@"`, stdin, nil
	}
	return "", "", because(executor.ErrBecome, "ssh.become.method is sudo, su or doas", "become method %q is not known", b.Method)
}

// becomeRefused is the error for a wrapped script that never began.
func becomeRefused(b *executor.BecomeAs, stderr string) error {
	hint := "give ssh.become.password, or allow it in sudoers"
	switch b.Method {
	case "su":
		hint = "su asks for the password of the user to become: is ssh.become.password that one?"
	case "doas":
		hint = "doas takes a password from a terminal only: permit it with nopass in doas.conf, or become by sudo"
	}
	return because(executor.ErrBecome, hint, "%s", fmt.Sprintf("becoming %s by %s: %s", orText(b.User, "root"), orText(b.Method, "sudo"), orText(stderr, "refused without a word")))
}

func orText(s, d string) string {
	if s == "" {
		return d
	}
	return s
}
