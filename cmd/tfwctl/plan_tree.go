package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"tfw/api"
	"tfw/cmd/tfwctl/lines"
	"tfw/executor"
)

// planTree shows a test plan on a terminal: what has ended as lines that stay, what is under way as
// a tree below them that goes at the end. Output is seen as the last line of its step; what a step that did not
// pass said last is printed with its end. When standard output is no terminal it gets all output as lines.
type planTree struct {
	a       *app
	area    area
	now     func() time.Time
	out     *liveSink // nil: standard output is the terminal that the tree is on
	glyph   glyphs
	name    string
	started time.Time
	waits   string // for which hosts

	order []string // steps in the order of the plan
	steps map[string]*treeStep
	said  map[string]*tail // by label NUL host, of steps under way
	dirty bool
	drawn time.Time
}

type treeStep struct {
	name, uses, on string
	after          []string
	state          executor.State
	verdict        executor.Verdict
	started        time.Time
	hosts, ended   map[string]bool // places, cell NUL host, that were seen, and have ended
	all            int             // hosts of its role
	bad            int
	last           string // line of output, with its host
	told           bool   // its end was printed
}

// tail is the end of what a cell said on a host.
type tail struct {
	step    string
	lines   []string
	partial []byte
}

const (
	tailLines = 8
	tailWidth = 400 // bytes of a line
	showTails = 3   // hosts of a step whose last lines are printed when it does not pass
)

// glyphs are the marks of a tree.
type glyphs struct{ passed, failed, other, waits, more string }

func glyphsFor(env func(string) string) glyphs {
	locale := env("LC_ALL")
	for _, name := range []string{"LC_CTYPE", "LANG"} {
		if locale == "" {
			locale = env(name)
		}
	}
	if up := strings.ToUpper(locale); strings.Contains(up, "UTF-8") || strings.Contains(up, "UTF8") {
		return glyphs{"✓", "✗", "!", "·", "…"}
	}
	return glyphs{"+", "x", "!", ".", "..."}
}

func newPlanTree(a *app) *planTree {
	t := &planTree{a: a, area: area{f: a.err, size: func() (int, int) { return sizeOf(a.err) }}, now: time.Now, glyph: glyphsFor(a.env),
		steps: map[string]*treeStep{}, said: map[string]*tail{}}
	if !isTerminal(a.out) {
		t.out = a.newLive(true, false)
	}
	return t
}

func (t *planTree) event(e api.TestplanEvent) error {
	t.dirty = true
	switch e.Type {
	case "output":
		return t.output(e)
	case "plan":
		if e.Step == "" {
			if t.name == "" {
				t.say("test plan %s (%s)", e.Plan.ID, e.Plan.Name)
			}
			t.name, t.started, t.waits = e.Plan.Name, e.Plan.Created, e.Plan.Waiting
		}
	case "case":
		t.place(e, e.Verdict)
	case "cell":
		if e.State == executor.Done && e.Cell != "" && e.Verdict != executor.Passed && e.Verdict != executor.Skipped {
			t.say("step %s: %s", labelOf(e), paintedVerdict(t.a, e.Verdict))
		}
	case "step":
		t.step(e)
	}
	return nil
}

func (t *planTree) of(name string) *treeStep {
	s := t.steps[name]
	if s == nil {
		s = &treeStep{name: name, hosts: map[string]bool{}, ended: map[string]bool{}}
		t.steps[name] = s
		at := len(t.order)
		if i := strings.LastIndexByte(name, '/'); i >= 0 { // below the step that its plan is
			for j, other := range t.order {
				if other == name[:i] || strings.HasPrefix(other, name[:i+1]) {
					at = j + 1
				}
			}
		}
		t.order = append(t.order[:at], append([]string{name}, t.order[at:]...)...)
	}
	return s
}

