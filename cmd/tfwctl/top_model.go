package main

import (
	"slices"
	"time"

	"tfw/api"
	"tfw/cmd/tfwctl/screen"
	"tfw/executor"
)

// topModel is what top shows, and where in it the person is. Only the loop touches it.
type topModel struct {
	server  string
	hosts   []api.Host
	runs    []*executor.Run // as lists have them, without hosts
	detail  *executor.Run   // the selected one with its hosts, once it is known
	lost    time.Time       // when the controller stopped answering; zero: it answers
	trouble string
	notice  string // about the last key
	unknown bool   // it means nothing here: the keys that do are shown

	selected executor.RunID
	chosen   bool // by the person: before that, the newest run that is not done is
	host     string
	all      bool

	log    *topLog
	shown  topWants // what log holds
	scroll int      // lines up from the end of the log
	right  int      // columns
	height int      // of the log pane when it was last drawn

	asking bool // whether to cancel
	typing bool // a host's name
	typed  string
}

func (m *topModel) wants() topWants { return topWants{m.selected, m.host, m.all} }

func (m *topModel) setRuns(runs []*executor.Run) {
	m.runs = runs
	if m.chosen && m.run() != nil || len(runs) == 0 {
		return
	}
	at := slices.IndexFunc(runs, func(r *executor.Run) bool { return r.State != executor.Done })
	m.choose(runs[max(at, 0)].ID)
}

func (m *topModel) choose(id executor.RunID) {
	if id != m.selected {
		m.selected, m.host, m.scroll, m.right = id, "", 0, 0
	}
}

// run is the selected one, nil when it is not among those shown.
func (m *topModel) run() *executor.Run {
	if i := m.at(); i >= 0 {
		return m.runs[i]
	}
	return nil
}

// whole is the selected run with its hosts, nil while it is not known.
func (m *topModel) whole() *executor.Run {
	if m.detail == nil || m.detail.ID != m.selected {
		return nil
	}
	return m.detail
}

func (m *topModel) at() int {
	return slices.IndexFunc(m.runs, func(r *executor.Run) bool { return r.ID == m.selected })
}

// addLog takes a page of the log that w asked for.
func (m *topModel) addLog(w topWants, page logPage) {
	if w != m.wants() {
		return // another one has been selected meanwhile
	}
	if m.log == nil || m.shown != w {
		m.log, m.shown = newTopLog(), w
	}
	added := m.log.add(page, w.all)
	if m.scroll > 0 { // what the person reads stays where it is
		m.scroll += added
	}
}

type topAct int

const (
	topNothing topAct = iota
	topQuit
	topRedraw
	topSuspend
	topCancel
)

// press takes a key, and tells what else is to be done.
func (m *topModel) press(k screen.Key) topAct {
	m.notice, m.unknown = "", false
	switch {
	case k == screen.CtrlC:
		return topQuit
	case k == screen.CtrlZ:
		return topSuspend
	case k == screen.CtrlL:
		return topRedraw
	case m.asking:
		m.asking = false
		if k == "y" || k == "Y" {
			return topCancel
		}
		m.notice = "not cancelled"
		return topNothing
	case m.typing:
		m.typeHost(k)
		return topNothing
	}
	return m.command(k)
}

func (m *topModel) command(k screen.Key) topAct {
	switch k {
	case "q", "Q":
		return topQuit
	case screen.Up, "k":
		m.step(-1)
	case screen.Down, "j":
		m.step(1)
	case screen.PageUp:
		m.scroll += max(m.height-1, 1)
	case screen.PageDown:
		m.scroll = max(m.scroll-max(m.height-1, 1), 0)
	case screen.Home:
		m.scroll = topLines
	case screen.End, "f":
		m.scroll, m.right = 0, 0
	case screen.Right:
		m.right = min(m.right+topStep, maxTopLine)
	case screen.Left:
		m.right = max(m.right-topStep, 0)
	case "/":
		m.typing, m.typed = true, ""
	case "a":
		m.all = !m.all
	case "c":
		m.askCancel()
	default:
		m.unknown = true
	}
	return topNothing
}

// topStep is how many columns a key moves over long lines.
const topStep = 20

func (m *topModel) step(by int) {
	if len(m.runs) == 0 {
		return
	}
	m.chosen = true
	m.choose(m.runs[min(max(m.at()+by, 0), len(m.runs)-1)].ID)
}

func (m *topModel) askCancel() {
	switch r := m.run(); {
	case r == nil:
		m.notice = "no run is selected"
	case r.State == executor.Done:
		m.notice = "run " + string(r.ID) + " is done"
	default:
		m.asking, m.chosen = true, true
	}
}

// typeHost takes a key of a host's name. An empty name is every host.
func (m *topModel) typeHost(k screen.Key) {
	switch {
	case k == screen.Escape:
		m.typing = false
	case k == screen.Enter:
		m.typing = false
		m.pickHost(m.typed)
	case k == screen.Backspace:
		if m.typed != "" {
			m.typed = m.typed[:len(m.typed)-1]
		}
	case len(k) == 1 && len(m.typed) < 64:
		m.typed += string(k)
	}
}

func (m *topModel) pickHost(name string) {
	r := m.whole()
	known := func(h executor.HostResult) bool { return h.Host == name }
	if name != "" && (r == nil || !slices.ContainsFunc(r.Hosts, known)) {
		m.notice = name + ": no host of this run"
		return
	}
	m.host, m.scroll, m.chosen = name, 0, true
}
