package main

import (
	"bytes"
	"strings"

	"tfw/cmd/tfwctl/lines"
	"tfw/executor"
)

// What the log pane keeps: so many lines, and so many bytes of each.
const (
	topLines   = 2000
	maxTopLine = 4 << 10
)

// topLog keeps the last lines of a log.
type topLog struct {
	printer *lines.Printer
	buffer  bytes.Buffer
	lines   []topLine
}

type topLine struct {
	prefix, text string
	stderr       bool
}

// Marks around a prefix. A safe line has no control characters, so they stand for nothing else.
const (
	markOut = "\x01"
	markErr = "\x02"
	markEnd = "\x03"
)

func newTopLog() *topLog {
	l := &topLog{}
	l.printer = lines.New(lines.Options{
		Stdout: &l.buffer, Same: true, Prefix: true, SafeOut: true, SafeErr: true,
		Paint: func(prefix string, stderr bool) string {
			if stderr {
				return markErr + prefix + markEnd
			}
			return markOut + prefix + markEnd
		},
	})
	return l
}

// add takes a page and tells by how many lines the log has grown.
func (l *topLog) add(page logPage, probes bool) int {
	if page.jumped {
		l.lines = append(l.lines, topLine{text: "... more than can be shown was left out (all of it: tfwctl logs) ..."})
	}
	for _, e := range page.entries {
		switch {
		case e.Stream == executor.Events:
			l.printer.Note(e.Host, "tfw: "+strings.TrimSuffix(string(e.Data), "\n"))
		case !e.Quiet || probes:
			l.printer.Bytes(e.Host, e.Command, e.Stream == executor.Stderr, e.Data)
		}
	}
	_ = l.printer.Flush() // to memory
	before := len(l.lines)
	for line := range strings.Lines(l.buffer.String()) {
		l.lines = append(l.lines, parseTopLine(strings.TrimSuffix(line, "\n")))
	}
	l.buffer.Reset()
	added := len(l.lines) - before
	if over := len(l.lines) - topLines; over > 0 {
		l.lines = append([]topLine(nil), l.lines[over:]...)
	}
	return added
}

func parseTopLine(line string) topLine {
	prefix, rest, _ := strings.Cut(line, markEnd)
	if len(rest) > maxTopLine {
		rest = strings.ToValidUTF8(rest[:maxTopLine], "")
	}
	return topLine{prefix: strings.TrimLeft(prefix, markOut+markErr), text: rest, stderr: strings.HasPrefix(prefix, markErr)}
}
