package plugins

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"
)

// A parameter may name a secret in the place of its value, {"secret": "secret:NAME"}
// (or env:NAME, file:/path), where a command's environment or standard input takes
// it. The method never sees the value: it travels as a reference to the executor,
// which reads it when the command is made, keeps it out of every record and masks it in the log.
type secretRef struct {
	Secret string `json:"secret"`
}

// secretMark begins the value of an [Env] that is a reference. No value of a user begins so: it has a NUL byte.
const secretMark = "\x00secret:"

var errSecret = errors.New(`want {"secret": "env:NAME"}, "file:/path" or "secret:NAME"`)

// readSecretRef gives the reference in a JSON object that is nothing but one.
func readSecretRef(v json.RawMessage) (string, bool, error) {
	var fields map[string]json.RawMessage
	isObject := json.Unmarshal(v, &fields) == nil
	if !isObject || fields["secret"] == nil {
		return "", false, nil
	}
	var ref secretRef
	if len(fields) != 1 || json.Unmarshal(v, &ref) != nil || !validSecretRef(ref.Secret) {
		return "", true, errSecret
	}
	return ref.Secret, true, nil
}

func validSecretRef(ref string) bool {
	scheme, rest, _ := strings.Cut(ref, ":")
	return slices.Contains([]string{"env", "file", "secret"}, scheme) && rest != "" && len(ref) <= 4096 && !strings.ContainsAny(rest, "\x00\n")
}

func secretSchema() *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), Required: []string{"secret"}, AdditionalProperties: jsonschema.FalseSchema}
	s.Properties.Set("secret", &jsonschema.Schema{Type: "string", Pattern: `^(env|file|secret):[^\x00\n]+$`})
	return s
}

// split parts the variables with a value of their own from those that name a secret.
func (e Env) split() (plain, secrets map[string]string) {
	for name, value := range e {
		if ref, is := strings.CutPrefix(value, secretMark); is {
			if secrets == nil {
				secrets, plain = map[string]string{}, maps.Clone(e)
				maps.DeleteFunc(plain, func(_, v string) bool { return strings.HasPrefix(v, secretMark) })
			}
			secrets[name] = ref
		}
	}
	if secrets == nil {
		return e, nil
	}
	return plain, secrets
}

// MarshalJSON writes references as they are read.
func (e Env) MarshalJSON() ([]byte, error) {
	if e == nil {
		return []byte("null"), nil
	}
	out := make(map[string]any, len(e))
	for name, value := range e {
		if ref, is := strings.CutPrefix(value, secretMark); is {
			out[name] = secretRef{ref}
		} else {
			out[name] = value
		}
	}
	return json.Marshal(out)
}

// Input is what a command reads on standard input: content, or a reference to a secret.
type Input struct {
	Content Content
	Secret  string
}

// MarshalJSON writes either form.
func (i Input) MarshalJSON() ([]byte, error) {
	if i.Secret != "" {
		return json.Marshal(secretRef{i.Secret})
	}
	return json.Marshal(i.Content)
}

// UnmarshalJSON reads either form.
func (i *Input) UnmarshalJSON(b []byte) (err error) {
	var is bool
	if i.Secret, is, err = readSecretRef(b); is {
		return err
	}
	return i.Content.UnmarshalJSON(b)
}

// IsZero reports that nothing was given.
func (i Input) IsZero() bool { return i.Secret == "" && i.Content == nil }

// JSONSchema describes both forms.
func (Input) JSONSchema() *jsonschema.Schema {
	s := Content(nil).JSONSchema()
	s.AnyOf = append(s.AnyOf, secretSchema())
	s.Extras[wantKey] = `a text, {"base64": "..."} for bytes, or {"secret": "secret:NAME"}`
	return s
}
