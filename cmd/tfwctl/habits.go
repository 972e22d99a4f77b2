package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// otherWords are the commands that users of kubectl, Ansible, clush and the like try, and ours in their place.
var otherWords = map[string]string{
	"get": "tfwctl hosts, groups, runs, plugins or leases", "describe": "tfwctl host HOST, or tfwctl show RUN",
	"list": "tfwctl hosts, groups, runs, plugins or leases", "ls": "tfwctl hosts, groups, runs, plugins or leases",
	"ps": "tfwctl runs --state running", "jobs": "tfwctl runs", "history": "tfwctl runs, or tfwctl audit", "events": "tfwctl audit",
	"kill": "tfwctl cancel RUN", "stop": "tfwctl cancel RUN", "abort": "tfwctl cancel RUN", "delete": "tfwctl cancel RUN, or tfwctl release LEASE",
	"ssh": "tfwctl exec HOST -- CMD", "shell": "tfwctl exec TARGET --shell LINE", "command": "tfwctl exec TARGET -- CMD", "cmd": "tfwctl exec TARGET -- CMD",
	"script": "tfwctl exec TARGET --script FILE", "ping": "tfwctl hosts TARGET --probe", "probe": "tfwctl hosts TARGET --probe",
	"setup": "tfwctl run linux_system.system_information TARGET", "facts": "tfwctl run linux_system.system_information TARGET",
	"copy": "tfwctl cp SRC TARGET:DST", "scp": "tfwctl cp SRC TARGET:DST", "rsync": "tfwctl cp SRC TARGET:DST", "push": "tfwctl cp SRC TARGET:DST",
	"upload": "tfwctl cp SRC TARGET:DST", "pull": "tfwctl cp TARGET:SRC DIR", "fetch": "tfwctl cp TARGET:SRC DIR", "download": "tfwctl cp TARGET:SRC DIR",
	"apply": "tfwctl plan run FILE", "play": "tfwctl plan run FILE", "playbook": "tfwctl plan run FILE", "test": "tfwctl plan run FILE",
	"reserve": "tfwctl lease TARGET --for 2h", "lock": "tfwctl lease TARGET --for 2h", "unlock": "tfwctl release LEASE", "free": "tfwctl release LEASE",
	"context": "tfwctl config list", "contexts": "tfwctl config list", "current-context": "tfwctl --print-config", "view": "tfwctl --print-config",
	"status": "tfwctl top, tfwctl runs, or tfwctl inventory status", "watch": "tfwctl top, or tfwctl logs -f RUN", "monitor": "tfwctl top",
	"nodes": "tfwctl hosts", "node": "tfwctl host HOST", "slaves": "tfwctl hosts", "modules": "tfwctl plugins", "user": "tfwctl whoami, or tfwctl token",
	"cordon": "tfwctl hosts set TARGET --state maintenance", "drain": "tfwctl hosts set TARGET --state maintenance", "uncordon": "tfwctl hosts set TARGET --state active",
}

// below are those of commands that hold others.
var below = map[string]string{
	"secret get": "a secret is never shown; name it in a run as secret:NAME", "secret show": "a secret is never shown; name it in a run as secret:NAME",
	"secret create": "tfwctl secret set NAME", "secret add": "tfwctl secret set NAME", "token delete": "tfwctl token revoke ID", "token show": "a token is never shown again; make another with: tfwctl token create",
	"plan status": "tfwctl plan show ID", "plan logs": "tfwctl plan show ID, then tfwctl logs RUN", "plan start": "tfwctl plan run FILE", "plan results": "tfwctl results ID",
	"hostkeys list": "tfwctl hostkeys scan TARGET", "hostkeys add": "tfwctl hostkeys trust TARGET", "inventory list": "tfwctl hosts", "inventory reload": "it is reloaded when it is saved (see: tfwctl inventory status)",
	"lab down": "Ctrl-C in the terminal of tfwctl lab up",
}

