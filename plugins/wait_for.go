package plugins

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"
)

//go:embed scripts/wait_for.sh
var waitScript []byte

type waitParams struct {
	Port     int      `json:"port,omitempty" jsonschema:"oneof_required=port,minimum=1,maximum=65535,description=a TCP port that something on the host listens on"`
	Path     string   `json:"path,omitempty" jsonschema:"oneof_required=path,minLength=1,pattern=^[^\\x00]*$,description=a path that exists on the host"`
	Command  Words    `json:"command,omitempty" jsonschema:"oneof_required=command,description=a command that exits with 0; it is tried again and again"`
	Absent   bool     `json:"absent,omitempty" jsonschema:"description=wait for the opposite: nobody listens or the path is gone or the command fails"`
	Timeout  Duration `json:"timeout,omitempty" jsonschema:"description=give up after this long; the verdict is failed"`
	Interval Duration `json:"interval,omitempty" jsonschema:"description=time between two tries; at least 1s on hosts whose sleep takes whole seconds only"`
	Cwd      string   `json:"cwd,omitempty" jsonschema:"description=directory for command and relative paths"`
	Become   As       `json:"become,omitempty" jsonschema:"description=the user to look as"`
}

// Defaults are a minute, looking once a second.
func (waitParams) Defaults() waitParams {
	return waitParams{Timeout: Duration(time.Minute), Interval: Duration(time.Second)}
}

type waitOutputs struct {
	Tries  int      `json:"tries"`
	Waited Duration `json:"waited"`
}

// waitFor loops on the host: it is one durable command, however long it takes.
func waitFor(ctx context.Context, remote Remote, p waitParams) (waitOutputs, error) {
	kind, what, err := p.subject()
	if err != nil {
		return waitOutputs{}, err
	}
	want := "0"
	if p.Absent {
		want = "1"
	}
	r, err := remote.Run(ctx, Command{
		Script: waitScript,
		Argv: []string{"wait_for", kind, what, want,
			strconv.FormatInt(int64(p.Timeout.Std().Seconds()), 10), seconds(p.Interval)},
		Cwd: p.Cwd, Become: p.Become.Become(), Quiet: true, Capture: headBytes,
		// A try that hangs must not hang the run.
		Timeout: p.Timeout.Std() + 2*p.Interval.Std() + 30*time.Second,
	})
	if err != nil {
		return waitOutputs{}, err
	}
	out := waitOutputs{Waited: Duration(r.Elapsed)}
	out.Tries, _ = strconv.Atoi(lastLine(r.Stdout, "0")) // 0 tells that the host did not say
	switch r.ExitCode {
	case exitGaveUp:
		return out, &FailedError{Reason: fmt.Sprintf("%s after %s", p.complaint(), p.Timeout), ExitCode: r.ExitCode}
	case exitUnavailable:
		return out, &FailedError{Reason: firstLine(r.Stderr, "the host lacks what it takes to look"), ExitCode: r.ExitCode}
	}
	return out, r.Failure()
}

// Exit statuses of our own scripts (sysexits.h where there is one that fits).
const (
	exitGaveUp      = 75 // EX_TEMPFAIL
	exitUnavailable = 69 // EX_UNAVAILABLE: the host lacks something
	exitUsage       = 64 // EX_USAGE: what was asked for cannot be
)

func (p waitParams) subject() (kind, what string, err error) {
	switch {
	case p.Port != 0:
		return "port", fmt.Sprintf("%04X", p.Port), nil
	case p.Path != "":
		return "path", p.Path, nil
	}
	line, err := p.Command.Shell()
	if err != nil || line == "" {
		return "", "", ParameterError{Location: "parameters.command", Message: "want a command"}
	}
	return "command", line, nil
}

func (p waitParams) complaint() string {
	still := map[bool]string{true: "still ", false: "still not "}[p.Absent]
	switch {
	case p.Port != 0:
		return fmt.Sprintf("port %d is %slistened on", p.Port, still)
	case p.Path != "":
		return fmt.Sprintf("%s is %sthere", cleanLine(p.Path, 200), still)
	}
	return map[bool]string{true: "the command still succeeds", false: "the command still fails"}[p.Absent]
}

// seconds writes a duration as sleep reads it.
func seconds(d Duration) string { return strconv.FormatFloat(d.Std().Seconds(), 'f', -1, 64) }
