package plan_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/joshdk/go-junit"
	"pgregory.net/rapid"

	"tfw/executor"
	"tfw/plan"
	"tfw/plugins"
)

type reportParams struct {
	Do    string         `json:"do"`
	Cases []plugins.Case `json:"cases"`
}

type reportOut struct {
	Cases     []plugins.Case    `json:"cases"`
	Artifacts map[string]string `json:"artifacts"`
}

func report(ctx context.Context, r plugins.Remote, p reportParams) (reportOut, error) {
	o := reportOut{p.Cases, map[string]string{"log.txt": strings.Repeat("ab", 32)}}
	res, err := r.Run(ctx, plugins.Command{Shell: p.Do})
	if err != nil {
		return o, err
	}
	return o, res.Failure()
}

func (l *lab) rows(id string) (all []plan.Row) {
	l.t.Helper()
	r, err := l.Results(l.t.Context(), me, id, true)
	for err == nil {
		var rows []plan.Row
		if rows, err = r.Next(l.t.Context()); err == nil {
			all = append(all, rows...)
		}
	}
	if !errors.Is(err, io.EOF) {
		l.t.Fatal(err)
	}
	return all
}

func brief(rows []plan.Row) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s[%s] %s %s=%s", r.Step, r.Cell, r.Host, r.Name, r.Verdict)
		if r.Attempts > 1 {
			fmt.Fprintf(&b, " x%d", r.Attempts)
		}
		if r.Kept {
			b.WriteString(" kept")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// everything is a plan with each way that a row comes about.
const everything = head + `  build: {uses: work.do, on: b, with: {do: say built}}
  flaky: {uses: work.do, on: b, retry: {limit: 1, on: [failed]}, with: {do: say flaky}}
  suite: {uses: work.report, on: d, needs: [build], matrix: {n: [1, 2]}, with: {do: "exit ${{ matrix.n - 1 }}", cases: [{name: boot, verdict: passed, duration: 2s, measurements: [{name: t, value: 2.5, unit: s}]}, {name: "net & <disk>", verdict: "${{ matrix.n == 1 ? 'passed' : 'failed' }}", message: broken}]}}
  soft: {uses: work.do, on: b, allow_failure: true, with: {do: exit 1}}
  after: {uses: work.do, on: d, needs: [suite], with: {do: say no}}
  slow: {uses: work.do, on: d, per_host: true, needs: [suite], with: {do: say no}}
  inner: {uses: plan:inner.yaml}
finally:
  clean: {uses: work.do, on: d, with: {do: say clean}}
`

const innerPlan = "name: inner\nhosts: {d: {target: duts, count: 1}}\nsteps:\n  deep: {uses: work.do, on: d, with: {do: say deep}}\n"

func (l *lab) everything() *plan.TestPlan {
	l.t.Helper()
	l.hosts.broken["say flaky"] = 1
	t, err := l.Submit(l.t.Context(), me, plan.Submission{File: "p.yaml", Plan: everything, Files: map[string]string{"inner.yaml": innerPlan}})
	if err != nil {
		l.t.Fatal(err)
	}
	return l.wait(t)
}

func TestRowsTellEverything(t *testing.T) {
	l := newLab(t)
	done := l.everything()
	rows := l.rows(done.ID)
	want := `build[] b1 build=passed
flaky[] b1 flaky=passed x2
suite[n=1] d1 boot=passed
suite[n=1] d1 net & <disk>=passed
suite[n=1] d2 boot=passed
suite[n=1] d2 net & <disk>=passed
suite[n=2] d1 boot=passed
suite[n=2] d1 net & <disk>=failed
suite[n=2] d2 boot=passed
suite[n=2] d2 net & <disk>=failed
soft[] b1 soft=failed
after[]  after=skipped
slow[] d1 slow=skipped
slow[] d2 slow=skipped
inner/deep[] d1 deep=passed
clean[] d1 clean=passed
clean[] d2 clean=passed
`
	if got := brief(rows); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, r := range rows {
		if r.Verdict != executor.Skipped && (r.Run == "" || r.Started.IsZero()) {
			t.Errorf("%+v has no run or no beginning", r)
		}
		if r.Name == "boot" && (len(r.Measurements) != 1 || time.Duration(r.Duration) != 2*time.Second || r.Artifacts["log.txt"] == "") {
			t.Errorf("%+v", r)
		}
		if r.Step == "soft" && !r.Allowed || r.Step == "slow" && r.Message == "" {
			t.Errorf("%+v", r)
		}
	}
	again, err := l.Resume(t.Context(), me, done.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := brief(l.rows(l.wait(again).ID))
	if !strings.Contains(got, "suite[n=1] d1 boot=passed kept\n") || strings.Contains(got, "suite[n=2] d1 boot=passed kept") {
		t.Errorf("resumed:\n%s", got)
	}
}

func (l *lab) export(format, id string) []byte {
	l.t.Helper()
	r, err := l.Results(l.t.Context(), me, id, true)
	if err != nil {
		l.t.Fatal(err)
	}
	report, out := plan.NewReport(format, r.Plan.Name), []byte(nil)
	for {
		rows, err := r.Next(l.t.Context())
		if errors.Is(err, io.EOF) {
			return report.Close(out)
		}
		if err != nil {
			l.t.Fatal(err)
		}
		out = report.Rows(out, rows)
	}
}

// suites is JUnit as a reader sees it.
type suites struct {
	Suites []struct {
		Name     string `xml:"name,attr"`
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Cases    []struct {
			Name    string    `xml:"name,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

func TestJUnit(t *testing.T) {
	l := newLab(t)
	text := l.export("junit", l.everything().ID)
	var got suites
	if err := xml.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	names := ""
	for _, s := range got.Suites {
		names += s.Name + ","
		failures, errored, skipped := 0, 0, 0
		for _, c := range s.Cases {
			failures, errored, skipped = failures+has(c.Failure), errored+has(c.Error), skipped+has(c.Skipped)
		}
		if s.Tests != len(s.Cases) || s.Failures != failures || s.Errors != errored || s.Skipped != skipped {
			t.Errorf("%+v: the counts are not those of the cases", s)
		}
	}
	if names != "build b1,flaky b1,suite d1,suite d2,soft b1,after,slow d1,slow d2,inner/deep d1,clean d1,clean d2," {
		t.Error(names)
	}
	if s := string(text); !strings.Contains(s, `name="n=2: net &amp; &lt;disk&gt;"`) || !strings.Contains(s, `value="2.5 s"`) || !strings.Contains(s, "allowed to fail: ") {
		t.Error(s)
	}
	validate(t, text)
	read, err := junit.Ingest(text) // as a tool would that knows nothing of tfw
	total := junit.Totals{}
	for _, s := range read {
		total.Tests, total.Passed, total.Failed, total.Error, total.Skipped = total.Tests+s.Totals.Tests, total.Passed+s.Totals.Passed, total.Failed+s.Totals.Failed, total.Error+s.Totals.Error, total.Skipped+s.Totals.Skipped
	}
	if total.Duration = 0; err != nil || total != (junit.Totals{Tests: 17, Passed: 11, Failed: 2, Skipped: 4}) {
		t.Errorf("%v %+v", err, total)
	}
}

func has(p *struct{}) int {
	if p != nil {
		return 1
	}
	return 0
}

// validate asks xmllint, where it is installed, what the two common schemas say.
func validate(t *testing.T, text []byte) {
	t.Helper()
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Log("xmllint is not installed: the schemas were not asked")
		return
	}
	file := filepath.Join(t.TempDir(), "r.xml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, schema := range []string{"ant.xsd", "jenkins.xsd"} {
		if out, err := exec.Command(lint, "--nonet", "--noout", "--schema", filepath.Join("testdata", "junit", schema), file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s\n%s", schema, err, out, text)
		}
	}
}

var testPoint = regexp.MustCompile(`^(not )?ok (\d+) - (?:[^\\#]|\\[\\#])*?( # (SKIP|TODO).*)?$`)

// readTAP holds a text against the grammar of TAP 14 as far as it is used here.
func readTAP(text string) (points int, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if lines[0] != "TAP version 14" || lines[len(lines)-1] != fmt.Sprintf("1..%d", strings.Count("\n"+text, "\nok ")+strings.Count("\n"+text, "\nnot ok ")) {
		return 0, fmt.Errorf("begins with %q and ends with %q", lines[0], lines[len(lines)-1])
	}
	inside := false
	for _, line := range lines[1 : len(lines)-1] {
		switch m := testPoint.FindStringSubmatch(line); {
		case inside && line == "  ...":
			inside = false
		case inside && strings.HasPrefix(line, "  "):
		case !inside && line == "  ---" && points > 0:
			inside = true
		case !inside && m != nil && m[2] == fmt.Sprint(points+1):
			points++
		default:
			return points, fmt.Errorf("after point %d: %q", points, line)
		}
	}
	return points, nil
}

func TestTAP(t *testing.T) {
	l := newLab(t)
	text := string(l.export("tap", l.everything().ID))
	if n, err := readTAP(text); err != nil || n != 17 {
		t.Errorf("%d %v\n%s", n, err, text)
	}
	for _, want := range []string{"\nok 1 - build b1\n", "\nnot ok 8 - suite[n=2] d1: net & <disk>\n  ---\n  message: \"broken\"\n  severity: \"failed\"\n", "not ok 11 - soft b1 # TODO", "\nok 12 - after # SKIP suite failed\nok 13 - slow d1 # SKIP ", "attempts: 2\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Whatever a host says, reports stay well-formed and hold no control characters.
func TestReportsNeutraliseWhatHostsSay(t *testing.T) {
	nasty := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"\x1b[31mred\x1b[0m", "]]>", "<!--", "&amp;", "\n1..0 # SKIP all", "\nBail out!", "# TODO no", "\\", "\"", "a\u202eb", "\ufffe", "  ...\n", "\r\nok 7", "\x00", "${{ x }}", "\u2028"}))
	rapid.Check(t, func(t *rapid.T) {
		row := plan.Row{Step: "s", Cell: nasty.Draw(t, "cell"), Host: "h", Name: nasty.Draw(t, "name"), Message: nasty.Draw(t, "message"), Output: nasty.Draw(t, "output"),
			Code: nasty.Draw(t, "code"), Verdict: rapid.SampledFrom([]executor.Verdict{executor.Passed, executor.Failed, executor.Errored, executor.Skipped, executor.TimedOut}).Draw(t, "verdict"),
			Artifacts: map[string]string{nasty.Draw(t, "artifact"): "x"}, Measurements: []plugins.Measurement{{Name: nasty.Draw(t, "m"), Value: 1, Unit: nasty.Draw(t, "unit")}}}
		for _, format := range []string{"junit", "tap"} {
			report := plan.NewReport(format, nasty.Draw(t, "plan"))
			text := report.Close(report.Rows(nil, []plan.Row{row}))
			if !utf8.Valid(text) || bytes.ContainsFunc(text, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' || r == 0x7f || r == 0x202e }) {
				t.Fatalf("%s: %q", format, text)
			}
			if format == "tap" {
				if n, err := readTAP(string(text)); n != 1 || err != nil {
					t.Fatalf("%v in %q", err, text)
				}
				continue
			}
			var got suites
			if err := xml.Unmarshal(text, &got); err != nil || len(got.Suites) != 1 || len(got.Suites[0].Cases) != 1 {
				t.Fatalf("%v in %q", err, text)
			}
		}
	})
}

func TestIdempotencyKeys(t *testing.T) {
	l := newLab(t)
	s := plan.Submission{File: "p.yaml", Plan: head + "  a: {uses: work.do, on: b, with: {do: say x}}\n", IdempotencyKey: "k"}
	first, err := l.Submit(t.Context(), me, s)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.Submit(t.Context(), me, s); err != nil || again.ID != first.ID {
		t.Errorf("%+v %v", again, err)
	}
	other := s
	other.Plan += "  z: {uses: work.do, on: b, with: {do: say z}}\n"
	if _, err := l.Submit(t.Context(), me, other); !errors.Is(err, executor.ErrReplayedKey) {
		t.Errorf("another plan under the same key: %v", err)
	}
	other.IdempotencyKey = "testplan/" + first.ID + "/n"
	if _, err := l.Submit(t.Context(), me, other); !errors.Is(err, executor.ErrBadRequest) {
		t.Errorf("a key of the engine's own: %v", err)
	}
	l.wait(first)
}

func TestCompareAndHistory(t *testing.T) {
	l := newLab(t)
	// one plan, whose hosts behave otherwise each time: say a is the test's fault, say b the board's
	text := "name: nightly\nhosts: {d: duts}\nsteps:\n" +
		"  a: {uses: work.do, on: d, per_host: true, with: {do: 'say a ${{ host.name }}'}}\n" +
		"  b: {uses: work.do, on: d, per_host: true, with: {do: 'say b ${{ host.name }}'}}\n" +
		"  c: {uses: work.do, on: d, with: {do: say c}}\n"
	var last *plan.TestPlan
	for i, broken := range [][]string{{}, {"say a d1", "say b d3"}, {"say a d2"}, {"say b d3", "say a d4"}, {"say b d3"}, {"say a d1"}} {
		for _, script := range broken {
			l.hosts.broken[script] = 1
		}
		last = l.wait(l.submit(text, nil))
		if i == 1 {
			c, err := l.Compare(t.Context(), me, last.ID, "")
			if err != nil || c.Counts.NewFailures != 2 || c.Counts.Fixed != 0 || c.NewFailures[0].Host != "d1" || c.NewFailures[0].Before != executor.Passed {
				t.Errorf("%+v %v", c, err)
			}
		}
	}
	c, err := l.Compare(t.Context(), me, last.ID, "")
	if err != nil || c.Counts.NewFailures != 1 || c.Counts.Fixed != 1 || c.Fixed[0].Step != "b" || c.Fixed[0].Host != "d3" || c.Before == nil {
		t.Errorf("%+v %v", c, err)
	}
	h, err := l.HistoryOf(t.Context(), me, last.ID, 0)
	if err != nil || len(h.Plans) != 6 || h.Ran != 6*12 || h.Steady != 1 || len(h.Cases) != 2 {
		t.Fatalf("%+v %v", h, err)
	}
	suspects := map[string]string{}
	for _, one := range h.Cases {
		suspects[one.Step] = one.Suspect
	}
	if suspects["a"] != "test" || suspects["b"] != "host" {
		raw, _ := json.MarshalIndent(h, "", " ")
		t.Errorf("%v\n%s", suspects, raw)
	}
	if first, err := l.Compare(t.Context(), me, h.Plans[5].ID, ""); err != nil || first.Before != nil {
		t.Errorf("the first one has none before it: %+v %v", first, err)
	}
	if few, err := l.HistoryOf(t.Context(), me, last.ID, 2); err != nil || len(few.Plans) != 2 || few.Ran != 24 {
		t.Errorf("%+v %v", few, err)
	}
}

// Of a test plan that never got its hosts nothing is claimed, and no other one is set beside it.
func TestCompareOfWhatNeverRan(t *testing.T) {
	l := newLab(t)
	text := "name: starved\nlease_wait: 1ns\nhosts: {d: duts}\nsteps:\n  a: {uses: work.do, on: d, with: {do: say a}}\n"
	compare := func(p *plan.TestPlan, with string) *plan.Comparison {
		t.Helper()
		c, err := l.Compare(t.Context(), me, p.ID, with)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	l.hosts.broken["say a"] = 1
	failed := l.wait(l.submit(text, nil))
	lease, err := l.ex.Lease(t.Context(), executor.Local("somebody"), executor.LeaseRequest{Target: "duts", For: executor.Duration(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	starved := l.wait(l.submit(text, nil))
	if err := l.ex.Release(t.Context(), executor.Local("somebody"), lease.ID, ""); err != nil {
		t.Fatal(err)
	}
	if c := compare(starved, ""); c.Before != nil || c.Counts != (plan.ChangeCounts{}) || !strings.HasPrefix(c.Reason, "nothing of test plan "+starved.ID+" ran (errored: no hosts within the lease wait: ") {
		t.Errorf("%+v", c)
	}
	if c := compare(failed, starved.ID); c.Before == nil || c.Counts != (plan.ChangeCounts{}) || !strings.Contains(c.Reason, starved.ID+" ran (errored: ") {
		t.Errorf("%+v", c)
	}
	if c := compare(l.wait(l.submit(text, nil)), ""); c.Before == nil || c.Before.ID != failed.ID || c.Counts.Fixed != 1 || c.Reason != "" {
		t.Errorf("%+v", c)
	}
}

// What failed before and did not get that far now is no case of "no change".
func TestCompareTellsWhatDidNotRun(t *testing.T) {
	l := newLab(t)
	text := "name: gated\nparameters: {go: {}}\nhosts: {d: duts}\nsteps:\n  a: {uses: work.do, on: d, when: params.go == 'yes', with: {do: say a}}\n"
	l.hosts.broken["say a"] = 1
	l.wait(l.submit(text, map[string]any{"go": "yes"}))
	c, err := l.Compare(t.Context(), me, l.wait(l.submit(text, map[string]any{"go": "no"})).ID, "")
	if err != nil || c.Counts != (plan.ChangeCounts{NotRun: 1}) {
		t.Errorf("%+v %v", c, err)
	}
}

// Slower is more than twice and at least a second: less is noise, and another host or a case that did not pass says nothing of speed.
func TestCompareTellsWhatBecameSlower(t *testing.T) {
	l := newLab(t)
	text := "name: speed\nparameters: {a: {}, b: {}, c: {}}\nhosts: {d: {target: duts, count: 1}}\nsteps:\n  s: {uses: work.report, on: d, with: {do: say x, cases: [" +
		"{name: a, verdict: passed, duration: '${{ params.a }}'}, {name: b, verdict: passed, duration: '${{ params.b }}'}, {name: c, verdict: passed, duration: '${{ params.c }}'}]}}\n"
	run := func(a, b, c string) *plan.Comparison {
		t.Helper()
		done := l.wait(l.submit(text, map[string]any{"a": a, "b": b, "c": c}))
		got, err := l.Compare(t.Context(), me, done.ID, "")
		if err != nil || done.Verdict != executor.Passed {
			t.Fatalf("%v: %s", err, reasons(done))
		}
		return got
	}
	run("2s", "2s", "100ms")
	got := run("4100ms", "4s", "900ms") // more than twice; just twice; nine times and less than a second
	if got.Counts.Slower != 1 || got.Slower[0].Name != "a" || time.Duration(got.Slower[0].Duration) != 4100*time.Millisecond || time.Duration(got.Slower[0].BeforeTook) != 2*time.Second {
		t.Errorf("%+v", got)
	}
	if got = run("4s", "1s", "2s"); got.Counts.Slower != 1 || got.Slower[0].Name != "c" || got.Counts.NewFailures+got.Counts.Fixed != 0 {
		t.Errorf("%+v", got)
	}
}
