package daemon

import (
	"fmt"

	"tfw/cmd/controller"
)

// setting is one thing that can be set: as KEY in the file, as TFW_KEY in the
// environment, as --key on the command line.
type setting struct {
	key     string
	def     string
	usage   string
	kind    kind
	choices []string // of a word
}

// kind says how a setting's text is read.
type kind int

const (
	word kind = iota
	yes
	count
	span
	size
)

// table is every setting of tfwd: flags, environment, file, --print-config and
// the checks are all made from it.
func table() []setting {
	return []setting{
		{key: "inventory", def: "inventory.yaml", usage: "the lab's hosts: a YAML file, or an executable that prints Ansible's JSON"},
		{key: "data", def: controller.StateDir(), usage: "directory of runs, logs, artifacts and tokens; one tfwd at a time"},
		{key: "listen", def: "127.0.0.1:8774", usage: "address of the REST API; \"none\" for the socket only"},
		{key: "socket", usage: "unix socket of the REST API (default DATA/tfwd.sock)"},
		{key: "tls_cert", usage: "certificate file (PEM); read again on SIGHUP"},
		{key: "tls_key", usage: "key file of the certificate (PEM)"},
		{key: "tls_client_ca", usage: "authorities (PEM) whose client certificates let in the users of policy.yaml; read again on SIGHUP"},
		{key: "socket_group", usage: "local group whose members may reach the socket; users of policy.yaml need no token there"},
		{key: "oidc_issuer", usage: "URL of the OpenID provider whose users may log in (tfwctl login)"},
		{key: "oidc_client_id", usage: "what the provider knows tfw as; ID tokens must be made for it"},
		{key: "oidc_claim", def: "email", usage: "claim that names users"},
		{key: "oidc_groups", def: "groups", usage: "claim with the groups of a user"},
		{key: "login_for", def: "12h", kind: span, usage: "how long a login is good"},
		{key: "no_auth", def: "false", kind: yes, usage: "ask for no token; on loopback and the socket only"},
		{key: "insecure", def: "false", kind: yes, usage: "allow another address than loopback without TLS"},
		{key: "metrics", def: "open", choices: []string{"open", "token"}, usage: "open, or token: /metrics asks for a token that sees all groups"},
		{key: "plugins_dir", usage: "directory of plugins made of scripts (default plugins.d beside the inventory)"},
		{key: "secrets", usage: "file of the secrets behind secret:NAME (default secrets.age beside the inventory)"},
		{key: "secrets_key", usage: "SSH key that it is encrypted to (default ~/.ssh/id_ed25519, id_rsa, or the one key of the inventory)"},
		{key: "log_level", def: "info", choices: []string{"debug", "info", "warn", "error"}, usage: "debug, info, warn or error"},
		{key: "log_format", def: "text", choices: []string{"text", "json"}, usage: "text or json"},
		{key: "parallel", def: "256", kind: count, usage: "hosts of one run at a time"},
		{key: "max_runs", def: "1000", kind: count, usage: "runs at a time"},
		{key: "lost_after", def: "24h", kind: span, usage: "a host out of reach this long is given up"},
		{key: "grace", def: "10s", kind: span, usage: "between TERM and KILL of a cancel"},
		{key: "drain_timeout", def: "10s", kind: span, usage: "how long a stop may take"},
		{key: "max_output", def: "4GiB", kind: size, usage: "output kept of one host of a run"},
		{key: "artifact_limit", def: "4GiB", kind: size, usage: "size of one artifact"},
		{key: "probe_every", def: "5m", kind: span, usage: "every host is asked in the background how it fares, about so often; 0 is never"},
		{key: "probe_parallel", def: "16", kind: count, usage: "hosts that are asked so at a time"},
		{key: "keep_logs", def: "30d", kind: span, usage: "logs older than this are dropped; 0 keeps them"},
		{key: "keep_log_size", def: "0", kind: size, usage: "the oldest logs beyond this are dropped; 0 keeps them"},
		{key: "keep_runs", def: "90d", kind: span, usage: "ended runs, and artifacts not used for so long, are dropped; 0 keeps them"},
		{key: "keep_audit", def: "0", kind: span, usage: "audit entries older than this are dropped, on record; 0 keeps them (about 0.5 KiB each)"},
		{key: "keep_run_count", def: "100000", kind: count, usage: "the oldest ended runs beyond this are dropped"},
	}
}

// read turns a setting's text into its value.
func (s setting) read(text string) (any, error) {
	switch s.kind {
	case yes:
		return readYes(text)
	case count:
		return readCount(text)
	case span:
		return readSpan(text)
	case size:
		return readSize(text)
	}
	if len(s.choices) == 0 {
		return text, nil
	}
	for _, c := range s.choices {
		if text == c {
			return text, nil
		}
	}
	return nil, fmt.Errorf("got %q, want %s", text, s.usage)
}
