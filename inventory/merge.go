package inventory

import (
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
)

// apply sets one merged value on a host: maps merge, scalars and lists replace,
// plugins and tags unite. It never changes a map or slice that another host may share.
func (h *Host) apply(s setting, deep bool) {
	if key, ok := strings.CutPrefix(s.path, "vars."); ok {
		h.Vars = withVar(h.Vars, key, s.value, deep)
		return
	}
	if sub, ok := strings.CutPrefix(s.path, "ssh."); ok {
		h.SSH.apply(sub, s.value)
		return
	}
	switch s.path {
	case "plugins":
		h.Plugins = united(h.Plugins, s.value.([]string))
	case "tags":
		h.Tags = united(h.Tags, s.value.([]string))
	case "state":
		h.State = State(s.value.(string))
	case "reason":
		h.Reason = s.value.(string)
	case "id":
		h.ID = s.value.(int)
	case "address":
		h.Address = s.value.(string)
	}
}

func (c *SSH) apply(key string, value any) {
	switch key {
	case "user":
		c.User = value.(string)
	case "port":
		c.Port, _ = value.(int) // 0 for a template, which is filled in later
	case "identity_file":
		c.IdentityFiles = value.([]string)
	case "password":
		c.Password = value.(Secret)
	case "jump":
		c.Jump = value.([]string)
	case "known_hosts":
		c.KnownHosts = value.(string)
	case "host_key":
		c.HostKey = value.(string)
	case "host_ca":
		c.HostCA = value.(string)
	case "connect_timeout":
		c.ConnectTimeout = value.(time.Duration)
	case "keepalive":
		c.Keepalive = value.(time.Duration)
	case "max_sessions":
		c.MaxSessions = value.(int)
	case "max_spool":
		c.MaxSpool = int64(value.(int))
	case "config":
		_, c.ConfigLoose = value.(assumed)
		c.Config = c.ConfigLoose || value == true
	case "become.user":
		c.Become.User = value.(string)
	case "become.method":
		c.Become.Method = value.(string)
	case "become.password":
		c.Become.Password = value.(Secret)
	}
}

// united is the sorted union of two lists.
func united(a, b []string) []string {
	all := slices.Concat(a, b)
	sort.Strings(all)
	return slices.Compact(all)
}

// withVar is vars with one key set; maps merge when deep.
func withVar(vars map[string]any, key string, value any, deep bool) map[string]any {
	out := make(map[string]any, len(vars)+1)
	maps.Copy(out, vars)
	out[key] = value
	if old, ok := vars[key].(map[string]any); ok && deep {
		if add, ok := value.(map[string]any); ok {
			out[key] = mergedMap(old, add)
		}
	}
	return out
}

func mergedMap(old, add map[string]any) map[string]any {
	out := old
	for k, v := range add {
		out = withVar(out, k, v, true)
	}
	return out
}
