package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// scriptPlugin is a plugin made of a plugin.yaml and scripts.
type scriptPlugin struct {
	name, summary string
	methods       []Method
}

func (p scriptPlugin) Name() string      { return p.name }
func (p scriptPlugin) Summary() string   { return p.summary }
func (p scriptPlugin) Methods() []Method { return slices.Clone(p.methods) }

// scriptMethod is what a method of a script plugin runs.
type scriptMethod struct {
	script   []byte
	defaults map[string]json.RawMessage
	outputs  *Schema
	declared bool // outputs were declared: they must be given
	commands []string
	timeout  time.Duration
	silence  time.Duration
	become   As
}

// method makes a method from its part of the file. What is wrong is added to the faults.
func (f *faulty) method(dir, name string, file *methodFile) Method {
	at := "$.methods." + name
	if file == nil {
		file = &methodFile{}
	}
	if !validName.MatchString(name) {
		f.add(at, "method %q: want a name of a-z, 0-9 and _ that begins with a letter", printable(name))
	}
	s := &scriptMethod{
		script: f.script(dir, name, at, file.Script), declared: len(file.Outputs) > 0,
		timeout: f.duration(at+".timeout", file.Timeout), silence: f.duration(at+".silence_timeout", file.SilenceTimeout),
		commands: file.Needs.Commands,
	}
	s.become = f.become(at+".become", file.Become)
	m := Method{
		Name: name, Summary: file.Summary, Positional: file.Positional, call: s.call,
		Needs: Needs{Exclusive: file.Needs.Exclusive, Destructive: file.Needs.Destructive},
	}
	m.Parameters, s.defaults = f.schema(at+".parameters", file.Parameters, false)
	m.Outputs, _ = f.schema(at+".outputs", file.Outputs, !s.declared)
	s.outputs = m.Outputs
	for i, p := range file.Positional {
		if file.Parameters[p] == nil {
			f.add(fmt.Sprintf("%s.positional[%d]", at, i), "positional: there is no parameter %q%s", printable(p), suggest(p, slices.Sorted(maps.Keys(file.Parameters))))
		}
	}
	return m
}

// script reads the script: the one named, or the one file NAME or NAME.*.
func (f *faulty) script(dir, method, at, name string) []byte {
	if name == "" {
		found, err := filepath.Glob(filepath.Join(dir, method) + "*")
		found = slices.DeleteFunc(found, func(path string) bool {
			base := filepath.Base(path)
			return base != method && !strings.HasPrefix(base, method+".")
		})
		if err != nil || len(found) != 1 {
			f.add(at, "method %q: want exactly one script %s or %s.*, or its name as script:", method, method, method)
			return nil
		}
		name = filepath.Base(found[0])
	}
	if !filepath.IsLocal(name) {
		f.add(at+".script", "script: want a file within the plugin's directory")
		return nil
	}
	b, err := readBounded(filepath.Join(dir, name), maxPluginScript)
	if err != nil {
		f.add(at+".script", "script: %v", err)
	}
	return b
}

func (f *faulty) duration(at, text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxDuration {
		f.add(at, "%v", errDuration)
	}
	return d
}

func (f *faulty) become(at string, value any) (as As) {
	raw, err := json.Marshal(value)
	if err == nil {
		err = schemaOf[As]().check("become", raw)
		if value == nil {
			err = nil
		}
	}
	if err == nil {
		err = json.Unmarshal(raw, &as)
	}
	if err != nil {
		f.add(at, "%v", err)
	}
	return as
}

// schema makes an object's schema from its properties, each a JSON Schema of
// its own that may say "required: true" and "default:".
func (f *faulty) schema(at string, props map[string]map[string]any, open bool) (*Schema, map[string]json.RawMessage) {
	required, defaults := []string{}, map[string]json.RawMessage{}
	properties, upper := map[string]any{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(props)) {
		prop, where := props[name], at+"."+name
		if twin := upper[strings.ToUpper(name)]; twin != "" {
			f.add(where, "%s: differs from %s in case only: both would be TFW_PARAM_%s", name, twin, strings.ToUpper(name))
			continue
		}
		upper[strings.ToUpper(name)] = name
		if !paramName(name) {
			f.add(where, "%q: want a name of letters, digits and _ that does not begin with a digit", printable(name))
			continue
		}
		clean := maps.Clone(prop)
		if must, ok := clean["required"].(bool); ok {
			delete(clean, "required")
			if must {
				required = append(required, name)
			}
		}
		raw, err := json.Marshal(clean)
		if err == nil {
			_, err = NewSchema(raw)
		}
		if err != nil {
			f.add(where, "%s: is no JSON Schema: %s", name, cleanLine(err.Error(), 300))
			continue
		}
		properties[name] = clean
		f.keepDefault(where, name, clean, defaults)
	}
	doc, err := json.Marshal(map[string]any{
		"type": "object", "properties": properties, "required": required, "additionalProperties": open,
	})
	if err == nil {
		var s *Schema
		if s, err = NewSchema(doc); err == nil {
			return s, defaults
		}
	}
	f.add(at, "is no JSON Schema: %s", cleanLine(err.Error(), 300))
	return schemaOf[struct{}](), nil
}

