package inventory

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// connection says which of our settings an Ansible variable means. The variable
// itself stays among the vars too, as plays may use it.
var connection = map[string]field{
	"ansible_host":                 {name: "address", kind: word},
	"ansible_ssh_host":             {name: "address", kind: word},
	"ansible_port":                 {name: "ssh.port", kind: number, min: 1, max: 65535},
	"ansible_ssh_port":             {name: "ssh.port", kind: number, min: 1, max: 65535},
	"ansible_user":                 {name: "ssh.user", kind: word},
	"ansible_ssh_user":             {name: "ssh.user", kind: word},
	"ansible_ssh_private_key_file": {name: "ssh.identity_file", kind: paths},
	"ansible_private_key_file":     {name: "ssh.identity_file", kind: paths},
	"ansible_become_user":          {name: "ssh.become.user", kind: word},
	"ansible_become_method":        {name: "ssh.become.method", kind: choice, choices: []string{"sudo", "su", "doas"}},
	"ansible_password":             {name: "ssh.password", kind: secret},
	"ansible_ssh_pass":             {name: "ssh.password", kind: secret},
	"ansible_ssh_password":         {name: "ssh.password", kind: secret},
	"ansible_become_password":      {name: "ssh.become.password", kind: secret},
	"ansible_become_pass":          {name: "ssh.become.password", kind: secret},
	"ansible_sudo_pass":            {name: "ssh.become.password", kind: secret},
	"tfw_ssh_config":               {name: "ssh.config", kind: boolean},
	"tfw_plugins":                  {name: "plugins", kind: names},
	"tfw_tags":                     {name: "tags", kind: names},
	"tfw_state":                    {name: "state", kind: choice, choices: []string{"active", "maintenance", "quarantined", "retired"}},
	"tfw_reason":                   {name: "reason", kind: word},
	"tfw_id":                       {name: "id", kind: number, min: 1, max: 1<<31 - 1},
	"tfw_isolation":                {name: "isolation", kind: choice, choices: []string{"none", "shared", "exclusive"}},
	"tfw_capacity":                 {name: "capacity", kind: number, min: 1, max: 10000},
	"tfw_max_hosts":                {name: "max_hosts", kind: number, min: 1, max: maxHosts},
	"tfw_owner":                    {name: "owner", kind: word},
	"ansible_group_priority":       {name: "priority", kind: number, min: -1 << 31, max: 1<<31 - 1},
}

// layer reads variables as settings. What an Ansible file says is never an
// error here: it must be readable as it is, so we warn and pass over.
func (a *ansibleReader) layer(label string, pairs []pair) *layer {
	l := &layer{label: label, flat: true, settings: make([]setting, 0, len(pairs))}
	for _, p := range pairs {
		n := a.real(p.value)
		f, known := connection[p.key]
		switch {
		case known && f.kind == secret:
			a.password(l, p, n, f)
			continue // never among the vars
		case n.Tag == "!vault":
			a.rep.warnf(a.at(p.keyNode), "give it by reference: file:/path, or as a secret of the plan", "%s is encrypted with ansible-vault and passed over", p.key)
			continue
		case p.key == "ansible_ssh_common_args" || p.key == "ansible_ssh_extra_args":
			a.sshArgs(l, p, n)
		case p.key == "ansible_connection" && n.Value != "ssh" && n.Value != "smart" && n.Value != "paramiko":
			a.rep.warnf(a.at(p.keyNode), "tfw reaches every host by SSH", "ansible_connection: %s is passed over", n.Value)
		case p.key == "ansible_ssh_timeout" || p.key == "ansible_timeout":
			if s, err := strconv.Atoi(n.Value); err == nil && s > 0 && s < 1e6 {
				l.add("ssh.connect_timeout", time.Duration(s)*time.Second, a.at(n))
			}
		case known:
			a.known(l, p, n, f)
		}
		if p.key == "ansible_group_priority" {
			continue
		}
		l.add("vars."+p.key, a.value(n), a.at(p.keyNode))
	}
	return l
}

func (l *layer) add(path string, value any, at position) {
	l.settings = append(l.settings, setting{path: path, value: value, at: at})
}

// known reads a variable that has a meaning for us.
func (a *ansibleReader) known(l *layer, p pair, n *yaml.Node, f field) {
	if isNull(n) {
		return
	}
	if p.key == "tfw_plugins" {
		a.d.roles = true
	}
	if n.Kind == yaml.ScalarNode && f.kind == names {
		l.add(f.name, strings.FieldsFunc(n.Value, func(c rune) bool { return c == ',' || c == ' ' }), a.at(n))
		return
	}
	if n.Kind == yaml.ScalarNode && f.kind != secret && strings.Contains(n.Value, "{{") {
		l.add(f.name, asTemplate(f, n.Value), a.at(n))
		return
	}
	if (f.kind == number || f.kind == boolean) && n.Kind == yaml.ScalarNode { // "22" in quotes is fine there
		n = &yaml.Node{Kind: yaml.ScalarNode, Value: n.Value, Line: n.Line, Column: n.Column}
	}
	quiet := &reader{src: a.src, rep: &report{}, opt: a.opt}
	v, ok := quiet.typed(f, n)
	if !ok {
		a.rep.warnf(a.at(n), "tfw needs it as "+describe(f), "%s is passed over: %s", p.key, quiet.rep.errors[0].Message)
		return
	}
	if p.key == "ansible_group_priority" {
		v = v.(int) - 1 // Ansible's groups without one have 1, ours 0
	}
	l.add(f.name, v, a.at(n))
}

