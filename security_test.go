package tfw

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityPageNamesItsTests: each claim of docs/security.md names the test that holds it, and that test is there. The
// page keeps to its length: three pages of 750 words.
func TestSecurityPageNamesItsTests(t *testing.T) {
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests, names strings.Builder
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		names.WriteString("\n/" + filepath.ToSlash(path))
		if strings.HasSuffix(path, "_test.go") {
			code, err := os.ReadFile(path)
			tests.Write(code)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\bTest\w+`).FindAllString(string(text), -1)
	for _, name := range named {
		if !strings.Contains(tests.String(), "\nfunc "+name+"(t *testing.T)") {
			t.Errorf("docs/security.md names %s, which is no test", name)
		}
	}
	for _, m := range regexp.MustCompile("`(\\w+_test\\.go|script/\\w+)`").FindAllStringSubmatch(string(text), -1) {
		file := strings.Replace(m[1], "script/", "testdata/", 1)
		if dir, base := filepath.Split(file); dir != "" { // testdata has more than one folder of scripts
			if !regexp.MustCompile(`/testdata/\w+/` + base + `\.txtar`).MatchString(names.String()) {
				t.Errorf("docs/security.md names %s, which is no script", m[1])
			}
		} else if !strings.Contains(names.String(), "/"+base) {
			t.Errorf("docs/security.md names %s, which is no file", m[1])
		}
	}
	for _, line := range strings.Split(string(text), "\n") {
		claim, is := strings.CutPrefix(line, "| ")
		if is && !strings.HasPrefix(claim, "claim ") && !regexp.MustCompile("`Test|_test\\.go|`script/|cmd/tfwctl/lines|by reading").MatchString(line) {
			t.Errorf("a claim without a test: %s", line)
		}
	}
	if n := len(strings.Fields(string(text))); n > 3*750 || len(named) < 30 {
		t.Errorf("%d words (at most three pages), %d tests named", n, len(named))
	}
}