func (t *planTree) step(e api.TestplanEvent) {
	s := t.of(e.Step)
	s.state, s.verdict = e.State, e.Verdict
	if e.Now != nil {
		s.uses, s.started, s.after = e.Now.Uses, e.Now.Started, e.Now.After
	}
	if len(e.Hosts) > 0 {
		s.on, s.all = fold(e.Hosts), len(e.Hosts)
	}
	if s.state != executor.Done || s.told {
		return
	}
	s.told = true
	t.say("%s", endedLine(e, paintedVerdict(t.a, e.Verdict)))
	shown := 0
	for _, place := range sortedKeys(t.said) {
		said := t.said[place]
		if said.step != e.Step {
			continue
		}
		if t.out == nil && s.verdict != executor.Passed && s.verdict != executor.Skipped && shown < showTails && t.failedAt(s, place) {
			shown++
			t.tell(place, said)
		}
		delete(t.said, place)
	}
}

// failedAt reports whether the cell did not pass on the host.
func (t *planTree) failedAt(s *treeStep, place string) bool {
	return s.ended[place] || s.bad == 0 // of a step that was cut short nothing else is known
}

// tell prints what a cell said last on a host.
func (t *planTree) tell(place string, said *tail) {
	label, host, _ := strings.Cut(place, "\x00")
	all := said.lines
	if len(said.partial) > 0 {
		all = append(all, string(said.partial))
	}
	for _, line := range all[max(0, len(all)-tailLines):] {
		t.say("  %s %s", t.a.painter(t.a.err)(blue, label+" "+host+":"), lines.Safe([]byte(line)))
	}
}

// place notes how a cell ended on a host.
func (t *planTree) place(e api.TestplanEvent, v executor.Verdict) {
	s := t.of(e.Step)
	key := labelOf(e) + "\x00" + e.Host
	bad := v != executor.Passed && v != executor.Skipped
	if before, known := s.ended[key]; known && before {
		s.bad--
	}
	s.hosts[key], s.ended[key] = true, bad
	if bad {
		s.bad++
	}
}

func (t *planTree) output(e api.TestplanEvent) error {
	if e.Output.Quiet {
		return nil
	}
	label := labelOf(e)
	s := t.of(e.Step)
	place := label + "\x00" + e.Host
	s.hosts[place] = true
	if t.out != nil {
		entry := *e.Output
		entry.Host = label + " " + entry.Host
		if err := t.out.entry(entry); err != nil {
			return err
		}
	}
	if e.Output.Stream == executor.Events || s.told {
		return nil
	}
	said := t.said[place]
	if said == nil {
		said = &tail{step: e.Step}
		t.said[place] = said
	}
	said.add(e.Output.Data)
	if last := said.last(); last != "" {
		s.last = e.Host + ": " + last
	}
	return nil
}

func (l *tail) add(data []byte) {
	for {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			l.partial = append(l.partial, data...)
			if over := len(l.partial) - tailWidth; over > 0 {
				l.partial = append(l.partial[:0], l.partial[over:]...)
			}
			return
		}
		line := append(l.partial, data[:end]...)
		l.lines = append(l.lines, string(line[:min(len(line), tailWidth)]))
		if len(l.lines) > tailLines {
			l.lines = append(l.lines[:0], l.lines[1:]...)
		}
		l.partial, data = l.partial[:0], data[end+1:]
	}
}

func (l *tail) last() string {
	if text := strings.TrimSpace(string(l.partial)); text != "" {
		return text
	}
	for i := len(l.lines) - 1; i >= 0; i-- {
		if text := strings.TrimSpace(l.lines[i]); text != "" {
			return text
		}
	}
	return ""
}

// say prints a line that stays, above the tree.
func (t *planTree) say(format string, args ...any) {
	t.area.print(fmt.Sprintf(format, args...))
	t.dirty = true
}

// treeEvery bounds how often the tree is drawn.
const treeEvery = 80 * time.Millisecond

func (t *planTree) tick() error {
	if t.out != nil {
		if err := t.out.flush(); err != nil {
			return err
		}
	}
	now := t.now()
	if since := now.Sub(t.drawn); since < treeEvery || !t.dirty && since < time.Second {
		return nil
	}
	t.drawn, t.dirty = now, false
	width, height := t.area.size()
	t.area.draw(t.lines(width, height, now))
	return nil
}

