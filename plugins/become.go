package plugins

import (
	"encoding/json"
	"errors"

	"github.com/invopop/jsonschema"
)

// As is the parameter "become": true for the host's setting (or root), a user's
// name, or {"user": "..."}. The zero value is the login user.
type As struct {
	on   bool
	user string
}

// AsUser gives the parameter for a user; "" is the host's setting, or root.
func AsUser(name string) As { return As{on: true, user: name} }

// Become gives what [Command] wants: nil for the login user.
func (a As) Become() *Become {
	if !a.on {
		return nil
	}
	return &Become{User: a.user}
}

// IsZero lets "omitzero" leave it out.
func (a As) IsZero() bool { return !a.on }

// MarshalJSON writes false, true or the user's name.
func (a As) MarshalJSON() ([]byte, error) {
	if a.on && a.user != "" {
		return json.Marshal(a.user)
	}
	return json.Marshal(a.on)
}

// UnmarshalJSON reads the three forms; null and "" are false.
func (a *As) UnmarshalJSON(b []byte) error {
	*a = As{}
	var form any
	if err := json.Unmarshal(b, &form); err != nil {
		return err
	}
	switch v := form.(type) {
	case nil:
	case bool:
		a.on = v
	case string:
		a.on, a.user = v != "", v
	case map[string]any:
		a.on = true
		a.user, _ = v["user"].(string)
	default:
		return errors.New("want true, false or the name of a user")
	}
	return nil
}

// JSONSchema describes the forms.
func (As) JSONSchema() *jsonschema.Schema {
	object := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
	object.Properties.Set("user", &jsonschema.Schema{Type: "string", Pattern: userPattern})
	return &jsonschema.Schema{
		AnyOf:  []*jsonschema.Schema{{Type: "boolean"}, {Type: "string", Pattern: userPattern}, object},
		Extras: map[string]any{wantKey: "true, false or the name of a user"},
	}
}

// userPattern admits what Linux systems use as login names and keeps out what
// sudo would read as an option.
const userPattern = `^([A-Za-z0-9_][A-Za-z0-9_.@$+-]*)?$`