// noSuchCommand tells what is meant in the place of a word that is no command of c.
func noSuchCommand(c *cobra.Command, args []string) error {
	word := args[0]
	under := strings.TrimPrefix(c.CommandPath(), "tfwctl")
	hint := below[strings.TrimSpace(under+" "+word)]
	if hint == "" && (!c.HasParent() || c.Name() == "config") {
		hint = otherWords[word]
	}
	if len(args) > 1 && hint != "" && !c.HasParent() { // get hosts, delete token
		if found, _, err := c.Find(args[1:2]); err == nil && found != c {
			hint = found.CommandPath()
		}
	}
	if hint == "" && c.Name() == "plan" && (strings.HasSuffix(word, ".yaml") || strings.HasSuffix(word, ".yml")) {
		hint = "tfwctl plan run " + word
	}
	if near := c.SuggestionsFor(word); hint == "" && len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	if hint == "" {
		hint = "see: " + c.CommandPath() + " --help"
	}
	return usageError{fmt.Sprintf("%q: no such command (%s)", word, hint)}
}

// otherFlags are the flags that they try, and our way.
var otherFlags = map[string]string{
	"l": "TARGET is the first word: dut01,dut02 or a group", "limit": "TARGET is the first word: 'duts,&arm64' is what is in both", "w": "TARGET is the first word: dut01,dut02 or a group", "hosts": "TARGET is the first word",
	"nodes": "TARGET is the first word", "target": "TARGET is the first word", "host": "TARGET is the first word", "g": "a group is a TARGET, the first word", "group": "a group is a TARGET, the first word", "all": "all is a TARGET, the first word",
	"a": "all is a TARGET, the first word; the words of a command come after --", "x": "TARGET,!HOST leaves hosts out", "exclude": "TARGET,!HOST leaves hosts out",
	"m": "tfwctl run PLUGIN.METHOD TARGET key=value", "module-name": "tfwctl run PLUGIN.METHOD TARGET key=value", "e": "key=value after TARGET, or --env K=V for a command", "extra-vars": "key=value after TARGET, or -p key=value of a plan",
	"f": "-p N", "forks": "-p N", "fanout": "-p N", "u": "--become=USER, or user: in the inventory", "user": "--become=USER, or user: in the inventory",
	"K": "passwords are references in the inventory: password: env:NAME", "k": "passwords are references in the inventory: password: env:NAME", "ask-pass": "passwords are references in the inventory: password: env:NAME", "become-user": "--become=USER", "sudo": "--become",
	"check": "--dry-run", "C": "--dry-run", "one-line": "-o jsonl", "json": "-o json", "yaml": "-o yaml", "format": "-o FORMAT", "watch": "tfwctl top", "selector": "--where EXPR", "filter": "--where EXPR", "version": "tfwctl version",
	"tail": "-n N", "namespace": "groups take that place", "user-token": "--token", "url": "--server URL", "r": "directories are copied whole without it", "recursive": "directories are copied whole without it",
	"background": "--detach", "d": "--detach", "tags": "--where \"'TAG' in tags\"", "t": "--timeout 30s", "async": "--detach", "background-run": "--detach",
}

// otherFlag adds our way to an error about a flag that the command has not.
func otherFlag(c *cobra.Command, err error) error {
	var none *pflag.NotExistError
	if !errors.As(err, &none) {
		return fmt.Errorf("%w (see: %s --help)", err, c.CommandPath())
	}
	if c.Name() == "exec" && len(c.Flags().Args()) > 1 { // a command stands behind the target, without the "--" before it
		return fmt.Errorf("%w (a command with flags comes after --: tfwctl exec TARGET -- CMD ...)", err)
	}
	if hint := otherFlags[none.GetSpecifiedName()]; hint != "" && holds(c, hint) {
		return fmt.Errorf("%w (%s; see: %s --help)", err, hint, c.CommandPath())
	}
	return fmt.Errorf("%w (see: %s --help)", err, c.CommandPath())
}

// holds reports whether a hint is true of a command: it has the flag, or the target.
func holds(c *cobra.Command, hint string) bool {
	word, _, _ := strings.Cut(strings.TrimSuffix(strings.Fields(hint)[0], ","), "=")
	switch {
	case strings.HasPrefix(word, "--"):
		return c.Flags().Lookup(word[2:]) != nil
	case strings.HasPrefix(word, "-"):
		return c.Flags().ShorthandLookup(word[1:]) != nil
	}
	return !strings.Contains(hint, "TARGET") || strings.Contains(c.Use, "TARGET")
}
