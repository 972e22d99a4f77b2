package api

import (
	"bytes"
	"fmt"

	"tfw/executor"
)

// logForm writes a log in one of its forms.
type logForm interface {
	splits(e executor.Entry) bool // whether the data of a packed entry is needed
	entry(b *bytes.Buffer, e executor.Entry)
	page(b *bytes.Buffer) // the end of a page: what was held back goes out
	heartbeat(b *bytes.Buffer)
	end(b *bytes.Buffer, run *executor.Run) // run is nil when it was not followed to its end
}

func formOf(kind string, id executor.RunID, skip int64, packed bool) logForm {
	switch {
	case kind == plain && packed:
		return &packedForm{skip: skip}
	case kind == plain:
		return &rawForm{skip}
	case kind == sse:
		return sseForm{id}
	}
	return ndjsonForm{}
}

// ndjsonForm is an entry a line. An empty line is a heartbeat: JSON readers skip it.
type ndjsonForm struct{}

func (ndjsonForm) splits(executor.Entry) bool              { return false }
func (ndjsonForm) page(*bytes.Buffer)                      {}
func (ndjsonForm) entry(b *bytes.Buffer, e executor.Entry) { encode(b, wireOf(entryOf(e))) }
func (ndjsonForm) heartbeat(b *bytes.Buffer)               { b.WriteByte('\n') }
func (ndjsonForm) end(*bytes.Buffer, *executor.Run)        {}

// rawForm is the bytes and nothing else: there is no room for a heartbeat.
type rawForm struct{ skip int64 } // bytes that the client has already

func (f *rawForm) entry(b *bytes.Buffer, e executor.Entry) {
	known := min(f.skip, int64(len(e.Data)))
	f.skip -= known
	b.Write(e.Data[known:])
}
func (*rawForm) splits(executor.Entry) bool       { return false }
func (*rawForm) page(*bytes.Buffer)               {}
func (*rawForm) heartbeat(*bytes.Buffer)          {}
func (*rawForm) end(*bytes.Buffer, *executor.Run) {}

// sseForm is an entry an event (the HTML standard, 9.2 Server-sent events).
// The JSON holds no bare newline, so one data line is enough.
type sseForm struct{ run executor.RunID }

func (sseForm) entry(b *bytes.Buffer, e executor.Entry) {
	fmt.Fprintf(b, "id: %d\ndata: ", e.Seq)
	encode(b, wireOf(entryOf(e)))
	b.WriteByte('\n')
}

func (sseForm) splits(executor.Entry) bool { return false }
func (sseForm) page(*bytes.Buffer)         {}
func (sseForm) heartbeat(b *bytes.Buffer)  { b.WriteString(": still here\n\n") }

// logEnd is the last event of a followed log.
type logEnd struct {
	Run     executor.RunID   `json:"run"`
	State   executor.State   `json:"state"`
	Verdict executor.Verdict `json:"verdict"`
}

func (f sseForm) end(b *bytes.Buffer, run *executor.Run) {
	if run == nil {
		return
	}
	b.WriteString("event: end\ndata: ")
	encode(b, logEnd{Run: f.run, State: run.State, Verdict: run.Verdict})
	b.WriteByte('\n')
}
