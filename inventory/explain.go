package inventory

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Setting is one value of a host with its history.
type Setting struct {
	Name     string    `json:"name"`  // "ssh.user", "vars.board"
	Value    any       `json:"value"` // a secret shows as its reference
	Origin   Origin    `json:"origin"`
	Overrode []Setting `json:"overrode,omitempty"` // what stood before, the nearest first
	United   bool      `json:"united,omitempty"`   // the value unites Origin's with those of Overrode
}

// Origin says where a value was given.
type Origin struct {
	By   string `json:"by"`   // "defaults", "group duts", "host dut25", "operator", "built in"
	File string `json:"file"` // "" for what is not from a file
	Line int    `json:"line,omitempty"`
}

// String is FILE:LINE (BY).
func (o Origin) String() string {
	if o.File == "" {
		return o.By
	}
	if o.Line == 0 {
		return fmt.Sprintf("%s (%s)", o.File, o.By)
	}
	return fmt.Sprintf("%s:%d (%s)", o.File, o.Line, o.By)
}

// Explain lists every setting of a host, by name: its value, where it came from
// and what it overrode. An unknown host is a [*TargetError].
func (inv *Inventory) Explain(host string) ([]Setting, error) {
	i, ok := inv.index[host]
	if !ok {
		return nil, &TargetError{Target: host, Term: host, Message: "no such host", Fix: Hint(host, inv.names(nameKind{hosts: true}), "see: tfwctl hosts")}
	}
	h := inv.hosts[i]
	d := inv.draft
	hd := d.hosts[d.hostAt[host]]
	w := &history{byName: map[string]*Setting{}}
	w.put("address", h.Name, Origin{By: "built in: the name"}, false)
	w.put("state", string(Active), Origin{By: "built in"}, false)
	for _, l := range inv.layersOf(hd) {
		w.layer(l)
	}
	if hd.address != "" {
		w.put("address", hd.address, origin(hd.label(), hd.addrAt), false)
	}
	if h.StateBy != "" {
		w.put("state", string(h.State), Origin{By: "operator " + h.StateBy}, false)
		w.put("reason", h.Reason, Origin{By: "operator " + h.StateBy}, false)
	}
	return w.sorted(), nil
}

// layersOf are all places that give a host settings, the weakest first.
func (inv *Inventory) layersOf(hd *hostDraft) []*layer {
	b := &builder{draft: inv.draft, depth: inv.ranks, bases: map[string]*base{}}
	return slices.Concat(b.baseOf(hd.groups).layers, hd.own)
}

func (hd *hostDraft) label() string {
	if len(hd.own) > 0 {
		return hd.own[0].label
	}
	return "host " + hd.name
}

func origin(label string, at position) Origin {
	o := Origin{By: label, Line: at.line}
	if at.src != nil {
		o.File = at.src.name
	}
	return o
}

// history collects settings by name as layers are laid over one another.
type history struct{ byName map[string]*Setting }

func (w *history) layer(l *layer) {
	for _, s := range l.settings {
		from := origin(l.label, s.at)
		switch {
		case s.path == "plugins" || s.path == "tags":
			w.put(s.path, s.value, from, true)
		case strings.HasPrefix(s.path, "vars.") && !l.flat:
			w.deep(s.path, s.value, from)
		default:
			w.drop(s.path)
			w.put(s.path, s.value, from, false)
		}
	}
}

// deep records the leaves of a map that merges.
func (w *history) deep(path string, value any, from Origin) {
	m, ok := value.(map[string]any)
	if !ok || len(m) == 0 {
		w.drop(path)
		w.put(path, value, from, false)
		return
	}
	if old, scalar := w.byName[path]; scalar {
		if _, empty := old.Value.(map[string]any); !empty {
			delete(w.byName, path)
		}
	}
	for k, v := range m {
		w.deep(path+"."+k, v, from)
	}
}

// drop forgets what stood below a path that is replaced as a whole.
func (w *history) drop(path string) {
	for name := range w.byName {
		if strings.HasPrefix(name, path+".") {
			delete(w.byName, name)
		}
	}
}

func (w *history) put(name string, value any, from Origin, unite bool) {
	next := &Setting{Name: name, Value: value, Origin: from}
	if old, ok := w.byName[name]; ok {
		before := *old
		before.Overrode, before.United = nil, false
		next.Overrode = append([]Setting{before}, old.Overrode...)
		if unite {
			next.United = true
			before.Value = old.Value
			next.Value = united(old.Value.([]string), value.([]string))
		}
	}
	w.byName[name] = next
}

func (w *history) sorted() []Setting {
	out := make([]Setting, 0, len(w.byName))
	for _, s := range w.byName {
		out = append(out, *s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
