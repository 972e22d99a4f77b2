package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kevinburke/ssh_config"

	"tfw/executor"
	"tfw/inventory"
)

// refusedKeywords change who is talked to, or what is trusted, in ways that we do
// not follow. To ignore them would reach another machine, or trust more than the file says.
var refusedKeywords = map[string]string{
	"ProxyCommand":             "use ProxyJump, or ssh.jump in the inventory",
	"KnownHostsCommand":        "use UserKnownHostsFile or ssh.host_key",
	"HostKeyAlias":             "use ssh.host_key in the inventory",
	"PKCS11Provider":           "give the key to ssh-agent",
	"SecurityKeyProvider":      "give the key to ssh-agent",
	"IdentityAgent":            "set SSH_AUTH_SOCK",
	"RevokedHostKeys":          "use @revoked lines in known_hosts",
	"CanonicalizeHostname":     "write the full name as the host's address",
	"VerifyHostKeyDNS":         "use known_hosts",
	"HostKeyAlgorithms":        "use ssh.host_key in the inventory",
	"PubkeyAcceptedAlgorithms": "remove it for this host",
	"Ciphers":                  "remove it for this host",
	"KexAlgorithms":            "remove it for this host",
	"MACs":                     "remove it for this host",
	"CASignatureAlgorithms":    "remove it for this host",
	"BindAddress":              "remove it for this host",
	"BindInterface":            "remove it for this host",
	"RequiredRSASize":          "remove it for this host",
	"AddressFamily":            "write the address itself into the inventory",
}

// harmless values of keywords that are refused otherwise.
var harmless = map[string][]string{
	"ProxyCommand":          {"none"},
	"CanonicalizeHostname":  {"no"},
	"VerifyHostKeyDNS":      {"no"},
	"AddressFamily":         {"any"},
	"KnownHostsCommand":     {"none"},
	"StrictHostKeyChecking": {"yes", "ask", "true", inventory.AcceptNew},
}

// userConfig is ~/.ssh/config as it applies to one alias.
type userConfig struct {
	file  string
	alias string
	conf  *ssh_config.Config
	home  string
}

// applyConfig fills what the inventory leaves open from ~/.ssh/config, asked for the host's address.
func (r *resolver) applyConfig(s *settings, h *inventory.Host) error {
	u, err := openConfig(r.opt, s.Address, h.SSH.ConfigLoose)
	if err != nil || u == nil {
		return err
	}
	if err := u.check(h.SSH.ConfigLoose); err != nil {
		return err
	}
	return u.apply(r, s, h)
}

// openConfig reads the file; loose passes over what it cannot make sense of.
func openConfig(o *Options, alias string, loose bool) (*userConfig, error) {
	text, err := os.ReadFile(o.ConfigFile)
	if errors.Is(err, fs.ErrNotExist) || err != nil && loose {
		return nil, nil
	}
	if loose {
		text = withoutMatch(text)
	}
	u := &userConfig{file: o.ConfigFile, alias: alias, home: o.Home}
	if err == nil && hasMatch(text) {
		return nil, u.refuse("Match", "use Host blocks")
	}
	if err == nil {
		u.conf, err = ssh_config.DecodeBytes(text)
	}
	if err != nil && loose {
		return nil, nil
	}
	if err != nil {
		return nil, because(executor.ErrRefused, "correct it, or remove ssh.config", "%s: %w", o.ConfigFile, err)
	}
	return u, nil
}

// withoutMatch leaves Match blocks out: from their line to the next Host.
func withoutMatch(text []byte) []byte {
	var out []byte
	in := false
	for line := range bytes.Lines(text) {
		switch {
		case hasMatch(line):
			in = true
		case in && bytes.EqualFold(bytes.Fields(append(bytes.ReplaceAll(line, []byte("="), []byte(" ")), " -"...))[0], []byte("Host")):
			in = false
		}
		if !in {
			out = append(out, line...)
		}
	}
	return out
}

// hasMatch finds Match blocks, which the parser may know less of than ssh does.
func hasMatch(text []byte) bool {
	for line := range strings.Lines(string(text)) {
		word, _, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "=", " ")), " ")
		if strings.EqualFold(word, "Match") {
			return true
		}
	}
	return false
}

func (u *userConfig) refuse(keyword, instead string) error {
	return because(executor.ErrRefused, instead, "%s: %s for %q is not followed", u.file, keyword, u.alias)
}

// check refuses what we do not follow. Where nobody asked for the file to be read
// only what leads to another machine is refused: what is trusted is no more than without the file.
func (u *userConfig) check(loose bool) error {
	for keyword, instead := range refusedKeywords {
		v := u.get(keyword)
		if loose && keyword != "ProxyCommand" {
			continue
		}
		if v != "" && !isHarmless(keyword, v) {
			return u.refuse(keyword+" "+v, instead)
		}
	}
	if v := u.get("StrictHostKeyChecking"); v != "" && !loose && !isHarmless("StrictHostKeyChecking", v) {
		return u.refuse("StrictHostKeyChecking "+v, "trust the key with: tfwctl hostkeys trust")
	}
	return nil
}

