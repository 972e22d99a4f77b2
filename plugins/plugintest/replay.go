package plugintest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tfw/plugins"
)

// Option adjusts [Replay].
type Option func(*replay)

// Setup prepares the host before each of the runs: files, artifacts.
func Setup(prepare func(h *LocalHost)) Option { return func(r *replay) { r.setup = prepare } }

// Ignore leaves fields of the outputs out of the comparison of two real
// executions, by name at any depth: "elapsed". (The replay of one record is always compared whole.)
func Ignore(fields ...string) Option { return func(r *replay) { r.ignore = fields } }

// IgnoreFiles leaves files out of the comparison whose path under the home holds one of the texts.
func IgnoreFiles(parts ...string) Option { return func(r *replay) { r.ignoreFiles = parts } }

// Outcome is how a method ended on a host.
type Outcome struct {
	Outputs json.RawMessage
	Err     error
	Ops     []Op
	Files   map[string]string // path under the home to mode and content, in short
}

// Replay calls a method undisturbed; then again from that record alone, several
// times; then on fresh hosts with the controller killed after every single
// remote operation, and for transfers also before their answer was recorded. It
// reports an error on t where the method asks for something else when it is
// given the same answers, or ends otherwise. It gives the undisturbed outcome.
//
// The method must not depend on files outside the host's home.
func Replay(t testing.TB, m plugins.Method, params any, opts ...Option) Outcome {
	t.Helper()
	raw, err := json.Marshal(params)
	if err != nil {
		t.Fatalf("parameters: %v", err)
	}
	if err := m.Check(raw); err != nil {
		t.Fatalf("parameters of %s: %v", m.Name, err)
	}
	r := &replay{t: t, method: m, params: raw, home: filepath.Join(t.TempDir(), "home"), setup: func(*LocalHost) {}}
	for _, opt := range opts {
		opt(r)
	}
	whole := r.outcome(r.call(r.fresh(), nil, never))
	r.fromRecord(whole)
	for k := 1; k <= len(whole.Ops); k++ {
		r.killed(whole, k, k)
		if kind := whole.Ops[k-1].Kind; kind == "upload" || kind == "download" {
			r.killed(whole, k, k-1)
		}
	}
	return whole
}

type replay struct {
	t           testing.TB
	method      plugins.Method
	params      json.RawMessage
	home        string
	setup       func(*LocalHost)
	ignore      []string
	ignoreFiles []string
}

// never is a kill point that is not reached.
const never = 1 << 30

// rounds of replay from one record: enough to see the order of a map change.
const rounds = 8

// fresh empties the home and prepares it. The path stays the same, so that two
// executions can be compared.
func (r *replay) fresh() *LocalHost {
	if err := os.RemoveAll(r.home); err != nil {
		r.t.Fatalf("replay: %v", err)
	}
	if err := os.MkdirAll(r.home, 0o755); err != nil {
		r.t.Fatalf("replay: %v", err)
	}
	h := newHost(r.home)
	r.setup(h)
	return h
}

// fromRecord replays from recorded answers alone: nothing may differ, nothing may be asked anew.
func (r *replay) fromRecord(whole Outcome) {
	r.t.Helper()
	for range rounds {
		again := r.call(newHost(r.home), whole.Ops, never)
		switch {
		case again.differs != "":
			r.t.Errorf("%s is not deterministic: %s", r.method.Name, again.differs)
		case len(again.record) > len(whole.Ops):
			r.t.Errorf("%s is not deterministic: it asked for more when replayed: %s", r.method.Name, brief(again.record[len(whole.Ops)].Text))
		case again.asked < len(whole.Ops):
			r.t.Errorf("%s is not deterministic: it made %d operations when replayed, %d before", r.method.Name, again.asked, len(whole.Ops))
		case string(again.outputs) != string(whole.Outputs) || text(again.err) != text(whole.Err):
			r.t.Errorf("%s is not deterministic: from the same answers it ended with %s, %q, before with %s, %q",
				r.method.Name, again.outputs, text(again.err), whole.Outputs, text(whole.Err))
		default:
			continue
		}
		return
	}
}

// killed kills the controller once k operations are done, resumes with the first
// known of their answers, and compares the end with the undisturbed one.
func (r *replay) killed(whole Outcome, k, known int) {
	r.t.Helper()
	host := r.fresh()
	first := r.call(host, nil, k)
	if !first.dead {
		r.t.Errorf("%s: ended after %d operations on a fresh host, before it took %d", r.method.Name, len(first.record), len(whole.Ops))
		return
	}
	at := fmt.Sprintf("%s, killed after operation %d of %d (%s)", r.method.Name, k, len(whole.Ops), brief(whole.Ops[k-1].Text))
	second := r.call(host, first.record[:known], never)
	if second.differs != "" {
		r.t.Errorf("%s: not deterministic: %s", at, second.differs)
		return
	}
	got := r.outcome(second)
	if a, b := kinds(got.Ops), kinds(whole.Ops); !slices.Equal(a, b) {
		r.t.Errorf("%s: made the operations %v, undisturbed %v", at, a, b)
	}
	if a, b := r.comparable(got.Outputs), r.comparable(whole.Outputs); a != b {
		r.t.Errorf("%s: outputs\n%s\nundisturbed\n%s", at, a, b)
	}
	if text(got.Err) != text(whole.Err) {
		r.t.Errorf("%s: ended with %q, undisturbed with %q", at, text(got.Err), text(whole.Err))
	}
	for _, d := range difference(got.Files, whole.Files) {
		r.t.Errorf("%s: file %s", at, d)
	}
}

// outcome looks at the host's files now; what else it holds is in the call.
func (r *replay) outcome(c *controller) Outcome {
	return Outcome{Outputs: c.outputs, Err: c.err, Ops: c.record, Files: tree(r.t, r.home, r.ignoreFiles)}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%T: %v", err, err)
}

func kinds(ops []Op) []string {
	all := make([]string, len(ops))
	for i, op := range ops {
		all[i] = op.Kind
	}
	return all
}

func brief(s string) string {
	if len(s) > 160 {
		return s[:160] + "..."
	}
	return s
}
