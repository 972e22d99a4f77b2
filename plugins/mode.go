package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/invopop/jsonschema"
)

// Mode is permission bits in parameters, written as an octal text: "0755". A
// number is refused: JSON's 755 and YAML's 0755 would be two modes.
type Mode uint32

var errMode = errors.New(`want an octal text such as "0755"`)

// MarshalJSON writes four octal digits.
func (m Mode) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprintf("%04o", uint32(m))) }

// UnmarshalJSON reads an octal text of at most 7777.
func (m *Mode) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		return errMode
	}
	v, err := strconv.ParseUint(text, 8, 16)
	if err != nil || v > 0o7777 {
		return errMode
	}
	*m = Mode(v)
	return nil
}

// JSONSchema describes the text.
func (Mode) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type: "string", Pattern: `^[0-7]{3,5}$`, Examples: []any{"0644", "0755"},
		Extras: map[string]any{wantKey: `an octal text such as "0755"`},
	}
}
