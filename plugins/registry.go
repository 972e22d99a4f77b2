package plugins

import (
	"errors"
	"fmt"
	"sort"
)

// ErrUnknown is wrapped by the errors for a plugin or method that is not registered.
var ErrUnknown = errors.New("not registered")

// Registry holds the plugins of a process. It is filled at start-up and only
// read afterwards.
type Registry struct{ byName map[string]Plugin }

// NewRegistry registers the given plugins. A name or method that comes twice is an error.
func NewRegistry(all ...Plugin) (*Registry, error) {
	r := &Registry{byName: map[string]Plugin{}}
	for _, p := range all {
		if _, twice := r.byName[p.Name()]; twice {
			return nil, fmt.Errorf("plugin %q is registered twice", p.Name())
		}
		seen := map[string]bool{}
		for _, m := range p.Methods() {
			if seen[m.Name] {
				return nil, fmt.Errorf("plugin %q has method %q twice", p.Name(), m.Name)
			}
			seen[m.Name] = true
		}
		r.byName[p.Name()] = p
	}
	return r, nil
}

// Names lists the registered plugins, sorted.
func (r *Registry) Names() []string {
	names := make([]string, 0, len(r.byName))
	for n := range r.byName {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Plugin finds a plugin by name. The error wraps [ErrUnknown].
func (r *Registry) Plugin(name string) (Plugin, error) {
	if p, ok := r.byName[name]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("plugin %q: %w (see: tfwctl plugins)", name, ErrUnknown)
}

// Method finds a plugin's method. The error wraps [ErrUnknown].
func (r *Registry) Method(plugin, method string) (Method, error) {
	p, err := r.Plugin(plugin)
	if err != nil {
		return Method{}, err
	}
	for _, m := range p.Methods() {
		if m.Name == method {
			return m, nil
		}
	}
	return Method{}, fmt.Errorf("method %q of plugin %q: %w (see: tfwctl plugins %s)", method, plugin, ErrUnknown, plugin)
}
