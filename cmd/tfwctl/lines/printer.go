// Package lines shows the live output of many hosts: whole lines, each with its host in
// front, standard output and standard error kept apart, safe on a terminal.
package lines

import (
	"bufio"
	"bytes"
	"io"
)

// MaxLine bounds what is kept of a line that has no end yet. A longer line is cut there.
const MaxLine = 1 << 20

// Options say how lines look.
type Options struct {
	Stdout, Stderr io.Writer
	// Same says that both writers are one file: then the order of lines over
	// both streams is kept.
	Same bool
	// Prefix puts "host: " before every line. Without it, and without Safe,
	// bytes pass as they are, as soon as they are there.
	Prefix bool
	// SafeOut and SafeErr neutralise what could move a terminal's cursor or change its state.
	SafeOut, SafeErr bool
	// Paint colours a prefix; nil does not.
	Paint func(prefix string, stderr bool) string
}

// Printer prints the output of many hosts. It buffers: call [Printer.Flush]
// when nothing more is waiting. Not safe for concurrent use.
type Printer struct {
	opt      Options
	out, err *bufio.Writer
	partial  map[key][]byte
	prefixes map[string][2]string
	Lines    int // printed so far
}

type key struct {
	host    string
	command int
	stderr  bool
}

// New makes a printer.
func New(opt Options) *Printer {
	p := &Printer{opt: opt, partial: map[key][]byte{}, prefixes: map[string][2]string{}}
	p.out = bufio.NewWriterSize(opt.Stdout, 64<<10)
	p.err = p.out
	if !opt.Same {
		p.err = bufio.NewWriterSize(opt.Stderr, 16<<10)
	}
	return p
}

// Bytes takes bytes of one stream of a host's command, cut anywhere.
func (p *Printer) Bytes(host string, command int, stderr bool, data []byte) {
	w, safe := p.out, p.opt.SafeOut
	if stderr {
		w, safe = p.err, p.opt.SafeErr
	}
	if !p.opt.Prefix && !safe {
		_, _ = w.Write(data) // Flush tells
		return
	}
	k := key{host, command, stderr}
	kept := p.partial[k]
	for {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			break
		}
		if len(kept) > 0 {
			kept = append(kept, data[:end]...)
			p.line(w, host, stderr, safe, kept)
			kept = kept[:0]
		} else {
			p.line(w, host, stderr, safe, data[:end])
		}
		data = data[end+1:]
	}
	kept = append(kept, data...)
	for len(kept) >= MaxLine {
		p.line(w, host, stderr, safe, kept[:MaxLine])
		kept = append(kept[:0], kept[MaxLine:]...)
	}
	if len(kept) == 0 {
		delete(p.partial, k)
		return
	}
	p.partial[k] = kept
}

// Note prints a remark about a host among its lines, on standard error.
func (p *Printer) Note(host, text string) {
	p.line(p.err, host, true, p.opt.SafeErr, []byte(text))
}

// End prints what a host left without an end of line.
func (p *Printer) End(host string) {
	for k, kept := range p.partial {
		if k.host == host {
			p.last(k, kept)
		}
	}
}

func (p *Printer) last(k key, kept []byte) {
	delete(p.partial, k)
	if k.stderr {
		p.line(p.err, k.host, true, p.opt.SafeErr, kept)
	} else {
		p.line(p.out, k.host, false, p.opt.SafeOut, kept)
	}
}

// Close prints every line that is left, and flushes.
func (p *Printer) Close() error {
	for k, kept := range p.partial {
		p.last(k, kept)
	}
	return p.Flush()
}

// Flush hands everything printed so far to the writers.
func (p *Printer) Flush() error {
	if err := p.out.Flush(); err != nil {
		return err
	}
	return p.err.Flush()
}

// line prints one line without its end. On a terminal a carriage return ends a
// line too, so that nothing can be hidden by writing over it.
func (p *Printer) line(w *bufio.Writer, host string, stderr, safe bool, line []byte) {
	p.Lines++
	prefix := p.prefix(host, stderr)
	if !safe {
		put(w, prefix, line)
		return
	}
	line = bytes.TrimRight(line, "\r")
	for piece := range bytes.SplitSeq(line, []byte{'\r'}) {
		put(w, prefix, Safe(piece))
	}
}

// put buffers a line. What fails stays with the writer, until Flush tells.
func put(w *bufio.Writer, prefix string, line []byte) {
	_, _ = w.WriteString(prefix)
	_, _ = w.Write(line)
	_ = w.WriteByte('\n')
}

func (p *Printer) prefix(host string, stderr bool) string {
	if !p.opt.Prefix {
		return ""
	}
	both, known := p.prefixes[host]
	if !known {
		both = [2]string{host + ": ", host + ": "}
		if p.opt.Paint != nil {
			both = [2]string{p.opt.Paint(both[0], false), p.opt.Paint(both[1], true)}
		}
		p.prefixes[host] = both
	}
	if stderr {
		return both[1]
	}
	return both[0]
}
