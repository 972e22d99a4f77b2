package plugins

import (
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/invopop/jsonschema"
)

// Content is bytes given in parameters: a JSON text for what is UTF-8, or
// {"base64": "..."} for anything. A given but empty text is not nil.
type Content []byte

type base64Content struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON writes a text where the bytes are one.
func (c Content) MarshalJSON() ([]byte, error) {
	switch {
	case c == nil:
		return []byte("null"), nil
	case utf8.Valid(c):
		return json.Marshal(string(c))
	}
	return json.Marshal(base64Content{c})
}

// UnmarshalJSON reads either form.
func (c *Content) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*c = nil
		return nil
	}
	var text string
	if json.Unmarshal(b, &text) == nil {
		*c = append(Content{}, text...)
		return nil
	}
	var coded base64Content
	if json.Unmarshal(b, &coded) != nil {
		return errors.New(`want a text, or {"base64": "..."}`)
	}
	*c = append(Content{}, coded.Base64...)
	return nil
}

// JSONSchema describes both forms.
func (Content) JSONSchema() *jsonschema.Schema {
	coded := &jsonschema.Schema{
		Type:       "object",
		Properties: jsonschema.NewProperties(),
		Required:   []string{"base64"}, AdditionalProperties: jsonschema.FalseSchema,
	}
	coded.Properties.Set("base64", &jsonschema.Schema{
		Type:    "string",
		Pattern: `^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$`,
	})
	return &jsonschema.Schema{
		AnyOf:  []*jsonschema.Schema{{Type: "string"}, coded},
		Extras: map[string]any{wantKey: `a text, or {"base64": "..."} for bytes`},
	}
}
