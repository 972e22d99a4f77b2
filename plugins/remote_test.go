package plugins_test

import (
	"context"
	"maps"

	"tfw/plugins"
)

// withEnv adds to the environment of every command, as a host's login would.
type withEnv struct {
	plugins.Remote
	env map[string]string
}

func (r withEnv) Run(ctx context.Context, c plugins.Command) (plugins.Result, error) {
	env := maps.Clone(r.env)
	maps.Copy(env, c.Env)
	c.Env = env
	return r.Remote.Run(ctx, c)
}

// without hides the optional powers of a remote.
type without struct{ plugins.Remote }
