package controller

import (
	"bytes"
	"context"
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

// loadPolicy takes the policy file as it is now. After the start, neither a mistake
// nor the file's absence takes the policy in force away: nobody gets rights by a slip.
func (c *Controller) loadPolicy() error {
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
