package plugins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

// Schema is a JSON Schema (draft 2020-12) of a method's parameters or outputs.
// It marshals as the schema itself. Safe for concurrent use.
type Schema struct {
	raw      json.RawMessage
	tree     map[string]any // the same, for messages
	compiled *validator.Schema
}

// MarshalJSON gives the schema document.
func (s *Schema) MarshalJSON() ([]byte, error) { return s.raw, nil }

// Properties names the properties that the schema describes, sorted.
func (s *Schema) Properties() []string { return propertyNames(s.tree) }

// Check validates parameters against the schema: unknown names are refused. The
// error joins one [ParameterError] for each fault; none tells a value.
func (s *Schema) Check(params json.RawMessage) error { return s.check("parameters", params) }

func (s *Schema) check(what string, value json.RawMessage) error {
	if len(bytes.TrimSpace(value)) == 0 {
		value = json.RawMessage("{}")
	}
	parsed, err := validator.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return ParameterError{Location: what, Message: "is not valid JSON"}
	}
	err = s.compiled.Validate(parsed)
	if invalid, ok := errors.AsType[*validator.ValidationError](err); ok {
		return errors.Join(s.faults(what, invalid)...)
	} else if err != nil {
		return ParameterError{Location: what, Message: "cannot be checked"}
	}
	return nil
}

// schemaURL names every schema to the compiler; it is never fetched.
const schemaURL = "tfw:schema"

// NewSchema compiles a schema document. References to other documents are refused.
func NewSchema(doc json.RawMessage) (*Schema, error) {
	parsed, err := validator.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	c := validator.NewCompiler()
	c.UseLoader(noLoader{})
	if err := c.AddResource(schemaURL, parsed); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	compiled, err := c.Compile(schemaURL)
	if invalid, ok := errors.AsType[*validator.SchemaValidationError](err); ok {
		return nil, fmt.Errorf("schema: not valid at /%s", faultyPlace(invalid.Err))
	} else if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	tree, _ := parsed.(map[string]any)
	return &Schema{raw: doc, tree: tree, compiled: compiled}, nil
}

// noLoader refuses to read other documents: a schema of plugins.d must not make
// the controller open files.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("reference to %s: only references within the schema are allowed", url)
}

// derived keeps the schema of each Go type: compiling is slow, asking is frequent.
var derived sync.Map // reflect.Type -> *Schema

// schemaOf derives the schema of T from its fields, once. It panics on a type
// that has none: that is a mistake in a plugin's source, found by any test that makes it.
func schemaOf[T any]() *Schema {
	key := reflect.TypeFor[T]()
	if s, ok := derived.Load(key); ok {
		return s.(*Schema)
	}
	r := jsonschema.Reflector{DoNotReference: true, Anonymous: true}
	described := r.Reflect(new(T))
	described.Version = ""
	showDefaults[T](described)
	doc, err := json.Marshal(described)
	if err == nil {
		var s *Schema
		if s, err = NewSchema(doc); err == nil {
			kept, _ := derived.LoadOrStore(key, s)
			return kept.(*Schema)
		}
	}
	panic(fmt.Sprintf("plugins: no schema for %T: %v", *new(T), err))
}

// showDefaults writes what Defaults() sets into the schema, so that the manual
// and the code cannot disagree.
func showDefaults[T any](s *jsonschema.Schema) {
	d, ok := any(*new(T)).(interface{ Defaults() T })
	if !ok || s.Properties == nil {
		return
	}
	set, zero := fields(d.Defaults()), fields(*new(T))
	for name, value := range set {
		if p, ok := s.Properties.Get(name); ok && !bytes.Equal(value, zero[name]) {
			p.Default = value
		}
	}
}

func fields(v any) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if doc, err := json.Marshal(v); err == nil {
		_ = json.Unmarshal(doc, &m) // what is no object has no fields
	}
	return m
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
