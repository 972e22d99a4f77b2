package plugins

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
)

// ErrUnknown is wrapped by the errors for a plugin or method that is not registered.
var ErrUnknown = errors.New("not registered")

// Registry holds the plugins of a process. It is filled at start-up and only
// read afterwards: safe for concurrent use.
type Registry struct {
	byName  map[string]Plugin
	methods map[string]map[string]Method // asked of each plugin once
}

// NewRegistry registers the given plugins. A name that is not of the form
// [a-z][a-z0-9_]* or comes twice is an error, and so is a method's.
func NewRegistry(all ...Plugin) (*Registry, error) {
	r := &Registry{byName: map[string]Plugin{}, methods: map[string]map[string]Method{}}
	for _, p := range all {
		name := p.Name()
		if !validName.MatchString(name) {
			return nil, fmt.Errorf("plugin %q: want a name of a-z, 0-9 and _ that begins with a letter", name)
		}
		if _, twice := r.byName[name]; twice {
			return nil, fmt.Errorf("plugin %q is registered twice", name)
		}
		methods, err := methodsOf(p)
		if err != nil {
			return nil, err
		}
		r.byName[name], r.methods[name] = p, methods
	}
	return r, nil
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func methodsOf(p Plugin) (map[string]Method, error) {
	methods := map[string]Method{}
	for _, m := range p.Methods() {
		if !validName.MatchString(m.Name) {
			return nil, fmt.Errorf("plugin %q has a method %q: want a name of a-z, 0-9 and _ that begins with a letter", p.Name(), m.Name)
		}
		if _, twice := methods[m.Name]; twice {
			return nil, fmt.Errorf("plugin %q has method %q twice", p.Name(), m.Name)
		}
		if m.call == nil {
			return nil, fmt.Errorf("plugin %q: method %q was not made with Do", p.Name(), m.Name)
		}
		known := m.Parameters.Properties()
		for _, name := range m.Positional {
			if !slices.Contains(known, name) {
				return nil, fmt.Errorf("plugin %q: method %q has no parameter %q to be positional", p.Name(), m.Name, name)
			}
		}
		methods[m.Name] = m
	}
	return methods, nil
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
	return nil, fmt.Errorf("plugin %q: %w%s (see: tfwctl plugins)", printable(name), ErrUnknown, suggest(name, r.Names()))
}

// Method finds a plugin's method. The error wraps [ErrUnknown].
func (r *Registry) Method(plugin, method string) (Method, error) {
	if _, err := r.Plugin(plugin); err != nil {
		return Method{}, err
	}
	if m, ok := r.methods[plugin][method]; ok {
		return m, nil
	}
	known := make([]string, 0, len(r.methods[plugin]))
	for n := range r.methods[plugin] {
		known = append(known, n)
	}
	sort.Strings(known)
	return Method{}, fmt.Errorf("method %q of plugin %q: %w%s (see: tfwctl plugins %s)",
		printable(method), plugin, ErrUnknown, suggest(method, known), plugin)
}

// Describe lists the registered plugins in words and schemas, sorted by name.
func (r *Registry) Describe() []Description {
	all := make([]Description, 0, len(r.byName))
	for _, n := range r.Names() {
		all = append(all, Describe(r.byName[n]))
	}
	return all
}
