package plan_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfw/executor"
	"tfw/plan"
	"tfw/plugins"
)

// nastyRows are what hosts can say at their worst, with every verdict.
func nastyRows() (rows []plan.Row) {
	nasty := []string{"\x1b[31mred\x1b[0m \x1b]0;title\x07", "a\x00b", "\xff\xfe\xc3\x28", "]]>", "<!-- & -->\"'", "# SKIP no", "\nok 7\nBail out!\n1..0", "  ...\n---\n", `\# \\`, "\u2028\u202e\ufffe", strings.Repeat("1 MB ", 1<<18), ""}
	verdicts := []executor.Verdict{executor.Passed, executor.Failed, executor.Errored, executor.TimedOut, executor.Cancelled, executor.Skipped}
	for i, text := range nasty {
		name := text[:min(len(text), 300)]
		for j, v := range verdicts {
			code := i
			r := plan.Row{Step: "outer/s", Cell: "x=" + name, Host: fmt.Sprintf("h%d", i%2), Name: "case " + name, Verdict: v, Message: text, Code: name, ExitCode: &code, Output: text + "\n" + text,
				Attempts: 1 + j%2, Duration: executor.Duration(time.Duration(j) * 1500 * time.Millisecond), Run: executor.RunID("r" + fmt.Sprint(i)), Started: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Allowed: i == 3,
				Artifacts: map[string]string{"out/" + name: strings.Repeat("ab", 32)}, Measurements: []plugins.Measurement{{Name: "m" + name, Value: 1e-9, Unit: name}}}
			if v == executor.Skipped {
				r.Started, r.Duration = time.Time{}, 0
			}
			rows = append(rows, r)
		}
	}
	return rows
}

func reportFile(t *testing.T, format string) string {
	t.Helper()
	report := plan.NewReport(format, "nightly <&> \x1b[1m\x00")
	path := filepath.Join(t.TempDir(), "report."+format)
	if err := os.WriteFile(path, report.Close(report.Rows(nil, nastyRows())), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Of 72 rows 12 passed and 12 were skipped; of the 48 others the four that may fail count as skipped (in TAP: as TODO).
const (
	nastyFailures, nastyErrors, nastySkipped = 11, 33, 16
	nastyTotal                               = 72
)

// The schemas of our own writing, and those that others ship: put these into a directory and name it in JUNIT_XSDS. It held for
// windyroad's JUnit.xsd (Ant) and the xunit-plugin's junit-10.xsd (Jenkins); editions of before 2017 know no skipped case, or no reason of it.
func TestJUnitFitsSchemas(t *testing.T) {
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("xmllint is not installed (Debian: libxml2-utils)")
	}
	schemas, _ := filepath.Glob("testdata/junit/*.xsd")
	if dir := os.Getenv("JUNIT_XSDS"); dir != "" {
		more, _ := filepath.Glob(filepath.Join(dir, "*.xsd"))
		schemas = append(schemas, more...)
	}
	report := reportFile(t, "junit")
	for _, schema := range schemas {
		out, err := exec.Command(lint, "--nonet", "--noout", "--schema", schema, report).CombinedOutput()
		t.Logf("%s: %.2000s", schema, out)
		if err != nil {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

// python's junitparser is what many scripts read JUnit with.
func TestJUnitInPython(t *testing.T) {
	python := ""
	for _, try := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(try, "-c", "import junitparser").Run() == nil {
			python = try
		}
	}
	if python == "" {
		t.Skip("no python3 with junitparser (Debian: python3-junitparser)")
	}
	script := `
import sys, junitparser
from junitparser import Failure, Error, Skipped
count = {Failure: 0, Error: 0, Skipped: 0}
total = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
cases = 0
for suite in junitparser.JUnitXml.fromfile(sys.argv[1]):
    for name in total: total[name] += getattr(suite, name)
    assert suite.timestamp and suite.hostname and suite.time >= 0
    for case in suite:
        cases += 1
        assert case.name.startswith("x=") and case.classname and case.time >= 0, case
        for result in case.result: count[type(result)] += 1
print(cases, count[Failure], count[Error], count[Skipped], *total.values())
`
	out, err := exec.Command(python, "-c", script, reportFile(t, "junit")).CombinedOutput()
	want := fmt.Sprintf("%d %d %d %d %[1]d %[2]d %[3]d %[4]d\n", nastyTotal, nastyFailures, nastyErrors, nastySkipped)
	if err != nil || string(out) != want {
		t.Errorf("%v: %.2000s, want %s", err, out, want)
	}
}

// perl's TAP::Parser is what prove reads with.
func TestTAPInPerl(t *testing.T) {
	if err := exec.Command("perl", "-MTAP::Parser", "-e", "1").Run(); err != nil {
		t.Skip("no perl with TAP::Parser")
	}
	script := `
open my $in, "<", $ARGV[0] or die; local $/; my $text = <$in>; $/ = "\n";
$text =~ s/^TAP version 14/TAP version 13/ if $TAP::Parser::Grammar::VERSION < 3.48; # it knows no later one: what is used is the same
my $p = TAP::Parser->new({tap => $text});
my ($yaml, $unknown) = (0, 0);
while (my $r = $p->next) {
	$yaml++ if $r->is_yaml;
	if ($r->is_unknown) { $unknown++; print STDERR $r->as_string, "\n" }
}
printf "%d %d %d %d %d %d\n", $p->tests_run, scalar $p->actual_failed, scalar $p->skipped, scalar $p->todo, $unknown, $yaml > 0;
print "$_\n" for $p->parse_errors;
`
	out, err := exec.Command("perl", "-MTAP::Parser", "-e", script, reportFile(t, "tap")).CombinedOutput()
	want := fmt.Sprintf("%d 48 12 4 0 1\n", nastyTotal)
	if err != nil || string(out) != want {
		t.Errorf("%v: %.3000s, want %s", err, out, want)
	}
}
