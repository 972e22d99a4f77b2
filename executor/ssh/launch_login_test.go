package ssh

import (
	"path/filepath"
	"strings"
	"testing"

	"tfw/executor"
	"tfw/plugins"
)

// TestPlainWordsNeedNoShell: a program with plain words, as run_shell makes the line of command and args, is run without a
// login shell; and without a session of its own only where it starts no other program.
func TestPlainWordsNeedNoShell(t *testing.T) {
	for _, x := range []struct {
		name, args     string
		program, quiet bool
	}{
		{"ls", "foo", true, true}, {"true", "", true, true}, {"make", "all", true, false}, {"sh", "x.sh", true, false},
		{"ls", "a b", false, false}, {"ls", "for", false, false}, {"echo", "a", false, false}, {"./ls", "a", false, false}, {"cat", "x|sh", false, false},
	} {
		line := x.name
		if x.args != "" {
			words, err := plugins.Quote(x.args)
			if err != nil {
				t.Fatal(err)
			}
			line += " " + words
		}
		if p, q := isProgram([]byte(line)), isQuiet([]byte(line)); p != x.program || q != x.quiet {
			t.Errorf("%s: program %v, quiet %v", line, p, q)
		}
	}
}

// TestLoginLineIsAsSSHRunsIt compares a line's bytes and status with those of
// "ssh HOST LINE" on the same host, where the login shell is the one of this user.
func TestLoginLineIsAsSSHRunsIt(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	for _, line := range []string{
		"true", "false", "uname -r", "ls /nonexistent", "id -u nobody-such", "sort --no-such-option", "nosuch -x", "nice", "exit 77", "nosuchcommand-at-all", "echo a; echo b >&2; nosuch || exit 4", "echo $0", `printf 'no newline'`,
		`printf '%s|' "it's" 'a "b"' \\ '$HOME' 'é€' '*'`, "echo 'tab	and é and newline\n at the end'\n", "cat; echo eof", "if", "kill -TERM $$", "[ -t 0 ]; echo $?",
		"printf '\\001\\200\\377'", "echo \x01\x7f\xff",
	} {
		t.Run(line, func(t *testing.T) {
			wantOut, wantErr, wantCode := h.plain(t, line, nil)
			cmd := executor.DurableCommand{ID: newID(), Script: []byte(line), Login: true}
			rec, end := mustRun(t, c, cmd)
			if end.Kind == executor.EndSignal {
				end.Code = 255 // as the ssh program says
			}
			if rec.out.String() != string(wantOut) || rec.err.String() != string(wantErr) || end.Code != wantCode {
				t.Errorf("got  %q %q %d %s\nwant %q %q %d", rec.out.String(), rec.err.String(), end.Code, end.Signal, wantOut, wantErr, wantCode)
			}
		})
	}
}

func TestEnvironmentAndDirectory(t *testing.T) {
	h := newDurableHost(t)
	c := h.conn(t)
	dir := t.TempDir()
	for _, cmd := range []executor.DurableCommand{
		{Script: []byte(`echo "$A|$B|$PWD"`), Login: true},
		{Script: []byte("#!/bin/sh\n" + `echo "$A|$B|$PWD"`)},
		{Script: []byte(strings.Repeat("# long\n", 20000) + `echo "$A|$B|$PWD"`), Login: true},
	} {
		cmd.ID, cmd.Cwd, cmd.Env = newID(), dir, map[string]string{"A": "it's $HOME\nand é", "B": "", "t_x": "theirs", "t_f": "theirs"}
		rec, end := mustRun(t, c, cmd)
		if want := "it's $HOME\nand é||" + dir + "\n"; rec.out.String() != want || end.Code != 0 || rec.err.Len() > 0 {
			t.Errorf("got %q %q %+v, want %q", rec.out.String(), rec.err.String(), end, want)
		}
	}
	gone := executor.DurableCommand{ID: newID(), Script: []byte("echo never"), Login: true, Cwd: filepath.Join(dir, "gone")}
	rec, end := mustRun(t, c, gone)
	if end.Code != 126 || rec.out.Len() > 0 || !strings.Contains(rec.err.String(), "no such directory") {
		t.Errorf("a missing directory: %q %q %+v", rec.out.String(), rec.err.String(), end)
	}
}
