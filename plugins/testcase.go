package plugins

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// Testcase runs tests on a host and reads what they report. It needs a POSIX sh
// there; a reboot inside a case needs the rights to reboot.
type Testcase struct{}

var _ = builtin(Testcase{})

// Name implements [Plugin].
func (Testcase) Name() string { return "testcase" }

// Summary implements [Plugin].
func (Testcase) Summary() string {
	return "run tests, read their JUnit, TAP or ::tfw reports, keep their artifacts"
}

// Methods implements [Plugin].
func (Testcase) Methods() []Method {
	return []Method{
		Do("run", "run a test command or script; failed when it exits with other than 0 or reports a case that did not pass",
			runTest, Positional("command")),
	}
}

// exitReboot is the status by which a case asks for a reboot and to be run again after it.
const exitReboot = 194

type testParams struct {
	Command     Words    `json:"command,omitempty" jsonschema:"oneof_required=command,description=the test: a shell line or a list of words"`
	Script      Content  `json:"script,omitempty" jsonschema:"oneof_required=script,description=the test as a script sent along"`
	Artifact    string   `json:"artifact,omitempty" jsonschema:"oneof_required=artifact,pattern=^[0-9a-f]{64}$,description=the test as a program in the artifact store by SHA-256"`
	Interpreter Words    `json:"interpreter,omitempty" jsonschema:"description=what to run a script or artifact with"`
	Args        []string `json:"args,omitempty" jsonschema:"description=arguments of a script or artifact"`
	Name        string   `json:"name,omitempty" jsonschema:"maxLength=300,description=name of the case when the test reports none of its own"`
	Report      Many     `json:"report,omitempty" jsonschema:"description=junit:PATH or tap:PATH (globs too; removed before the test so that no old one is read) or tap:- for stdout"`
	Reboot      bool     `json:"reboot,omitempty" jsonschema:"description=once it passed reboot and run it again with TFW_REBOOT_COUNT=1"`
	MaxReboots  int      `json:"max_reboots,omitempty" jsonschema:"minimum=0,maximum=1000,description=how often a test may ask for a reboot (exit status 194)"`
	RebootWait  Duration `json:"reboot_wait,omitempty" jsonschema:"description=how long a reboot may take"`
	Collection
	Process
}

// Defaults bound what a test may ask for.
func (testParams) Defaults() testParams {
	return testParams{MaxReboots: 8, RebootWait: Duration(10 * time.Minute), Collection: defaultCollection}
}

// TestOutputs is what a test gave.
type TestOutputs struct {
	CommandOutputs
	Cases     []Case            `json:"cases"`
	Artifacts map[string]string `json:"artifacts" jsonschema:"description=SHA-256 by name"`
	Reboots   int               `json:"reboots"`
}

func runTest(ctx context.Context, remote Remote, p testParams) (TestOutputs, error) {
	out := TestOutputs{Cases: []Case{}, Artifacts: map[string]string{}}
	sources, err := reportSources(p.Report)
	if err != nil {
		return out, err
	}
	if err := removeReports(ctx, remote, p, sources); err != nil {
		return out, err
	}
	c, err := testCommand(ctx, remote, p)
	if err != nil {
		return out, err
	}
	c.Capture = 1 << 20
	if sources.stdout {
		c.Capture = maxReport
	}
	rows, runErr := testUntilDone(ctx, remote, p, c, sources.stdout, &out)
	if runErr != nil && ctx.Err() != nil {
		return out, runErr // cancelled: nothing more can be asked of the host
	}
	missing, readErr := sources.read(ctx, remote, p, &rows)
	keepErr := keepArtifacts(ctx, remote, p, &out)
	if ctx.Err() != nil {
		return out, context.Cause(ctx) // cut short: what is missing says nothing about the test
	}
	if runErr == nil {
		runErr = errors.Join(readErr, keepErr)
	}
	for _, problem := range rows.problems {
		remote.Note("report: %s", problem)
	}
	return out, judgeTest(p, &out, rows, missing, runErr)
}

// testUntilDone runs the test again after each reboot that it asks for. Rows that
// it prints count from every part.
func testUntilDone(ctx context.Context, remote Remote, p testParams, c Command, tap bool, out *TestOutputs) (report, error) {
	var rows report
	for {
		c.Env = maps.Clone(c.Env)
		if c.Env == nil {
			c.Env = map[string]string{}
		}
		c.Env["TFW_REBOOT_COUNT"] = strconv.Itoa(out.Reboots)
		r, err := remote.Run(ctx, c)
		if err != nil {
			return rows, err
		}
		out.CommandOutputs = outputsOf(r)
		rows.take(parseCaseLines(r.Stdout))
		if tap {
			rows.take(parseTAP(r.Stdout))
		}
		if r.StdoutBytes > int64(len(r.Stdout)) {
			rows.problem(fmt.Sprintf("only the first %d of %d bytes of stdout were searched for cases", len(r.Stdout), r.StdoutBytes))
		}
		asked := r.ExitCode == exitReboot
		if !asked && (!p.Reboot || out.Reboots > 0 || r.ExitCode != 0) {
			return rows, nil
		}
		if asked && out.Reboots >= p.MaxReboots {
			return rows, Failed("the test asked for reboot number %d, allowed are %d (see max_reboots)", out.Reboots+1, p.MaxReboots)
		}
		if err := reboot(ctx, remote, p.RebootWait); err != nil {
			return rows, err
		}
		out.Reboots++
	}
}

