package plugins

import "slices"

// builtins is filled before main by the line "var _ = builtin(...)" in each
// plugin's file, and only read afterwards: adding a plugin is one file.
var builtins []Plugin

func builtin(p Plugin) struct{} {
	builtins = append(builtins, p)
	return struct{}{}
}

// Builtin gives the plugins that come with tfw, in the order of their files.
func Builtin() []Plugin { return slices.Clone(builtins) }
