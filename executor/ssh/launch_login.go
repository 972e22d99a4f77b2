package ssh

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tfw/executor"
)

// loginShell sets t_X to the login user's own shell where it is a POSIX one. Its
// base name makes $0, as sshd does. bash reads .bashrc once more for -c under
// sshd while SHLVL is below 2 (bash(1), INVOCATION): a second one is kept from it.
const loginShell = `t_X=${SHELL##*/}
case $t_X in bash|dash|ash|ksh|mksh|zsh) command -v $t_X >/dev/null 2>&1 || t_X=sh ;; *) t_X=sh ;; esac
[ $t_X = bash ] && { SHLVL=1; export SHLVL; }
`

// program makes what is to be run: a script in a file of the spool, or a line for the login shell.
func (c *conn) program(ctx context.Context, cmd executor.DurableCommand, id string) (payload, error) {
	if cmd.Login && len(cmd.Script) <= inlineLimit {
		p := line(cmd.Script)
		if _, other := cmd.Env["PATH"]; !other && isProgram(cmd.Script) {
			p.run += programText(string(cmd.Script))
		}
		return p, nil
	}
	p, err := c.payload(ctx, cmd, id, "cmd", cmd.Script)
	p.run = "t_X=" + quoted(interpreter(cmd.Script))
	if cmd.Login { // too long for one argument of a program (execve(2), MAX_ARG_STRLEN)
		p.run = loginShell
	}
	return p, err
}

// line is a login line: an argument of the shell, so no file is needed.
func line(text []byte) payload {
	p := payload{name: "''", run: loginShell + `t_X="$t_X -c"`}
	if form := words(text); strings.HasPrefix(form, "s ") {
		p.name = strings.TrimPrefix(form, "s ")
	} else { // $() drops newlines at the end: the x keeps them
		p.stage = "t_F=$(t_put " + form + "; echo x) && t_F=${t_F%?} && "
	}
	return p
}

// isProgram reports whether a line is the name of a program and plain words: a
// shell would do no more with it than to exec that program. What a shell may do
// itself is not one, but for true and false, which are the same inside and outside.
func isProgram(line []byte) bool {
	words := strings.Split(string(line), " ")
	for _, w := range words {
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+,") != "" {
			return false
		}
	}
	return !strings.Contains(words[0], "/") && !shellWords[words[0]]
}

// shellWords are the builtins and reserved words of the login shells (bash(1),
// zshbuiltins(1), mksh(1)), and programs that show the traces of a shell in their environment.
var shellWords = func() map[string]bool {
	all := map[string]bool{}
	for _, w := range strings.Fields(`. : alias autoload bg bind break builtin bye caller case cat cd chdir command compgen complete compopt continue
		coproc declare dirs disable disown do done echo echotc echoti elif else emulate enable end env esac eval exec exit export fc fg
		fi float for foreach function functions getconf getln getopts global hash help history if in integer jobs kill let limit local
		log logout mapfile mknod nocorrect noglob popd print printenv printf pushd pushln pwd r read readarray readonly realpath rehash
		rename repeat return sched select set setopt shift shopt sleep source stat suspend test then time times trap ttyctl type typeset ulimit
		umask unalias unfunction unhash unlimit unset unsetopt until vared wait whence where which while whoami zle zmodload zparseopts zstyle`) {
		all[w] = true
	}
	return all
}()

// programText takes the program itself where PATH has it: one shell less to start.
// The name stays as it was given, so the program sees the same arguments as under a shell.
func programText(line string) string {
	name, _, _ := strings.Cut(line, " ")
	return fmt.Sprintf(`
t_x=$IFS IFS=:
for t_y in $PATH; do [ -f "$t_y/%s" ] && [ -x "$t_y/%s" ] && { t_X=%s t_F=; break; }; done
IFS=$t_x
`, name, name, quote(line))
}

// setupText goes to the directory and exports the environment, right before the program takes the shell's place.
func setupText(cmd executor.DurableCommand) (string, error) {
	var b strings.Builder
	if cmd.Cwd != "" {
		fmt.Fprintf(&b, "CDPATH='' cd -- %s >/dev/null 2>&1 || { echo %s >&2; exit 126; }\n", quote(cmd.Cwd), quote("tfw: "+cmd.Cwd+": no such directory, or no way in"))
	}
	names := make([]string, 0, len(cmd.Env))
	for name, value := range cmd.Env {
		if strings.ContainsRune(name+value+cmd.Cwd, 0) {
			return "", because(executor.ErrRefused, "leave it out", "the environment holds a NUL byte")
		}
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(cmd.Env[name]))
	}
	if cmd.Path != "" {
		fmt.Fprintf(&b, "PATH=%s:$PATH; export PATH\n", quote(cmd.Path))
	}
	return b.String(), nil
}

// isQuiet reports whether a line is a program that starts no other and leaves nothing
// behind: it needs no session of its own to be told apart from what the same shell ran before.
func isQuiet(line []byte) bool {
	name, _, _ := strings.Cut(string(line), " ")
	return quietPrograms[name] && isProgram(line)
}

var quietPrograms = func() map[string]bool {
	all := map[string]bool{}
	for _, w := range strings.Fields(`arch base64 basename cat chgrp chmod chown cksum cmp comm cp cut date dd df diff dirname dmesg du expr false file fold
		free getconf getent grep groups head hostname id join last ln logname ls lsblk lscpu lsmod lspci lsusb md5sum mkdir mkfifo mknod mktemp mv nl nproc
		od paste pgrep pidof ps readlink rm rmdir seq sha1sum sha256sum sha512sum shasum sort ss stat strings sum sync tac tail touch tr true truncate
		tsort tty uname uniq uptime users vmstat w wc who whoami`) {
		all[w] = true
	}
	return all
}()
