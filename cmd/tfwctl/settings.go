package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/goccy/go-yaml"
)

// settings say which controller to speak to, and how. Later sources win:
// defaults < context of the file < environment < flags.
type settings struct {
	server, token, inventory, output origin
	ca, cert, key                    origin // files of TLS: who the server may be signed by, and who we are
	context                          origin
}

// origin is a value and where it came from.
type origin struct{ value, from string }

// configFile is the file of named contexts.
type configFile struct {
	Current  string                 `yaml:"current,omitempty" json:"current"`
	Contexts map[string]contextSpec `yaml:"contexts,omitempty" json:"contexts"`
}

type contextSpec struct {
	Server    string `yaml:"server,omitempty" json:"server,omitempty"`
	Token     string `yaml:"token,omitempty" json:"token,omitempty"`
	TokenFile string `yaml:"token_file,omitempty" json:"token_file,omitempty"`
	CAFile    string `yaml:"ca_file,omitempty" json:"ca_file,omitempty"`
	CertFile  string `yaml:"cert_file,omitempty" json:"cert_file,omitempty"`
	KeyFile   string `yaml:"key_file,omitempty" json:"key_file,omitempty"`
	Inventory string `yaml:"inventory,omitempty" json:"inventory,omitempty"`
	Output    string `yaml:"output,omitempty" json:"output,omitempty"`
}

// configPath is where contexts are kept: $TFW_CONFIG or $XDG_CONFIG_HOME/tfw/config.yaml.
func (a *app) configPath() string {
	if p := a.env("TFW_CONFIG"); p != "" {
		return p
	}
	dir := a.env("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(a.env("HOME"), ".config")
	}
	return filepath.Join(dir, "tfw", "config.yaml")
}

func (a *app) readConfig() (configFile, error) {
	var c configFile
	text, err := os.ReadFile(a.configPath())
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("contexts: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(text, &c, yaml.Strict()); err != nil {
		return c, usageError{fmt.Sprintf("%s: %s", a.configPath(), yaml.FormatError(err, false, false))}
	}
	return c, nil
}

// resolve fills in a.setting. It is cheap: one small file.
func (a *app) resolve() error {
	c, err := a.readConfig()
	if err != nil {
		return err
	}
	name, from := a.flags.context, "--context"
	if name == "" {
		name, from = a.env("TFW_CONTEXT"), "TFW_CONTEXT"
	}
	if name == "" {
		name, from = c.Current, a.configPath()
	}
	spec, ok := c.Contexts[name]
	if name != "" && !ok {
		return usageError{fmt.Sprintf("%s: no such context %q (see: tfwctl config list)", from, name)}
	}
	place := fmt.Sprintf("context %q of %s", name, a.configPath())
	token, err := spec.token()
	if err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	a.setting = settings{
		context:   contextOf(name, from),
		server:    first(origin{a.flags.server, "--server"}, origin{a.env("TFW_SERVER"), "TFW_SERVER"}, origin{spec.Server, place}, origin{"", "default"}),
		token:     first(origin{a.flags.token, "--token"}, origin{a.env("TFW_TOKEN"), "TFW_TOKEN"}, origin{token, place}, origin{"", "default"}),
		inventory: first(origin{a.flags.inventory, "--inventory"}, origin{a.env("TFW_INVENTORY"), "TFW_INVENTORY"}, origin{spec.Inventory, place}, origin{"inventory.yaml", "default"}),
		ca:        first(origin{a.env("TFW_CA_FILE"), "TFW_CA_FILE"}, origin{spec.CAFile, place}, origin{"", "default"}),
		cert:      first(origin{a.env("TFW_CERT_FILE"), "TFW_CERT_FILE"}, origin{spec.CertFile, place}, origin{"", "default"}),
		key:       first(origin{a.env("TFW_KEY_FILE"), "TFW_KEY_FILE"}, origin{spec.KeyFile, place}, origin{"", "default"}),
		output:    first(origin{a.flags.output, "--output"}, origin{a.env("TFW_OUTPUT"), "TFW_OUTPUT"}, origin{spec.Output, place}, origin{"table", "default"}),
	}
	if named := a.setting.server; a.flags.inventory != "" && a.flags.server == "" { // flags win: who names a file means its hosts
		a.setting.server = origin{"", "--inventory over " + named.from}
		if named.value == "" {
			a.setting.server = named
		}
	}
	if o := a.setting.output; !slices.Contains([]string{"table", "json", "yaml", "jsonl", "raw", "mermaid", "svg", "junit", "tap"}, o.value) {
		return usageError{fmt.Sprintf("%s: got %q, want table, json, yaml or jsonl", o.from, o.value)}
	}
	return nil
}

func contextOf(name, from string) origin {
	if name == "" {
		from = "default"
	}
	return origin{name, from}
}

func (s contextSpec) token() (string, error) {
	if s.TokenFile == "" {
		return s.Token, nil
	}
	return readToken(s.TokenFile)
}

func first(all ...origin) origin {
	for _, o := range all {
		if o.value != "" {
			return o
		}
	}
	return all[len(all)-1]
}
