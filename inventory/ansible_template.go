package inventory

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// asTemplate is the value of a setting that holds {{ variables }}: they are
// filled in once everything is merged. What must not be text yet waits.
func asTemplate(f field, value string) any {
	switch f.kind {
	case paths:
		return []string{value}
	case number:
		return pending(value)
	}
	return value
}

// pending is a port still to be filled in.
type pending string

// pendingPort is the port of the strongest layer when that is a template.
func pendingPort(layers ...[]*layer) (port pending) {
	for _, some := range layers {
		for _, l := range some {
			for _, s := range l.settings {
				if s.path == "ssh.port" {
					port, _ = s.value.(pending)
				}
			}
		}
	}
	return port
}

var templateVar = regexp.MustCompile(`\{\{\s*([A-Za-z_]\w*)(?:\s*\|\s*default\((?:'([^']*)'|"([^"]*)"|([\w.-]*))\))?\s*\}\}`)

// fill puts a host's own variables into the templates of its connection
// settings, as in ansible_host: "{{ inventory_hostname }}.lab". Anything more
// is Jinja and Ansible's to run: ok is false.
func (h *Host) fill(port pending) (ok bool) {
	ok = true
	for _, s := range []*string{&h.Address, &h.SSH.User, &h.SSH.Become.User} {
		*s, ok = h.filled(*s, 3, ok)
	}
	for i, f := range h.SSH.IdentityFiles {
		if strings.Contains(f, "{{") {
			files := append([]string(nil), h.SSH.IdentityFiles...)
			files[i], ok = h.filled(f, 3, ok)
			h.SSH.IdentityFiles = files
		}
	}
	if port != "" {
		text, filled := h.filled(string(port), 3, true)
		n, err := strconv.Atoi(text)
		ok = ok && filled && err == nil && n > 0 && n < 65536
		if ok {
			h.SSH.Port = n
		}
	}
	return ok
}

func (h *Host) filled(s string, rounds int, so bool) (string, bool) {
	if !strings.Contains(s, "{{") {
		return s, so
	}
	if rounds == 0 {
		return s, false
	}
	out := templateVar.ReplaceAllStringFunc(s, func(m string) string {
		part := templateVar.FindStringSubmatch(m)
		switch part[1] {
		case "inventory_hostname":
			return h.Name
		case "inventory_hostname_short":
			short, _, _ := strings.Cut(h.Name, ".")
			return short
		}
		switch v := h.Vars[part[1]].(type) {
		case string, int, bool, float64:
			return fmt.Sprint(v)
		case nil:
			if strings.Contains(m, "default(") {
				return part[2] + part[3] + part[4]
			}
		}
		return m
	})
	if out == s {
		return s, false
	}
	return h.filled(out, rounds-1, so)
}