func isHarmless(keyword, value string) bool {
	for _, v := range harmless[keyword] {
		if strings.EqualFold(v, value) {
			return true
		}
	}
	return false
}

func (u *userConfig) get(keyword string) string {
	v, err := u.conf.Get(u.alias, keyword)
	if err != nil {
		return ""
	}
	return unquote(v)
}

func (u *userConfig) all(keyword string) []string {
	vs, err := u.conf.GetAll(u.alias, keyword)
	if err != nil {
		return nil
	}
	for i := range vs {
		vs[i] = unquote(vs[i])
	}
	return vs
}

func unquote(v string) string { return strings.Trim(strings.TrimSpace(v), `"`) }

// apply puts the values in where the inventory names none.
func (u *userConfig) apply(r *resolver, s *settings, h *inventory.Host) error {
	if v := u.get("Port"); v != "" && s.Port == 0 {
		port, err := strconv.Atoi(v)
		if err != nil || port < 1 || port > 65535 {
			return u.refuse("Port "+v, "want 1 to 65535")
		}
		s.Port = port
	}
	if v := u.get("User"); v != "" && s.User == "" {
		s.User = v
	}
	if v := u.get("HostName"); v != "" {
		s.Address = strings.ReplaceAll(strings.ReplaceAll(v, "%%", "%"), "%h", u.alias)
	}
	if v := u.get("ConnectTimeout"); v != "" && s.ConnectTimeout == 0 {
		d, err := strconv.Atoi(v)
		if err != nil || d < 0 {
			return u.refuse("ConnectTimeout "+v, "want seconds")
		}
		s.ConnectTimeout = time.Duration(d) * time.Second
	}
	if strings.EqualFold(u.get("StrictHostKeyChecking"), inventory.AcceptNew) && !h.SSH.ConfigLoose && s.HostKey+s.HostCA == "" {
		s.AcceptNew = true
	}
	if err := u.keys(r, s); err != nil {
		return err
	}
	return u.jump(r, s, h)
}

func (u *userConfig) keys(r *resolver, s *settings) (err error) {
	s.IdentitiesOnly = strings.EqualFold(u.get("IdentitiesOnly"), "yes")
	if len(s.Identities) == 0 {
		if s.Identities, err = u.paths(u.all("IdentityFile"), r, s); err != nil {
			return err
		}
	}
	if s.Certificates, err = u.paths(u.all("CertificateFile"), r, s); err != nil {
		return err
	}
	if v := u.get("UserKnownHostsFile"); v != "" && len(s.KnownHosts) == 0 {
		s.KnownHosts, err = u.paths(strings.Fields(v), r, s)
	}
	return err
}

// paths expands "~" and the tokens of ssh_config(5) that make sense here.
func (u *userConfig) paths(values []string, r *resolver, s *settings) ([]string, error) {
	var out []string
	for _, v := range values {
		if v == "" || strings.EqualFold(v, "none") {
			continue
		}
		user := orText(s.User, r.opt.User)
		v = strings.NewReplacer("%%", "%", "%d", u.home, "%h", s.Address, "%n", u.alias, "%r", user, "%u", r.opt.User).Replace(v)
		v = expandHome(v, u.home)
		if !filepath.IsAbs(v) {
			return nil, u.refuse("the relative path "+v, "write the whole path")
		}
		out = append(out, v)
	}
	return out, nil
}

// jump makes the hosts of ProxyJump, which may be inventory names, aliases or [user@]host[:port].
func (u *userConfig) jump(r *resolver, s *settings, h *inventory.Host) error {
	v := u.get("ProxyJump")
	if v == "" || strings.EqualFold(v, "none") || len(h.SSH.Jump) > 0 {
		return nil
	}
	var before *settings
	for hop := range strings.SplitSeq(v, ",") {
		host, err := jumpHost(strings.TrimSpace(hop))
		if err != nil {
			return u.refuse("ProxyJump "+v, err.Error())
		}
		host.SSH.ConfigLoose = h.SSH.ConfigLoose
		j, err := r.resolve(host)
		if err != nil {
			return err
		}
		if before != nil {
			j.Jump = before
		}
		before = j
	}
	s.Jump = before
	return nil
}

func jumpHost(hop string) (*inventory.Host, error) {
	hop = strings.TrimPrefix(hop, "ssh://")
	h := &inventory.Host{Name: hop, SSH: inventory.SSH{Config: true}}
	user, rest, found := strings.Cut(hop, "@")
	if found {
		h.SSH.User = user
	} else {
		rest = hop
	}
	h.Address = rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && (!strings.Contains(rest[:i], ":") || strings.HasSuffix(rest[:i], "]")) {
		port, err := strconv.Atoi(rest[i+1:])
		if err != nil || port < 1 || port > 65535 {
			return nil, fmt.Errorf("%q: want [user@]host[:port]", hop)
		}
		h.SSH.Port, h.Address = port, rest[:i]
	}
	h.Address = strings.Trim(h.Address, "[]")
	if h.Address == "" {
		return nil, fmt.Errorf("%q: want [user@]host[:port]", hop)
	}
	return h, nil
}
