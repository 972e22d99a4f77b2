package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tfw/executor"
)

// A sensitive parameter is a reference to a secret all the way: expressions see
// {"secret": "env:NAME"}, the form in which methods take secrets, and only the executor reads it.

var errSensitive = errors.New("is sensitive: give a reference such as secret:NAME, env:NAME or file:/path, never the secret itself")

// reference accepts a reference as users give it, or as an outer plan hands it on.
func (p Parameter) reference(v any) (any, error) {
	if m, ok := v.(map[string]any); ok && len(m) == 1 {
		v = m["secret"]
	}
	text, _ := v.(string)
	scheme, rest, _ := strings.Cut(text, ":")
	if !slices.Contains([]string{"env", "file", "secret"}, scheme) || rest == "" || len(text) > 4096 || strings.ContainsAny(rest, "\x00\n") {
		return nil, errSensitive
	}
	return text, nil
}

func (p *Plan) parameter(name string) *Parameter {
	for i := range p.Parameters {
		if p.Parameters[i].Name == name {
			return &p.Parameters[i]
		}
	}
	return nil
}

// secret gives the sensitive parameter that a string is nothing but, else "".
func (p *Plan) secret(t *template) string {
	if t == nil || len(t.parts) != 1 || t.parts[0].expr == nil {
		return ""
	}
	name, ok := strings.CutPrefix(strings.TrimSpace(t.parts[0].expr.text), "params.")
	if q := p.parameter(name); !ok || q == nil || !q.Sensitive {
		return ""
	}
	return name
}

// shown are the parameters as expressions see them.
func (p *Plan) shown(params map[string]any) map[string]any {
	out := maps.Clone(params)
	for _, q := range p.Parameters {
		if ref, ok := out[q.Name]; ok && q.Sensitive {
			out[q.Name] = map[string]any{"secret": ref}
		}
	}
	return out
}

// maySecrets refuses references that who runs the plan may not have the controller read.
func (p *Plan) maySecrets(ex *executor.Executor, who executor.Principal, params map[string]any) error {
	for _, q := range p.Parameters {
		if ref, ok := params[q.Name].(string); ok && q.Sensitive {
			if err := ex.MayName(who, ref); err != nil {
				return fmt.Errorf("parameter %q: %w", q.Name, err)
			}
		}
	}
	return nil
}
