package plugins

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/joshdk/go-junit"
)

// maxXMLDepth bounds nesting: the reader keeps each element's whole text, so
// depth multiplies memory. Real reports nest some six deep.
const maxXMLDepth = 32

// parseJUnit reads JUnit XML as the tools in use write it: with or without an outer
// <testsuites>, nested suites, several roots. Rows are named CLASS.NAME. Text that
// is no XML (ANSI, control characters, other encodings) is cleaned first.
func parseJUnit(in []byte) (report, error) {
	var r report
	if len(in) > maxReport {
		return r, fmt.Errorf("is over %d MiB", maxReport>>20)
	}
	clean := xmlText(in)
	if err := xmlShape(clean); err != nil {
		return r, err
	}
	suites, err := junit.IngestReader(bytes.NewReader(clean))
	if err != nil {
		return r, fmt.Errorf("is not JUnit XML: %w", err)
	}
	for _, s := range suites {
		r.addSuite(s)
	}
	if len(suites) == 0 {
		return r, errors.New("holds no <testsuite>")
	}
	return r, nil
}

func (r *report) addSuite(s junit.Suite) {
	for _, t := range s.Tests {
		r.add(Case{
			Name:     junitName(t),
			Verdict:  junitVerdict(t.Status),
			Duration: caseSeconds(t.Duration.Seconds()),
			Message:  junitMessage(t),
		})
	}
	for _, inner := range s.Suites {
		r.addSuite(inner)
	}
}

func junitName(t junit.Test) string {
	if t.Classname == "" || strings.HasPrefix(t.Name, t.Classname) {
		return t.Name
	}
	return t.Classname + "." + t.Name
}

func junitVerdict(s junit.Status) string {
	switch s {
	case junit.StatusFailed:
		return CaseFailed
	case junit.StatusError:
		return CaseErrored
	case junit.StatusSkipped:
		return CaseSkipped
	}
	return CasePassed
}

func junitMessage(t junit.Test) string {
	if t.Error == nil {
		return t.Message
	}
	body := strings.TrimSpace(t.Error.Error())
	if t.Message == "" || strings.HasPrefix(body, t.Message) {
		return body
	}
	return t.Message + "\n" + body
}

// xmlText drops what XML 1.0 cannot hold and what would stop the reader: bytes that
// are not UTF-8, control characters, colours, a byte order mark, the declaration (it
// may claim another encoding). Other escape sequences lose only their control
// characters: a stray one must not swallow the rest of the report.
func xmlText(in []byte) []byte {
	s := strings.TrimPrefix(strings.ToValidUTF8(string(in), "\uFFFD"), "\uFEFF")
	s = colours.ReplaceAllString(declaration.ReplaceAllString(s, ""), "")
	return []byte(strings.Map(func(r rune) rune {
		if (r < 0x20 && r != '\n' && r != '\t') || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, s))
}

var (
	colours     = regexp.MustCompile("\x1b\\[[0-9;:?]*[ -/]*[@-~]") // ECMA-48, 5.4
	declaration = regexp.MustCompile(`<\?xml[^?<>]*\?>`)
)

// xmlShape refuses, before anything is built, what nests too deep or is no XML.
func xmlShape(in []byte) error {
	d := xml.NewDecoder(bytes.NewReader(in))
	depth := 0
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("is not XML: %w", err)
		}
		switch token.(type) {
		case xml.StartElement:
			if depth++; depth > maxXMLDepth {
				return fmt.Errorf("nests deeper than %d elements", maxXMLDepth)
			}
		case xml.EndElement:
			depth--
		}
	}
}
