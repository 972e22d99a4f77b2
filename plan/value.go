package plan

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is a piece of YAML whose strings may hold ${{ expressions }}: nil, bool,
// int, float64, string, *template, []value or fields.
type value any

// fields is a map in the file's order.
type fields []field

type field struct {
	name  string
	value value
	at    *yaml.Node
}

// template is a string with expressions in it.
type template struct {
	parts []part
	at    *yaml.Node
}

// part is a piece of text or an expression.
type part struct {
	text   string
	expr   *expression
	offset int // of the expression in the string, in bytes
}

// render evaluates a value to plain JSON values.
func render(v value, env scope) (any, error) {
	switch v := v.(type) {
	case *template:
		return v.render(env)
	case []value:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = render(v[i], env); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return out, nil
	case fields:
		out := make(map[string]any, len(v))
		for _, f := range v {
			got, err := render(f.value, env)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			out[f.name] = got
		}
		return out, nil
	}
	return v, nil
}

// render gives the expression's own type when the string is nothing but one, else text.
func (t *template) render(env scope) (any, error) {
	if len(t.parts) == 1 && t.parts[0].expr != nil {
		return t.parts[0].expr.eval(env)
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.expr == nil {
			b.WriteString(p.text)
			continue
		}
		got, err := p.expr.eval(env)
		if err != nil {
			return nil, err
		}
		text, err := asText(got)
		if err != nil {
			return nil, fmt.Errorf("${{%s}}: %w", p.expr.text, err)
		}
		b.WriteString(text)
		if b.Len() > maxText {
			return nil, fmt.Errorf("the text grows beyond %d bytes", maxText)
		}
	}
	return b.String(), nil
}

// maxText bounds a string that expressions make.
const maxText = 1 << 20

// asText writes a scalar into a text. A list or map has no one text form.
func asText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case nil:
		return "", fmt.Errorf("is null and stands in the middle of a text (give it a value, or use ??)")
	case map[string]any, []any:
		return "", fmt.Errorf("is a list or map and stands in the middle of a text (use toJSON)")
	}
	return fmt.Sprint(v), nil
}

// walk calls fn for every template in a value with its path, "a.b.0".
func walk(v value, path string, fn func(path string, t *template)) {
	join := func(name string) string {
		if path == "" {
			return name
		}
		return path + "." + name
	}
	switch v := v.(type) {
	case *template:
		fn(path, v)
	case []value:
		for i := range v {
			walk(v[i], join(fmt.Sprint(i)), fn)
		}
	case fields:
		for _, f := range v {
			walk(f.value, join(f.name), fn)
		}
	}
}
