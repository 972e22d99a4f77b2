package plugins

import (
	"encoding/json"
	"errors"

	"github.com/invopop/jsonschema"
)

// Words is a piece of a command line: either a text that the shell reads as it
// is, or a list of words that each arrive unchanged.
type Words struct {
	Line string   // the text, when List is nil
	List []string // the words
}

// Empty reports whether nothing was given.
func (w Words) Empty() bool { return w.Line == "" && len(w.List) == 0 }

// Shell gives the piece in the shell's language. The error is [ErrNUL].
func (w Words) Shell() (string, error) {
	if w.List != nil {
		return Quote(w.List...)
	}
	for i := range len(w.Line) {
		if w.Line[i] == 0 {
			return "", ErrNUL
		}
	}
	return w.Line, nil
}

// MarshalJSON writes the form that was read.
func (w Words) MarshalJSON() ([]byte, error) {
	if w.List != nil {
		return json.Marshal(w.List)
	}
	return json.Marshal(w.Line)
}

// UnmarshalJSON reads a text, or a list of texts, numbers and truth values.
func (w *Words) UnmarshalJSON(b []byte) error {
	*w = Words{}
	if json.Unmarshal(b, &w.Line) == nil {
		return nil
	}
	var raw []json.RawMessage
	if json.Unmarshal(b, &raw) != nil {
		return errors.New("want a text or a list of texts")
	}
	w.List = make([]string, 0, len(raw))
	for _, v := range raw {
		text, err := scalar(v)
		if err != nil {
			return errors.New("want a text or a list of texts")
		}
		w.List = append(w.List, text)
	}
	return nil
}

// JSONSchema describes both forms.
func (Words) JSONSchema() *jsonschema.Schema {
	word := &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		{Type: "string", Pattern: `^[^\x00]*$`}, {Type: "number"}, {Type: "boolean"},
	}}
	return &jsonschema.Schema{
		AnyOf: []*jsonschema.Schema{
			{Type: "string", Pattern: `^[^\x00]*$`},
			{Type: "array", Items: word},
		},
		Extras: map[string]any{wantKey: "a text (read by the shell) or a list of words (each quoted), without NUL"},
	}
}