// take adds another source's rows.
func (r *report) take(o report) {
	for _, c := range o.cases {
		r.add(c)
	}
	for _, s := range o.problems {
		r.problem(s)
	}
	r.dropped += o.dropped
}

func testCommand(ctx context.Context, remote Remote, p testParams) (Command, error) {
	if p.Command.Empty() && p.Script == nil && p.Artifact == "" {
		return Command{}, ParameterError{Location: "parameters.command", Message: "is empty"}
	}
	c, err := commandOf(p.Command)
	if p.Command.Empty() {
		c, err = scriptCommand(ctx, remote, scriptParams{
			Script: p.Script, Artifact: p.Artifact, Interpreter: p.Interpreter, Args: p.Args, Process: p.Process,
		})
	} else if len(p.Args) > 0 {
		return c, ParameterError{Location: "parameters.args", Message: "is for a script or artifact (put them into command)"}
	}
	return p.apply(c), err
}

// commandOf makes a command of a user's text (for the shell) or list (as it is).
func commandOf(w Words) (Command, error) {
	if _, err := w.Shell(); err != nil {
		return Command{}, ParameterError{Location: "parameters.command", Message: err.Error()}
	}
	if w.List != nil {
		return Command{Argv: w.List}, nil
	}
	return Command{Shell: w.Line}, nil
}

// keepArtifacts keeps what there is. That something is missing or over a limit is
// only noted; that the host could not be asked is an error.
func keepArtifacts(ctx context.Context, remote Remote, p testParams, out *TestOutputs) error {
	kept, missing, err := p.keep(ctx, remote, p.Cwd, p.Become.Become())
	out.Artifacts = kept
	if _, failed := errors.AsType[*FailedError](err); failed {
		remote.Note("artifacts were not all kept: %v", err)
		err = nil
	}
	for _, pattern := range missing {
		remote.Note("artifact %s: no such file", printable(pattern))
	}
	return err
}

// judgeTest makes the rows complete and the verdict from them. Every test has at least one row.
func judgeTest(p testParams, out *TestOutputs, rows report, missing []string, runErr error) error {
	if runErr == nil && out.ExitCode != 0 {
		runErr = Result{ExitCode: out.ExitCode, Signal: out.Signal}.Failure()
	}
	for _, m := range missing {
		if runErr == nil {
			runErr = Failed("%s", m)
		}
	}
	if rows.dropped > 0 && runErr == nil {
		runErr = Failed("the test reported more than %d cases", MaxCases)
	}
	bad, names := countBad(rows.cases)
	if len(rows.cases) == 0 || (runErr != nil && bad == 0) {
		rows.cases = append([]Case{wholeCase(p, out, runErr)}, rows.cases[:min(len(rows.cases), MaxCases-1)]...)
	}
	out.Cases = rows.cases
	if bad == 0 {
		return runErr
	}
	reason := fmt.Sprintf("%d of %d cases did not pass: %s", bad, len(rows.cases), names)
	if failed, ok := errors.AsType[*FailedError](runErr); ok {
		return &FailedError{Reason: failed.Reason + "; " + reason, ExitCode: failed.ExitCode, Signal: failed.Signal}
	} else if runErr != nil {
		return runErr
	}
	return Failed("%s", reason)
}

// wholeCase is the row of the command itself.
func wholeCase(p testParams, out *TestOutputs, runErr error) Case {
	c := Case{Name: p.Name, Verdict: CasePassed, Duration: out.Elapsed}
	if c.Name == "" {
		c.Name = testName(p)
	}
	if runErr != nil {
		c.Verdict, c.Message = CaseErrored, cleanText(runErr.Error(), maxCaseMessage)
		if _, failed := errors.AsType[*FailedError](runErr); failed {
			c.Verdict = CaseFailed
			if why := lastLine([]byte(out.Stderr), ""); why != "" {
				c.Message += "\n" + why
			}
		}
	}
	return c
}

func testName(p testParams) string {
	switch {
	case p.Command.List != nil:
		return cleanLine(strings.Join(p.Command.List, " "), maxCaseName)
	case p.Command.Line != "":
		return cleanLine(p.Command.Line, maxCaseName)
	}
	return "script"
}

func countBad(cases []Case) (bad int, names string) {
	var list []string
	for _, c := range cases {
		if c.Verdict != CaseFailed && c.Verdict != CaseErrored {
			continue
		}
		if bad++; bad <= 3 {
			list = append(list, cleanLine(c.Name, 80))
		}
	}
	if bad > len(list) {
		list = append(list, "...")
	}
	return bad, strings.Join(list, ", ")
}

// reboot uses the remote's power to reboot, where it has it.
func reboot(ctx context.Context, remote Remote, wait Duration) error {
	r, ok := remote.(Rebooter)
	if !ok {
		return errors.New("this controller cannot reboot hosts")
	}
	return r.Reboot(ctx, wait.Std())
}
