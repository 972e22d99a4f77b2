package main

import (
	"encoding/json"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"tfw/plugins"
)

// schema is the part of a JSON Schema that tells how a text on the command line is meant.
type schema struct {
	Type        any               `json:"type"`
	Description string            `json:"description"`
	Default     any               `json:"default"`
	Enum        []any             `json:"enum"`
	Properties  map[string]schema `json:"properties"`
	Required    []string          `json:"required"`
	AnyOf       []schema          `json:"anyOf"`
	Order       []string          `json:"-"`
}

func readSchema(raw json.RawMessage) schema {
	var s schema
	if json.Unmarshal(raw, &s) != nil {
		return schema{}
	}
	for name := range s.Properties {
		s.Order = append(s.Order, name)
	}
	sort.Strings(s.Order)
	return s
}

func (s schema) has(key string) bool { _, ok := s.Properties[key]; return ok }

// kinds are the JSON types that a property may have.
func (s schema) kinds() []string {
	var all []string
	switch t := s.Type.(type) {
	case string:
		all = append(all, t)
	case []any:
		for _, one := range t {
			if text, ok := one.(string); ok {
				all = append(all, text)
			}
		}
	}
	for _, one := range s.AnyOf {
		all = append(all, one.kinds()...)
	}
	return all
}

// read takes a text as the type that the property at key has; text wins where both fit.
func (s schema) read(key, text string) (any, error) {
	at := s
	for _, k := range strings.Split(key, ".") {
		at = at.Properties[k]
	}
	kinds := at.kinds()
	has := func(kind string) bool { return slices.Contains(kinds, kind) }
	if has("boolean") && (text == "true" || text == "false") {
		return text == "true", nil
	}
	if len(kinds) == 0 || has("string") {
		return text, nil
	}
	if has("integer") || has("number") {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n, nil
		}
	}
	if has("array") {
		var list []any
		if json.Unmarshal([]byte(text), &list) == nil {
			return list, nil
		}
		return []string{text}, nil
	}
	return text, nil // the check against the whole schema says what is wrong
}

// fileValue is the content of a file as a parameter: text, or base64 where it is no UTF-8.
func fileValue(content []byte) any {
	if utf8.Valid(content) {
		return string(content)
	}
	return plugins.Content(content)
}
