package plugins

import (
	"context"
	"time"
)

// LinuxSystem runs commands on a host, moves files and tells what the host is.
// It needs nothing on the host but a POSIX sh; facts about hardware need /proc.
type LinuxSystem struct{}

var _ = builtin(LinuxSystem{})

// Name implements [Plugin].
func (LinuxSystem) Name() string { return "linux_system" }

// Summary implements [Plugin].
func (LinuxSystem) Summary() string {
	return "run commands and scripts, move files, wait for things and tell facts of a host"
}

// Methods implements [Plugin].
func (LinuxSystem) Methods() []Method {
	return []Method{
		Do("run_shell", "run a shell line", runShell, Positional("command", "args")),
		Do("exec", "run a program with the given arguments, each exactly as it is", runExec),
		Do("run_script", "run a script or program sent along", runScript, Positional("script")),
		Do("system_information", "tell what the host is: system, cpus, memory, disks, addresses, uptime", systemInformation),
		Do("upload", "place a file on the host, complete or not at all; skipped when it is there already", upload, Positional("artifact", "dest")),
		Do("download", "bring a file or directory of the host into the artifact store", download, Positional("path")),
		Do("wait_for", "wait until a port listens, a path exists or a command succeeds", waitFor),
	}
}

type shellParams struct {
	Command string `json:"command" jsonschema:"minLength=1,pattern=^[^\\x00]*$,description=a line for /bin/sh"`
	Args    Words  `json:"args,omitempty" jsonschema:"description=put after the command: a text as it is or a list of words each quoted"`
	Process
}

func runShell(ctx context.Context, remote Remote, p shellParams) (CommandOutputs, error) {
	line := p.Command
	if !p.Args.Empty() {
		args, err := p.Args.Shell()
		if err != nil {
			return CommandOutputs{}, ParameterError{Location: "parameters.args", Message: err.Error()}
		}
		line += " " + args
	}
	return runProcess(ctx, remote, p.Process, Command{Shell: line})
}

type execParams struct {
	Argv []string `json:"argv" jsonschema:"minItems=1,description=the program and its arguments"`
	Process
}

func runExec(ctx context.Context, remote Remote, p execParams) (CommandOutputs, error) {
	if _, err := Quote(p.Argv...); err != nil {
		return CommandOutputs{}, ParameterError{Location: "parameters.argv", Message: err.Error()}
	}
	return runProcess(ctx, remote, p.Process, Command{Argv: p.Argv})
}

type uploadParams struct {
	Content  Content   `json:"content,omitempty" jsonschema:"oneof_required=content,description=the file itself when it is small"`
	Artifact string    `json:"artifact,omitempty" jsonschema:"oneof_required=artifact,pattern=^[0-9a-f]{64}$,description=SHA-256 (hex) of a file in the artifact store"`
	Dest     string    `json:"dest" jsonschema:"minLength=1,pattern=^[^\\x00]*$,description=path on the host; relative to the login user's home; a trailing / means into that directory"`
	Name     string    `json:"name,omitempty" jsonschema:"pattern=^[^/\\x00]+$,description=base name for a dest that ends in /"`
	Mode     Mode      `json:"mode,omitempty" jsonschema:"description=permission bits; 0644 when not given"`
	ModTime  time.Time `json:"mod_time,omitzero" jsonschema:"description=modification time to set; now when not given"`
	Become   As        `json:"become,omitempty" jsonschema:"description=the user who is to own it"`
}

func upload(ctx context.Context, remote Remote, p uploadParams) (Transfer, error) {
	return remote.Upload(ctx, Upload{
		Content: p.Content, Artifact: p.Artifact, Dest: p.Dest, Name: p.Name,
		Mode: uint32(p.Mode), ModTime: p.ModTime, Become: p.Become.Become(),
	})
}

type downloadParams struct {
	Path     string `json:"path" jsonschema:"minLength=1,pattern=^[^\\x00]*$,description=file or directory on the host; a directory comes as a tar archive"`
	Limit    int64  `json:"limit,omitempty" jsonschema:"minimum=0,description=refuse more bytes than this; 0 is the controller's limit"`
	Optional bool   `json:"optional,omitempty" jsonschema:"description=a missing path is no fault"`
	Become   As     `json:"become,omitempty" jsonschema:"description=the user to read it as"`
}

func download(ctx context.Context, remote Remote, p downloadParams) (Transfer, error) {
	return remote.Download(ctx, Download{Src: p.Path, Limit: p.Limit, Optional: p.Optional, Become: p.Become.Become()})
}
