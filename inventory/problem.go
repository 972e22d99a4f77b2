package inventory

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"unicode/utf8"
)

// Severity says whether a [Problem] keeps the inventory from being used.
type Severity string

// An error refuses the file, a warning only points at something suspicious.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Problem is one thing wrong in a file: where, what and what to do about it.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line,omitempty"`   // from 1; 0 when it concerns the whole file
	Column   int      `json:"column,omitempty"` // from 1, in characters
	Text     string   `json:"text,omitempty"`   // the line as it stands in the file
	Message  string   `json:"message"`
	Fix      string   `json:"fix,omitempty"` // what to do next
	Severity Severity `json:"severity"`
}

// Error is the problem on one line: FILE:LINE:COLUMN: message (fix).
func (p Problem) Error() string {
	s := p.Where() + ": " + p.Message
	if p.Fix != "" {
		s += " (" + p.Fix + ")"
	}
	return s
}

// Where is the place as editors and terminals understand it, FILE:LINE:COLUMN.
func (p Problem) Where() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problems are all problems found in an inventory in one go. As an error it
// holds at least one of [SeverityError].
type Problems []Problem

// Error is one line a problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Print writes each problem with the line it stands on and a caret under the
// column, for a person to read.
func (ps Problems) Print(w io.Writer) error {
	for _, p := range ps {
		if _, err := io.WriteString(w, p.excerpt()); err != nil {
			return err
		}
	}
	return nil
}

func (p Problem) excerpt() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", p.Where())
	if p.Severity == SeverityWarning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message + "\n")
	if p.Text != "" {
		text, caret := window(p.Text, p.Column)
		gutter := fmt.Sprintf("%5d | ", p.Line)
		fmt.Fprintf(&b, "%s%s\n%s| %s^\n", gutter, text, strings.Repeat(" ", len(gutter)-2), strings.Repeat(" ", caret))
	}
	if p.Fix != "" {
		b.WriteString("      fix: " + p.Fix + "\n")
	}
	return b.String()
}

// window cuts a long line around the column and makes it safe for a terminal:
// the file is somebody's data. It returns the text and where the caret goes.
func window(line string, column int) (string, int) {
	const before, width = 60, 100
	runes := []rune(line)
	at := max(0, min(column-1, len(runes)))
	from := max(0, at-before)
	to := min(len(runes), from+width)
	for i := from; i < to; i++ {
		if runes[i] < ' ' || runes[i] == 0x7f || (runes[i] >= 0x80 && runes[i] < 0xa0) {
			runes[i] = ' '
		}
	}
	return string(runes[from:to]), at - from
}

// maxProblems bounds what one file can make us say.
const maxProblems = 200

// report collects the problems of one load.
type report struct {
	errors, warnings []Problem
	dropped          int
}

func (r *report) errorf(at position, fix, format string, args ...any) {
	if len(r.errors) >= maxProblems {
		r.dropped++
		return
	}
	r.errors = append(r.errors, at.problem(SeverityError, fix, fmt.Sprintf(format, args...)))
}

func (r *report) warnf(at position, fix, format string, args ...any) {
	if len(r.warnings) >= maxProblems {
		return
	}
	r.warnings = append(r.warnings, at.problem(SeverityWarning, fix, fmt.Sprintf(format, args...)))
}

// err is nil or all errors in the order of the file.
func (r *report) err() error {
	if len(r.errors) == 0 {
		return nil
	}
	all := Problems(append([]Problem(nil), r.errors...))
	sort.SliceStable(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.File != b.File {
			return false // sources stay in the order they were read
		}
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	if r.dropped > 0 {
		all = append(all, Problem{
			File: all[0].File, Severity: SeverityError,
			Message: fmt.Sprintf("%d more errors are not shown", r.dropped),
			Fix:     "correct those above first",
		})
	}
	return all
}

// position is a place in a source.
type position struct {
	src       *source
	line, col int
}

func (at position) String() string {
	if at.src == nil {
		return ""
	}
	if at.line == 0 {
		return at.src.name
	}
	return fmt.Sprintf("%s:%d", at.src.name, at.line)
}

// shift moves the position n characters to the right, for a place inside a scalar.
func (at position) shift(n int) position {
	at.col += n
	return at
}

func (at position) problem(sev Severity, fix, message string) Problem {
	p := Problem{Line: at.line, Column: at.col, Message: message, Fix: fix, Severity: sev}
	if at.src != nil {
		p.File = at.src.name
		p.Text = at.src.text(at.line)
	}
	return p
}

// quoted shows a word from a file in a message, short and harmless.
func quoted(s string) string {
	if len(s) > 60 {
		cut := 57
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	return fmt.Sprintf("%q", s)
}
