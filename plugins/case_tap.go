package plugins

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// parseTAP reads the Test Anything Protocol, versions 12 to 14
// (https://testanything.org/tap-version-14-specification.html): test points, SKIP
// and TODO, the plan, bail-out, YAML diagnostics. Failing points of subtests go into
// their parent's message. Other lines are no TAP and are passed over.
func parseTAP(in []byte) report {
	p := tap{planned: -1}
	for len(in) > 0 {
		line, rest, _ := bytes.Cut(in, []byte("\n"))
		in = rest
		if len(line) > maxCaseLine {
			line = line[:maxCaseLine]
		}
		p.line(strings.TrimRight(strings.ToValidUTF8(string(line), "\uFFFD"), "\r"))
		if p.bailed {
			break
		}
	}
	p.flush()
	p.finish()
	return p.report
}

type tap struct {
	report
	point   *Case           // the last one: what follows belongs to it
	notes   strings.Builder // its diagnostics
	sub     strings.Builder // failing points of a subtest that waits for its parent
	seen    int
	planned int
	yaml    string // indentation of the block we are in
	inYAML  bool
	bailed  bool
	skipped string // why the plan skips everything
}

func (p *tap) line(s string) {
	if p.inYAML {
		if strings.TrimSpace(s) == "..." && strings.HasPrefix(s, p.yaml) {
			p.inYAML = false
			return
		}
		if strings.HasPrefix(s, p.yaml) || strings.TrimSpace(s) == "" {
			p.note(strings.TrimPrefix(s, p.yaml))
			return
		}
		p.inYAML = false // never closed
	}
	trimmed := strings.TrimLeft(s, " \t")
	indent := s[:len(s)-len(trimmed)]
	switch {
	case strings.HasPrefix(s, "Bail out!"):
		p.flush()
		p.bailed = true
		p.add(Case{Name: "bail out", Verdict: CaseErrored, Message: strings.TrimSpace(s[len("Bail out!"):])})
	case indent != "" && trimmed == "---":
		p.inYAML, p.yaml = true, indent
	case indent != "":
		if strings.HasPrefix(trimmed, "not ok") && p.sub.Len() < maxCaseMessage {
			p.sub.WriteString(trimmed + "\n")
		}
	case strings.HasPrefix(s, "#"):
		p.note(strings.TrimSpace(s[1:]))
	case strings.HasPrefix(s, "1.."):
		p.plan(s[len("1.."):])
	default:
		p.testPoint(s)
	}
}

// note keeps a diagnostic of the last test point.
func (p *tap) note(s string) {
	if p.point != nil && p.notes.Len() < maxCaseMessage {
		p.notes.WriteString(s + "\n")
	}
}

func (p *tap) plan(s string) {
	number, comment, _ := strings.Cut(s, "#")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil || n < 0 || p.planned >= 0 {
		return
	}
	p.planned = n
	if word, reason := directive(comment); word == "skip" {
		p.skipped = reason
	}
}

func (p *tap) testPoint(s string) {
	c := Case{Verdict: CasePassed}
	rest, ok := strings.CutPrefix(s, "ok")
	if !ok {
		if rest, ok = strings.CutPrefix(s, "not ok"); !ok {
			return
		}
		c.Verdict = CaseFailed
	}
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return // "okay, ..." is no test point
	}
	p.flush()
	p.seen++
	rest = strings.TrimSpace(rest)
	number := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	rest = strings.TrimSpace(rest[len(number):])
	rest = strings.TrimSpace(strings.TrimPrefix(rest, "- "))
	name, comment := splitComment(rest)
	word, reason := directive(comment)
	switch {
	case word == "skip":
		c.Verdict, c.Message = CaseSkipped, reason
	case word == "todo" && c.Verdict == CaseFailed:
		c.Verdict, c.Message = CaseSkipped, strings.TrimSpace("todo: "+reason)
	}
	if c.Name = name; name == "" {
		c.Name = "test " + strconv.Itoa(p.seen)
	}
	p.point = &c
	if p.sub.Len() > 0 {
		p.notes.WriteString(p.sub.String())
		p.sub.Reset()
	}
}

// flush ends the last test point.
func (p *tap) flush() {
	if p.point == nil {
		return
	}
	if p.point.Verdict == CaseFailed && p.point.Message == "" {
		p.point.Message = p.notes.String()
	}
	p.add(*p.point)
	p.point = nil
	p.notes.Reset()
}

// finish compares the plan with what came.
func (p *tap) finish() {
	switch {
	case p.bailed:
	case p.planned == 0 && p.seen == 0:
		p.add(Case{Name: "all", Verdict: CaseSkipped, Message: p.skipped})
	case p.planned < 0 && p.seen == 0:
		p.problem("no TAP in it: no plan and no test point")
	case p.planned < 0:
		p.add(Case{Name: "plan", Verdict: CaseErrored, Message: fmt.Sprintf("no plan (1..N) after %d tests: it may have ended early", p.seen)})
	case p.planned != p.seen:
		p.add(Case{Name: "plan", Verdict: CaseErrored, Message: fmt.Sprintf("planned %d tests, saw %d", p.planned, p.seen)})
	}
}

// splitComment cuts at the first "#" that is not escaped, and unescapes the description.
func splitComment(s string) (text, comment string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '#' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case s[i] == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t'):
			return strings.TrimSpace(b.String()), s[i+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return strings.TrimSpace(b.String()), ""
}

// directive reads "SKIP reason" or "TODO reason", in any case.
func directive(comment string) (word, reason string) {
	word, reason, _ = strings.Cut(strings.TrimSpace(comment), " ")
	word = strings.ToLower(strings.TrimRight(word, ":"))
	if strings.HasPrefix(word, "skip") { // "skipped", "skipping" are allowed
		word = "skip"
	}
	if word != "skip" && word != "todo" {
		return "", ""
	}
	return word, strings.TrimSpace(reason)
}
