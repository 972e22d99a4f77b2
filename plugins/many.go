package plugins

import (
	"encoding/json"
	"errors"

	"github.com/invopop/jsonschema"
)

// Many is a list of texts in parameters; a single text is a list of one.
type Many []string

// UnmarshalJSON reads a text or a list of texts.
func (m *Many) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*m = Many{one}
		return nil
	}
	var all []string
	if json.Unmarshal(b, &all) != nil {
		return errors.New("want a text or a list of texts")
	}
	*m = all
	return nil
}

// JSONSchema describes both forms; NUL and the empty text are refused.
func (Many) JSONSchema() *jsonschema.Schema {
	text := &jsonschema.Schema{Type: "string", Pattern: `^[^\x00]+$`}
	return &jsonschema.Schema{
		AnyOf:  []*jsonschema.Schema{text, {Type: "array", Items: text}},
		Extras: map[string]any{wantKey: "a text or a list of texts, none of them empty"},
	}
}