func (t *planTree) close() error {
	t.area.draw(nil)
	if t.out != nil {
		return t.out.close(nil)
	}
	return nil
}

// lines are the tree as it stands: a line about the whole, then steps under way, then those that wait as far as there is room.
func (t *planTree) lines(width, height int, now time.Time) []string {
	if width < 8 || height < 4 || t.name == "" {
		return nil
	}
	var running, waiting []*treeStep
	done, bad := 0, 0
	for _, name := range t.order {
		s := t.steps[name]
		switch s.state {
		case executor.Running:
			running = append(running, s)
		case executor.Done:
			done++
			if s.verdict != executor.Passed && s.verdict != executor.Skipped {
				bad++
			}
		default:
			waiting = append(waiting, s)
		}
	}
	paint := t.a.painter(t.a.err)
	head := fmt.Sprintf("%s: %d of %s done", safeLine(t.name), done, counted(len(t.order), "step"))
	if bad > 0 {
		head += ", " + paint(red, fmt.Sprintf("%d not passed", bad))
	}
	out := []string{head + ", " + short(now.Sub(t.started))}
	if t.waits != "" {
		out = append(out, paint(yellow, "  waits for hosts: "+safeLine(t.waits)))
	}
	room := min(height-2, 40) - 1 // the line about the rest has its place too
	width--                       // some terminals wrap at the last column
	names := 0
	for _, s := range running {
		names = max(names, min(len(s.name), width/3))
	}
	hidden := 0
	for _, s := range running {
		if len(out) > room {
			hidden++
			continue
		}
		out = append(out, t.running(s, names, now))
	}
	rest := []string{}
	if hidden > 0 {
		rest = append(rest, fmt.Sprintf("%d more running", hidden))
	}
	for i, s := range waiting {
		last := i == len(waiting)-1 && hidden == 0 // it has the place of the line about the rest
		if (len(out) > room || i >= 3) && !last {
			rest = append(rest, fmt.Sprintf("%d more waiting", len(waiting)-i))
			break
		}
		line := "  " + t.glyph.waits + " " + s.name
		if len(s.after) > 0 {
			line += " waits for " + strings.Join(s.after[:min(len(s.after), 3)], ", ")
		}
		out = append(out, paint(grey, cutTo(line, width)))
	}
	if len(rest) > 0 {
		out = append(out, paint(grey, "  "+t.glyph.more+" "+strings.Join(rest, ", ")))
	}
	for i := range out {
		out[i] = text.Trim(out[i], width)
	}
	return out
}

// running is the line of a step under way: its name, hosts done of all, time, last line of output.
func (t *planTree) running(s *treeStep, names int, now time.Time) string {
	paint := t.a.painter(t.a.err)
	mark := paint(cyan, ">")
	if s.bad > 0 {
		mark = paint(red, t.glyph.failed)
	}
	name := cutTo(s.name, names)
	line := fmt.Sprintf("  %s %s%s %6s", mark, name, strings.Repeat(" ", max(0, names-text.RuneWidthWithoutEscSequences(name))), short(now.Sub(s.started)))
	switch {
	case max(len(s.hosts), s.all) > 1:
		line += fmt.Sprintf("  %d/%d on %s", len(s.ended), max(len(s.hosts), s.all), s.on)
	case s.on != "":
		line += "  " + s.on
	}
	if s.bad > 0 {
		line += ", " + paint(red, fmt.Sprintf("%d not passed", s.bad))
	}
	if s.last != "" {
		line += "  " + paint(grey, strings.ReplaceAll(string(lines.Safe([]byte(s.last))), "\t", " "))
	}
	return line
}

func cutTo(s string, width int) string {
	if text.RuneWidthWithoutEscSequences(s) <= width {
		return s
	}
	return text.Trim(s, width)
}
