package inventory

import "encoding/json"

// JSONSchema is the published JSON Schema (2020-12) of our own format, for
// editors that complete and check while one types. The reader here checks more.
func JSONSchema() []byte {
	group := objectOf(groupFields)
	group["properties"].(map[string]any)["hosts"] = map[string]any{
		"description": "Its hosts: a map of names (or ranges such as dut[01-24]) to settings, or a list of names.",
		"oneOf":       []any{hostMap(), stringList()},
	}
	top := map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "tfw inventory",
		"type":    "object",
		"properties": map[string]any{
			"version":  map[string]any{"const": 1, "description": "Version of the format."},
			"include":  map[string]any{"description": "More inventories to read first: paths from this file.", "oneOf": []any{map[string]any{"type": "string"}, stringList()}},
			"defaults": withDoc(objectOf(commonFields), "What every host inherits."),
			"groups":   map[string]any{"type": []any{"object", "null"}, "additionalProperties": orNull(group), "description": "Named sets of hosts that share settings."},
			"hosts":    withDoc(hostMap(), "Hosts outside any group."),
		},
		"additionalProperties": false,
	}
	out, err := json.MarshalIndent(top, "", "  ")
	if err != nil {
		panic("inventory: the schema is made of plain values: " + err.Error())
	}
	return append(out, '\n')
}

func hostMap() map[string]any {
	return map[string]any{"type": []any{"object", "null"}, "additionalProperties": orNull(objectOf(hostFields))}
}

func stringList() map[string]any {
	return map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
}

func orNull(schema map[string]any) map[string]any {
	schema["type"] = []any{"object", "null"}
	return schema
}

func withDoc(schema map[string]any, doc string) map[string]any {
	schema["description"] = doc
	return schema
}

func objectOf(fields []field) map[string]any {
	props := map[string]any{}
	for _, f := range fields {
		props[f.name] = withDoc(f.schema(), f.doc)
	}
	return map[string]any{"type": "object", "properties": props, "additionalProperties": false}
}

func (f field) schema() map[string]any {
	switch f.kind {
	case number:
		s := map[string]any{"type": "integer", "minimum": f.min}
		if f.max < 1<<31-1 {
			s["maximum"] = f.max
		}
		return s
	case boolean:
		return map[string]any{"type": "boolean"}
	case duration:
		return map[string]any{"type": "string", "pattern": `^([0-9.]+(ns|us|ms|s|m|h))+$`}
	case secret:
		return map[string]any{"type": "string", "pattern": "^(env|file|secret):."}
	case choice:
		return map[string]any{"enum": f.choices}
	case names, paths:
		return map[string]any{"oneOf": []any{map[string]any{"type": "string"}, stringList()}}
	case freeMap:
		return map[string]any{"type": []any{"object", "null"}}
	case section:
		return orNull(objectOf(f.fields))
	}
	return map[string]any{"type": "string"}
}
