package plugins

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strings"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// wantKey is a keyword of our schemas that says in words what a value must be. It
// stands in for the validator's reasons, which for alternatives and patterns
// help nobody and may quote the value.
const wantKey = "x-want"

// A ParameterError tells which parameter is wrong and why. Location is a path
// such as "parameters.env.PATH"; it never holds the value.
type ParameterError struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

func (e ParameterError) Error() string { return e.Location + ": " + e.Message }

// faults flattens a validation error into one error for each fault, in the
// order of their locations.
func (s *Schema) faults(what string, e *validator.ValidationError) []error {
	var all []ParameterError
	s.collect(what, e, &all)
	sort.SliceStable(all, func(i, j int) bool { return all[i].Location < all[j].Location })
	errs := make([]error, 0, len(all))
	for _, f := range slices.Compact(all) {
		errs = append(errs, f)
	}
	return errs
}

func (s *Schema) collect(what string, e *validator.ValidationError, all *[]ParameterError) {
	at := strings.Join(append([]string{what}, e.InstanceLocation...), ".")
	add := func(location, format string, args ...any) {
		*all = append(*all, ParameterError{Location: location, Message: fmt.Sprintf(format, args...)})
	}
	here := s.at(e.SchemaURL)
	if k, ok := e.ErrorKind.(*kind.PropertyNames); ok {
		// The validator hands out a location here that it overwrites later.
		add(what, "%q is not a valid name", printable(k.Property))
		return
	}
	if want, ok := here[wantKey].(string); ok {
		add(at, "want %s", want)
		return
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			add(at+"."+name, "is required")
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			add(at+"."+printable(name), "unknown%s", suggest(name, propertyNames(here)))
		}
	case *kind.OneOf, *kind.AnyOf:
		if names := alternatives(here); len(names) > 0 {
			add(at, "give %s of %s", howMany(k), strings.Join(names, ", "))
			return
		}
		add(at, "fits none of the allowed forms")
	default:
		if len(e.Causes) == 0 {
			add(at, "%s", reason(e.ErrorKind))
		}
		for _, c := range e.Causes {
			s.collect(what, c, all)
		}
	}
}

func howMany(k validator.ErrorKind) string {
	if _, one := k.(*kind.OneOf); one {
		return "exactly one"
	}
	return "at least one"
}

// reason puts a fault in words, never with the value that was got.
func reason(e validator.ErrorKind) string {
	switch k := e.(type) {
	case *kind.Type:
		return "want " + strings.Join(k.Want, " or ") + ", got " + k.Got
	case *kind.Enum:
		return fmt.Sprintf("want one of %s", list(k.Want))
	case *kind.Const:
		return fmt.Sprintf("want %v", k.Want)
	case *kind.Pattern:
		return "does not match " + k.Want
	case *kind.Format:
		return "is not a valid " + k.Want
	case *kind.MinLength:
		return fmt.Sprintf("want at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("want at most %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("want at least %d items", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("want at most %d items", k.Want)
	case *kind.UniqueItems:
		return "holds an item twice"
	case *kind.MinProperties:
		return fmt.Sprintf("want at least %d entries", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("want at most %d entries", k.Want)
	case *kind.Minimum:
		return "want at least " + k.Want.RatString()
	case *kind.Maximum:
		return "want at most " + k.Want.RatString()
	case *kind.ExclusiveMinimum:
		return "want more than " + k.Want.RatString()
	case *kind.ExclusiveMaximum:
		return "want less than " + k.Want.RatString()
	case *kind.MultipleOf:
		return "want a multiple of " + k.Want.RatString()
	case *kind.DependentRequired:
		return fmt.Sprintf("%s needs %s too", k.Prop, strings.Join(k.Missing, ", "))
	case *kind.FalseSchema:
		return "is not allowed"
	}
	return "is not valid (" + strings.Join(e.KeywordPath(), " ") + ")"
}

func list(values []any) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ", ")
}

// at finds the subschema that a validation error points at.
func (s *Schema) at(location string) map[string]any {
	_, pointer, _ := strings.Cut(location, "#")
	var node any = s.tree
	for _, step := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if step == "" {
			continue
		}
		if plain, err := url.PathUnescape(step); err == nil { // RFC 6901, section 6
			step = plain
		}
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		m, ok := node.(map[string]any)
		if !ok {
			return nil // inside a list of alternatives: no words of ours there
		}
		node = m[step]
	}
	m, _ := node.(map[string]any)
	return m
}

func propertyNames(schema map[string]any) []string {
	props, _ := schema["properties"].(map[string]any)
	names := make([]string, 0, len(props))
	for n := range props {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// alternatives names the properties of a schema whose oneOf or anyOf only asks
// for one property each.
func alternatives(schema map[string]any) []string {
	forms, ok := schema["oneOf"].([]any)
	if !ok {
		forms, _ = schema["anyOf"].([]any)
	}
	var names []string
	for _, f := range forms {
		form, _ := f.(map[string]any)
		required, _ := form["required"].([]any)
		if len(required) != 1 {
			return nil
		}
		names = append(names, fmt.Sprint(required[0]))
	}
	return names
}

// faultyPlace gives the deepest place in a schema document that the rules for
// schemas object to. (The rules' own words list every alternative, in any order.)
func faultyPlace(err error) string {
	invalid, ok := errors.AsType[*validator.ValidationError](err)
	if !ok {
		return ""
	}
	deepest := strings.Join(invalid.InstanceLocation, "/")
	for _, c := range invalid.Causes {
		if p := faultyPlace(c); strings.Count(p, "/") > strings.Count(deepest, "/") || deepest == "" || (len(p) > 0 && p < deepest && strings.Count(p, "/") == strings.Count(deepest, "/")) {
			deepest = p
		}
	}
	return deepest
}
