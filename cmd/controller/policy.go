package controller

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"

	"tfw/executor"
)

const (
	policyFile  = "policy.yaml" // beside the inventory; need not be there
	policyEvery = 2 * time.Second
	policyQuiet = 200 * time.Millisecond // that an edit has to stay as it is
	maxPolicy   = 1 << 20
)

// readPolicy reads the policy file; nil when there is none.
func readPolicy(path string) (p *executor.Policy, text []byte, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	case info.Size() > maxPolicy:
		return nil, nil, fmt.Errorf("%s: larger than 1 MiB", path)
	}
	if text, err = os.ReadFile(path); err != nil {
		return nil, nil, err
	}
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, text, fmt.Errorf("%s: %w", path, err)
	}
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) { // such as one that is being written
		return nil, text, fmt.Errorf("%s: is empty (write \"rules: []\" for no rules)", path)
	}
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	p = &executor.Policy{}
	if err := strict.Decode(p); err != nil {
		return nil, text, fmt.Errorf("%s: %w", path, err)
	}
	if err := p.Check(); err != nil {
		return nil, text, fmt.Errorf("%s: %w", path, err)
	}
	return p, text, nil
}

func (c *Controller) policyPath() string {
	return filepath.Join(filepath.Dir(c.cfg.Inventory), policyFile)
}

// loadPolicy takes the policy file as it is now, and puts on record what is new: an edit, a mistake.
func (c *Controller) loadPolicy() error {
	before := c.policyText
	err := c.takePolicy()
	if e := c.hook.Load(); e != nil && (err == nil && !bytes.Equal(before, c.policyText) || err != nil && err.Error() != c.policyBad) {
		sum := sha256.Sum256(c.policyText)
		e.Reloaded(context.Background(), "file", executor.AuditEntry{Action: "policy.reload", Object: hex.EncodeToString(sum[:])}, err)
	}
	if c.policyBad = ""; err != nil {
		c.policyBad = err.Error()
	}
	return err
}

// takePolicy makes the policy file's rules the ones in force. After the start, neither a mistake
// nor the file's absence takes the policy in force away: nobody gets rights by a slip.
func (c *Controller) takePolicy() error {
	p, text, err := readPolicy(c.policyPath())
	if err != nil {
		return err
	}
	if p == nil && c.policy.Load() != nil {
		return fmt.Errorf("%s: is gone; the last policy stays in force until the next start", c.policyPath())
	}
	if p != nil && !bytes.Equal(text, c.policyText) {
		c.log.Info("policy: in force", "file", c.policyPath(), "rules", len(p.Rules))
	}
	c.policy.Store(p)
	c.policyText = text
	return nil
}

// policySettled reports whether the file is not being written just now: half a policy is less than the one in force.
func (c *Controller) policySettled(ctx context.Context) bool {
	text, _ := os.ReadFile(c.policyPath()) // what is wrong with it the loading tells
	c.reloading.Lock()
	known := bytes.Equal(text, c.policyText)
	c.reloading.Unlock()
	if known {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(policyQuiet):
	}
	again, _ := os.ReadFile(c.policyPath())
	return bytes.Equal(text, again)
}

// watchPolicy takes edits of the file, and tells of each mistake once.
func (c *Controller) watchPolicy(ctx context.Context) {
	said := ""
	tick := time.NewTicker(policyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !c.policySettled(ctx) {
			continue
		}
		c.reloading.Lock()
		err := c.loadPolicy()
		c.reloading.Unlock()
		switch {
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			c.log.Error("policy: the edit is not taken, the last good one stays in force", "error", err)
		}
	}
}
