package inventory

import (
	"reflect"
	"slices"
	"sort"
	"time"

	"go.yaml.in/yaml/v3"
)

// mapNode is a YAML map under construction, in the order of its keys.
type mapNode yaml.Node

func newMap() *mapNode { return &mapNode{Kind: yaml.MappingNode, Tag: "!!map"} }

func (m *mapNode) node() *yaml.Node { return (*yaml.Node)(m) }

func (m *mapNode) put(key string, value any) {
	k := &yaml.Node{}
	k.SetString(key)
	v, ok := value.(*mapNode)
	n := (*yaml.Node)(v)
	if !ok {
		n = &yaml.Node{}
		_ = n.Encode(value) // plain values: it cannot fail
		if n.Kind == yaml.SequenceNode {
			n.Style = yaml.FlowStyle
		}
	}
	m.Content = append(m.Content, k, n)
}

// settings is what h says beyond what base says.
func (c *converter) settings(h, base *Host) *mapNode {
	m := newMap()
	if h.ID != base.ID {
		m.put("id", h.ID)
	}
	for _, l := range []struct {
		name      string
		own, have []string
	}{{"plugins", h.Plugins, base.Plugins}, {"tags", h.Tags, base.Tags}} {
		if more := without(l.own, l.have); len(more) > 0 {
			m.put(l.name, more)
		}
	}
	if h.State != base.State && h.State != "" {
		m.put("state", string(h.State))
	}
	if h.Reason != base.Reason && h.Reason != "" {
		m.put("reason", h.Reason)
	}
	if s := c.ssh(&h.SSH, &base.SSH); len(s.Content) > 0 {
		m.put("ssh", s)
	}
	vars := newMap()
	names := make([]string, 0, len(h.Vars))
	for k, v := range withoutConnection(h.Vars) {
		if have, ok := base.Vars[k]; !ok || !reflect.DeepEqual(v, have) {
			names = append(names, k)
		}
	}
	sort.Strings(names)
	for _, k := range names {
		vars.put(k, h.Vars[k])
	}
	if len(names) > 0 {
		m.put("vars", vars)
	}
	return m
}

// withoutConnection leaves out the variables by which Ansible connects: they
// have become settings.
func withoutConnection(vars map[string]any) map[string]any {
	out := make(map[string]any, len(vars))
	for k, v := range vars {
		_, known := connection[k]
		if !known && k != "ansible_ssh_common_args" && k != "ansible_ssh_extra_args" {
			out[k] = v
		}
	}
	return out
}

func without(list, have []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(have, s) {
			out = append(out, s)
		}
	}
	return out
}

func (c *converter) ssh(s, base *SSH) *mapNode {
	m := newMap()
	put := func(name string, value, have any) {
		if reflect.DeepEqual(value, have) {
			return
		}
		if d, ok := value.(time.Duration); ok {
			value = d.String()
		}
		m.put(name, value)
	}
	put("user", s.User, base.User)
	put("port", s.Port, base.Port)
	if !slices.Equal(s.IdentityFiles, base.IdentityFiles) {
		m.put("identity_file", s.IdentityFiles)
	}
	put("password", string(s.Password), string(base.Password))
	if jump := c.renamed(s.Jump); !slices.Equal(jump, base.Jump) {
		m.put("jump", append([]string{}, jump...))
	}
	put("known_hosts", s.KnownHosts, base.KnownHosts)
	put("host_key", s.HostKey, base.HostKey)
	put("host_ca", s.HostCA, base.HostCA)
	put("connect_timeout", s.ConnectTimeout, base.ConnectTimeout)
	put("keepalive", s.Keepalive, base.Keepalive)
	put("max_sessions", s.MaxSessions, base.MaxSessions)
	put("max_spool", s.MaxSpool, base.MaxSpool)
	put("config", s.Config, base.Config)
	b := newMap()
	for _, f := range []struct{ name, value, have string }{
		{"user", s.Become.User, base.Become.User}, {"method", s.Become.Method, base.Become.Method},
		{"password", string(s.Become.Password), string(base.Become.Password)},
	} {
		if f.value != f.have {
			b.put(f.name, f.value)
		}
	}
	if len(b.Content) > 0 {
		m.put("become", b)
	}
	return m
}
