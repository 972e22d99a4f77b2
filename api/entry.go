package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"tfw/executor"
)

// LogEntry is one entry of a run's log: bytes of a command's stream at an
// offset, or an event. In JSON data is text when it is UTF-8, else base64, and
// then "encoding" says so.
type LogEntry struct {
	Seq     uint64          // rising; resume with After
	Time    time.Time       // of receipt
	Host    string          //
	Command int             // ordinal within the run on the host
	Stream  executor.Stream //
	Offset  int64           // of Data in the stream
	Data    []byte          // at most 64 KiB
	Quiet   bool            // of a command of the method's own: views for people leave it out
}

// wireEntry is the JSON of an entry.
type wireEntry struct {
	Seq      uint64          `json:"seq" doc:"rises; resume with after="`
	Time     time.Time       `json:"time" doc:"when the controller received it"`
	Host     string          `json:"host"`
	Command  int             `json:"cmd" doc:"ordinal of the command within the run on the host"`
	Stream   executor.Stream `json:"stream"`
	Offset   int64           `json:"offset" doc:"of data in the command's stream, in bytes"`
	Data     string          `json:"data" doc:"text, or base64 when encoding says so"`
	Encoding string          `json:"encoding,omitempty" enum:"base64" doc:"present when data is not UTF-8"`
	Quiet    bool            `json:"quiet,omitempty" doc:"of a command of the method's own, such as a probe: views for people leave it out"`
}

func wireOf(e LogEntry) wireEntry {
	w := wireEntry{Seq: e.Seq, Time: e.Time, Host: e.Host, Command: e.Command, Stream: e.Stream, Offset: e.Offset, Quiet: e.Quiet}
	if utf8.Valid(e.Data) {
		w.Data = string(e.Data)
	} else {
		w.Data, w.Encoding = base64.StdEncoding.EncodeToString(e.Data), "base64"
	}
	return w
}

// MarshalJSON writes the wire form.
func (e LogEntry) MarshalJSON() ([]byte, error) { return json.Marshal(wireOf(e)) }

// UnmarshalJSON reads the wire form.
func (e *LogEntry) UnmarshalJSON(b []byte) error {
	var w wireEntry
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	data := []byte(w.Data)
	switch w.Encoding {
	case "":
	case "base64":
		var err error
		if data, err = base64.StdEncoding.DecodeString(w.Data); err != nil {
			return fmt.Errorf("log entry %d: %w", w.Seq, err)
		}
	default:
		return fmt.Errorf("log entry %d: unknown encoding %q", w.Seq, w.Encoding)
	}
	*e = LogEntry{Seq: w.Seq, Time: w.Time, Host: w.Host, Command: w.Command, Stream: w.Stream, Offset: w.Offset, Data: data, Quiet: w.Quiet}
	return nil
}

// Schema describes the wire form.
func (LogEntry) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[wireEntry](), true, "LogEntry")
}

func entryOf(e executor.Entry) LogEntry {
	return LogEntry{Seq: e.Seq, Time: e.Time, Host: e.Host, Command: e.Command, Stream: e.Stream, Offset: e.Offset, Data: e.Data, Quiet: e.Quiet}
}