// password takes a reference, or a look-up of an environment variable, which is
// one. A literal is passed over, and never kept or shown.
func (a *ansibleReader) password(l *layer, p pair, n *yaml.Node, f field) {
	if n.Kind == yaml.ScalarNode {
		if m := envLookup.FindStringSubmatch(n.Value); m != nil {
			l.add(f.name, Secret("env:"+m[1]), a.at(n))
			return
		}
		if s := Secret(n.Value); s.valid() == nil {
			l.add(f.name, s, a.at(n))
			return
		}
	}
	w := a.at(p.keyNode).problem(SeverityWarning, "put it in a file only you can read and write `"+p.key+": file:/path`, or use env:NAME",
		p.key+" is not a reference to a secret and is passed over")
	w.Text = "" // the line holds the secret
	a.rep.warnings = append(a.rep.warnings, w)
}

var envLookup = regexp.MustCompile(`^\s*\{\{\s*lookup\(\s*['"](?:ansible\.builtin\.)?env['"]\s*,\s*['"](\w+)['"]\s*\)\s*\}\}\s*$`)

// sshArgs reads the arguments for ssh that have a meaning for us and warns of the rest.
func (a *ansibleReader) sshArgs(l *layer, p pair, n *yaml.Node) {
	words, ok := splitWords(n.Value)
	if n.Kind != yaml.ScalarNode || !ok {
		a.rep.warnf(a.at(n), "close the quotes", "%s is passed over: it is not a line of arguments", p.key)
		return
	}
	var other []string
	for i := 0; i < len(words); i++ {
		flag, value := words[i], ""
		switch {
		case len(flag) == 2 && strings.Contains("oJipl", flag[1:]) && flag[0] == '-' && i+1 < len(words):
			i++
			value = words[i]
		case len(flag) > 2 && flag[0] == '-' && strings.Contains("oJipl", flag[1:2]):
			flag, value = flag[:2], flag[2:]
		}
		if !a.sshArg(l, flag, value, a.at(n)) {
			other = append(other, strings.TrimSpace(flag+" "+value))
		}
	}
	if len(other) > 0 {
		a.rep.warnf(a.at(p.keyNode), "see docs/inventory.md for the settings under ssh", "passed over in %s: %s", p.key, strings.Join(other, ", "))
	}
}

func (a *ansibleReader) sshArg(l *layer, flag, value string, at position) bool {
	switch flag {
	case "-J":
		return a.jump(l, value, at)
	case "-i":
		l.add("ssh.identity_file", []string{a.resolvePath(value)}, at)
		return true
	case "-o":
	default:
		return false
	}
	key, arg, ok := strings.Cut(value, "=")
	if !ok {
		key, arg, _ = strings.Cut(value, " ")
	}
	arg = strings.TrimSpace(arg)
	switch strings.ToLower(strings.TrimSpace(key)) {
	case "proxyjump":
		return a.jump(l, arg, at)
	case "proxycommand":
		m := forward.FindStringSubmatch(arg)
		return m != nil && a.jump(l, m[1], at)
	case "userknownhostsfile":
		if arg == "/dev/null" {
			return false
		}
		l.add("ssh.known_hosts", a.resolvePath(arg), at)
		return true
	case "stricthostkeychecking":
		if !strings.EqualFold(arg, AcceptNew) {
			return strings.EqualFold(arg, "yes")
		}
		l.add("ssh.host_key", AcceptNew, at)
		return true
	case "connecttimeout":
		s, err := strconv.Atoi(arg)
		if err != nil || s <= 0 || s > 1e6 {
			return false
		}
		l.add("ssh.connect_timeout", time.Duration(s)*time.Second, at)
		return true
	case "controlmaster", "controlpersist", "controlpath", "serveraliveinterval", "serveralivecountmax", "compression", "loglevel":
		return true // the pool does what these are for
	}
	return false
}

// forward is the classic way to jump: ssh -W %h:%p user@gw, with -q or -p PORT.
var forward = regexp.MustCompile(`^"?ssh(?: -q| -W %h:%p)*(?: -W %h:%p)(?: -q)* ([\w.@-]+)"?$`)

// jump names jump hosts. A name of the inventory is that host; anything else,
// user@host:port, becomes a host of its own that no target selects.
func (a *ansibleReader) jump(l *layer, list string, at position) bool {
	if list == "" || strings.Contains(list, "{{") {
		return false
	}
	if strings.EqualFold(list, "none") {
		l.add("ssh.jump", []string{}, at)
		return true
	}
	hops := strings.Split(list, ",")
	for _, hop := range hops {
		if !a.d.hop(hop) {
			return false
		}
	}
	l.add("ssh.jump", hops, at)
	return true
}

// hop makes the host that [USER@]ADDRESS[:PORT] stands for. Should the name turn
// out to be a host of the inventory, that one is meant.
func (d *draft) hop(name string) bool {
	if d.hops[name] != nil {
		return true
	}
	user, address, ok := strings.Cut(name, "@")
	if !ok {
		user, address = "", name
	}
	h := &Host{Name: name, UUID: uuidOf(name), State: Active}
	h.SSH.User = user
	h.Address, h.SSH.Port = cutPort(address)
	h.Address = strings.Trim(h.Address, "[]")
	if h.Address == "" || h.Address[0] == '-' || strings.ContainsAny(h.Address, " /@") {
		return false
	}
	d.hops[name] = h
	return true
}

// splitWords splits a line as a shell would, without expanding anything.
func splitWords(line string) ([]string, bool) {
	var words []string
	var b strings.Builder
	in, quote := false, rune(0)
	escaped := false
	for _, c := range line {
		switch {
		case escaped:
			b.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, in = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteRune(c)
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				words = append(words, b.String())
				b.Reset()
			}
			in = false
		default:
			b.WriteRune(c)
			in = true
		}
	}
	if in {
		words = append(words, b.String())
	}
	return words, quote == 0 && !escaped
}
