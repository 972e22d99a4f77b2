package executor

import (
	"errors"
	"fmt"
	"strings"

	"tfw/plugins"
)

// checkCommand refuses a command that means nothing, before anything is stored.
func checkCommand(cmd plugins.Command) error {
	forms := 0
	for _, set := range []bool{len(cmd.Argv) > 0 && len(cmd.Script) == 0, cmd.Shell != "", len(cmd.Script) > 0} {
		if set {
			forms++
		}
	}
	if forms != 1 {
		return errors.New("command: want exactly one of argv, shell and script")
	}
	for _, text := range append([]string{cmd.Shell, cmd.Cwd}, cmd.Argv...) {
		if strings.ContainsRune(text, 0) {
			return errors.New("command: a NUL byte cannot be passed to a program")
		}
	}
	for name, value := range cmd.Env {
		if !envName(name) || strings.ContainsRune(value, 0) {
			return fmt.Errorf("env: %q: want a name of letters, digits and _ and a value without NUL bytes", name)
		}
	}
	return nil
}

// envName reports whether name is a variable's name (POSIX 3.216).
func envName(name string) bool {
	for i, c := range name {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// durable turns a plugin's command into what the transport starts.
func (r *remote) durable(id CommandID, cmd plugins.Command) (DurableCommand, error) {
	become, err := r.become(cmd.Become)
	if err != nil {
		return DurableCommand{}, err
	}
	env, stdin, err := r.reveal(cmd)
	if err != nil {
		return DurableCommand{}, err
	}
	dc := DurableCommand{ID: id, Env: env, Cwd: cmd.Cwd, Stdin: stdin, Secrets: len(r.masks.texts) > 0, Merge: cmd.Merge, Become: become, MaxSpool: r.p.host.SSH.MaxSpool}
	switch {
	case len(cmd.Script) > 0:
		dc.Script = cmd.Script
		if len(cmd.Argv) > 1 {
			dc.Args = cmd.Argv[1:]
		}
	case cmd.Shell != "":
		dc.Script, dc.Login = []byte(cmd.Shell), true
	default:
		dc.Script, dc.Login = []byte(quote(cmd.Argv)), true
	}
	return dc, nil
}

// reserved are the words that a shell would not take for a program's name (bash(1), RESERVED WORDS; zshmisc(1)).
var reserved = map[string]bool{"if": true, "then": true, "else": true, "elif": true, "fi": true, "do": true, "done": true, "case": true, "esac": true,
	"while": true, "until": true, "for": true, "foreach": true, "end": true, "in": true, "function": true, "select": true, "time": true, "coproc": true, "repeat": true, "nocorrect": true}

// quote makes a shell line of words, each taken as it is (POSIX 2.2.2).
func quote(argv []string) string {
	quoted := make([]string, len(argv))
	for i, word := range argv {
		quoted[i] = word
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+,") != "" || i == 0 && (strings.ContainsAny(word, "=") || reserved[word]) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// become resolves a change of user. The password is read at the last moment and kept nowhere.
func (r *remote) become(b *plugins.Become) (*BecomeAs, error) {
	if b == nil {
		return nil, nil
	}
	set := r.p.host.SSH.Become
	u := changedUser{User: b.User, Method: set.Method}
	orElse(&u.User, set.User)
	orElse(&u.User, "root")
	orElse(&u.Method, "sudo")
	as, err := r.e.become(&u, r.p.host)
	if err == nil && len(as.Password) >= shortestLine { // sudo does not show it; a short one would only blot the log
		r.masks.add(as.Password)
	}
	return as, err
}
