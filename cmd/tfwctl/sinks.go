package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"

	"tfw/api"
	"tfw/cmd/tfwctl/gather"
	"tfw/cmd/tfwctl/lines"
	"tfw/executor"
)

// liveSink prints lines as they come.
type liveSink struct{ p *lines.Printer }

func (a *app) newLive(prefix, raw bool) *liveSink {
	opt := lines.Options{
		Stdout: a.out, Stderr: a.err, Same: sameFile(a.out, a.err), Prefix: prefix,
		SafeOut: !raw && isTerminal(a.out), SafeErr: !raw && isTerminal(a.err),
	}
	out, errs := a.painter(a.out), a.painter(a.err)
	opt.Paint = func(prefix string, stderr bool) string {
		if stderr {
			return errs(red, prefix)
		}
		return out(blue, prefix)
	}
	return &liveSink{lines.New(opt)}
}

func (s *liveSink) entry(e api.LogEntry) error {
	if e.Stream == executor.Events {
		s.p.Note(e.Host, "tfw: "+strings.TrimSuffix(string(e.Data), "\n"))
		return nil
	}
	s.p.Bytes(e.Host, e.Command, e.Stream == executor.Stderr, e.Data)
	return nil
}

func (s *liveSink) flush() error                { return s.p.Flush() }
func (s *liveSink) close(_ *executor.Run) error { return s.p.Close() }

func sameFile(a, b *os.File) bool {
	x, errX := a.Stat()
	y, errY := b.Stat()
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// gatherSink puts hosts with the same output together at the end, as clush does;
// standard error comes as it is, prefixed.
type gatherSink struct {
	a     *app
	live  *liveSink
	tree  *gather.Tree
	style gather.Style
	hosts []string
	raw   bool
}

func (a *app) newGather(run *executor.Run, style gather.Style, raw bool) *gatherSink {
	s := &gatherSink{a: a, live: a.newLive(true, raw), tree: gather.New(), style: style, raw: raw}
	for _, h := range run.Hosts {
		s.hosts = append(s.hosts, h.Host)
	}
	return s
}

func (s *gatherSink) entry(e api.LogEntry) error {
	if e.Stream == executor.Stdout {
		return s.tree.Write(e.Host, e.Data)
	}
	return s.live.entry(e)
}

func (s *gatherSink) flush() error { return s.live.flush() }

// close prints the groups: lower exit statuses first, as clush does.
func (s *gatherSink) close(run *executor.Run) error {
	if err := s.live.close(run); err != nil {
		return err
	}
	if run != nil {
		status := map[string]int{}
		for _, h := range run.Hosts {
			status[h.Host] = statusOf(h)
		}
		s.style.Status = func(host string) int { return status[host] }
	}
	s.style.Names = setNames{}
	if s.a.colour(s.a.out) {
		s.style.Paint = paintPart
	}
	if !s.raw && isTerminal(s.a.out) {
		s.style.Show = lines.Safe
	}
	return s.tree.Print(s.a.out, s.hosts, s.style)
}

func statusOf(h executor.HostResult) int {
	if h.ExitCode == nil {
		return 1 << 16 // unknown: after all that are known
	}
	return *h.ExitCode
}

func paintPart(part gather.Part, text string) string {
	code := map[gather.Part]string{
		gather.Header: blue, gather.DiffHeader: blue, gather.DiffHunk: cyan, gather.DiffAdd: green, gather.DiffDelete: red,
	}[part]
	return paint(code, text)
}

// jsonSink writes the log's entries, one a line.
type jsonSink struct {
	b   *bufio.Writer
	enc *json.Encoder
}

func newJSONLines(a *app) *jsonSink {
	b := bufio.NewWriterSize(a.out, 64<<10)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	return &jsonSink{b, enc}
}

func (s *jsonSink) entry(e api.LogEntry) error { return s.enc.Encode(e) }
func (s *jsonSink) flush() error               { return s.b.Flush() }
func (s *jsonSink) close(*executor.Run) error  { return s.b.Flush() }

// noSink shows nothing: the run itself is what was asked for.
type noSink struct{}

func (noSink) entry(api.LogEntry) error  { return nil }
func (noSink) flush() error              { return nil }
func (noSink) close(*executor.Run) error { return nil }
