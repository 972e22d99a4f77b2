package plan

import (
	"encoding/json"
	"fmt"
	"strings"

	"tfw/plugins"
)

// j is a piece of a JSON document.
type j = map[string]any

// Schema is a JSON Schema (draft 2020-12) of plan files, for editors. With a registry it knows the
// parameters of every method too, each of which may be an expression. It tells what a file looks like; that steps and roles are there,
// and expressions are right, only [Parse] and [Plan.Check] can tell.
func Schema(methods *plugins.Registry) (json.RawMessage, error) {
	root := object("a test plan", j{
		"name":       j{"type": "string", "minLength": 1, "maxLength": maxName, "description": "name of the plan"},
		"parameters": named("inputs of the plan", ref("parameter")),
		"hosts":      named("roles, bound to real hosts before the first step: all or none are leased", ref("role")),
		"timeout":    described(ref("duration"), "of the whole plan"),
		"lease_wait": described(ref("duration"), "how long to wait for hosts (10m)"),
		"lease_for":  described(ref("duration"), "how long hosts are leased (the timeout, or 4h)"),
		"parallel":   j{"type": "integer", "minimum": 1, "maximum": 10000, "description": "steps at a time"},
		"env":        j{"type": "object", "additionalProperties": ref("text"), "description": "texts that expressions see as env"},
		"steps":      described(ref("steps"), "the graph: edges are needs and every mention of steps.X"),
		"on_failure": described(ref("steps"), "run when a step did not pass"),
		"finally":    described(ref("steps"), "always run, after everything, also after a cancel or time-out"),
		"outputs":    j{"type": "object", "description": "values of the plan"},
	})
	root["required"] = []string{"name", "steps"}
	root["properties"].(j)["steps"].(j)["minProperties"] = 1
	defs := definitions()
	if methods != nil {
		rules, err := methodRules(methods, defs)
		if err != nil {
			return nil, err
		}
		defs["step"].(j)["allOf"] = rules
	}
	root["$schema"], root["title"], root["$defs"] = "https://json-schema.org/draft/2020-12/schema", "tfw test plan", defs
	return json.Marshal(root)
}

func ref(name string) j { return j{"$ref": "#/$defs/" + name} }

func described(s j, text string) j {
	s["description"] = text
	return s
}

func object(text string, properties j) j {
	return j{"type": "object", "description": text, "properties": properties, "additionalProperties": false}
}

// named is a map whose keys expressions can mention.
func named(text string, of j) j {
	return j{"type": "object", "description": text, "propertyNames": j{"pattern": nameForm.String()}, "additionalProperties": of}
}

