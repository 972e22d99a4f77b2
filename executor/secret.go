package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tfw/inventory"
	"tfw/plugins"
)

// secretEnvPrefix begins the variables of the controller that every operator may
// name as secrets. Others may hold what is the controller's own.
const secretEnvPrefix = "TFW_SECRET_"

// checkSecrets refuses references in parameters that the principal may not make
// the controller read: who could name any file or variable could read all that the controller can.
func (e *Executor) checkSecrets(p Principal, params json.RawMessage) error {
	for _, ref := range secretRefs(params) {
		if err := e.MayName(p, ref); err != nil {
			return fmt.Errorf("parameters: %w", err)
		}
	}
	return nil
}

// MayName refuses, as [ErrForbidden], a reference that the principal may not have the controller read.
func (e *Executor) MayName(p Principal, ref string) error {
	scheme, rest, _ := strings.Cut(ref, ":")
	switch {
	case scheme == "secret":
		return e.named(p, rest)
	case scheme == "env" && strings.HasPrefix(rest, secretEnvPrefix), p.May(Admin) && p.Groups == nil:
		return nil
	}
	return fmt.Errorf("%w: only an admin of all groups may name the secret %q (use secret:NAME, or env:%s...)", ErrForbidden, ref, secretEnvPrefix)
}

// secretRefs finds every {"secret": "..."} in a JSON value.
func secretRefs(raw json.RawMessage) (refs []string) {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return nil
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["secret"].(string); ok && len(v) == 1 {
				refs = append(refs, ref)
			}
			for _, one := range v {
				walk(one)
			}
		case []any:
			for _, one := range v {
				walk(one)
			}
		}
	}
	walk(v)
	return refs
}

// reveal reads the secrets of a command and notes them to be masked from now on.
// The errors name the reference, never the secret.
func (r *remote) reveal(cmd plugins.Command) (env map[string]string, stdin []byte, err error) {
	env, stdin = cmd.Env, cmd.Stdin
	if len(cmd.EnvSecrets) > 0 {
		env = maps.Clone(cmd.Env)
		if env == nil {
			env = map[string]string{}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cmd.EnvSecrets)) {
		value, err := r.secret(cmd.EnvSecrets[name])
		if err != nil {
			return nil, nil, fmt.Errorf("env %s: %w", name, err)
		}
		if strings.ContainsRune(value, 0) || !envName(name) {
			return nil, nil, fmt.Errorf("env %s: secret %s: holds a NUL byte, which no environment can (give it as stdin)", name, cmd.EnvSecrets[name])
		}
		env[name] = value
	}
	if cmd.StdinSecret != "" {
		value, err := r.secret(cmd.StdinSecret)
		if err != nil {
			return nil, nil, fmt.Errorf("stdin: %w", err)
		}
		stdin = []byte(value)
	}
	return env, stdin, nil
}

func (r *remote) secret(ref string) (string, error) {
	value, err := r.e.cfg.Resolve(inventory.Secret(ref))
	switch {
	case err != nil:
		return "", err
	case len(value) < shortestSecret || len(value) > longestSecret:
		return "", fmt.Errorf("secret %s: want %d to %d bytes: it could not be masked in the log", ref, shortestSecret, longestSecret)
	}
	r.masks.add(value)
	return value, nil
}

// remember notes the secrets of a command that ended under an earlier process:
// later ones may print them.
func (r *remote) remember(cmd plugins.Command) {
	if _, _, err := r.reveal(cmd); err != nil {
		r.e.log.Warn("cannot read a secret of a command that has ended", "run", r.a.run.ID, "host", r.p.host.Name, "error", err)
	}
}

// veiled gives the stream's veil, nil while there is nothing to mask.
func (s *sink) veiled(stream Stream) *veil {
	if len(s.x.r.masks.texts) == 0 {
		return nil
	}
	if stream == Stderr {
		return &s.errVeil
	}
	return &s.outVeil
}

// reveil begins both streams where the store's end, and tells what the host is to be
// asked for: what was held back comes again.
func (s *sink) reveil(from Offsets) Offsets {
	s.outVeil.m, s.errVeil.m = &s.x.r.masks, &s.x.r.masks
	return Offsets{s.outVeil.restart(from.Stdout), s.errVeil.restart(from.Stderr)}
}

// run has the connection bring the command to its end, from what the store holds on.
func (x *execution) run(ctx context.Context, dc DurableCommand, from Offsets, attach bool) (End, error) {
	end, err := x.r.conn.Run(ctx, dc, x.sink.reveil(from), attach, x.sink)
	end.Sizes = Offsets{max(end.Sizes.Stdout, from.Stdout), max(end.Sizes.Stderr, from.Stderr)} // an end that is not known counts from where it was asked
	return end, err
}

// unveil stores what is held back, once no more bytes come.
func (s *sink) unveil(ctx context.Context) error {
	s.ctx = ctx
	for _, stream := range []Stream{Stdout, Stderr} {
		if v := s.veiled(stream); v != nil {
			if offset, data := v.rest(); len(data) > 0 {
				if err := s.keep(stream, offset, data); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
