package main

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// emit writes a value in the format asked for; table writes the one for people.
// The fields of all other formats are the JSON ones.
func (a *app) emit(value any, table func() error) error {
	switch a.setting.output.value {
	case "json":
		return a.emitJSON(value, "  ")
	case "jsonl":
		return a.emitLines(value)
	case "yaml":
		return a.emitYAML(value)
	case "table", "":
		return table()
	}
	return usageError{fmt.Sprintf("-o %s does not fit here, want table, json, yaml or jsonl", a.setting.output.value)}
}

func (a *app) emitJSON(value any, indent string) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(value)
}

// emitLines writes one compact line for each element of a list.
func (a *app) emitLines(value any) error {
	v := reflect.ValueOf(value)
	if v.Kind() != reflect.Slice {
		return a.emitJSON(value, "")
	}
	for i := range v.Len() {
		if err := a.emitJSON(v.Index(i).Interface(), ""); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) emitYAML(value any) error {
	text, err := yamlOf(value)
	if err != nil {
		return fmt.Errorf("yaml: %w", err)
	}
	_, err = a.out.WriteString(text)
	return err
}
