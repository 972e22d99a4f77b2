package plugins

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/invopop/jsonschema"
)

// Env is environment variables for a command. In JSON their values may be
// texts, numbers or truth values; the last two arrive as they are written. A value
// may be a reference to a secret, which the method does not see.
type Env map[string]string

var errEnv = errors.New("want an object of texts, numbers or truth values")

// UnmarshalJSON reads an object of scalars.
func (e *Env) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return errEnv
	}
	*e = make(Env, len(raw))
	for name, v := range raw {
		if ref, is, err := readSecretRef(v); err != nil {
			return err
		} else if is {
			(*e)[name] = secretMark + ref
			continue
		}
		text, err := scalar(v)
		if err != nil {
			return err
		}
		(*e)[name] = text
	}
	return nil
}

// scalar gives a JSON text's content, or a number's or truth value's notation.
func scalar(v json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(v, &text) == nil && v[0] == '"' {
		if strings.ContainsRune(text, 0) {
			return "", errEnv
		}
		return text, nil
	}
	switch v[0] {
	case '{', '[', 'n':
		return "", errEnv
	}
	return string(v), nil
}

// JSONSchema allows names that a POSIX shell can export (XBD 8.1).
func (Env) JSONSchema() *jsonschema.Schema {
	value := &jsonschema.Schema{
		AnyOf: []*jsonschema.Schema{
			{Type: "string", Pattern: `^[^\x00]*$`}, {Type: "number"}, {Type: "boolean"}, secretSchema(),
		},
		Extras: map[string]any{wantKey: `a text without NUL, a number, true/false or {"secret": "secret:NAME"}`},
	}
	return &jsonschema.Schema{
		Type:                 "object",
		PatternProperties:    map[string]*jsonschema.Schema{`^[A-Za-z_][A-Za-z0-9_]*$`: value},
		AdditionalProperties: jsonschema.FalseSchema,
		Extras:               map[string]any{wantKey: "an object of values by name, each name of letters, digits and _ and not beginning with a digit"},
	}
}
