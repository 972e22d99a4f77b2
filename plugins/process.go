package plugins

import (
	"context"
	"strings"
	"unicode/utf8"
)

// Process is how a command is run: the parameters that every method with a
// command of the user's takes. It is embedded in their parameters.
type Process struct {
	Cwd            string   `json:"cwd,omitempty" jsonschema:"description=directory to run in; the login user's home when not given"`
	Env            Env      `json:"env,omitempty" jsonschema:"description=environment variables added to those of the login"`
	Stdin          Input    `json:"stdin,omitzero" jsonschema:"description=what the command reads on standard input; nothing when not given"`
	Timeout        Duration `json:"timeout,omitempty" jsonschema:"description=end the command after this long"`
	SilenceTimeout Duration `json:"silence_timeout,omitempty" jsonschema:"description=end the command after this long without output"`
	Become         As       `json:"become,omitempty" jsonschema:"description=run as another user: true for the host's setting or root or a name"`
	Merge          bool     `json:"merge,omitempty" jsonschema:"description=put stderr into stdout in strict order (2>&1)"`
}

// apply sets what the parameters say on a command.
func (p Process) apply(c Command) Command {
	c.Cwd, c.Stdin, c.StdinSecret = p.Cwd, p.Stdin.Content, p.Stdin.Secret
	c.Env, c.EnvSecrets = p.Env.split()
	c.Timeout, c.SilenceTimeout = p.Timeout.Std(), p.SilenceTimeout.Std()
	c.Become, c.Merge, c.Sync = p.Become.Become(), p.Merge, true
	return c
}

// CommandOutputs is how a command of the user's ended.
type CommandOutputs struct {
	ExitCode    int      `json:"exit_code"`
	Signal      string   `json:"signal,omitempty"`
	Stdout      string   `json:"stdout" jsonschema:"description=the first 4 KiB as text; all of it is in the log"`
	Stderr      string   `json:"stderr" jsonschema:"description=the first 4 KiB as text; all of it is in the log"`
	StdoutBytes int64    `json:"stdout_bytes"`
	StderrBytes int64    `json:"stderr_bytes"`
	Elapsed     Duration `json:"elapsed" jsonschema:"description=by the host's clock"`
}

// headBytes is how much of a stream goes into outputs: enough for a value that
// a later step uses, little enough for hundreds of hosts.
const headBytes = 4096

func outputsOf(r Result) CommandOutputs {
	return CommandOutputs{
		ExitCode: r.ExitCode, Signal: r.Signal,
		Stdout: head(r.Stdout), Stderr: head(r.Stderr),
		StdoutBytes: r.StdoutBytes, StderrBytes: r.StderrBytes,
		Elapsed: Duration(r.Elapsed),
	}
}

// head gives the beginning of a stream as valid text, never ending within a character.
func head(b []byte) string {
	if len(b) > headBytes {
		b = b[:headBytes]
		for i := 1; i < utf8.UTFMax && i < len(b); i++ { // a rune cut by the bound
			if utf8.RuneStart(b[len(b)-i]) {
				if !utf8.FullRune(b[len(b)-i:]) {
					b = b[:len(b)-i]
				}
				break
			}
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// runProcess runs a user's command and judges it by its exit.
func runProcess(ctx context.Context, remote Remote, p Process, c Command) (CommandOutputs, error) {
	c = p.apply(c)
	c.Capture = headBytes + utf8.UTFMax
	r, err := remote.Run(ctx, c)
	if err != nil {
		return CommandOutputs{}, err
	}
	return outputsOf(r), r.Failure()
}
