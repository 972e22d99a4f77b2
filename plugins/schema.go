package plugins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Schema is a JSON Schema (draft 2020-12) of a method's parameters or outputs.
// It marshals as the schema itself. Safe for concurrent use.
type Schema struct {
	raw      json.RawMessage
	compiled *validator.Schema
}

// MarshalJSON gives the schema document.
func (s *Schema) MarshalJSON() ([]byte, error) { return s.raw, nil }

// A ParameterError tells which parameter is wrong and why. Location is a path
// such as "parameters.env.PATH"; it never holds the value.
type ParameterError struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

func (e ParameterError) Error() string { return e.Location + ": " + e.Message }

// Check validates parameters against the schema: unknown names are refused. The
// error joins one [ParameterError] for each fault.
func (s *Schema) Check(params json.RawMessage) error {
	if len(bytes.TrimSpace(params)) == 0 {
		params = json.RawMessage("{}")
	}
	value, err := validator.UnmarshalJSON(bytes.NewReader(params))
	if err != nil {
		return ParameterError{Location: "parameters", Message: "is not valid JSON"}
	}
	var invalid *validator.ValidationError
	if err := s.compiled.Validate(value); errors.As(err, &invalid) {
		return errors.Join(leaves(invalid)...)
	} else if err != nil {
		return ParameterError{Location: "parameters", Message: err.Error()}
	}
	return nil
}

var english = message.NewPrinter(language.English)

// leaves flattens a validation error into its innermost causes: those name the fault.
func leaves(e *validator.ValidationError) []error {
	if len(e.Causes) == 0 {
		loc := strings.Join(append([]string{"parameters"}, e.InstanceLocation...), ".")
		return []error{ParameterError{Location: loc, Message: e.ErrorKind.LocalizedString(english)}}
	}
	var all []error
	for _, c := range e.Causes {
		all = append(all, leaves(c)...)
	}
	return all
}

// NewSchema compiles a schema document.
func NewSchema(doc json.RawMessage) (*Schema, error) {
	parsed, err := validator.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("tfw:schema", parsed); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	compiled, err := c.Compile("tfw:schema")
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return &Schema{raw: doc, compiled: compiled}, nil
}

// schemaOf derives the schema of T from its fields. It panics on a type that
// has none: that is a mistake in a plugin's source, found by any test that makes it.
func schemaOf[T any]() *Schema {
	r := jsonschema.Reflector{DoNotReference: true, Anonymous: true}
	doc, err := json.Marshal(r.Reflect(new(T)))
	if err == nil {
		var s *Schema
		if s, err = NewSchema(doc); err == nil {
			return s
		}
	}
	panic(fmt.Sprintf("plugins: no schema for %T: %v", *new(T), err))
}

// decode reads checked parameters over the type's defaults.
func decode[P any](raw json.RawMessage) (P, error) {
	var p P
	if d, ok := any(p).(interface{ Defaults() P }); ok {
		p = d.Defaults()
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return p, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return p, fmt.Errorf("parameters: %w", err)
	}
	return p, nil
}
