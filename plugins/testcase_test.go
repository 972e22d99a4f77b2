package plugins_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"tfw/plugins"
	"tfw/plugins/plugintest"
)

func runTest(t *testing.T, h plugins.Remote, params m) (plugins.TestOutputs, error) {
	t.Helper()
	return call[plugins.TestOutputs](t, method(t, "testcase", "run"), h, params)
}

// rows writes cases in short.
func rows(cases []plugins.Case) string {
	var all []string
	for _, c := range cases {
		all = append(all, c.Name+"="+c.Verdict)
	}
	return strings.Join(all, " ")
}

func TestTestcaseVerdicts(t *testing.T) {
	tests := []struct {
		name   string
		params m
		rows   string
		reason string // "" is passed
		code   int
	}{
		{"passes", m{"command": "true"}, "true=passed", "", 0},
		{"exit status", m{"command": []string{"sh", "-c", "echo why >&2; exit 3"}, "name": "x"}, "x=failed", "exit status 3", 3},
		{"lines", m{"command": "echo '::tfw case name=a result=pass'; echo '::tfw case name=b result=skip'"}, "a=passed b=skipped", "", 0},
		{"a failed line", m{"command": "echo '::tfw case name=a result=fail'; echo '::tfw case name=b result=error'"},
			"a=failed b=errored", "2 of 2 cases did not pass: a, b", 0},
		{"cases pass, command fails", m{"command": "echo '::tfw case name=a result=pass'; exit 2", "name": "x"}, "x=failed a=passed", "exit status 2", 2},
		{"cases fail, command fails", m{"command": "echo '::tfw case name=a result=fail'; exit 2"}, "a=failed", "exit status 2; 1 of 1 cases did not pass: a", 2},
		{"junit", m{"command": `echo '<testsuite><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>' > r.xml`, "report": "junit:r.xml"},
			"a=passed b=failed", "1 of 2 cases did not pass: b", 0},
		{"tap on stdout", m{"command": "echo 1..2; echo ok; echo 'not ok 2 - net # TODO'", "report": []string{"tap:-"}}, "test 1=passed net=skipped", "", 0},
		{"report glob", m{"command": "mkdir -p o; for i in 1 2; do printf '1..1\nok - %s\n' $i > o/$i.tap; done", "report": "tap:o/*.tap"}, "1=passed 2=passed", "", 0},
		{"no report", m{"command": "true", "report": "junit:none.xml", "name": "x"}, "x=failed", "report none.xml: was not written", 0},
		{"broken report", m{"command": "echo '<testsuite>' > r.xml", "report": "junit:r.xml", "name": "x"}, "x=failed", "report r.xml: is not JUnit XML", 0},
		{"huge report", m{"command": "printf '<testsuite>' > r.xml; head -c 9000000 /dev/zero | tr '\\0' ' ' >> r.xml", "report": "junit:r.xml", "name": "x"}, "x=failed", "report r.xml: r.xml is over 8 MiB", 0},
		{"binary report", m{"command": "head -c 100000 /dev/urandom > r.xml", "report": "junit:r.xml", "name": "x"}, "x=failed", "report r.xml: is not ", 0},
		{"a directory as report", m{"command": "mkdir r.xml", "report": "junit:r.xml", "name": "x"}, "x=failed", "report r.xml: was not written", 0},
		{"too many reports", m{"command": "mkdir o; for i in $(seq 205); do echo 1..0 > o/$i.tap; done", "report": "tap:o/*", "name": "x"}, "x=failed", "report o/*: more than 200 files match", 0},
		{"old report", m{"command": "true", "report": "tap:old.tap", "name": "x"}, "x=failed", "report old.tap: was not written", 0},
		{"script", m{"script": "#!/bin/bash\n[[ $1 == a ]]", "args": []string{"a"}}, "script=passed", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := plugintest.Local(t)
			if err := os.WriteFile(h.Path("old.tap"), []byte("1..1\nok\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := runTest(t, h, tt.params)
			if got := rows(out.Cases); got != tt.rows {
				t.Errorf("rows %q, want %q", got, tt.rows)
			}
			if tt.reason == "" && err != nil {
				t.Fatal(err)
			} else if tt.reason != "" {
				if got := wantFailed(t, err, tt.code).Reason; !strings.Contains(got, tt.reason) {
					t.Errorf("reason %q, want %q", got, tt.reason)
				}
			}
		})
	}
}

func TestTestcaseKeepsArtifactsOnFailure(t *testing.T) {
	h := plugintest.Local(t)
	out, err := runTest(t, h, m{
		"command": "mkdir -p logs/a 'sp ace'; echo 1 > logs/a/x.log; echo 2 > logs/y.log; echo 3 > 'sp ace/z z.log'; echo 4 > top.txt; exit 1",
		"cwd":     "", "artifacts": []string{"logs/**/*.log", "sp ace/*", "none*", "top.txt", "./top.txt", "logs/"},
	})
	wantFailed(t, err, 1)
	want := map[string]string{"logs/a/x.log": "1\n", "logs/y.log": "2\n", "sp ace/z z.log": "3\n", "top.txt": "4\n"}
	if len(out.Artifacts) != len(want)+1 || len(h.Artifact(out.Artifacts["logs/"])) < 1024 {
		t.Errorf("kept %v", out.Artifacts)
	}
	for name, content := range want {
		if got := string(h.Artifact(out.Artifacts[name])); got != content {
			t.Errorf("%s holds %q", name, got)
		}
	}
	if notes := strings.Join(h.Notes(), "\n"); notes != "artifact none*: no such file" {
		t.Errorf("notes %q", notes)
	}
}

func TestTestcaseArtifactLimits(t *testing.T) {
	for _, limit := range []m{{"max_artifacts": 2}, {"max_artifact_bytes": 5}} {
		h := plugintest.Local(t)
		params := m{"command": "for i in 1 2 3 4 5 6; do echo $i > f$i; done", "artifacts": "f*"}
		for k, v := range limit {
			params[k] = v
		}
		out, err := runTest(t, h, params)
		if err != nil || len(out.Artifacts) != 0 || len(h.Notes()) != 1 || !strings.Contains(h.Notes()[0], "raise max_artifact") {
			t.Errorf("%v: %v, %v, %q", limit, err, out.Artifacts, h.Notes())
		}
	}
}

func TestTestcaseReboots(t *testing.T) {
	h := plugintest.Local(t)
	out, err := runTest(t, h, m{"command": `echo "::tfw case name=part$TFW_REBOOT_COUNT result=pass"; [ $TFW_REBOOT_COUNT -ge 2 ] || exit 194`})
	if err != nil || out.Reboots != 2 || h.Reboots() != 2 || rows(out.Cases) != "part0=passed part1=passed part2=passed" {
		t.Errorf("%v, %d reboots, %s", err, out.Reboots, rows(out.Cases))
	}
	out, err = runTest(t, h, m{"command": "echo $TFW_REBOOT_COUNT", "reboot": true})
	if err != nil || out.Reboots != 1 || out.Stdout != "1\n" {
		t.Errorf("reboot: true: %v, %+v", err, out)
	}
	out, err = runTest(t, h, m{"command": "exit 194", "max_reboots": 1})
	if got := wantFailed(t, err, 0).Reason; out.Reboots != 1 || !strings.Contains(got, "allowed are 1") {
		t.Errorf("endless reboots: %d, %q", out.Reboots, got)
	}
	broken := errors.New("did not come back")
	h.FailReboot(broken)
	if out, err = runTest(t, h, m{"command": "exit 194", "name": "x"}); !errors.Is(err, broken) || rows(out.Cases) != "x=errored" {
		t.Errorf("a reboot that fails: %v, %s", err, rows(out.Cases))
	}
}

func TestTestcaseTimesOutAndKeepsWhatThereIs(t *testing.T) {
	h := plugintest.Local(t)
	out, err := runTest(t, h, m{"command": "echo x > partial.log; exec sleep 60", "timeout": 0.3, "artifacts": "*.log", "name": "slow"})
	if !errors.Is(err, plugintest.ErrTimeout) || rows(out.Cases) != "slow=errored" || len(out.Artifacts) != 1 {
		t.Errorf("%v, %s, %v", err, rows(out.Cases), out.Artifacts)
	}
}

func TestTestcaseRefusesBadReports(t *testing.T) {
	for _, spec := range []string{"xml:a", "junit:", "junit:-", "tap"} {
		_, err := runTest(t, plugintest.Local(t), m{"command": "true", "report": spec})
		if wrong, ok := errors.AsType[plugins.ParameterError](err); !ok || wrong.Location != "parameters.report" {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

func TestTestcaseSurvivesTheController(t *testing.T) {
	script := `
echo "run $TFW_REBOOT_COUNT" >> trace
printf '1..1\nok 1 - part%s\n' "$TFW_REBOOT_COUNT" > "r$TFW_REBOOT_COUNT.tap"
[ "$TFW_REBOOT_COUNT" = 1 ] || exit 194
exit 4`
	out := plugintest.Replay(t, method(t, "testcase", "run"),
		m{"script": script, "report": "tap:r*.tap", "artifacts": []string{"trace", "r*"}},
		plugintest.Ignore("elapsed", "duration"))
	wantFailed(t, out.Err, 4)
	if len(out.Ops) < 8 {
		t.Errorf("only %d operations: %v", len(out.Ops), out.Ops)
	}
}

// cancelling ends the context within the n-th operation, as a cancel by a person does.
type cancelling struct {
	plugins.Remote
	after  int
	cancel context.CancelCauseFunc
}

var errCancelled = errors.New("cancelled by ann")

func (c *cancelling) Run(ctx context.Context, cmd plugins.Command) (plugins.Result, error) {
	if c.after--; c.after < 0 {
		c.cancel(errCancelled)
		return plugins.Result{}, errCancelled
	}
	return c.Remote.Run(ctx, cmd)
}

func TestTestcaseCancelledIsNeitherPassedNorFailed(t *testing.T) {
	for after := range 4 { // removal of old reports, the test, the reports, the artifacts
		ctx, cancel := context.WithCancelCause(t.Context())
		remote := &cancelling{plugintest.Local(t), after, cancel}
		_, err := method(t, "testcase", "run").Call(ctx, remote, []byte(`{"command":"true","report":"tap:x","artifacts":"y"}`))
		if _, failed := errors.AsType[*plugins.FailedError](err); failed || !errors.Is(err, errCancelled) {
			t.Errorf("cancelled after %d operations: %v", after, err)
		}
		cancel(nil)
	}
}
