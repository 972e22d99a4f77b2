package plugins

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantCases(t *testing.T, got []Case, want ...Case) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("missing %+v", want[i])
		case i >= len(want):
			t.Errorf("unexpected %+v", got[i])
		case !reflect.DeepEqual(got[i], want[i]):
			t.Errorf("row %d\ngot  %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

func TestCaseLines(t *testing.T) {
	r := parseCaseLines(sample(t, "lines/mixed.txt"))
	wantCases(t, r.cases,
		Case{Name: "boot", Verdict: CasePassed, Duration: Duration(4 * time.Second), Measurements: []Measurement{{"kernel", 3.2, "s"}, {"user", 9, "s"}}},
		Case{Name: `a b "c"`, Verdict: CaseFailed, Duration: Duration(1500 * time.Millisecond), Message: "line\nline"},
		Case{Name: "only", Verdict: CasePassed, Measurements: []Measurement{{"value", 1000, ""}}},
		Case{Name: "last", Verdict: CaseSkipped},
	)
	if len(r.problems) != 3 {
		t.Errorf("problems: %q", r.problems)
	}
}

func TestTAP(t *testing.T) {
	tests := map[string][]Case{
		"v14.tap": {
			{Name: "boots", Verdict: CasePassed},
			{Name: "reaches # the network", Verdict: CaseFailed, Message: "message: \"no route\"\nat:\n  line: 7"},
			{Name: "usb", Verdict: CaseSkipped, Message: "no port"},
			{Name: "wifi", Verdict: CaseSkipped, Message: "todo: driver missing"},
			{Name: "disks", Verdict: CaseFailed, Message: "not ok 2 - sdb"},
			{Name: "test 6", Verdict: CasePassed},
			{Name: "test 7", Verdict: CasePassed},
		},
		"skip.tap": {{Name: "all", Verdict: CaseSkipped, Message: "no hardware"}},
		"bail.tap": {
			{Name: "test 1", Verdict: CasePassed},
			{Name: "dies", Verdict: CaseFailed, Message: "because"},
			{Name: "bail out", Verdict: CaseErrored, Message: "disk on fire"},
		},
		"noplan.tap": {
			{Name: "a", Verdict: CasePassed},
			{Name: "b", Verdict: CasePassed},
			{Name: "plan", Verdict: CaseErrored, Message: "no plan (1..N) after 2 tests: it may have ended early"},
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) { wantCases(t, parseTAP(sample(t, "tap/"+name)).cases, want...) })
	}
	if r := parseTAP([]byte("hello\n")); len(r.cases) != 0 || len(r.problems) != 1 {
		t.Errorf("no TAP at all: %+v", r)
	}
	short := parseTAP([]byte("1..3\nok 1 - a\n")).cases
	wantCases(t, short, Case{Name: "a", Verdict: CasePassed}, Case{Name: "plan", Verdict: CaseErrored, Message: "planned 3 tests, saw 1"})
}

func TestJUnit(t *testing.T) {
	tests := map[string][]Case{
		"pytest.xml": {
			{Name: "test_net.test_ping", Verdict: CasePassed, Duration: Duration(time.Millisecond)},
			{Name: "test_net.test_mtu", Verdict: CaseFailed, Duration: Duration(1002500 * time.Millisecond),
				Message: "assert 1500 == 9000\ndef test_mtu():\n>   assert 1500 == 9000"},
			{Name: "test_net.test_ipv6", Verdict: CaseSkipped, Message: "no route"},
			{Name: "test_net.test_fixture", Verdict: CaseErrored, Message: "failed on setup\nboom"},
		},
		"nested.xml": {
			{Name: "c", Verdict: CasePassed},
			{Name: "a", Verdict: CasePassed},
			{Name: "b", Verdict: CaseFailed, Message: "<raw> & text"},
			{Name: "d", Verdict: CasePassed},
		},
		"dirty.xml": {{Name: "caf\uFFFD", Verdict: CaseFailed, Message: "red  text\n]0;title"}},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := parseJUnit(sample(t, "junit/"+name))
			if err != nil {
				t.Fatal(err)
			}
			wantCases(t, r.cases, want...)
		})
	}
}

func TestJUnitRefuses(t *testing.T) {
	tests := map[string]string{
		"":                               "holds no <testsuite>",
		"<html></html>":                  "holds no <testsuite>",
		"<testsuite>":                    "is not JUnit XML",
		"plain text <":                   "is not XML",
		"<testsuite>&boom;</testsuite>":  "is not",
		strings.Repeat("<a>", 100000):    "nests deeper than 32 elements",
		strings.Repeat("x", maxReport+1): "is over 8 MiB",
	}
	for in, want := range tests {
		if _, err := parseJUnit([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %q", in, err, want)
		}
	}
}

func TestReportsAreBounded(t *testing.T) {
	many := strings.Repeat("ok\n", MaxCases+10) + "1..10010\n"
	if r := parseTAP([]byte(many)); len(r.cases) != MaxCases || r.dropped != 10 {
		t.Errorf("%d cases, %d dropped", len(r.cases), r.dropped)
	}
	long := parseTAP([]byte("1..1\nnot ok 1 - x\n# " + strings.Repeat("é", 60000) + "\n")).cases[0]
	if len(long.Message) > maxCaseMessage || !strings.HasSuffix(long.Message, cut) || !utf8.ValidString(long.Message) {
		t.Errorf("message of %d bytes ending %q", len(long.Message), long.Message[len(long.Message)-10:])
	}
}

// checkRows holds what every report promises, whatever the input.
func checkRows(t *testing.T, r report) {
	t.Helper()
	if len(r.cases) > MaxCases || len(r.problems) > maxProblems {
		t.Errorf("%d cases, %d problems", len(r.cases), len(r.problems))
	}
	for _, c := range r.cases {
		if c.Name == "" || len(c.Name) > maxCaseName || len(c.Message) > maxCaseMessage || c.Duration < 0 || len(c.Measurements) > maxMeasurements {
			t.Errorf("out of bounds: %+v", c)
		}
		for _, s := range []string{c.Name, c.Message} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
				t.Errorf("not clean: %q", s)
			}
		}
		if rank := worseCase("", c.Verdict); rank == "" {
			t.Errorf("verdict %q", c.Verdict)
		}
	}
}

func seeds(f *testing.F, pattern string) {
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds %s: %v", pattern, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

func FuzzCaseLines(f *testing.F) {
	seeds(f, "lines/*")
	f.Fuzz(func(t *testing.T, in []byte) { checkRows(t, parseCaseLines(in)) })
}

func FuzzTAP(f *testing.F) {
	seeds(f, "tap/*")
	f.Fuzz(func(t *testing.T, in []byte) { checkRows(t, parseTAP(in)) })
}

func FuzzJUnit(f *testing.F) {
	seeds(f, "junit/*")
	f.Fuzz(func(t *testing.T, in []byte) {
		r, _ := parseJUnit(in)
		checkRows(t, r)
	})
}