func (f *faulty) keepDefault(at, name string, prop map[string]any, defaults map[string]json.RawMessage) {
	value, ok := prop["default"]
	if !ok {
		return
	}
	raw, err := json.Marshal(value)
	var s *Schema
	if err == nil {
		schema, _ := json.Marshal(prop) // it was encoded before
		s, err = NewSchema(schema)
	}
	if err == nil {
		err = s.check("default", raw)
	}
	if err != nil {
		f.add(at+".default", "%v", err)
		return
	}
	defaults[name] = raw
}

// paramName reports whether TFW_PARAM_NAME is a name that a shell can hold.
func paramName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9' || i == 0) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// maxEnvParam bounds a value in the environment (Linux refuses a string of 128
// KiB, execve(2)); a longer one is on stdin only.
const maxEnvParam = 32 << 10

// call runs the script once: it is one durable command.
func (s *scriptMethod) call(ctx context.Context, remote Remote, raw json.RawMessage) (any, error) {
	nothing := json.RawMessage("{}")
	params := maps.Clone(s.defaults)
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &params); err != nil {
			return nothing, fmt.Errorf("parameters: %w", err)
		}
	}
	env, err := s.environment(params)
	if err != nil {
		return nothing, err
	}
	stdin, err := json.Marshal(params) // names in order: a replay sends the same bytes
	if err != nil {
		return nothing, fmt.Errorf("parameters: %w", err)
	}
	if err := s.needs(ctx, remote); err != nil {
		return nothing, err
	}
	r, err := remote.Run(ctx, Command{
		Script: s.script, Env: env, Stdin: stdin, Timeout: s.timeout, SilenceTimeout: s.silence,
		Become: s.become.Become(), Capture: 8 << 20, Sync: true,
	})
	if err != nil {
		return nothing, err
	}
	return s.judge(r)
}

// environment gives the parameters as TFW_PARAM_NAME: texts as they are, the rest as JSON.
func (s *scriptMethod) environment(params map[string]json.RawMessage) (map[string]string, error) {
	env := map[string]string{}
	for name, raw := range params {
		value := string(raw)
		var text string
		if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil {
			value = text
		}
		if strings.IndexByte(value, 0) >= 0 {
			return nil, ParameterError{Location: "parameters." + name, Message: ErrNUL.Error()}
		}
		if len(value) <= maxEnvParam {
			env["TFW_PARAM_"+strings.ToUpper(name)] = value
		}
	}
	return env, nil
}

// needs refuses politely where a program is missing.
func (s *scriptMethod) needs(ctx context.Context, remote Remote) error {
	if len(s.commands) == 0 {
		return nil
	}
	r, err := remote.Run(ctx, Command{
		Script: []byte("for c do command -v \"$c\" >/dev/null 2>&1 || { echo \"$c is not installed on this host\" >&2; exit 69; }; done\n"),
		Argv:   append([]string{"needs"}, s.commands...), Become: s.become.Become(), Quiet: true,
	})
	if err != nil {
		return err
	}
	return scriptFailure(r)
}

// judge takes the outputs from the last line of stdout and the verdict from the exit.
func (s *scriptMethod) judge(r Result) (any, error) {
	outputs, given := lastObject(r.Stdout)
	if failed := r.Failure(); failed != nil {
		if why := lastLine(r.Stderr, ""); why != "" {
			failed = &FailedError{Reason: failed.Error() + ": " + why, ExitCode: r.ExitCode, Signal: r.Signal}
		}
		return outputs, failed
	}
	switch {
	case !s.declared:
		return outputs, nil
	case r.StdoutBytes > int64(len(r.Stdout)):
		return outputs, fmt.Errorf("the outputs are lost: the script wrote %d bytes to stdout, of which the first %d were kept (write less, or to stderr)", r.StdoutBytes, len(r.Stdout))
	case !given:
		return outputs, fmt.Errorf("the script's last line of stdout is not the JSON object of its outputs")
	}
	if err := s.outputs.check("outputs", outputs); err != nil {
		return outputs, fmt.Errorf("the script's outputs are not as its plugin.yaml says: %w", err)
	}
	return outputs, nil
}

// lastObject gives the JSON object on the last line that is not empty, else an empty one.
func lastObject(stdout []byte) (json.RawMessage, bool) {
	line := bytes.TrimSpace(stdout)
	line = bytes.TrimSpace(line[bytes.LastIndexByte(line, '\n')+1:])
	if len(line) == 0 || line[0] != '{' || !json.Valid(line) {
		return json.RawMessage("{}"), false
	}
	return json.RawMessage(line), true
}