func definitions() j {
	text := j{"type": []string{"string", "number", "boolean"}}
	matrix := j{"type": "object", "description": "multiplies the step", "propertyNames": j{"pattern": nameForm.String()},
		"properties": j{
			"include": j{"$ref": "#/$defs/rows", "description": "rows that extend or add to the combinations"}, "exclude": j{"$ref": "#/$defs/rows", "description": "combinations to leave out; host.PATH too"},
			"fail_fast": flag("cancel the other cells once one did not pass"), "max_parallel": j{"type": "integer", "minimum": 1, "maximum": 10000, "description": "cells at a time"},
		},
		"additionalProperties": j{"type": "array", "minItems": 1, "description": "values of an axis"}}
	retry := object("when a host's part of a cell is tried again", j{
		"limit":   j{"type": "integer", "minimum": 0, "maximum": 100, "description": "further attempts"},
		"on":      j{"anyOf": []j{verdictWord(), {"type": "array", "items": verdictWord()}}, "description": "verdicts (errored, timed_out)"},
		"backoff": described(ref("duration"), "before the second attempt"),
		"factor":  j{"type": "number", "minimum": 1, "maximum": 100, "description": "that the pause grows by (2)"},
		"max":     described(ref("duration"), "bound of the pause"),
	})
	parameter := object("an input", j{
		"type": j{"enum": types}, "description": ref("text"), "default": j{}, "pattern": j{"type": "string", "format": "regex"},
		"choices": j{"type": "array"}, "min": j{"type": "number"}, "max": j{"type": "number"}, "sensitive": flag("a reference such as env:NAME, never the secret"),
	})
	parameter["type"] = []string{"object", "null"}
	role := object("hosts", j{"target": described(ref("text"), "group, pattern or folded set"), "where": described(ref("text"), "expression over name, groups, tags, vars, facts ..."),
		"count": j{"anyOf": []j{{"type": "integer", "minimum": 1}, expressionText()}, "description": "how many of them; absent: all"}})
	role["required"] = []string{"target"}
	return j{
		"text": text, "texts": j{"anyOf": []j{ref("text"), {"type": "array", "items": ref("text")}}},
		"duration":  j{"anyOf": []j{{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": `^([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$`}}, "examples": []string{"90s", "2h30m"}},
		"parameter": parameter, "role": j{"anyOf": []j{{"type": "string", "minLength": 1}, role}},
		"rows": j{"type": "array", "items": j{"type": "object"}}, "matrix": matrix, "retry": j{"anyOf": []j{{"type": "integer", "minimum": 0, "maximum": 100}, retry}},
		"step": step(), "steps": j{"type": "object", "propertyNames": j{"pattern": nameForm.String()}, "additionalProperties": ref("step"), "maxProperties": maxSteps},
	}
}

func step() j {
	s := object("a step", j{
		"uses":          j{"type": "string", "pattern": `^(plan:.+|[^.]+\..+)$`, "description": "PLUGIN.METHOD, or plan:FILE"},
		"on":            described(ref("text"), "role"),
		"with":          j{"type": "object", "description": "parameters of the method, or of the plan"},
		"needs":         described(ref("texts"), "steps that must have passed"),
		"when":          j{"type": []string{"string", "boolean"}, "description": "condition: success(), failure(), always(), cancelled(), steps.X.verdict ..."},
		"retry":         ref("retry"),
		"serial":        described(ref("texts"), `batches of hosts: [1, "20%"]; the last one repeats`),
		"max_fail":      described(ref("text"), `"10%": begin no more hosts when more than that did not pass`),
		"matrix":        ref("matrix"),
		"timeout":       described(ref("duration"), "of the step, retries included"),
		"sync":          j{"type": []string{"boolean", "string"}, "description": "commands may meet with tfw-sync: true for the hosts of the step, or a name that several steps share"},
		"silence":       described(ref("duration"), "end a command that says nothing for so long"),
		"per_host":      flag("a host goes on as soon as it is through"),
		"allow_failure": flag("does not make the plan fail"),
	})
	s["required"] = []string{"uses"}
	s["if"] = j{"properties": j{"uses": j{"not": j{"pattern": "^plan:"}}}}
	s["then"] = j{"required": []string{"on"}}
	return s
}

func flag(text string) j { return j{"type": "boolean", "description": text} }

func verdictWord() j { return j{"enum": []string{"failed", "errored", "timed_out"}} }

func expressionText() j { return j{"type": "string", "pattern": `\$\{\{`} }

// methodRules say what with holds for each method.
func methodRules(methods *plugins.Registry, defs j) (rules []j, err error) {
	for _, name := range methods.Names() {
		p, err := methods.Plugin(name)
		if err != nil {
			return nil, err
		}
		for _, m := range p.Methods() {
			use := name + "." + m.Name
			doc, err := m.Parameters.MarshalJSON()
			var of j
			if err == nil {
				err = json.Unmarshal(doc, &of)
			}
			if err != nil {
				return nil, fmt.Errorf("schema of %s: %w", use, err)
			}
			openProperties(of)
			if _, refers := of["$defs"]; refers || strings.Contains(string(doc), `"$ref"`) {
				of["$id"] = "tfw:" + use // its references are within itself
			}
			of["description"] = m.Summary
			defs["with."+use] = of
			then := j{"properties": j{"with": ref("with." + use)}}
			if m.Parameters.Check(json.RawMessage("{}")) != nil {
				then["required"] = []string{"with"}
			}
			rules = append(rules, j{"if": j{"properties": j{"uses": j{"const": use}}, "required": []string{"uses"}}, "then": then})
		}
	}
	return rules, nil
}

// openProperties lets every value below an object's properties and in lists be an expression instead.
func openProperties(s j) {
	for _, key := range []string{"properties", "patternProperties"} {
		of, _ := s[key].(j)
		for name, one := range of {
			if one, ok := one.(j); ok {
				of[name] = openValue(one)
			}
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if one, ok := s[key].(j); ok {
			s[key] = openValue(one)
		}
	}
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		all, _ := s[key].([]any)
		for _, one := range all {
			if one, ok := one.(j); ok {
				openProperties(one)
			}
		}
	}
}

func openValue(s j) j {
	openProperties(s)
	open := j{"anyOf": []any{s, expressionText()}}
	if text, ok := s["description"]; ok {
		open["description"] = text
	}
	return open
}
