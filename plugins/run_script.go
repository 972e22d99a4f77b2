package plugins

import (
	"bytes"
	"context"
	"errors"
	"strings"
)

type scriptParams struct {
	Script      Content  `json:"script,omitempty" jsonschema:"oneof_required=script,description=the script itself; its #! line is honoured and without one it is for /bin/sh"`
	Artifact    string   `json:"artifact,omitempty" jsonschema:"oneof_required=artifact,pattern=^[0-9a-f]{64}$,description=SHA-256 (hex) of a script or program in the artifact store"`
	Interpreter Words    `json:"interpreter,omitempty" jsonschema:"description=what to run it with such as python3 or a list of words"`
	Args        []string `json:"args,omitempty" jsonschema:"description=its arguments"`
	Process
}

func runScript(ctx context.Context, remote Remote, p scriptParams) (CommandOutputs, error) {
	c, err := scriptCommand(ctx, remote, p)
	if err != nil {
		return CommandOutputs{}, err
	}
	return runProcess(ctx, remote, p.Process, c)
}

// scriptCommand makes the command for a script that was sent along. What the
// transport can send with the command itself is sent so; the rest is uploaded once
// under its hash and found there the next time.
func scriptCommand(ctx context.Context, remote Remote, p scriptParams) (Command, error) {
	if p.Artifact == "" && len(p.Script) == 0 {
		return Command{}, ParameterError{Location: "parameters.script", Message: "is empty"}
	}
	if p.Artifact == "" && p.Interpreter.Empty() {
		if bytes.HasPrefix(p.Script, []byte("\x7fELF")) {
			return Command{}, errors.New(`parameters.script: is a program, not a script (store it and give it as "artifact")`)
		}
		return Command{Script: p.Script, Argv: append([]string{"script"}, p.Args...)}, nil
	}
	up := Upload{Content: p.Script, Artifact: p.Artifact, Mode: 0o700}
	return stagedCommand(ctx, remote, up, p.Interpreter, p.Args, p.Become.Become())
}

// stageDir keeps uploaded scripts on a host, relative to the login user's home.
const stageDir = ".cache/tfw/scripts"

// stagedCommand uploads a file and gives the command that runs it: in the login
// user's cache by hash, or, for another user, in a directory of that user's own.
func stagedCommand(ctx context.Context, remote Remote, up Upload, interpreter Words, args []string, become *Become) (Command, error) {
	name := up.Artifact
	if name == "" {
		name = sha256Hex(up.Content)
	}
	up.Dest = stageDir + "/" + name
	if become != nil {
		dir, err := privateDir(ctx, remote, become)
		if err != nil {
			return Command{}, err
		}
		up.Dest, up.Become = dir+"/"+name, become
	} else if err := makeDir(ctx, remote, stageDir, nil); err != nil {
		return Command{}, err
	}
	placed, err := remote.Upload(ctx, up)
	if err != nil {
		return Command{}, err
	}
	return stagedLine(up.Dest, placed.Path, name, interpreter, args)
}

// stagedLine sweeps the cache of what was not used for two weeks, then becomes
// the program, so that the program's end is the command's.
func stagedLine(dest, placed, name string, interpreter Words, args []string) (Command, error) {
	path, err := Quote(dest)
	if strings.HasPrefix(placed, "/") {
		path, err = Quote(placed)
	} else if !strings.HasPrefix(dest, "/") {
		path = `"$HOME"/` + path
	}
	if err != nil {
		return Command{}, err
	}
	words, err := Quote(args...)
	if err != nil {
		return Command{}, ParameterError{Location: "parameters.args", Message: err.Error()}
	}
	with, err := interpreter.Shell()
	if err != nil {
		return Command{}, ParameterError{Location: "parameters.interpreter", Message: err.Error()}
	}
	line := strings.TrimSpace(with + " " + path + " " + words)
	if strings.HasPrefix(dest, "/") { // in a private directory, which goes with it
		line += `; s=$?; rm -rf -- "$(dirname -- ` + path + `)"; exit $s`
	} else {
		line = `touch ` + path + ` 2>/dev/null; find "$HOME"/` + stageDir + ` -type f -mtime +14 ! -name ` + name + ` -exec rm -f {} + 2>/dev/null; exec ` + line
	}
	return Command{Script: []byte(line)}, nil // for sh: a login shell may be of another kind
}

// makeDir makes a directory for uploads, which make none. It may be there already.
func makeDir(ctx context.Context, remote Remote, dir string, become *Become) error {
	r, err := remote.Run(ctx, Command{Argv: []string{"mkdir", "-p", "-m", "700", "--", dir}, Become: become, Quiet: true})
	if err == nil {
		err = scriptFailure(r)
	}
	return err
}

// privateDir makes a new directory that only the given user can enter. What the
// host answered is recorded, so a replay gets the same one.
func privateDir(ctx context.Context, remote Remote, become *Become) (string, error) {
	r, err := remote.Run(ctx, Command{
		Script: []byte(`umask 077; mktemp -d "${TMPDIR:-/tmp}/tfw.XXXXXXXX"`),
		Become: become, Quiet: true, Capture: 4096,
	})
	if err != nil {
		return "", err
	}
	dir := strings.TrimSuffix(string(r.Stdout), "\n")
	if r.Failure() != nil || !strings.HasPrefix(dir, "/") || strings.ContainsAny(dir, "\n\x00") {
		return "", Failed("no temporary directory on the host: %s", firstLine(r.Stderr, "mktemp -d did not say why"))
	}
	return dir, nil
}
