package controller

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tfw/executor"
	"tfw/executor/age"
)

const secretsFile = "secrets.age" // beside the inventory; need not be there

// secrets is the keeper of what stands behind secret:NAME. The file and its key are looked at when one is asked for.
func (c *Controller) secrets() executor.Secrets {
	path := c.cfg.Secrets
	if path == "" {
		path = filepath.Join(filepath.Dir(c.cfg.Inventory), secretsFile)
	}
	return age.New(path, c.secretsKeys)
}

// secretsKeys are the SSH keys that the secrets may be encrypted to: the one that is
// set, else those of this user, else the one key that the inventory logs in with.
func (c *Controller) secretsKeys() []string {
	if c.cfg.SecretsKey != "" {
		return []string{atHome(c.cfg.SecretsKey)}
	}
	keys := []string{atHome("~/.ssh/id_ed25519"), atHome("~/.ssh/id_rsa")}
	var named []string
	for _, h := range c.live.Current().Hosts() {
		for _, file := range h.SSH.IdentityFiles {
			if file = atHome(file); !slices.Contains(named, file) {
				named = append(named, file)
			}
		}
	}
	if len(named) == 1 && !slices.Contains(keys, named[0]) {
		keys = append(keys, named[0])
	}
	return keys
}

func atHome(path string) string {
	rest, is := strings.CutPrefix(path, "~/")
	home, err := os.UserHomeDir()
	if !is || err != nil {
		return path
	}
	return filepath.Join(home, rest)
}
